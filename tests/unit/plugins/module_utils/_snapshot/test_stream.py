# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A replication stream, fed through a real pair of sockets in pieces of any size."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import ServerError, SnapshotError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.connection import (
    Login,
    Server,
    UnreachableError,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._snapshot.stream import (
    StreamSource,
    TransferHeader,
    parse_transfer_header,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

pytest.importorskip("redis")

MARK = b"0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("line", "header"),
    [
        (b"$EOF:" + MARK, TransferHeader(-1, MARK)),
        (b"$0", TransferHeader(0)),
        (b"$120182", TransferHeader(120182)),
    ],
)
def test_transfer_header(line: bytes, header: TransferHeader) -> None:
    assert parse_transfer_header(line) == header


@pytest.mark.parametrize(
    "line",
    [b"", b"$", b"$-1", b"$1x", b"$EOF:", b"$EOF:" + MARK[1:], b"$EOF:" + MARK + b"0", b"+OK", b"-ERR no", b"12"],
)
def test_other_words_are_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match="unexpected words before the RDB"):
        parse_transfer_header(line)


def source_on(sock: socket.socket) -> StreamSource:
    """A source whose transfer comes over `sock`; the server itself answers nobody."""
    source = StreamSource(Server(Login(unix_socket="/nonexistent/redis.sock", connect_timeout=1.0)), 20.0)
    source._connection = SimpleNamespace(_sock=sock)
    return source


def fed(pieces: list[bytes], read: bytes, header: TransferHeader) -> bytes:
    """The payload that comes out when `read` came with the header's line and `pieces` after it, then the end."""
    ours, theirs = socket.socketpair()

    def send() -> None:
        with theirs:
            for piece in pieces:
                theirs.sendall(piece)

    sender = threading.Thread(target=send, daemon=True)
    with ours:
        source = source_on(ours)
        source._rest = read
        source._header = header
        sender.start()
        try:
            return b"".join(bytes(chunk) for chunk in source.chunks())
        finally:
            sender.join(20)


