# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The exchange: a running server's data kept, and replaced by an RDB that is played to it, so that a crash of ours at
any instant leaves it with the old data or the new, and a second run brings it to its end.

What holds at each instant stands in the journal before it is done: what was lent of the settings, what is played, where
and under which offset. What came of it is asked of the server itself (`outcome`).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from .._config.writes import CLOSED, SETTING
from .._errors import RedisBackupError, RestoreError, ServerError
from .._files import PRIVATE_DIR, free_bytes, fsync_dir, make_dirs
from .._restore.journal import Journal, Workspace
from .._server.connection import Server
from .._server.facts import Facts
from .._server.instance import Instance
from .._snapshot.take import SnapshotRequest, take_snapshot
from .durable import make_durable, settle_aof
from .outcome import REFUSED, TAKEN, Announced, announce, announced_of, follows_us, outcome
from .player import Player, PlayFailed, listen, parse_ports, server_context
from .proof import checked
from .request import LiveOptions
from .seat import DUMP
from .settings import AUTH, CLOSING, PLAYING, as_entries, borrow, give_back, lent_of

RESTORED, PREVIOUS = "restored", "previous"
_REPLY = 300.0
_KEEP = 24 * 3600.0
_FREE = 60.0
_PATIENCE = 120.0  # more than a server waits for its primary (repl-timeout)


@dataclass
class Target:
    """The running server, its place on this host, and how to note what is done with it."""

    real: Instance
    seat: Instance
    workspace: Workspace
    journal: Journal
    options: LiveOptions
    wait: float

    def __post_init__(self) -> None:
        self.server = Server(self.real.server.login, reply_timeout=_REPLY)

    @property
    def title(self) -> str:
        return self.real.title

    @property
    def played(self) -> Announced | None:
        return announced_of(self.journal.live.get("played") or {})

    def facts(self) -> Facts:
        return Facts(self.server.info())

    def look(self) -> Facts:
        """The facts of now, which the instance has from here on."""
        facts = self.facts()
        # Whose the process is, may be none of the seat's business (seat_of).
        hidden = {} if self.seat.facts is None else {"process_id": self.seat.facts.info.get("process_id", "0")}
        self.real.facts, self.seat.facts = facts, Facts({**facts.info, **hidden})
        self.real.state = self.seat.state = "loading" if facts.loading else "running"
        return facts

    def note(self, **values: object) -> None:
        """Make something durable in the journal."""
        self.journal.live.update(values)
        self.workspace.save(self.journal)

    def secret(self) -> str:
        """The password of this restore, the same in all its runs."""
        if not self.journal.live.get("secret"):
            self.note(secret=secrets.token_hex(32))
        return str(self.journal.live["secret"])

    def lend(self, group: str, wanted: dict[str, str]) -> None:
        """Make settings, noted under the name of their group."""
        before = lent_of(self.journal.live.get(group) or [])
        borrow(self.server, wanted, before, lambda lent: self.note(**{group: as_entries(lent)}), self.title)

    def take_back(self, group: str) -> list[str]:
        """Put the settings of a group back, where they are still ours."""
        returned = give_back(self.server, lent_of(self.journal.live.get(group) or []))
        self.note(**{group: []})
        return returned


def close_writes(target: Target) -> None:
    """Close writes: what is kept of the old data is then all of it."""
    target.lend("closing", dict(CLOSING))


def open_writes(target: Target) -> list[str]:
    """Open writes as they were before."""
    return ["opened writes"] if target.take_back("closing") else []


def writes_are_ours(target: Target) -> bool:
    """Whether writes are closed, since we have closed them."""
    return target.server.config_get(SETTING).get(SETTING) == str(CLOSED)


def require_room(target: Target, facts: Facts) -> None:
    """Raise RestoreError when what the server holds cannot be kept on this host for want of room."""
    needed, free = facts.number("used_memory"), free_bytes(target.workspace.data_dir)
    if free < needed:
        raise RestoreError(
            f"{target.workspace.data_dir} has {free} bytes left; what {target.title} holds is kept there before it is "
            f"replaced, and may take {needed}",
            untouched="Nothing was changed",
            hint="Free or add room there, or name another folder with state_dir",
        )


def keep(target: Target, folder: str) -> list[str]:
    """Keep what the server holds as an RDB in `folder`, a stream that leaves its own dump file alone."""
    if not os.path.isdir(folder):
        make_dirs(folder, PRIVATE_DIR)
    path = os.path.join(folder, DUMP)
    seat = replace(target.seat, server=target.server, config={**target.seat.config, "repl-diskless-sync": "yes"})
    seat.facts, seat.state = target.facts(), "running"
    _changed, _actions, found = take_snapshot(seat, SnapshotRequest("replication", path, None, _KEEP))
    fsync_dir(folder)
    target.note(kept_memory=seat.facts.number("used_memory"))
    keys = found["keys"] if found else 0
    return [f"kept what {target.title} held, {keys} keys, in {path}"]


@dataclass(frozen=True)
class Program:
    """What is to be played, open and proven, and by what means."""

    what: str
    fd: int
    size: int
    ports: list[int]
    context: ssl.SSLContext | None


@contextlib.contextmanager
def ready(target: Target, what: str, path: str) -> Iterator[Program]:
    """All that can be asked before anything is closed for it: the RDB at `path`, known as `what`, is read through."""
    context, ports = _context(target), parse_ports(target.options.listen_ports)
    fd, size, _report = checked(path, target.seat.program(), f"the {what} data")
    try:
        yield Program(what, fd, size, ports, context)
    finally:
        os.close(fd)


