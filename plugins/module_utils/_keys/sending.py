# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys to the node that serves them: one lane for each node, moved slots followed, large values in parts."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from .._server.connection import Argument, ReplyError, Server
from .comparing import Beside, expiry_commands, same_expiry
from .dump_runs import Run
from .entry import Entry
from .lanes import Lane, Sent, Told, Verdict
from .receiver import Receiver
from .routes import elsewhere
from .temporary import Temporary, slot_of
from .wire import Wire, pack
from .writing import CREATED, SINGLE, Packed, Writer, pending_lost

_PATIENCE = 30.0
_PAUSE = 0.1
_LATER = ("TRYAGAIN", "CLUSTERDOWN")
_PART = b":part"
_COPY = b":copy"


def _unheard(sent: Sent, verdict: Verdict) -> None:
    """For those who write nothing."""


class Sender:
    """Writes keys. What became of a key that was not simply created is told to `told`."""

    def __init__(self, receiver: Receiver, writer: Writer, temporary: Temporary) -> None:
        self.told: Told = _unheard
        self._receiver = receiver
        self._writer = writer
        self._temporary = temporary
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._again: list[tuple[Sent, ReplyError]] = []
        self.pending_lost = 0  # of streams in parts: their messages are gone, and cannot be told from later ones
        self._single = receiver.routes is None
        self._plain = temporary.of(b"") if self._single else b""
        self._lane: Lane | None = self._lane_to(receiver.only) if self._single else None

    @property
    def created(self) -> int:
        """Keys that were made so far, as far as we were told."""
        return sum(lane.created for lane in self._lanes.values())

    @property
    def replaced(self) -> int:
        """Those of them that were there before. A cluster does not tell."""
        return sum(lane.replaced for lane in self._lanes.values())

    @property
    def volume(self) -> int:
        """What was sent so far of whole values."""
        return sum(lane.bytes for lane in self._lanes.values())

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *_unused: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connections, without a word to the servers."""
        for lane in self._lanes.values():
            lane.wire.close()

    # --- whole values ---

    def put(self, number: int, entry: Entry) -> None:
        """Write a key, now or soon."""
        lane, writer = self._lane, self._writer
        if lane is not None:
            if entry.kind in SINGLE:
                lane.put(number, entry, writer.single(entry))
            else:
                lane.put(number, entry, *writer.whole(entry, self._plain))
            return
        packed = writer.whole(entry, self._temporary.of(entry.key))
        self._lane_for(entry.key).put(number, entry, *packed)
        if self._again:
            self._send_again()

    @property
    def forwards(self) -> bool:
        """Whether runs can be passed on: all go to one server."""
        return self._single

    def forward(self, run: Run) -> None:
        """Write the keys of a run, now: for a single server."""
        self._lane_to(self._receiver.only).forward(run)

    def drain(self) -> None:
        """All that was put is written, and told."""
        for lane in list(self._lanes.values()):
            lane.flush()
        for lane in list(self._lanes.values()):
            lane.collect_all()
        self._send_again()

    def flush(self) -> None:
        """All that was put is on its way."""
        for lane in list(self._lanes.values()):
            lane.flush()

    def exist(self, entries: list[Entry]) -> list[bool]:
        """Whether these keys are there, in one round trip to each node and database."""
        found: dict[int, bool] = {}
        for (address, database), numbers in self._by_place(entries).items():
            lane = self._lane_to(address)
            lane.select(database)
            exists = lane.wire.renamed("EXISTS")
            if self._single:  # mostly none is there, or all, and one command tells
                count = self._count(lane, [entries[number].key for number in numbers])
                if count in (0, len(numbers)):
                    found.update(dict.fromkeys(numbers, bool(count)))
                    continue
            data = b"".join([pack(exists, entries[number].key) for number in numbers])
            for number, reply in zip(numbers, lane.exchange(Packed(data, len(numbers)), "EXISTS")):
                if isinstance(reply, ReplyError):
                    raise reply
                found[number] = bool(reply)
        return [found[number] for number in range(len(entries))]

    def any_of(self, database: int, names: list[bytes]) -> bool:
        """Whether one of these keys is there: for a single server."""
        lane = self._lane_to(self._receiver.only)
        lane.select(database)
        return self._count(lane, names) != 0

    def _count(self, lane: Lane, names: list[bytes]) -> Any:
        """How many of the keys are there; an error where the server refuses to tell."""
        return lane.exchange(Packed(pack(lane.wire.renamed("EXISTS"), *names), 1), "EXISTS")[0]

    def why_no_database(self, database: int) -> str | None:
        """The reason why there is no such database, found out by going there; None when there is one."""
        if self._lane is None:
            return None
        try:
            self._lane.select(database)
        except ReplyError as refusal:
            return f"it lies in database {database}, and the server says: {refusal.message} (into_db puts it elsewhere)"
        return None

    # --- values in parts ---

    def part(self, entry: Entry) -> Verdict:
        """Add a part to the key that is being built; with the last one the key gets its name.

        CREATED while all is well. What is no success leaves nothing behind.
        """
        name = self._temporary.of(entry.key, _PART)
        lane = self._lane_for(entry.key)
        lane.require_transactions()
        lane.select(entry.database)
        replies = lane.exchange(self._writer.part(entry, name), "part of a large value")
        verdict: Verdict = self._writer.part_verdict(entry, replies)
        if verdict == CREATED and not entry.more:
            self.pending_lost += pending_lost(entry, replies)
            finish = self._writer.finish(entry, name)
            verdict = self._writer.finish_verdict(lane.exchange(finish, "the end of a large value"))
        if verdict != CREATED:
            self.forget(entry.database, entry.key)
        return verdict

    def forget(self, database: int, key: bytes) -> None:
        """Remove what there is of a key that was being built."""
        lane = self._lane_for(key)
        lane.select(database)
        lane.exchange(self._writer.packed([[b"UNLINK", self._temporary.of(key, _PART)]]), "UNLINK")

    # --- what is there already ---

    def hold(self, entries: list[Entry]) -> list[bool | ReplyError]:
        """Whether existing keys have the values and the expiries of these entries in one piece."""
        found: dict[int, bool | ReplyError] = {}
        writer = dataclasses.replace(self._writer, replace=True)
        for (address, database), numbers in self._by_place(entries).items():
            lane = self._lane_to(address)
            lane.select(database)
            if any(entries[number].kind not in SINGLE for number in numbers):
                lane.require_transactions()
            server = self._server(address, database)
            names = [self._temporary.of(entries[number].key, _COPY + b"%d" % number) for number in numbers]
            beside = Beside(lane, writer, server, self._receiver.node(address).facts, self._receiver.clock)
            found.update(zip(numbers, beside.compare([entries[number] for number in numbers], names)))
        return [found[number] for number in range(len(entries))]

    def resembles(self, entry: Entry) -> bool:
        """The same for the last part of a large value, by its type and expiry."""
        server = self._server(self._receiver.address_of(entry.key), entry.database)
        asked: list[list[Argument]] = [["TYPE", entry.key]]
        for name, *words in expiry_commands(entry.key, self._receiver.target.version):
            asked.append([name.decode(), *words])
        kind, *expiry = server.pipeline(asked)
        return bool(kind == entry.kind.encode() and same_expiry(entry, expiry))

    def _server(self, address: tuple[str, int], database: int) -> Server:
        server = self._receiver.node(address).server
        if self._single:
            server.call("SELECT", database)
        return server

    def _by_place(self, entries: list[Entry]) -> dict[tuple[tuple[str, int], int], list[int]]:
        """The numbers of entries by node and database."""
        found: dict[tuple[tuple[str, int], int], list[int]] = {}
        for number, entry in enumerate(entries):
            found.setdefault((self._receiver.address_of(entry.key), entry.database), []).append(number)
        return found

    # --- nodes ---

    def _lane_for(self, key: bytes) -> Lane:
        return self._lane or self._lane_to(self._receiver.address_of(key))

    def _lane_to(self, address: tuple[str, int]) -> Lane:
        lane = self._lanes.get(address)
        if lane is None:
            wire = Wire(self._receiver.node(address).login)
            counting = self._single and self._writer.replace
            lane = self._lanes[address] = Lane(wire, self._writer, self._hear, counting=counting)
        return lane

    def _hear(self, sent: Sent, verdict: Verdict) -> None:
        """A cluster's word that a key belongs elsewhere is not the last."""
        routes = self._receiver.routes
        if routes is not None and isinstance(verdict, ReplyError):
            address = elsewhere(verdict, self._receiver.address_of(sent.entry.key)[0])
            if address or verdict.code in _LATER:
                self._again.append((sent, verdict))
                return
        self.told(sent, verdict)

    def _send_again(self) -> None:
        while self._again:
            sent, refusal = self._again.pop()
            self._follow(sent, refusal)

    def _follow(self, sent: Sent, refusal: ReplyError) -> None:
        """Write a key where its slot is now. A slot on its way is waited for."""
        routes = self._receiver.routes
        if routes is None:
            raise refusal
        slot = slot_of(sent.entry.key)
        packed = self._writer.whole(sent.entry, self._temporary.of(sent.entry.key))
        deadline = time.monotonic() + _PATIENCE
        verdict: Any = refusal
        while True:
            owner = routes.owner(slot)
            sent_to = elsewhere(verdict, owner[0])
            data = packed
            if sent_to and sent_to[0] == "MOVED":
                owner = sent_to[1]
                routes.moved(slot, owner)
            elif sent_to and packed.replies == 1:
                owner = sent_to[1]
                data = Packed(self._lane_to(owner).wire.packed("ASKING") + packed.data, 2)
            else:
                time.sleep(_PAUSE)
            lane = self._lane_to(owner)
            if packed.replies > 1:
                lane.require_transactions()
            verdict = self._writer.verdict(sent.entry, lane.exchange(data, "a key")[-packed.replies :])
            again = isinstance(verdict, ReplyError) and (elsewhere(verdict, owner[0]) or verdict.code in _LATER)
            if not again or time.monotonic() > deadline:
                break
        if verdict == CREATED:
            lane.created += 1
        else:
            self.told(sent, verdict)
