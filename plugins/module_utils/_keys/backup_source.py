# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The chosen keys of a backup as an import takes them, read out of the throw-away server that has loaded it.

Where the target takes the payloads that this server's DUMP writes, they are taken: exact, and fastest. A payload hides
the expiry times of fields, which have been moved: hashes are then read typed, as is everything for another target, and
what is too long for one argument of a command.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from .._restore.request import Selection as Wanted
from .._server.versions import own_format
from .._times import to_iso
from .entry import DUMP, Entry, Item
from .from_backup import FromBackup, Opened, opened
from .payload import type_name, why_refused
from .plan import PERSIST, SHIFT, Rules
from .reading import TYPED, Selection, read_keys
from .undying import as_it_was
from .wire import Wire
from .writing import Target

_HASH = "hash"
_LONGEST_PAYLOAD = 64 * 1024 * 1024


class BackupSource:
    """Keys of an opened backup. SCAN shows them in another order in each run."""

    unit = "key"
    stable = False
    proven = True
    proving = False

    def __init__(self, found: Opened, wanted: Wanted, selection: Selection, target: Target) -> None:
        self.name = found.words
        self.exported_at: float | None = found.moment
        self.identity: Mapping[str, Any] = {
            "repository": wanted.store.where(),
            "instance": wanted.instance,
            "data": found.label,
            "asked": wanted.point.asked if wanted.point is not None else "",
        }
        self.told = found.told
        self.origin = {
            "repository": wanted.store.name,
            "instance": wanted.instance,
            "label": found.label,
            "time": to_iso(found.moment),
            "form": "",
        }
        self._found, self._selection = found, selection
        facts = found.facts
        written = own_format(facts.flavour, facts.version)
        refused = why_refused(written, 0, target.flavour, target.version)
        self._kind = TYPED if refused else DUMP
        self.origin["form"] = self._kind
        self._fields_expire = facts.hashes_with_field_ttls > 0

    def pieces(self) -> Iterator[Item]:
        """The keys with the times that they had."""
        number = 0
        with self._found.loaded.telling(), contextlib.closing(Wire(self._found.login)) as wire:
            for entries in self._read(wire):
                for entry in entries:
                    number += not entry.part
                    yield Item(number, as_it_was(entry), "")

    def _read(self, wire: Wire) -> Iterator[list[Entry]]:
        wanted = self._selection
        if self._kind == TYPED:
            yield from read_keys(wire, wanted, TYPED)
            return
        hashes_apart = self._fields_expire and (not wanted.types or _HASH in wanted.types)
        others = wanted.types - {_HASH} if hashes_apart else wanted.types
        if others or not wanted.types:
            for entries in read_keys(wire, replace(wanted, types=others), DUMP):
                kept = [each for each in entries if not hashes_apart or type_name(each.value) != _HASH]
                yield [each for each in kept if len(each.value) <= _LONGEST_PAYLOAD]
                for entry in kept:
                    if len(entry.value) > _LONGEST_PAYLOAD:
                        yield from self._typed(entry)
        if hashes_apart:
            yield from read_keys(wire, replace(wanted, types=frozenset({_HASH})), TYPED)

    def _typed(self, entry: Entry) -> Iterator[list[Entry]]:
        """One key, typed: in as many parts as it takes."""
        pattern = b"".join(b"\\" + bytes([byte]) if byte in b"*?[]\\" else bytes([byte]) for byte in entry.key)
        only = Selection((pattern,), frozenset({entry.database}))
        with contextlib.closing(Wire(self._found.login)) as wire:
            yield from read_keys(wire, only, TYPED)


@contextlib.contextmanager
def backup_source(
    wanted: FromBackup, rules: Rules, patterns: tuple[bytes, ...], target: Target
) -> Iterator[BackupSource]:
    """The keys of a backup that the rules and patterns choose, for a target. Raises RedisBackupError."""
    selection = Selection(patterns, rules.databases or None, rules.types)
    exact = rules.ttl_policy in (SHIFT, PERSIST)
    with contextlib.ExitStack() as stack:
        found = stack.enter_context(opened(replace(wanted, times=wanted.times or exact)))
        yield BackupSource(found, wanted.selection, selection, target)
