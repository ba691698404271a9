# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an import makes of each key: taken, left out or bad; its name, database and expiry in the new place. Pure."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Union

from .dump_runs import Run
from .entry import DUMP, TYPED_KINDS, Entry
from .glob import compile_pattern
from .payload import FOOTER_BYTES, SHORTEST, is_intact, newest_type, type_name, version_of, why_refused
from .stream_writing import why_bad_stream
from .writing import Target

FAIL, SKIP, REPLACE = CONFLICTS = ("fail", "skip", "replace")
KEEP, SHIFT, DROP, PERSIST = TTL_POLICIES = ("keep", "shift", "drop", "persist")
UNMATCHED, EXPIRED, DROPPED = "unmatched", "expired", "dropped"

_LATEST_MS = (1 << 63) - 1
_LATEST_FIELD_MS = (1 << 46) - 1  # HFE_MAX_ABS_TIME_MSEC of Redis
_FIRST_FIELD_EXPIRY_TYPE = 22  # the types of RDB behind it hold hashes whose fields expire

Decision = Union[Entry, str]


@dataclass(frozen=True)
class Rules:
    """What the user wants. `matches` judges a key by its name in the source; empty `types` and `databases` mean all.

    `rename` is the beginning of names to be replaced, and what by. `shift_ms` is added to each expiry under SHIFT.
    """

    on_conflict: str = FAIL
    ttl_policy: str = KEEP
    matches: Callable[[bytes], bool] | None = None
    types: frozenset[str] = frozenset()
    databases: frozenset[int] = frozenset()
    into_db: int | None = None
    rename: tuple[bytes, bytes] | None = None
    shift_ms: int = 0

    @property
    def plain(self) -> bool:
        """Whether a key that never expires is always taken as it is."""
        return not (self.matches or self.types or self.databases or self.rename) and self.into_db is None


def decide(entry: Entry, rules: Rules, now: int) -> Decision:
    """The entry as it shall be written, or the reason to leave it out. `now` is the target's clock in UTC ms."""
    if not rules.plain:
        if rules.databases and entry.database not in rules.databases:
            return UNMATCHED
        if rules.types and kind_of(entry) not in rules.types:
            return UNMATCHED
        if rules.matches and not rules.matches(entry.key):
            return UNMATCHED
        key, database = entry.key, entry.database
        if rules.rename and key.startswith(rules.rename[0]):
            key = rules.rename[1] + key[len(rules.rename[0]) :]
        if rules.into_db is not None:
            database = rules.into_db
        if key != entry.key or database != entry.database:
            entry = entry._replace(key=key, database=database)
    if entry.expires_at is None and not entry.field_expiries:
        return entry
    return _in_time(entry, rules, now)


def _in_time(entry: Entry, rules: Rules, now: int) -> Decision:
    """What becomes of an entry that expires, or whose fields do."""
    policy = rules.ttl_policy
    if policy == PERSIST:
        return entry._replace(expires_at=None, field_expiries=())
    if policy == DROP and entry.expires_at is not None:
        return DROPPED
    shift = rules.shift_ms if policy == SHIFT else 0
    at = entry.expires_at
    if at is not None and shift:
        at = _shifted(at, shift)
    if at is not None and at <= now:
        return EXPIRED
    if not entry.field_expiries:
        return entry if at == entry.expires_at else entry._replace(expires_at=at)
    gone = DROPPED if policy == DROP else EXPIRED
    lasting = [] if policy == DROP else [(name, _shifted(moment, shift)) for name, moment in entry.field_expiries]
    lasting = [(name, moment) for name, moment in lasting if moment > now]
    left_out = {name for name, _moment in entry.field_expiries} - {name for name, _moment in lasting}
    value = [pair for pair in entry.value if pair[0] not in left_out] if left_out else entry.value
    if not value and not entry.part and not entry.more:
        return gone
    return entry._replace(value=value, expires_at=at, field_expiries=tuple(lasting))


def _shifted(moment: int, shift: int) -> int:
    return min(moment + shift, _LATEST_MS)


def kind_of(entry: Entry) -> str:
    """The type of a key's value: what TYPE says of it."""
    if entry.kind != DUMP:
        return entry.kind
    return type_name(entry.value) if len(entry.value) >= SHORTEST else ""


