# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the steps for a replica have in common, in a replication group as in a cluster: its conf, and being in step."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._config import replica as conf
from .._config.quoting import ENCODING, ERRORS
from .._config.replica import STALE, Primary
from .._errors import GroupError
from .._files import write_atomic
from .._server.connection import Login, ReplyError, UnreachableError, parse_info
from .._server.facts import Facts
from .._server.instance import Instance, Place, find_instance

_UNTOUCHED = "Nothing was changed"
_SILENCE = 60.0  # seconds without a connection to the primary after which nobody waits any longer


@dataclass(frozen=True)
class Order:
    """What a member is to be. `addresses` name its primary, the first is used; `wait` is seconds.

    `replid`, `offset` and `keys` are the primary's: a replica that has come so far in its history holds all of it.
    """

    addresses: Sequence[str] = ()
    replid: str = ""
    offset: int = 0
    keys: int | None = None
    replace_data: bool = False
    set_aside: bool = False
    down: bool = False
    wait: float = 600.0
    check_mode: bool = False

    @property
    def primary(self) -> Primary:
        """The primary's host and port. Raises GroupError."""
        host, _colon, port = self.addresses[0].rpartition(":") if self.addresses else ("", "", "")
        if not host or not port.isdigit():
            raise GroupError(
                "the primary's address is not known",
                untouched=_UNTOUCHED,
                hint="Give addresses, a list of host:port",
            )
        return host.strip("[]"), int(port)


@dataclass
class Outcome:
    """What was done, the replica at the end, and redis.conf before and after."""

    actions: list[str] = field(default_factory=list)
    view: dict[str, Any] = field(default_factory=dict)
    before: str = ""
    after: str = ""

    @property
    def changed(self) -> bool:
        return bool(self.actions)


def wait_up(login: Login, place: Place, timeout: float) -> Instance:
    """The instance as soon as it answers. Raises UnreachableError when it does not within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return find_instance(login, place)
        except UnreachableError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def names_of(order: Order) -> set[str]:
    host, port = order.primary
    return {f"{host}:{port}", *order.addresses}


def follows(facts: Facts, names: set[str]) -> bool:
    return facts.role == "replica" and f"{facts.info.get('master_host')}:{facts.info.get('master_port')}" in names


def require_conf(instance: Instance) -> None:
    path = instance.paths.config_file
    if not path or not os.path.exists(path):
        raise GroupError(
            f"{instance.title} has no redis.conf{f' {path}' if path else ''}, so that nothing can be said to it before "
            "it starts",
            untouched=_UNTOUCHED,
            hint="Give config_file, or service",
        )


def own_stale(instance: Instance) -> str:
    """What redis.conf says without our lines."""
    path = instance.paths.config_file
    return conf.own_stale(conf.before(read_conf(path))) or "yes" if path and os.path.exists(path) else "yes"


def look(instance: Instance) -> Facts:
    return Facts(parse_info(instance.server.call("INFO")))


def _look_closely(instance: Instance) -> tuple[Facts, bool]:
    """Its facts, and whether it talks with its primary: one that gets no connection will never be in step."""
    info, role = instance.server.pipeline([("INFO",), ("ROLE",)])
    if isinstance(info, ReplyError):
        raise info
    state = role[3] if isinstance(role, list) and len(role) > 3 else b"unknown"
    return Facts(parse_info(info)), state not in (b"connect", b"connecting")


def call(instance: Instance, *command: str | int) -> None:
    try:
        instance.server.call(*command)
    except ReplyError as error:
        raise GroupError(f"{instance.title} refused {command[0]}: {error.message}", hint=error.hint) from None


def await_in_step(instance: Instance, order: Order, names: set[str]) -> Facts:
    """Wait until it holds what the primary held at `offset`. Raises GroupError."""
    begun = seen = time.monotonic()
    pause = 0.05
    while True:
        facts, talks = _look_closely(instance)
        why = why_not_in_step(facts, order, names)
        if not why:
            return facts
        now = time.monotonic()
        seen = now if talks else seen
        if now - begun > order.wait or now - seen > _SILENCE:
            raise GroupError(
                f"{instance.title} does not follow its primary {order.addresses[0]} after {now - begun:.0f} s: {why}",
                untouched="It answers nothing as long as it is fenced",
                hint="Look at its log (masterauth, the network, client-output-buffer-limit there), then run again",
            )
        time.sleep(pause)
        pause = min(pause * 1.5, 0.5)


def why_not_in_step(facts: Facts, order: Order, names: set[str]) -> str:
    """What is missing until a replica holds all that its primary held; empty when nothing is. Pure."""
    if not follows(facts, names):
        return "it follows another" if facts.role == "replica" else "it is a primary"
    if facts.syncing:
        return f"it copies the data set, {facts.info.get('master_sync_left_bytes', '?')} bytes are left"
    if facts.loading:
        return "it loads the data set"
    if not facts.link_up:
        return "its link to the primary is down"
    if order.replid and facts.info.get("master_replid") != order.replid:
        return "it has the history of another primary"
    behind = order.offset - facts.number("slave_repl_offset")
    return f"it is {behind} bytes behind" if behind > 0 else ""


def compare(instance: Instance, facts: Facts, order: Order) -> None:
    """Where nothing was written since, it must hold as many keys. Raises GroupError."""
    if order.keys is None or facts.number("slave_repl_offset") != order.offset or facts.keys == order.keys:
        return
    raise GroupError(
        f"{instance.title} holds {facts.keys} keys, its primary {order.keys}",
        untouched="It is left fenced, and the primary as it is",
        hint="Stop it, remove its data, and run again: it copies the primary anew",
    )


def read_conf(path: str) -> str:
    with open(path, encoding=ENCODING, errors=ERRORS, newline="") as stream:
        return stream.read()


def edited(instance: Instance, order: Order, edit: Callable[[str], str], word: str) -> Outcome:
    """redis.conf changed, owner and mode as before."""
    path = instance.paths.config_file
    if not path or not os.path.exists(path):
        return Outcome()
    text = read_conf(path)
    changed = edit(text)
    if changed == text:
        return Outcome()
    if not order.check_mode:
        found = os.stat(path)
        owner = (found.st_uid, found.st_gid) if os.geteuid() == 0 else None
        write_atomic(os.path.realpath(path), changed.encode(ENCODING, ERRORS), mode=found.st_mode & 0o7777, owner=owner)
    would = "would have " if order.check_mode else ""
    return Outcome([f"{would}{word} {instance.title} in {path}"], {}, _shown(text), _shown(changed))


def _shown(text: str) -> str:
    """The lines that a diff may show: no password is in them."""
    names = (STALE, "slave-serve-stale-data", "replicaof", "slaveof", "# globalscope.redis_backup:")
    return "".join(line + "\n" for line in text.splitlines() if line.lower().startswith(names))


def set_live(instance: Instance, order: Order, wanted: str) -> list[str]:
    """Set what it does without its primary in the running server."""
    found = instance.server.config_get_if_allowed(STALE).get(STALE)
    if found is None or found == wanted:
        return []
    if order.check_mode:
        return [f"would set {STALE} {wanted} in the running {instance.title}"]
    call(instance, "CONFIG", "SET", STALE, wanted)
    return [f"set {STALE} {wanted} in the running {instance.title}"]
