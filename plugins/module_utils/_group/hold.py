# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Sentinel held while its primary is recovered, and let go when it sees the right one.

A Sentinel that is not held fails over in the middle of a recovery, and makes the recovered primary a replica that
copies an old or empty data set. SENTINEL SET persists in sentinel.conf, so what was there before is written down first.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._config.conf_file import load
from .._errors import ConfigError, GroupError
from .._server.connection import ReplyError, UnreachableError
from .._server.instance import Instance
from .._server.sentinel import fields_of
from .journal import HoldJournal, Watch
from .watch import Command, is_held, lifting, monitoring, undoing, watch_of, why_not_seen

_UNTOUCHED = "Nothing was changed"
_TICK = 0.25  # its timer runs ten times a second: two ticks, in which it judges everything anew


@dataclass(frozen=True)
class Order:
    """What is to be done with one primary of one Sentinel. `wait` is seconds."""

    master: str
    addresses: Sequence[str] = ()
    forget: bool = False
    prove: bool = True
    quorum: bool = True
    wait: float = 60.0
    check_mode: bool = False
    # How to watch where nothing tells how it was: as the other Sentinels do. Its address is the first of `addresses`.
    like: Watch | None = None


@dataclass
class Outcome:
    """What was done, and the Sentinel's view at the end, or before it forgot the primary."""

    changed: bool
    actions: list[str]
    view: dict[str, Any] | None
    warnings: list[str] = field(default_factory=list)


def hold(instance: Instance, journal: HoldJournal, order: Order) -> Outcome:
    """Keep a Sentinel from failing over. Idempotent. Raises GroupError."""
    _require_sentinel(instance)
    with _guarded(journal, order):
        fields = _master(instance, order.master)
        before = journal.read()
        if fields is None:
            if before is None:
                raise _unknown(instance, order)
            return _elsewhere(instance, order, before)
        watch = before
        if not is_held(fields):
            watch = watch_of(fields, _lines(instance))
        elif watch is None:
            raise _lost_journal(instance, order, journal)
        if is_held(fields) and not order.forget:
            _await_end_of_failover(instance, order)
            return Outcome(False, [], _view(instance, order.master))
        what = f"{order.master} on {instance.title}"
        if order.check_mode:
            return Outcome(True, [f"would hold {what}"], _view(instance, order.master))
        if watch != before:
            journal.write(watch)
        _all_well(instance, lifting(watch))
        _await_end_of_failover(instance, order)
        view = _view(instance, order.master)
        if not order.forget:
            return Outcome(True, [f"held {what}: it does not fail over until it is released"], view)
        _all_well(instance, [("SENTINEL", "REMOVE", order.master)])
        return Outcome(True, [f"held {what}: it watches it no more until it is released"], view)


def _elsewhere(instance: Instance, order: Order, watch: Watch) -> Outcome:
    """A primary that was forgotten is watched where it will be, still held; or stays forgotten."""
    if order.forget or not order.addresses:
        return Outcome(False, [], None)
    if order.check_mode:
        return Outcome(True, [f"would make {instance.title} watch {order.master} at {order.addresses[0]}"], None)
    warnings = _watch_at(instance, watch, order.addresses[0], known=False)
    what = f"made {instance.title} watch {order.master} at {order.addresses[0]}, held"
    return Outcome(True, [what], _view(instance, order.master), warnings)


def _watch_at(instance: Instance, watch: Watch, address: str, *, known: bool) -> list[str]:
    """Have it watch its primary at another address, held; what an operator has to do after that."""
    host, _colon, port = address.rpartition(":")
    _all_well(instance, monitoring(watch, host.strip("[]"), int(port), known=known))
    return _put_scripts_back(instance, watch)


