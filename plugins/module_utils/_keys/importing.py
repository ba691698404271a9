# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys from a source into a server or a cluster: looked at, checked, written, and gone on with after a crash.

By default nothing is written before everything was found good. Each key is then there whole or not at all, and the same
import run again takes up where it was ended, by whatever it was.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from .._errors import RedisBackupError, ServerError
from .._server.connection import Login
from .checking import Findings, check
from .counting import Bad, Counts, warnings_of
from .journal import Journal, Shelf, identity_of, new_journal
from .plan import REPLACE, SHIFT, Matcher, Rules
from .receiver import Receiver, find_receiver
from .sending import Sender
from .source import Source
from .tally import shown
from .temporary import Temporary
from .write_run import StoppedError, WriteRun
from .writing import Writer


@dataclass(frozen=True)
class ImportRequest:
    """One import. `rules` say what is taken and how; their patterns are `patterns`, for which they must not look.

    `shift_from` is when the keys were exported, in UTC seconds, where the source does not know. `keys_per_second` is
    the highest speed.
    """

    login: Login
    state_dir: str
    rules: Rules = field(default_factory=Rules)
    patterns: tuple[bytes, ...] = ()
    validate: bool = True
    keys_per_second: float | None = None
    shift_from: float | None = None
    allow_unmatched: bool = False


@dataclass
class Imported:
    """What an import did or (in check mode) would do."""

    counts: Counts
    bad: Bad
    actions: list[str]
    warnings: list[str]
    changed: bool = False
    keys_per_second: float = 0.0
    duration: float = 0.0
    resumed: bool = False


def import_keys(source: Source, request: ImportRequest, *, check_mode: bool = False) -> Imported:
    """Carry out an import. Raises RedisBackupError; its details name the bad keys in `failed_keys`."""
    begun = time.monotonic()
    exported_at = request.shift_from if request.shift_from is not None else source.exported_at
    if request.rules.ttl_policy == SHIFT and exported_at is None:
        raise RedisBackupError(
            f"it is not known when the keys in {source.name} were exported, which ttl_policy=shift counts from",
            untouched="Nothing was changed",
            hint="Give that moment as shift_from",
        )
    receiver = find_receiver(request.login)
    try:
        shelf = Shelf(request.state_dir, identity_of(_identity(source, request)))
        if check_mode:
            earlier = shelf.found()
            journal = earlier or new_journal(receiver.clock, receiver.run)
            return _Import(source, request, receiver, exported_at, journal, shelf, resumed=bool(earlier)).would_do()
        with shelf.held(source.name):
            earlier = shelf.found()
            journal = earlier or new_journal(receiver.clock, receiver.run)
            done = _Import(source, request, receiver, exported_at, journal, shelf, resumed=earlier is not None).do()
    finally:
        receiver.close()
    done.duration = round(time.monotonic() - begun, 3)
    return done


def _identity(source: Source, request: ImportRequest) -> dict[str, Any]:
    """What must be the same for a run to go on with what another one began."""
    rules = request.rules
    return {
        "source": dict(source.identity),
        "target": request.login.where,
        "patterns": [pattern.hex() for pattern in request.patterns],
        "types": sorted(rules.types),
        "databases": sorted(rules.databases),
        "into_db": rules.into_db,
        "rename": [part.hex() for part in rules.rename] if rules.rename else None,
        "on_conflict": rules.on_conflict,
        "ttl_policy": rules.ttl_policy,
        "shift_from": request.shift_from,
    }


