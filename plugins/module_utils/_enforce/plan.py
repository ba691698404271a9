# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs from the wishes, and in which order it is put right. Pure.

Durability is raised before it is lowered: an AOF is on and whole before save points go, save points are there before
an AOF goes. What could lock us out comes last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .._config.values import lines_of
from .judge import Verdict
from .same import default_user_agrees, equal, file_is
from .situation import Situation
from .wish import Request, Wish

# Where the next start looks for its data. `dbfilename` matters without an AOF, the AOF's names with one.
RELOCATING = ("dir", "dbfilename", "appendfilename", "appenddirname", "cluster-config-file")
_LAST = ("requirepass", "bind", "port")


@dataclass(frozen=True)
class Drift:
    """One directive that differs, before anything is changed. None: absent, or not known."""

    directive: str
    wanted: str | None
    running: str | None
    in_file: str | None


@dataclass(frozen=True)
class Change:
    """One CONFIG SET: the new value and the old one, for the way back."""

    name: str
    new: str
    old: str
    secret: bool = False


@dataclass
class Plan:
    """`first` is set in one call, then the AOF is switched (`on`, `off`); `last` one by one, each proven; `then` is set
    when redis.conf is written.

    `aof` may also be `confirm` (it is on; wait until it is whole before redis.conf says so, or names its place) or
    `snapshot` (it is off; a fresh RDB must be there before redis.conf says so, or names its place). `moved` is what is
    set live and needs a snapshot at its new place. `deferred` waits until the server is stopped.
    """

    drift: list[Drift] = field(default_factory=list)
    first: list[Change] = field(default_factory=list)
    aof: str = ""
    then: list[Change] = field(default_factory=list)
    moved: list[Change] = field(default_factory=list)
    last: list[Change] = field(default_factory=list)
    edits: list[Wish] = field(default_factory=list)
    deferred: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    @property
    def live(self) -> list[Change]:
        """Every live change, in order."""
        return [*self.first, *self.then, *self.moved, *self.last]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do now."""
        return not (self.live or self.aof in ("on", "off") or self.edits)


def make_plan(
    request: Request,
    situation: Situation,
    verdicts: Mapping[str, Verdict],
    means: Callable[[str, str], str | None],
) -> Plan:
    """The plan for the wishes that have a verdict (others are unknown to the server, and skipped)."""
    plan = Plan()
    turning_on = followed = False
    aof_after = aof_after_run(situation, verdicts)
    file_aof = _file_aof(request, situation, verdicts)
    for wish in request.wishes:
        if wish.name not in verdicts:
            continue
        verdict = verdicts[wish.name]
        running = situation.live.get(wish.name) if wish.readable else None
        in_file = not request.to_file or (
            file_is(wish, situation, verdict.default, means) and default_user_agrees(wish, request, situation)
        )
        is_live = running is None or _live_is(wish, verdict, situation)
        if in_file and is_live:
            continue
        plan.drift.append(
            Drift(
                wish.name,
                wish.shown(_wanted(wish, verdict)),
                wish.shown(running),
                wish.shown(situation.file_text(wish.name)),
            )
        )
        if _must_wait(wish, situation, verdict, aof_after, file_aof, request.to_server):
            plan.deferred.append(wish.name)
            plan.reasons.append(f"{wish.name}: is changed while the server is stopped, and its data carried over")
            continue
        if not in_file:
            plan.edits.append(wish)
        if wish.name == "appendonly":
            plan.aof = _aof_step(verdict.canonical or "", situation, in_file)
            turning_on = plan.aof in ("on", "confirm")
            continue
        followed = followed or (is_live and running is not None and _follows(wish, situation, verdict))
        if is_live or running is None:
            _reason_unknown(plan, wish, situation, in_file)
        elif request.to_server and verdict.settable:
            _schedule(plan, wish, verdict, running, situation.holds_data and not (aof_after and file_aof))
        else:
            plan.reasons.append(f"{wish.name}: running {_say(wish, running)}, wanted {_say(wish, verdict.canonical)}")
    if turning_on:
        plan.then += [change for change in plan.first if change.name in ("save", "dbfilename")]
        plan.first = [change for change in plan.first if change.name not in ("save", "dbfilename")]
    if not plan.aof and followed:
        plan.aof = "confirm" if aof_after else "snapshot"
    plan.last.sort(key=lambda change: _LAST.index(change.name))
    return plan


def _wanted(wish: Wish, verdict: Verdict) -> str | None:
    return verdict.canonical if verdict.canonical is not None else wish.text


def _say(wish: Wish, text: str | None) -> str:
    shown = wish.shown(text)
    return shown if shown else "nothing"


def _live_is(wish: Wish, verdict: Verdict, situation: Situation) -> bool:
    running = situation.live[wish.name]
    if running == verdict.canonical:
        return True
    wanted = wish.lines if wish.lines is not None else lines_of(wish.name, verdict.default)
    return equal(wish.name, wanted, situation.live_lines(wish.name) or [[]])


def aof_after_run(situation: Situation, verdicts: Mapping[str, Verdict]) -> bool:
    """Whether the server will write an AOF after this run."""
    if "appendonly" in verdicts:
        return (verdicts["appendonly"].canonical or "no").lower() == "yes"
    return situation.aof_on


def _file_aof(request: Request, situation: Situation, verdicts: Mapping[str, Verdict]) -> bool:
    """Whether redis.conf will say `appendonly yes` after this run."""
    if "appendonly" in verdicts and request.to_file:
        return (verdicts["appendonly"].canonical or "no").lower() == "yes"
    return (situation.file_text("appendonly") or "no").lower() == "yes"


def _follows(wish: Wish, situation: Situation, verdict: Verdict) -> bool:
    """Whether redis.conf would follow a place that hands gave the running server, where its data need not lie yet."""
    if wish.name not in ("dir", "dbfilename") or not (situation.running and situation.holds_data):
        return False
    return (situation.file_text(wish.name) or verdict.default) != situation.live.get(wish.name)


def _must_wait(
    wish: Wish, situation: Situation, verdict: Verdict, aof_after: bool, file_aof: bool, to_server: bool
) -> bool:
    """Whether the next start would look for data where there is none, unless the server is stopped for the change.

    `aof_after` is for the running server, `file_aof` for redis.conf: hands may have set only one of them.
    """
    if not situation.running or wish.name not in RELOCATING or _live_or_unknown(wish, verdict, situation):
        return False
    if wish.name == "cluster-config-file":
        return situation.in_cluster
    any_aof = situation.aof_on or aof_after or file_aof
    if wish.name in ("appendfilename", "appenddirname"):
        return aof_after or file_aof
    if wish.name == "dbfilename" and aof_after and file_aof:
        return False
    if not (situation.holds_data or situation.in_cluster or any_aof):
        return False
    return any_aof or situation.in_cluster or not (verdict.settable and to_server and wish.name in situation.live)


def _live_or_unknown(wish: Wish, verdict: Verdict, situation: Situation) -> bool:
    return wish.name in situation.live and _live_is(wish, verdict, situation)


def _aof_step(wanted: str, situation: Situation, in_file: bool) -> str:
    if not situation.running:
        return ""
    if (wanted == "yes") != situation.aof_on:
        return "on" if wanted == "yes" else "off"
    if in_file:
        return ""
    return "confirm" if wanted == "yes" else "snapshot"


def _reason_unknown(plan: Plan, wish: Wish, situation: Situation, in_file: bool) -> None:
    """A change of redis.conf whose effect on the running server cannot be read."""
    if in_file or not situation.running or (wish.readable and situation.config_allowed):
        return
    plan.reasons.append(f"{wish.name}: redis.conf is changed, and the running value cannot be asked for")


def _schedule(plan: Plan, wish: Wish, verdict: Verdict, running: str, rdb_is_all: bool) -> None:
    """Put a live change where it belongs. `rdb_is_all`: the next start takes its data from the RDB."""
    change = Change(wish.name, verdict.canonical or "", running, wish.secret)
    if wish.name in _LAST:
        plan.last.append(change)
    elif wish.name in ("dir", "dbfilename") and rdb_is_all:
        plan.moved.append(change)
    else:
        plan.first.append(change)
