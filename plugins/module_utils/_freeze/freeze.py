# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes of an instance stopped, and resumed, reversibly.

What was before is made durable first, then redis.conf, then the server is told: a crash of ours at any instant leaves
either an open server or one whose next freeze or thaw brings it to its end. A thaw goes the same way round, so that a
server that is started anew in between opens as well.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import Any

from .._config.writes import FREEZE, FROZEN, LAG, SETTING
from .._errors import FreezeError
from .._live.settings import as_entries, give_back, lent_of
from .._restore.closing import edit_writes
from .._server.connection import ReplyError, parse_info
from .._server.facts import Facts
from .._server.instance import Instance
from .._times import from_iso, now, to_iso
from .journal import FENCE, PAUSE, Freeze, FreezeJournal
from .standing import READ_ONLY, Standing, lending, look, stock, wanted

_UNTOUCHED = "It takes writes as before"


@dataclass(frozen=True)
class Order:
    """`timeout` is seconds, None for a freeze without an end; `by` tells who wants it."""

    timeout: int | None = None
    by: str = ""
    check_mode: bool = False


@dataclass
class Outcome:
    """What was done, what an operator has to know of it, and how the instance stands at the end."""

    actions: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    changed: bool = False
    view: dict[str, Any] = field(default_factory=dict)
    before: str = ""
    after: str = ""
    noted: Freeze | None = None  # what is to be remembered, also where it cannot be written down


def freeze(instance: Instance, journal: FreezeJournal, order: Order) -> Outcome:
    """Have an instance refuse every write, or hold it back for a while. Idempotent. Raises FreezeError."""
    outcome = Outcome()
    with _guarded(journal, order):
        standing = look(instance, journal.read(), journal.state_dir)
        if not _is_sentinel(instance):
            if order.timeout is None:
                _fence(instance, journal, order, standing, outcome)
            elif standing.fenced:
                outcome.warnings.append(f"{instance.title} is frozen without an end already, and stays so")
            else:
                _pause(instance, journal, order, standing, outcome)
        return _told(instance, journal, order, standing, outcome, will="frozen")


def thaw(instance: Instance, journal: FreezeJournal, order: Order) -> Outcome:
    """Have an instance take writes again, its settings as they were before. Idempotent. Raises FreezeError."""
    outcome = Outcome()
    with _guarded(journal, order):
        standing = look(instance, journal.read(), journal.state_dir)
        if not _is_sentinel(instance):
            if standing.method or standing.in_file or standing.live.get(SETTING) == str(FROZEN):
                _open(instance, journal, order, standing, outcome)
            elif standing.journal is not None and not order.check_mode:
                _close_journal(instance, journal, standing, outcome)
        return _told(instance, journal, order, standing, outcome, will="open")


def _guarded(journal: FreezeJournal, order: Order) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext() if order.check_mode else journal.alone()


def _is_sentinel(instance: Instance) -> bool:
    return instance.facts is not None and instance.facts.mode == "sentinel"


# --- the fence ---


def _fence(instance: Instance, journal: FreezeJournal, order: Order, standing: Standing, outcome: Outcome) -> None:
    facts, old = standing.facts, standing.journal
    _require_closable(instance, standing)
    settings = wanted(facts, standing.live) if facts is not None else {}
    to_set = {name: value for name, value in settings.items() if standing.live.get(name) != value}
    to_write = bool(standing.path) and not standing.in_file
    lent = lending(standing, settings) if facts is not None else lent_of(old.lent if old is not None else [])
    stands = old is not None and bool(standing.method)
    since, by = (old.since, old.by) if old is not None and stands else ("", order.by)
    noted = Freeze(FENCE, since, "", by, "", as_entries(lent))
    outcome.changed = bool(to_set or to_write or noted != old or not since)
    _warn_of_restart(instance, standing, outcome)
    what = f"{instance.title}: it refuses every write until it is thawed"
    if not outcome.changed or order.check_mode:
        outcome.actions += [f"would freeze {what}"] if outcome.changed else []
        return
    remembered = _remember(instance, journal, noted, standing, outcome)
    written = to_write and _write(instance, standing, outcome, close=True)
    try:
        _set(instance, to_set)
    except FreezeError:
        if instance.server.config_get_if_allowed(SETTING).get(SETTING) != str(FROZEN):
            _take_back(journal, old if remembered else None, remembered)
            if written:
                edit_writes(standing.path, close=False, by=FREEZE)
        raise
    if standing.paused:
        _call(instance, "CLIENT", "UNPAUSE")
    outcome.noted = replace(noted, since=since or to_iso(now()))
    if remembered and outcome.noted != noted:
        journal.write(outcome.noted)
    outcome.actions.append(f"froze {what}")


