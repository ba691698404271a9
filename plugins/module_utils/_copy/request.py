# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be copied, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._errors import RedisBackupError
from .._repository.layout import is_export_label, is_label
from .._repository.manifest import Manifest
from .._repository.pipeline import Packing, require_public
from .._repository.store import Store

LATEST = "latest"
ALL = "all"
_NAMED = 3
"""So many failures are told in one message; all are in `failed_labels`."""


@dataclass(frozen=True)
class Repacking:
    """How copies are packed anew. None for `recipients` or `level` means as the source is.

    No recipients at all (an empty tuple) stores in the clear: that must have been said in so many words.
    """

    recipients: tuple[str, ...] | None = None
    level: int | None = None
    identities: tuple[str, ...] = ()

    def packing(self, manifest: Manifest) -> Packing:
        """How the copy of this backup is packed."""
        stored = packing_of(manifest)
        return Packing(
            level=stored.level if self.level is None else self.level,
            recipients=stored.recipients if self.recipients is None else self.recipients,
        )

    def fits(self, manifest: Manifest) -> bool:
        """Whether a stored backup is packed like this already."""
        stored, wanted = packing_of(manifest), self.packing(manifest)
        return stored.level == wanted.level and set(stored.recipients) == set(wanted.recipients)

    def fits_copy(self, manifest: Manifest, copy: Manifest) -> bool:
        """Whether a copy of `manifest` was packed like this. Its level matters only where one was asked for."""
        stored, wanted = packing_of(copy), self.packing(manifest)
        level_fits = self.level is None or stored.level == self.level
        return level_fits and set(stored.recipients) == set(wanted.recipients)


def packing_of(manifest: Manifest) -> Packing:
    """How a stored backup is packed."""
    compression = manifest.document.get("compression") or {}
    encryption = manifest.document.get("encryption") or {}
    return Packing(level=int(compression.get("level", 1)), recipients=tuple(encryption.get("recipients", [])))


def repacking_of(
    encryption: Mapping[str, Any] | None, compression: Mapping[str, Any] | None, identities: Sequence[str]
) -> Repacking | None:
    """What the options `encryption` and `compression` ask for; None where stored bytes are to be copied as they are.

    Raises RedisBackupError where it would take a guess whether to store in the clear.
    """
    if encryption is None and compression is None:
        return None
    recipients = None
    if encryption is not None:
        recipients = tuple(encryption.get("recipients") or ())
        if not recipients and encryption.get("none") is not True:
            raise RedisBackupError(
                "encryption names no recipient",
                untouched="Nothing was changed",
                hint="Give recipients, or none: true to store the copies in the clear",
            )
        require_public(recipients)
    return Repacking(recipients, compression["level"] if compression else None, tuple(identities))


@dataclass(frozen=True)
class CopyRequest:
    """Backups of one instance, from one repository to another. Without `repacking`, stored bytes go as they are."""

    source: Store
    destination: Store
    instance: str
    labels: tuple[str, ...] = (LATEST,)
    repacking: Repacking | None = None
    adopt: bool = False

    def __post_init__(self) -> None:
        known = (LATEST, ALL)
        strange = [each for each in self.labels if each not in known and not (is_label(each) or is_export_label(each))]
        if strange or not self.labels:
            raise RedisBackupError(
                f"labels: {', '.join(strange) or 'the list'} names no backup",
                untouched="Nothing was changed",
                hint="Give labels such as 20261122T235141Z_rdb, or latest, or all",
            )


@dataclass
class CopyResult:
    """`copied` has an element for each label that was asked for and did not fail."""

    actions: list[str] = field(default_factory=list)
    copied: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    failed: dict[str, RedisBackupError] = field(default_factory=dict)
    diff: dict[str, str] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        return bool(self.actions)

    def refusal(self, request: CopyRequest) -> RedisBackupError:
        """Why the task fails when some backups did, with what was done nevertheless."""
        reasons = [f"{label}: {e.what}" + (f" ({e.hint})" if e.hint else "") for label, e in self.failed.items()]
        more = len(reasons) - _NAMED
        told = reasons[:_NAMED] + ([f"and {more} more, see failed_labels"] if more > 0 else [])
        return RedisBackupError(
            f"{len(reasons)} of the backups of {request.instance} could not be copied from {request.source.where()} to "
            f"{request.destination.where()}: {'; '.join(told)}",
            untouched="Of these the destination is as it was; the others were copied, or were there",
            failed_labels={label: str(error) for label, error in self.failed.items()},
            changed=self.changed,
            actions=self.actions,
            copied=self.copied,
            diff=self.diff,
        )