class _Import:
    """One run of an import."""

    def __init__(
        self,
        source: Source,
        request: ImportRequest,
        receiver: Receiver,
        exported_at: float | None,
        journal: Journal,
        shelf: Shelf,
        *,
        resumed: bool = False,
    ) -> None:
        self._source = source
        self._request = request
        self._receiver = receiver
        self._journal = journal
        self._shelf = shelf
        self._resumed = resumed
        self._matcher = Matcher(request.patterns)
        shift = journal.started - round(exported_at * 1000) if exported_at is not None else 0
        self._rules = dataclasses.replace(
            request.rules, matches=self._matcher if request.patterns else None, shift_ms=shift
        )
        if resumed and self._rules.on_conflict == REPLACE and journal.server != receiver.run:
            # What was confirmed may be lost, and an old value cannot be told from one that was replaced.
            journal.done, journal.reserved, journal.counts = 0, 0, {}
        if not source.stable:
            journal.done, journal.counts = 0, {}  # all are looked at again
        journal.server = receiver.run

    def would_do(self) -> Imported:
        """The check alone."""
        found = self._check(counting=True)
        counts = found.counts
        created = counts.imported - counts.replaced
        words = [f"{created} keys would be created, {counts.replaced} replaced, {counts.skipped} skipped"]
        words[0] += f", {counts.expired} have expired" if counts.expired else ""
        warnings = found.warnings + warnings_of(counts, self._receiver.title, self._rules.ttl_policy)
        return Imported(counts, found.bad, words, warnings, changed=counts.imported > 0)

    def do(self) -> Imported:
        """Check, where that is wanted, and write."""
        warnings: list[str] = []
        if self._request.validate:
            found = self._check(counting=False)
            warnings += found.warnings
        begun = time.monotonic()
        with self._sender() as sender:
            run = WriteRun(
                self._source,
                self._rules,
                self._receiver,
                sender,
                self._journal,
                self._shelf,
                validated=self._request.validate,
                resumed=self._resumed,
                keys_per_second=self._request.keys_per_second,
            )
            sender.told = run.hear
            try:
                run.write()
            except StoppedError as stop:
                raise self._stopped(run, stop.why, stop.hint) from None
            except ServerError as error:
                raise self._stopped(run, error.what, error.hint) from None
            except RedisBackupError as error:
                run.distrust()
                raise self._misled(run, error) from None
        seconds = time.monotonic() - begun
        counts = run.counts
        self._require_matched(f"{counts.imported} keys that match others are there now")
        if run.bad.count:
            raise self._partly(run)
        warnings += warnings_of(counts, self._receiver.title, self._rules.ttl_policy)
        words = [f"imported {counts.imported} keys from {self._source.name} into {self._request.login.where}"]
        if counts.replaced:
            words[0] += f", {counts.replaced} of them in place of older ones"
        if self._resumed:
            words.insert(0, "went on with an import that had been ended before")
        rate = round(run.sent / seconds, 1) if seconds else 0.0
        return Imported(counts, run.bad, words, warnings, bool(counts.imported), rate, resumed=self._resumed)

    def _sender(self) -> Sender:
        cluster = self._receiver.target.cluster
        writer = Writer(self._receiver.target, self._rules.on_conflict == REPLACE, self._request.login.command_map)
        return Sender(self._receiver, writer, Temporary(self._journal.identifier, cluster=cluster))

    def _check(self, *, counting: bool) -> Findings:
        """Read everything once. Raises RedisBackupError for what is bad, with nothing written."""
        settled = 0
        if self._resumed:
            settled = self._journal.reserved if self._source.stable else sys.maxsize  # any may have been sent
        with self._sender() as sender:
            found = check(self._source, self._rules, self._receiver, sender, counting=counting, settled=settled)
        if found.bad.count:
            raise self._refusal(found)
        self._require_matched()
        if not self._resumed:
            found.warnings += self._receiver.require_room(found.needed)
        return found

    def _require_matched(self, untouched: str = "Nothing was changed") -> None:
        if self._matcher.waiting and not self._request.allow_unmatched:
            names = ", ".join(sorted(shown(pattern) for pattern in self._matcher.waiting))
            raise RedisBackupError(
                f"no key in {self._source.name} matches {names}",
                untouched=untouched,
                hint="Correct the patterns. If the keys were gone when it was made, take an older one. "
                "If there may be none, set allow_unmatched: true",
            )

    # --- what went wrong ---

    def _refusal(self, found: Findings) -> RedisBackupError:
        bad, counts = found.bad, found.counts
        total = counts.imported + counts.skipped + bad.count
        what = f"{bad.count} of {total} keys in {self._source.name} cannot be imported: {bad.words}"
        untouched = "Nothing was changed" if not self._resumed else "What an earlier run has imported stays"
        hints = []
        if bad.conflicts:
            hints.append("Choose on_conflict=skip or on_conflict=replace where keys may exist")
        if any("payload" in each["why"] or "RDB format" in each["why"] for each in bad.named):
            hints.append("Export as jsonl, which every version takes")
        if bad.count > bad.conflicts:
            which = "the others" if bad.conflicts else "them"
            hints.append(f"Mend {which}, or leave what is bad out with validate=false")
        return RedisBackupError(
            what,
            untouched=untouched,
            hint=". ".join(hints),
            **self._details(Counts(), found.bad),
        )

    def _partly(self, run: WriteRun) -> RedisBackupError:
        bad, counts = run.bad, run.counts
        what = (
            f"{bad.count} keys in {self._source.name} were not imported: {bad.words}. "
            f"{counts.imported} keys are there now"
        )
        return RedisBackupError(
            what,
            untouched="Other keys of the server were not touched",
            hint="Mend what is said, then run again: it is safe, and writes what is missing (with on_conflict=skip "
            "where the file itself is another one then)",
            **self._details(counts, bad),
        )

    def _stopped(self, run: WriteRun, why: str, hint: str) -> RedisBackupError:
        counts = run.counts
        what = f"the import of {self._source.name} was ended: {why}. {counts.imported} keys are there for sure"
        return RedisBackupError(
            what,
            untouched="Other keys of the server were not touched, and no key is there by half",
            hint=f"{hint}. Then run the same again: it is safe, and goes on from there".lstrip(". "),
            **self._details(counts, run.bad),
        )

    def _misled(self, run: WriteRun, error: RedisBackupError) -> RedisBackupError:
        """The source was found wrong on the way: what came of it before may be wrong too."""
        counts = run.counts
        return RedisBackupError(
            f"the import of {self._source.name} was ended: {error.what}. {counts.imported} keys were written, and "
            "their values may be wrong",
            untouched="Other keys of the server were not touched",
            hint=f"{error.hint}. Once that is mended, run the same again: it compares them with what it then reads, "
            "and names those that differ (on_conflict=replace writes them anew)".lstrip(". "),
            **self._details(counts, run.bad),
        )

    def _details(self, counts: Counts, bad: Bad) -> dict[str, Any]:
        return {
            "imported": counts.imported,
            "skipped_count": counts.skipped,
            "failed_keys": bad.named,
            "failed_count": bad.count,
        }