def release(instance: Instance, journal: HoldJournal, order: Order) -> Outcome:
    """Let a Sentinel go as soon as it sees the right primary, and prove that. Idempotent. Raises GroupError."""
    _require_sentinel(instance)
    with _guarded(journal, order):
        fields = _master(instance, order.master)
        watch = journal.read()
        if fields is None and watch is None:
            if order.like is None or not order.addresses:
                raise _unknown(instance, order)
            watch = order.like
            if not order.check_mode:
                journal.write(watch)
        if fields is not None and watch is None and is_held(fields):
            raise _lost_journal(instance, order, journal)
        actions: list[str] = []
        warnings: list[str] = []
        what = f"{order.master} on {instance.title}"
        here = f"{fields['ip']}:{fields['port']}" if fields is not None else ""
        wanted = order.addresses or [watch.where if watch is not None else here]
        if order.check_mode:
            held = watch is not None or here not in wanted
            return Outcome(held, [f"would release {what}"] if held else [], _view(instance, order.master))
        if here not in wanted:
            watch = watch or watch_of(fields or {}, _lines(instance))
            journal.write(watch)
            warnings += _watch_at(instance, watch, wanted[0], known=fields is not None)
            actions.append(f"made {instance.title} watch {order.master} at {wanted[0]}")
        if order.prove:
            _await(instance, order, lambda found: why_not_seen(found, wanted))
        if watch is not None:
            _all_well(instance, undoing(watch))
            journal.remove()
            actions.append(f"released {what}: it may fail over again")
        if order.prove and order.quorum:
            _await_quorum(instance, order, settle=bool(actions))
        return Outcome(bool(actions), actions, _view(instance, order.master), warnings)


def _guarded(journal: HoldJournal, order: Order) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext() if order.check_mode else journal.alone()


def _require_sentinel(instance: Instance) -> None:
    if instance.facts is None or instance.facts.mode != "sentinel":
        what = "is down" if instance.facts is None else "is no Sentinel"
        hint = "Name the address of a Sentinel that runs"
        raise GroupError(f"{instance.title} {what}", untouched=_UNTOUCHED, hint=hint)


def _unknown(instance: Instance, order: Order) -> GroupError:
    return GroupError(
        f"{instance.title} watches no primary with the name {order.master}",
        untouched=_UNTOUCHED,
        hint="SENTINEL MASTERS lists what it watches",
    )


def _lost_journal(instance: Instance, order: Order, journal: HoldJournal) -> GroupError:
    return GroupError(
        f"{instance.title} holds {order.master}, and {journal.path}, which tells how it was before, is gone",
        untouched=_UNTOUCHED,
        hint=f"SENTINEL SET {order.master} down-after-milliseconds as it is on another Sentinel, then run again",
    )


def _master(instance: Instance, name: str) -> dict[str, str] | None:
    """SENTINEL MASTER; None when it does not watch that name."""
    try:
        return fields_of(instance.server.call("SENTINEL", "MASTER", name))
    except ReplyError as error:
        if "no such master" in error.message.lower():
            return None
        raise GroupError(f"{instance.title} refused SENTINEL MASTER: {error.message}", untouched=_UNTOUCHED) from None


def _lines(instance: Instance) -> list[tuple[str, ...]]:
    """The `sentinel` lines of sentinel.conf. Raises GroupError: without them a password would be lost.

    A file that is gone is written anew by the Sentinel itself, which has all of it in its memory.
    """
    path = instance.paths.config_file
    if path and not os.path.lexists(path) and os.path.isdir(os.path.dirname(path)):
        with contextlib.suppress(ReplyError):
            instance.server.call("SENTINEL", "FLUSHCONFIG")
    try:
        return load(path).all("sentinel")
    except ConfigError as error:
        raise GroupError(
            f"{instance.title}: {error.what}",
            untouched=_UNTOUCHED,
            hint="Its file holds what it does not tell (auth-pass); name it with config_file",
        ) from None


def _all_well(instance: Instance, commands: Sequence[Command]) -> None:
    """Run the commands in one packet. Raises GroupError for the first that is refused."""
    for command, reply in zip(commands, instance.server.pipeline(commands)):
        if isinstance(reply, ReplyError):
            raise GroupError(
                f"{instance.title} refused {' '.join(command[:4])}: {reply.message}",
                hint="What it was told before is written down; run again, or release it",
            )