def _take_back(journal: FreezeJournal, old: Freeze | None, remembered: bool) -> None:
    """The journal as it was before."""
    if old is not None:
        journal.write(old)
    elif remembered:
        journal.remove()


def _require_closable(instance: Instance, standing: Standing) -> None:
    """Raise FreezeError where no fence can be put up."""
    if standing.facts is None and not standing.path:
        raise FreezeError(
            f"{instance.title} is down ({instance.why}), and there is no redis.conf of it here that could keep its "
            "writes closed when it starts",
            untouched="Nothing was changed; it takes no writes as long as it is down",
            hint="Name its redis.conf with config_file, or start it and run again",
        )
    if standing.facts is not None and not {LAG, SETTING} <= set(standing.live):
        raise FreezeError(
            f"{instance.title} does not let us use CONFIG",
            untouched=_UNTOUCHED,
            hint="Allow CONFIG GET and SET to the login user, name a renamed CONFIG in command_map, or give timeout_s: "
            "CLIENT PAUSE does without",
        )


def _warn_of_restart(instance: Instance, standing: Standing, outcome: Outcome) -> None:
    if not standing.path:
        outcome.warnings.append(
            f"{instance.title} has no redis.conf on this host: when it is started anew, it takes writes again"
        )
    elif standing.overruled:
        outcome.warnings.append(
            f"{instance.title} is started by {instance.place.service} with {SETTING}, which beats redis.conf: when it "
            "is started anew, it takes writes again"
        )
    if standing.facts is not None and READ_ONLY in wanted(standing.facts, standing.live):
        outcome.warnings.append(
            f"{instance.title} is a replica that takes writes of its own ({READ_ONLY} no): it takes none now, but does "
            "again when it is started anew"
        )


def _remember(instance: Instance, journal: FreezeJournal, noted: Freeze, standing: Standing, outcome: Outcome) -> bool:
    """Write down what was before. Where that fails (a full disk), redis.conf must be able to tell it."""
    try:
        journal.write(noted)
    except OSError as error:
        told = {name: value for name, value in noted.before.items() if standing.own.get(name) != value}
        if told:
            shown = ", ".join(f"{name} {value}" for name, value in told.items())
            raise FreezeError(
                f"{instance.title}: what was before ({shown}) cannot be written down in {journal.path}: "
                f"{error.strerror}",
                untouched=_UNTOUCHED,
                hint="Make room there, or name another place with state_dir; or hold writes back for a while, with "
                "timeout_s",
            ) from None
        outcome.warnings.append(
            f"{instance.title}: who froze it and when cannot be written down in {journal.path}: {error.strerror}"
        )
        return False
    return True


def _write(instance: Instance, standing: Standing, outcome: Outcome, *, close: bool) -> bool:
    """Edit redis.conf. Where that fails (a full disk), the server is told all the same."""
    try:
        return edit_writes(standing.path, close=close, by=FREEZE)
    except OSError as error:
        if not standing.running:
            raise
        then = "takes writes again" if close else "is frozen again"
        outcome.warnings.append(
            f"{instance.title}: {standing.path} cannot be written ({error.strerror}): when it is started anew, it "
            f"{then}"
        )
        return False


def _set(instance: Instance, settings: dict[str, str]) -> None:
    """Make settings in the running server, and see that they hold. Raises FreezeError."""
    if not settings:
        return
    for name, value in settings.items():
        _call(instance, "CONFIG", "SET", name, value)
    found = instance.server.config_get(*settings)
    if found != settings:
        raise FreezeError(
            f"{instance.title} did not keep {', '.join(settings)}", hint="Look who sets them, and run again"
        )


def _call(instance: Instance, *command: str) -> None:
    try:
        instance.server.call(*command)
    except ReplyError as error:
        busy = error.code == "BUSY"
        raise FreezeError(
            f"{instance.title} refused {command[0]} {command[1]}: {error.message}",
            untouched="Whether it takes writes is as before",
            hint="A script keeps it busy: end that with SCRIPT KILL, then run again" if busy else error.hint,
        ) from None


# --- the pause ---