def play(target: Target, program: Program) -> list[str]:
    """Have the server take over the RDB; it is a primary again afterwards.

    Raises RedisBackupError, and then the server is a primary again with its old data, where it still answers.
    """
    host = target.options.announce_host or target.server.local_address()
    password = target.secret()
    with Player(listen(host, program.ports), password, program.context) as player:
        begun = time.monotonic()
        target.lend("lent", {**PLAYING, AUTH: password})
        played = announce(program.what, host, player.port, target.facts())
        target.note(played=played.entry())
        try:
            target.server.call("REPLICAOF", host, player.port)
            player.meet(played, target.wait)
            player.send(played, program.fd, program.size)
            _wait_taken(target, player, played)
        except RedisBackupError as error:
            player.hang_up()
            _give_up(target, error)
            raise
        promote(target)
    seconds = time.monotonic() - begun
    return [f"played {program.size} bytes to {target.title}, which took them over in {seconds:.1f} s"]


def _context(target: Target) -> ssl.SSLContext | None:
    """TLS, where the target replicates by it. It is only read: setting it would end some servers."""
    if target.server.config_get("tls-replication").get("tls-replication") != "yes":
        return None
    return server_context(target.options.cert_file, target.options.key_file)


def _wait_taken(target: Target, player: Player, played: Announced) -> None:
    """Wait until the server serves what was sent. Raises PlayFailed when it has refused it."""
    pause = 0.005
    while True:
        gone = player.hung_up()
        facts = target.facts()
        if outcome(facts, played) == TAKEN and facts.link_up and not facts.loading:
            return
        if gone:
            raise PlayFailed(
                f"{target.title} did not take the data over: it hung up while it was loading",
                untouched="What the server holds is as it was",
                hint="Its log tells why",
            )
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def _give_up(target: Target, error: RedisBackupError) -> None:
    """Make the server a primary again after a failure, with whichever data; if it is gone, say so in the error."""
    try:
        release(target)
    except RedisBackupError as worse:
        error.untouched = "What the server held before is kept"
        error.hint = f"Then: {worse.what}. Mend that, then run again, or run state: rolled_back"
        error.args = (error.paragraph(),)


def release(target: Target) -> list[str]:
    """End what is left of a play: the server is a primary again, and its AOF is on where it was."""
    facts = target.facts()
    deadline = time.monotonic() + _PATIENCE
    while facts.loading and time.monotonic() < deadline:
        time.sleep(0.05)  # it refuses REPLICAOF until it has found out that nothing comes any more
        facts = target.facts()
    if facts.role == "replica":
        if not follows_us(facts, target.played):
            raise _someone_elses(target, facts)
        target.server.call("REPLICAOF", "NO", "ONE")
        if target.real.config.get("appendonly") == "yes":
            settle_aof(target.server, target.title)
    return []


def _someone_elses(target: Target, facts: Facts) -> RestoreError:
    return RestoreError(
        f"{target.title} is a replica of {facts.info.get('master_host')}:{facts.info.get('master_port')} by now, which "
        "this restore has not made it",
        untouched="Nothing was changed now",
        hint="Look who did that; make it a primary again with REPLICAOF NO ONE, then run again",
    )


def promote(target: Target) -> None:
    """Make the server a primary again, once the old data has left its memory: nothing is to be evicted for its sake."""
    deadline = time.monotonic() + _FREE
    facts = target.facts()
    bound = facts.number("maxmemory")
    while bound and facts.number("used_memory") > bound and time.monotonic() < deadline:
        time.sleep(0.05)
        facts = target.facts()
    if facts.role == "replica":
        target.server.call("REPLICAOF", "NO", "ONE")


def finish(target: Target) -> list[str]:
    """Behind a play: what the server holds is made to survive a crash, and its settings are put back."""
    facts = target.facts()
    if facts.role == "replica":
        if not follows_us(facts, target.played):
            raise _someone_elses(target, facts)
        promote(target)
    told = make_durable(
        target.server,
        target.title,
        aof=target.real.config.get("appendonly") == "yes",
        saves=bool(target.real.config.get("save")),
    )
    if target.take_back("lent"):
        told.append("put its settings back")
    return told


def holds(target: Target) -> tuple[str, bool]:
    """What the server holds, RESTORED or PREVIOUS, and whether that is certain (it was not started anew since)."""
    played = target.played
    if played is None:
        return PREVIOUS, True
    found = outcome(target.facts(), played)
    if found == TAKEN:
        return played.what, True
    other = PREVIOUS if played.what == RESTORED else RESTORED
    return (other, True) if found == REFUSED else (other, False)


def put_all_back(target: Target) -> list[str]:
    """The server is a primary with its settings as they were, and takes writes."""
    told = release(target)
    if target.take_back("lent"):
        told.append("put its settings back")
    return told + open_writes(target)


def require_alive(target: Target) -> None:
    """Raise ServerError when the server of an exchange that was cut short does not answer."""
    if target.real.facts is None:
        raise ServerError(
            f"{target.title} is down, and its data was being exchanged: {target.real.why}",
            untouched="Nothing was changed now; what it held is kept",
            hint="Start it (it comes up with the old data or the new), then run again",
        )