def _put_scripts_back(instance: Instance, watch: Watch) -> list[str]:
    """Give it its scripts again; what it refuses (it does unless told otherwise) is told."""
    commands = [("SENTINEL", "SET", watch.master, *words) for words in watch.scripts]
    replies = instance.server.pipeline(commands) if commands else []
    return [
        f"{instance.title} does not let us give it the {words[0]} of {watch.master} again: stop it, add the line "
        f"sentinel {words[0]} {watch.master} {' '.join(words[1:])} to {instance.paths.config_file}, and start it"
        for words, reply in zip(watch.scripts, replies)
        if isinstance(reply, ReplyError)
    ]


def _await(instance: Instance, order: Order, why_not: Callable[[dict[str, str]], str]) -> None:
    """Wait until nothing speaks against it any more. Raises GroupError with what still does."""
    deadline = time.monotonic() + order.wait
    while True:
        fields = _master(instance, order.master)
        why = why_not(fields) if fields is not None else f"it does not watch {order.master} any more"
        if not why:
            return
        if time.monotonic() > deadline:
            raise GroupError(
                f"{instance.title} is still held: after {order.wait:g} s, {why}",
                hint="Look whether it can reach the primary, and has its password; then run again",
            )
        time.sleep(0.1)


def _await_end_of_failover(instance: Instance, order: Order) -> None:
    """Wait until a failover that had begun is over: it would go on under the hold."""

    def why_not(fields: dict[str, str]) -> str:
        return "a failover is going on" if "failover_in_progress" in fields.get("flags", "") else ""

    if not order.check_mode:
        _await(instance, order, why_not)


def _await_quorum(instance: Instance, order: Order, *, settle: bool) -> None:
    """Wait until enough Sentinels are usable, as this one sees it."""
    deadline = time.monotonic() + order.wait
    if settle:
        time.sleep(_TICK)
    while True:
        words = _quorum(instance, order.master)
        if words.startswith("OK"):
            return
        if time.monotonic() > deadline:
            raise GroupError(
                f"{instance.title} has no quorum for {order.master}: {words}",
                untouched="It watches the primary, and cannot fail over",
                hint="Bring the other Sentinels back, then run again",
            )
        time.sleep(0.1)


def _quorum(instance: Instance, master: str) -> str:
    try:
        reply = instance.server.call("SENTINEL", "CKQUORUM", master)
    except ReplyError as error:
        return error.message
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)


def _view(instance: Instance, master: str) -> dict[str, Any] | None:
    """The Sentinel's view of a primary, as the module returns it."""
    with contextlib.suppress(UnreachableError):
        fields = _master(instance, master)
        if fields is None:
            return None
        reply = instance.server.call("SENTINEL", "SENTINELS", master)
        others = [fields_of(each) for each in reply] if isinstance(reply, list) else []
        words = _quorum(instance, master)
        return {
            "master": master,
            "host": fields.get("ip", ""),
            "port": int(fields.get("port", 0)),
            "flags": fields.get("flags", "").split(","),
            "held": is_held(fields),
            "down_after_ms": int(fields.get("down-after-milliseconds", 0)),
            "quorum": int(fields.get("quorum", 0)),
            "quorum_ok": words.startswith("OK"),
            "quorum_says": words,
            "config_epoch": int(fields.get("config-epoch", 0)),
            "replicas": int(fields.get("num-slaves", 0)),
            "others": [
                {
                    "host": each.get("ip", ""),
                    "port": int(each.get("port", 0)),
                    "address": f"{each.get('ip', '')}:{each.get('port', '')}",
                    "alive": each.get("flags") == "sentinel" and int(each.get("last-ok-ping-reply", 10**6)) < 5000,
                }
                for each in others
            ],
        }
    return None


def journal_of(instance: Instance, state_dir: str, master: str) -> HoldJournal:
    """The journal of one primary of one Sentinel on this host."""
    return HoldJournal(os.path.normpath(state_dir), instance.name, master)