def pieces_of(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    last = 0
    for cut in sorted({min(cut, len(data)) for cut in cuts}):
        if cut > last:
            yield data[last:cut]
        last = cut
    if last < len(data):
        yield data[last:]


# Payloads that look like parts of the mark are the hard ones.
PAYLOADS = st.one_of(
    st.binary(max_size=300),
    st.lists(st.sampled_from([MARK[:1], MARK[:39], MARK[1:], MARK[20:], b"x", b"REDIS0010"]), max_size=8).map(b"".join),
).filter(lambda payload: MARK not in payload + MARK[:39])
CUTS = st.lists(st.integers(0, 400), max_size=12)


@settings(max_examples=60)
@given(PAYLOADS, CUTS)
@example(b"", [])
@example(b"", [1, 39])
@example(MARK[:39], [39])
@example(b"x" * 41, [40, 41])
def test_a_marked_stream_comes_whole(payload: bytes, cuts: list[int]) -> None:
    first, *rest = [*pieces_of(payload + MARK, cuts)]
    header = TransferHeader(-1, MARK)
    assert fed([first, *rest], b"", header) == payload
    assert fed(rest, first, header) == payload


@settings(max_examples=40)
@given(PAYLOADS, CUTS)
def test_a_counted_stream_comes_whole(payload: bytes, cuts: list[int]) -> None:
    first, *rest = [*pieces_of(payload, cuts), b""]
    header = TransferHeader(len(payload))
    assert fed([first, *rest], b"", header) == payload
    assert fed([*rest, b"+more"], first, header) == payload


@settings(max_examples=40)
@given(PAYLOADS, CUTS, st.data())
def test_a_cut_stream_is_no_snapshot(payload: bytes, cuts: list[int], data: st.DataObject) -> None:
    whole = payload + MARK
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(UnreachableError, match="broke off: the stream ended before its end mark"):
        fed([*pieces_of(cut, cuts)], b"", TransferHeader(-1, MARK))
    with pytest.raises(UnreachableError, match="broke off"):
        fed([*pieces_of(cut, cuts)], b"", TransferHeader(len(whole)))


def test_more_than_any_buffer() -> None:
    payload = bytes(range(256)) * 5000
    assert fed([payload[:7], payload[7:], MARK], b"", TransferHeader(-1, MARK)) == payload
    assert fed([payload], b"", TransferHeader(len(payload))) == payload


def test_another_mark_is_no_end() -> None:
    with pytest.raises(UnreachableError):
        fed([b"payload" + MARK[::-1]], b"", TransferHeader(-1, MARK))


@settings(max_examples=40)
@given(st.integers(0, 5), st.binary(max_size=30).filter(lambda b: b"\n" not in b), CUTS)
def test_lines_come_whole_and_keep_what_follows(alive: int, follows: bytes, cuts: list[int]) -> None:
    ours, theirs = socket.socketpair()
    sent = b"\n" * alive + b"+FULLRESYNC\r\n" + b"\n" * alive + b"$12\r\n" + follows
    with ours, theirs:
        source = source_on(ours)
        for piece in pieces_of(sent, cuts):
            theirs.sendall(piece)
        assert source._line() == b"+FULLRESYNC"
        assert source._line() == b"$12"
        theirs.shutdown(socket.SHUT_WR)
        rest = source._rest + b"".join(iter(lambda: ours.recv(99), b""))
        assert rest == follows


def test_a_line_that_never_comes() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        source = source_on(ours)
        theirs.sendall(b"+FULLRES")
        theirs.close()
        with pytest.raises(ServerError, match="broke off: it closed the connection"):
            source._line()


def test_only_signs_of_life_until_the_deadline() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        source = source_on(ours)
        source._deadline = 0.0
        theirs.sendall(b"\n\n")
        with pytest.raises(SnapshotError, match="did not begin its snapshot within 20 s"):
            source._line()


class ScriptedServer(threading.Thread):
    """A server on a unix socket that answers INFO, and a replica with the lines it was given."""

    def __init__(self, path: Path, replies: dict[bytes, bytes]) -> None:
        super().__init__(daemon=True)
        self._replies = replies
        self.asked: list[bytes] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self.start()

    def run(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as lines:
            while True:
                head = lines.readline()
                if not head:
                    return
                words = [lines.read(int(lines.readline()[1:]) + 2)[:-2] for _word in range(int(head[1:]))]
                self.asked.append(b" ".join(words))
                reply = self._replies.get(b" ".join(words[:2])) or self._replies.get(words[0])
                client.sendall(reply or b"+OK\r\n")

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


INFO = b"redis_version:7.0.15\r\nrun_id:a\r\nserver_time_usec:1795385360500000\r\ndb0:keys=3,expires=0\r\n"
BULK_INFO = b"$%d\r\n%s\r\n" % (len(INFO), INFO)
FULL = b"+FULLRESYNC " + b"a" * 40 + b" 1042\r\n\n\n$EOF:" + MARK + b"\r\nREDIS0010..." + MARK


def scripted(tmp_path: Path, **replies: bytes) -> tuple[ScriptedServer, Server]:
    known = {b"INFO": BULK_INFO, b"PSYNC": FULL, **{name.replace("_", " ").encode(): r for name, r in replies.items()}}
    server = ScriptedServer(tmp_path / "s", known)
    return server, Server(Login(unix_socket=str(tmp_path / "s"), connect_timeout=5.0))


def test_the_whole_dialogue(tmp_path: Path) -> None:
    scripted_server, server = scripted(tmp_path)
    with StreamSource(server, 10) as source:
        assert b"".join(bytes(chunk) for chunk in source.chunks()) == b"REDIS0010..."
    scripted_server.stop()
    assert (source.origin.method, source.origin.replid, source.origin.repl_offset) == ("replication", "a" * 40, 1042)
    assert source.origin.asked_at == 1795385360.5
    assert source.origin.window is not None and source.origin.window.exact
    assert [line for line in scripted_server.asked if b"CLIENT" not in line] == [
        b"INFO",
        b"REPLCONF capa eof",
        b"REPLCONF version 7.0.15",
        b"REPLCONF rdb-only 1",
        b"PSYNC ? -1",
        b"INFO",
    ]


def test_a_server_that_knows_no_version_is_still_asked(tmp_path: Path) -> None:
    server = scripted(tmp_path, REPLCONF_version=b"-ERR Unrecognized REPLCONF option: version\r\n")[1]
    with StreamSource(server, 10) as source:
        assert source.origin.replid == "a" * 40


@pytest.mark.parametrize(
    ("replies", "words"),
    [
        ({"PSYNC": b"-NOPERM this user has no permissions\r\n"}, "refused PSYNC: NOPERM this user has no permissions"),
        ({"PSYNC": b"+CONTINUE\r\n"}, "refused PSYNC"),
        ({"REPLCONF_rdb-only": b"-ERR Unrecognized REPLCONF option: rdb-only\r\n"}, "refused REPLCONF: ERR Unrecog"),
        ({"PSYNC": b"+FULLRESYNC " + b"a" * 40 + b" 1\r\n-ERR fork failed\r\n"}, "sent no snapshot: unexpected words"),
    ],
)
def test_refusals(tmp_path: Path, replies: dict[str, bytes], words: str) -> None:
    scripted_server, server = scripted(tmp_path, **replies)
    with pytest.raises((ServerError, SnapshotError), match=words):
        StreamSource(server, 10).__enter__()
    scripted_server.stop()