def _pause(instance: Instance, journal: FreezeJournal, order: Order, standing: Standing, outcome: Outcome) -> None:
    facts, timeout = standing.facts, order.timeout or 0
    if facts is None:
        raise FreezeError(
            f"{instance.title} is down: {instance.why}",
            untouched="Nothing was changed; it takes no writes as long as it is down",
            hint="Leave timeout_s out: then redis.conf keeps its writes closed when it starts",
        )
    outcome.changed = True
    if order.check_mode:
        outcome.actions.append(f"would hold back the writes of {instance.title} for {timeout} s")
        return
    old = standing.journal if standing.paused else None
    run_id = facts.info.get("run_id", "")
    by = old.by if old is not None else order.by
    lent = standing.journal.lent if standing.journal is not None else []  # of a run that was cut short
    noted = Freeze(PAUSE, "", to_iso(now() + timeout), by, run_id, lent)
    remembered = _remember(instance, journal, noted, standing, outcome)
    time, reply = instance.server.pipeline([("TIME",), ("CLIENT", "PAUSE", timeout * 1000, "WRITE")])
    if isinstance(reply, ReplyError) or isinstance(time, ReplyError):
        error = reply if isinstance(reply, ReplyError) else time
        _take_back(journal, standing.journal if remembered else None, remembered)
        raise FreezeError(
            f"{instance.title} refused CLIENT PAUSE: {error.message}", untouched=_UNTOUCHED, hint=error.hint
        )
    ends = int(time[0]) + timeout  # a shorter pause does not shorten one that stands
    until = to_iso(max(ends, from_iso(old.until))) if old is not None else to_iso(ends)
    outcome.noted = replace(noted, since=old.since if old is not None else to_iso(now()), until=until)
    if remembered:
        journal.write(outcome.noted)
    outcome.actions.append(f"held back the writes of {instance.title} until {until}")
    outcome.warnings.append(
        f"{instance.title} takes writes again at {until}, or when it is started anew; clients that write wait until "
        "then"
    )


# --- opening ---


def _open(instance: Instance, journal: FreezeJournal, order: Order, standing: Standing, outcome: Outcome) -> None:
    if standing.restoring:
        raise FreezeError(
            f"{instance.title} is in the middle of a restore, which keeps its writes closed as well",
            untouched="Nothing was changed; it is still frozen",
            hint="Commit the restore or roll it back first, then thaw",
        )
    outcome.changed = True
    if order.check_mode:
        outcome.actions.append(f"would thaw {instance.title}")
        return
    if standing.in_file:
        _write(instance, standing, outcome, close=False)
    noted = standing.journal
    if standing.facts is not None and standing.live:
        try:
            give_back(instance.server, lent_of(noted.lent) if noted is not None else [])
            found = instance.server.config_get(SETTING)
        except ReplyError as error:
            raise FreezeError(
                f"{instance.title} refused to have its settings put back: {error.message}",
                untouched="It is still frozen",
                hint=error.hint or "Allow CONFIG SET to the login user, then run again",
            ) from None
        if found.get(SETTING) == str(FROZEN):  # nobody remembers what was before
            for name in (SETTING, LAG):
                _call(instance, "CONFIG", "SET", name, standing.own[name])
    if standing.paused:
        _call(instance, "CLIENT", "UNPAUSE")
    with contextlib.suppress(OSError):
        journal.remove()
    outcome.actions.append(f"thawed {instance.title}: it takes writes again")


def _close_journal(instance: Instance, journal: FreezeJournal, standing: Standing, outcome: Outcome) -> None:
    """What a pause that has ended, or a run that was cut short, has left. Settings that are still ours go back."""
    noted = standing.journal
    if standing.facts is not None and standing.live and noted is not None and not standing.restoring:
        names = give_back(instance.server, lent_of(noted.lent))
        outcome.actions += [f"put {name} of {instance.title} back" for name in names]
        outcome.changed = bool(outcome.actions)
    journal.remove()


# --- telling ---


def _told(
    instance: Instance, journal: FreezeJournal, order: Order, standing: Standing, outcome: Outcome, *, will: str
) -> Outcome:
    """The outcome, with the instance as it stands at its end."""
    then = standing
    if outcome.changed and not order.check_mode:
        if instance.facts is not None:
            instance.facts = Facts(parse_info(instance.server.call("INFO")))
        then = look(instance, outcome.noted or journal.read(), journal.state_dir)
    noted = then.journal if then.method else None
    outcome.view = {
        "frozen": bool(then.method),
        "method": then.method,
        "since": (noted.since if noted is not None else "") or None,
        "until": noted.until if noted is not None and then.method == PAUSE else None,
        "by": noted.by if noted is not None else "",
        "before": noted.before if noted is not None else {},
        "state": instance.state,
        "survives_restart": then.survives,
        "restoring": then.restoring,
        **stock(instance.facts),
    }
    outcome.before = _line(instance, frozen=bool(standing.method))
    outcome.after = _line(instance, frozen=will == "frozen") if outcome.changed else outcome.before
    return outcome


def _line(instance: Instance, *, frozen: bool) -> str:
    return f"{instance.name}: {'frozen' if frozen else 'takes writes'}\n"