def has_hidden_expiries(entry: Entry) -> bool:
    """Whether a payload holds expiry times of fields, which no policy can change."""
    return entry.kind == DUMP and bool(entry.value) and entry.value[0] >= _FIRST_FIELD_EXPIRY_TYPE


@functools.lru_cache(maxsize=256)
def _why_refused(version: int, kind: int, flavour: str, target: tuple[int, ...]) -> str | None:
    return why_refused(version, kind, flavour, target)


def why_bad(entry: Entry, target: Target, *, proven: bool = False) -> str | None:
    """The reason why the target cannot take an entry; None when it can.

    `proven` tells that the bytes are known to be those that were written, so that payloads need no look at their
    checksums.
    """
    kind, value = entry.kind, entry.value
    if entry.expires_at is not None and entry.expires_at > _LATEST_MS:
        return "its expiry lies beyond all times"
    if kind == "string":
        return None
    if kind == DUMP:
        if len(value) < SHORTEST:
            return "its payload is too short to be one"
        if entry.more or entry.part:
            return "its payload comes in parts"
        why = _why_refused(version_of(value), value[0], target.flavour, target.version)
        if why is None and not proven and not is_intact(value):
            return "its payload is damaged: its checksum is not that of its bytes"
        return why
    if kind not in TYPED_KINDS:
        return f"nothing is known of the type {kind}"
    if kind == "stream":
        return why_bad_stream(value, more=entry.more)
    if not value and not entry.part and not entry.more:
        return f"its {kind} is empty: no server holds such a key"
    if kind == "zset":
        if any(math.isnan(score) for _member, score in value):
            return "one of its scores is no number"
    elif entry.field_expiries and target.flavour == "redis" and target.field_expiries:
        latest = max(moment for _name, moment in entry.field_expiries)
        if latest > _LATEST_FIELD_MS:
            return "one of its fields expires later than Redis can tell"
    return None


class AsTheyAre:
    """Which runs of keys are taken as they are, if their bytes are right: others are looked at key by key."""

    def __init__(self, rules: Rules, target: Target, why_not_there: Callable[[int], str | None]) -> None:
        self._rules = rules
        self._target = target
        self._why_not_there = why_not_there  # the reason why there is no such database
        self._good: set[tuple[int, int]] = set()

    def take(self, run: Run, now: int) -> bool:
        """Whether the rules take all keys of a run and change nothing of them, and the target takes them, too."""
        if not self._unchanged(run, now):
            return False
        alike = (run.database, run.version)
        if alike not in self._good:
            target, newest = self._target, newest_type(run.version)
            if _why_refused(run.version, newest, target.flavour, target.version) or self._why_not_there(run.database):
                return False
            self._good.add(alike)
        return True

    def _unchanged(self, run: Run, now: int) -> bool:
        rules = self._rules
        if not rules.plain:
            return False
        if rules.ttl_policy == KEEP:
            return run.earliest is None or run.earliest > now
        return run.earliest is None and newest_type(run.version) < _FIRST_FIELD_EXPIRY_TYPE


def likeness(entry: Entry, *, proven: bool) -> object:
    """What entries have in common of which `why_bad` says the same; None where each is looked at for itself."""
    kind = entry.kind
    if kind == "string":
        return entry.database
    if kind == DUMP and proven:
        value = entry.value
        return entry.database, value[:1], value[-FOOTER_BYTES:-8]
    return None


def why_not_database(database: int, *, cluster: bool, databases: int | None) -> str | None:
    """The reason why the target has no such database; None when it has. `databases` is how many it has, if known."""
    if cluster and database:
        return f"it lies in database {database}, and a cluster has only database 0 (into_db: 0 puts it there)"
    if databases is not None and database >= databases:
        return f"it lies in database {database}, and the server has only {databases} (into_db puts it elsewhere)"
    return None


class Matcher:
    """Patterns as the server understands them. `waiting` are those that have matched no key yet."""

    def __init__(self, patterns: Sequence[bytes]) -> None:
        self._matches = {pattern: compile_pattern(pattern).fullmatch for pattern in patterns}
        self.waiting = set(self._matches)

    def __call__(self, key: bytes) -> bool:
        """Whether a pattern matches."""
        found = False
        for pattern, match in self._matches.items():
            if match(key):
                found = True
                self.waiting.discard(pattern)
                if not self.waiting:
                    break
        return found
