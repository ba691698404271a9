# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two servers that carry one name are told apart by a UUID, kept on the host and in the repository."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Callable

from .._errors import DamagedError, NotFoundError, RepositoryError
from .._files import make_dirs, read_json, write_json
from .layout import IDENTITY, backups_path, exports_path, valid_instance
from .parse import parse_json
from .store import Store

_HINT = (
    "If this server really continues that history (a replaced host), run once with adopt: true; "
    "if it is another server, give it another instance name"
)


def require_name(instance: str) -> None:
    """Raise RepositoryError when `instance` cannot be a folder's name in every kind of repository."""
    if not valid_instance(instance):
        raise RepositoryError(
            f"{instance!r} cannot name an instance",
            untouched="Nothing was changed",
            hint="Use letters, digits, . _ and -",
        )


@dataclass(frozen=True)
class HostState:
    """The folder on the host, outside the data directory, that remembers what instances are who."""

    folder: str

    def _path(self, instance: str) -> str:
        return os.path.join(self.folder, "instances", f"{instance}.json")

    def _document(self, instance: str) -> dict[str, Any]:
        """What this host remembers of the instance; empty when nothing yet."""
        try:
            found = read_json(self._path(instance))
            return {**found, "uuid": str(found["uuid"])}
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise RepositoryError(
                f"{self._path(instance)} cannot be read: {error}",
                untouched="Nothing was changed",
                hint="Remove it when it is damaged, and run once with adopt: true",
            ) from None

    def read(self, instance: str) -> str:
        """The instance's UUID on this host; empty when it has none yet."""
        return str(self._document(instance).get("uuid", ""))

    def serial(self, instance: str, export: str = "") -> int:
        """The largest serial that a backup of the instance (or an export of this name) was given on this host; 0 when
        none was."""
        document = self._document(instance)
        found = _serials(document).get(export, 0) if export else document.get("serial", 0)
        return found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else 0

    def write(self, instance: str, identity: str) -> None:
        """Remember that `instance` on this host is `identity`."""
        self._write(instance, uuid=identity)

    def write_serial(self, instance: str, serial: int, export: str = "") -> None:
        """Remember the serial of the newest backup: a clock that jumps back, or an empty store, does not lower it.

        The exports of each name have serials of their own."""
        if export:
            self._write(instance, export_serials={**_serials(self._document(instance)), export: serial})
        else:
            self._write(instance, serial=serial)

    def _write(self, instance: str, **changes: Any) -> None:
        document: dict[str, Any] = {"uuid": "", **self._document(instance), "instance": instance, **changes}
        try:
            make_dirs(os.path.dirname(self._path(instance)))
            write_json(self._path(instance), document)
        except OSError as error:
            raise RepositoryError(
                f"{self._path(instance)} cannot be written: {error.strerror}",
                untouched="Nothing was changed",
                hint="Run as root, or name a folder that can be written with state_dir",
            ) from None

    def lock_path(self, instance: str) -> str:
        """The file whose lock serialises all work on an instance on this host."""
        folder = os.path.join(self.folder, "locks")
        try:
            make_dirs(folder)
        except OSError as error:
            raise RepositoryError(
                f"{folder} cannot be made: {error.strerror}",
                untouched="Nothing was changed",
                hint="Run as root, or name a folder that can be written with state_dir",
            ) from None
        return os.path.join(folder, f"{instance}.lock")


def _serials(document: Mapping[str, Any]) -> dict[str, Any]:
    found = document.get("export_serials")
    return dict(found) if isinstance(found, dict) else {}


def stored_identity(store: Store, instance: str) -> str:
    """The UUID that the repository knows for `instance`; empty when it knows none.

    Raises RepositoryError when the instance's folder holds what is not ours.
    """
    try:
        raw = store.read(f"{instance}/{IDENTITY}")
    except NotFoundError:
        there = [n for n in store.names(instance) if not n.startswith(".")]
        foreign = [n for n in there if n not in ("backup", "archive", "export", "drill")]
        ours = store.names(backups_path(instance)) or ("export" in there and store.names(exports_path(instance)))
        if foreign or ours:
            raise RepositoryError(
                f"{store.where(instance)} holds files that are no backups of this collection "
                f"({', '.join(foreign[:3]) or 'a backup folder without instance.json'})",
                untouched="Nothing was changed",
                hint="Use an empty place for the repository, or move the foreign files away",
            ) from None
        return ""
    try:
        return str(parse_json(raw)["uuid"])
    except (ValueError, KeyError, TypeError):
        raise DamagedError(
            f"{store.where(f'{instance}/{IDENTITY}')} is damaged",
            untouched="Nothing was changed",
            hint="Put back its text {\"instance\": …, \"uuid\": …}; the UUID stands in every manifest of the instance",
        ) from None


def agree(
    stores: list[Store],
    instance: str,
    host: HostState,
    *,
    adopt: bool,
    dry: bool = False,
    lose: Callable[[Store, RepositoryError], None] | None = None,
) -> str:
    """The UUID under which backups of `instance` are written, made known to the host and to every store (not if `dry`).

    Raises RepositoryError where a store knows the name as another server, unless `adopt`. A store that cannot tell is
    handed to `lose` with its error, and the others agree; without `lose` its error is raised.
    """
    mine = host.read(instance)
    known: dict[str, str] = {}
    for store in stores:
        with _alone(store, lose):
            known[store.name] = stored_identity(store, instance)
    others = {name: found for name, found in known.items() if found and found != mine}
    if others and not adopt:
        name, found = next(iter(others.items()))
        where = next(store for store in stores if store.name == name).where()
        told = f"this host's is {mine}" if mine else "this host has none"
        raise RepositoryError(
            f"{where} keeps backups of another server under the name {instance} (its UUID is {found}, {told})",
            untouched="Nothing was changed",
            hint=_HINT,
        )
    identity = next(iter(others.values()), "") or mine or str(uuid.uuid4())
    if dry or not known:
        return identity
    if identity != mine:
        host.write(instance, identity)
    for store in stores:
        if known.get(store.name, identity) != identity:
            with _alone(store, lose):
                write_identity(store, instance, identity)
    return identity


def write_identity(store: Store, instance: str, identity: str) -> None:
    """Make known to a repository who `instance` is."""
    document = {"instance": instance, "uuid": identity}
    store.write(f"{instance}/{IDENTITY}", json.dumps(document, indent=2).encode() + b"\n")


@contextlib.contextmanager
def _alone(store: Store, lose: Callable[[Store, RepositoryError], None] | None) -> Iterator[None]:
    try:
        yield
    except RepositoryError as error:
        if lose is None:
            raise
        lose(store, error)
