# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways out of a disaster, the one with the smallest loss first. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from .._times import in_words, to_iso
from .damage import Damage
from .examine import OwnData

START, REPAIR, REPLAY, RESTORE, IMPORT = "start", "repair_aof", "replay", "restore", "import"
# What keeps a server from starting, whatever it would load; with what to do about it.
_FIRST = {
    "bare": "install the server",
    "config": "bring redis.conf back",
    "acl": "bring the ACL file back",
    "disk_full": "make room on the disk",
    "permission": "give the files back to the server's user",
    "memory": "give it more memory",
    "port": "end what listens on its port",
    "crash": "see why it crashed",
}


@dataclass(frozen=True)
class Way:
    """One way: what it loses in seconds (None where nobody knows), what that is in words, and how it is gone."""

    way: str
    loses_seconds: float | None
    says: str
    how: str

    def as_result(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Material:
    """What is left to recover from. Times are UTC seconds; None where there is none of it.

    `archived_to` is when the newest object of the archive was stored, `exported` when the newest export was made.
    """

    failed_at: float
    damage: tuple[str, ...] = ()
    findings: tuple[Damage, ...] = ()
    own: OwnData | None = None
    archived_to: float | None = None
    backup: tuple[str, float] | None = None
    exported: tuple[str, float] | None = None


def ways_out(material: Material) -> list[Way]:
    """All ways that the material allows, the smallest loss first; what nobody can tell in seconds comes last."""
    emptied = any(kind in ("empty", "shrunk") for kind in material.damage)
    if not material.damage:
        return []
    order = (START, REPAIR, REPLAY, RESTORE, IMPORT)
    found = [*_by_its_own(material), *_by_archive(material, emptied=emptied), *_by_copies(material)]
    return sorted(
        found, key=lambda each: (each.loses_seconds is None, each.loses_seconds or 0.0, order.index(each.way))
    )


def _since(material: Material, moment: float | None) -> float | None:
    return None if moment is None else max(round(material.failed_at - moment, 1), 0.0)


def _by_its_own(material: Material) -> Iterable[Way]:
    own = material.own
    if own is None or "down" not in material.damage:
        return
    needed = [_FIRST[each.kind] for each in material.findings if each.kind in _FIRST]
    first = f"{', '.join(dict.fromkeys(needed))}; then " if needed else ""
    if own.condition == "sound":
        loses = 0.0 if own.kind == "aof" else _since(material, own.good_until)
        lost = "no write that was synced to disk" if own.kind == "aof" else "what was written after its last save"
        yield Way(START, loses, f"{own.says}; it loses {lost}", f"{first}start the server")
    elif own.kind == "aof" and own.condition in ("torn", "damaged") and own.behind < own.size:
        # The torn end is one command or transaction, which the server had begun to write when it ended.
        loses = 0.0 if own.condition == "torn" else _since(material, own.good_until)
        span = "" if loses is None or not loses else f", {in_words(loses)} of writes"
        yield Way(
            REPAIR,
            loses,
            f"all but the last {own.behind} of {own.size} bytes of the AOF can be loaded{span}",
            f"{first}redis_aof with state=fixed, which keeps the original; then start the server",
        )


def _by_archive(material: Material, *, emptied: bool) -> Iterable[Way]:
    if material.archived_to is None:
        return
    reach = to_iso(material.archived_to)
    if emptied:
        yield Way(
            REPLAY,
            0.0,
            f"the archive of the AOF, stored up to {reach}, holds what was written before the data was lost",
            "disaster_recovery.yml with redis_disaster_recovery_before_command (such as FLUSHALL), or "
            "redis_disaster_recovery_at for the second before it",
        )
    else:
        loses = _since(material, material.archived_to)
        yield Way(
            REPLAY,
            loses,
            f"the archive of the AOF reaches to about {reach}, {in_words(loses or 0.0)} before the failure",
            "disaster_recovery.yml with redis_disaster_recovery_at=latest",
        )


def _by_copies(material: Material) -> Iterable[Way]:
    if material.backup is not None:
        label, taken = material.backup
        loses = _since(material, taken)
        says = f"the backup {label} holds the data of {to_iso(taken)}, {in_words(loses or 0.0)} before the failure"
        yield Way(RESTORE, loses, says, "disaster_recovery.yml")
    if material.exported is not None and (material.backup is None or material.exported[1] > material.backup[1]):
        label, taken = material.exported
        loses = _since(material, taken)
        says = f"the export {label} holds the keys that were chosen, as of {to_iso(taken)}; other keys it does not have"
        yield Way(IMPORT, loses, says, "import.yml")
