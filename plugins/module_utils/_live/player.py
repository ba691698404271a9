# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The primary that is played: it gives one RDB to one server, in one full synchronisation, and ends.

Who may have the RDB proves it twice: by a password that was made for this restore and set as the target's `masterauth`,
and by the target's replication id. The password works the other way too: should the play be cut short and another
server answer at its address later, the target would not take that one's data, since it refuses the password.

The dialogue of a replica (replication.c, syncWithMaster): PING, AUTH, REPLCONF (several), PSYNC. The answer is
`+FULLRESYNC <id> <offset>`, `$<length>` and the RDB.

Measured with `repl-diskless-load swapdb` on 6.2.14, 7.0.15, 8.2.3 and Valkey 9.1.2, 80 MB of data for as much:
- From 7.0 on, a server whose own replication id is announced answers all reads while it loads, from the old data until
  the new is whole (async_loading). Under another id it answers LOADING, as 6.2 always does, for 0.1 to 0.4 s.
- A transfer that ends too early, and an RDB of a version that is too new, leave the old data on all of them.
- An RDB whose checksum is wrong ends the process on all of them: so nothing unproven is sent.
- The AOF is stopped when the load begins, and begins anew with the next REPLICAOF NO ONE or the end of the load.
- Memory rises to both data sets; the old one is freed behind the exchange.
"""

from __future__ import annotations

import errno
import os
import secrets
import select
import socket
import ssl
import time
from collections.abc import Iterable, Iterator

from .._errors import RestoreError
from .outcome import Announced

_SILENCE = 60.0
_GREETING = 5.0  # nobody may keep the target waiting longer
_LINE = 64 * 1024
_CHUNK = 1024 * 1024
_UNTOUCHED = "What the server holds is as it was"


class PlayFailed(RestoreError):
    """The target did not take the RDB over."""


class Stranger(Exception):
    """Somebody else than the target has connected, or the target hung up before it asked for anything."""


class Player:
    """A listening primary, for one play. Use as a context manager: leaving it hangs up."""

    def __init__(self, sock: socket.socket, password: str, tls: ssl.SSLContext | None = None) -> None:
        self._listener = sock
        self._tls = tls
        self._link: socket.socket | None = None
        self._buffer = b""
        self._until = 0.0
        self._password = password.encode()
        self.port: int = sock.getsockname()[1]

    def __enter__(self) -> Player:
        return self

    def __exit__(self, *_unused: object) -> None:
        self.hang_up()

    def hang_up(self) -> None:
        """End the play: the target goes back to what it held, unless it has taken all."""
        self._listener.close()
        if self._link is not None:
            self._link.close()
            self._link = None

    def meet(self, played: Announced, timeout: float) -> None:
        """Wait until the target has asked for the data. Raises PlayFailed when it does not come."""
        deadline = time.monotonic() + timeout
        seen = 0
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._listener], [], [], left)[0]:
                others = f" ({seen} others did, and could not prove who they are)" if seen else ""
                raise PlayFailed(
                    f"the server has not connected to {played.host}:{played.port} within {timeout:g} s{others}",
                    untouched=_UNTOUCHED,
                    hint="Let the server reach this host (firewall, NAT): name the address under which it does with "
                    "announce_host, and the ports that are open with listen_ports",
                )
            try:
                link, _peer = self._listener.accept()
            except OSError:
                continue
            try:
                self._link = self._enter(link)
                self._greet(played.replid)
                self._listener.close()
                return
            except (Stranger, OSError):
                seen += 1
                link.close()
                if self._link is not None:
                    self._link.close()
                    self._link = None

    def _enter(self, link: socket.socket) -> socket.socket:
        self._until = time.monotonic() + _GREETING
        link.settimeout(_GREETING)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        return self._tls.wrap_socket(link, server_side=True) if self._tls is not None else link

    def _greet(self, replid: str) -> None:
        """Talk until the other end asks for the data by PSYNC. Raises Stranger."""
        known = False
        for words in self._commands():
            name = words[0].upper()
            if name == b"AUTH":
                known = secrets.compare_digest(words[-1], self._password)
                self._say(b"+OK" if known else b"-WRONGPASS")
            elif name == b"PING":
                self._say(b"+PONG")
            elif name == b"REPLCONF":
                self._say(b"+OK")
            elif name == b"PSYNC" and known and len(words) > 1 and words[1].decode("latin-1") == replid:
                return
            else:
                raise Stranger

    def _say(self, line: bytes) -> None:
        self._require_link().sendall(line + b"\r\n")

    def _require_link(self) -> socket.socket:
        if self._link is None:
            raise Stranger
        return self._link

    def _commands(self) -> Iterator[list[bytes]]:
        """Commands as the other end sends them: arrays of bulk strings. Raises Stranger for anything else."""
        while True:
            count = self._number(b"*")
            words = []
            for _turn in range(count):
                size = self._number(b"$")
                words.append(self._bytes(size + 2)[:-2])
            if words:
                yield words

    def _number(self, mark: bytes) -> int:
        line = self._line()
        if line[:1] != mark or not line[1:].isdigit() or len(line) > 8:
            raise Stranger
        found = int(line[1:])
        if found > _LINE:
            raise Stranger
        return found

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            self._more()
        line, _end, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _bytes(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._more()
        found, self._buffer = self._buffer[:count], self._buffer[count:]
        return found

    def _more(self) -> None:
        link = self._require_link()
        left = self._until - time.monotonic()
        if left <= 0:
            raise Stranger
        link.settimeout(left)
        data = link.recv(_LINE)
        if not data or len(self._buffer) > 4 * _LINE:
            raise Stranger
        self._buffer += data

    def send(self, played: Announced, fd: int, size: int) -> None:
        """Send the RDB in the open file. Raises PlayFailed when the target hangs up, or takes nothing any more."""
        link = self._require_link()
        link.settimeout(_SILENCE)
        try:
            link.sendall(b"+FULLRESYNC %s %d\r\n$%d\r\n" % (played.replid.encode(), played.offset, size))
            sent = 0
            while sent < size:
                if self._tls is None:
                    count = self._sendfile(link, fd, sent, size - sent)
                else:
                    chunk = os.pread(fd, min(_CHUNK, size - sent), sent)
                    link.sendall(chunk)
                    count = len(chunk)
                if not count:
                    raise OSError(errno.EIO, "the file ended")
                sent += count
        except OSError as error:
            raise PlayFailed(
                f"the server broke the transfer off: {error.strerror or error}",
                untouched=_UNTOUCHED,
                hint="Look at its log: it may lack memory for both data sets, or the network may be cut",
            ) from None

    def _sendfile(self, link: socket.socket, fd: int, sent: int, left: int) -> int:
        while True:
            try:
                return os.sendfile(link.fileno(), fd, sent, min(left, _CHUNK))
            except BlockingIOError:
                if not select.select([], [link], [], _SILENCE)[1]:
                    raise OSError(errno.ETIMEDOUT, f"it took nothing for {_SILENCE:g} s") from None

    def hung_up(self) -> bool:
        """Whether the target has closed the connection; what it says (REPLCONF ACK) is passed over."""
        link = self._require_link()
        link.settimeout(0.0)
        try:
            while link.recv(_LINE):
                pass
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            pass
        return True


def parse_ports(text: str) -> list[int]:
    """`7000-7010`, `7000` or a list of both with commas as ports; empty text for any. Raises RestoreError. Pure."""
    found: list[int] = []
    for part in text.replace(" ", "").split(","):
        if not part:
            continue
        first, dash, last = part.partition("-")
        last = last if dash else first
        if not first.isdecimal() or not last.isdecimal():
            raise _bad_ports(text)
        low, high = int(first), int(last)
        if not 0 < low <= high < 1 << 16:
            raise _bad_ports(text)
        found += range(low, high + 1)
    return found


def _bad_ports(text: str) -> RestoreError:
    return RestoreError(
        f"listen_ports: {text!r} is no port and no range of ports",
        untouched="Nothing was changed",
        hint="Such as 7000-7010",
    )


def listen(host: str, ports: Iterable[int]) -> socket.socket:
    """A socket that listens on the address `host`, or on all where that is not one of this host's own (NAT).

    Raises PlayFailed when none of the `ports` is free.
    """
    family, kind, _protocol, _name, address = _resolve(host)
    wildcard = "::" if family is socket.AF_INET6 else "0.0.0.0"
    why = ""
    for port in list(ports) or [0]:
        for where in (address[0], wildcard):
            sock = socket.socket(family, kind)
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((where, port))
                sock.listen(4)
                return sock
            except OSError as error:
                sock.close()
                why = error.strerror or str(error)
                if error.errno != errno.EADDRNOTAVAIL:
                    break
    raise PlayFailed(
        f"no port of {host} can be listened on: {why}",
        untouched="Nothing was changed",
        hint="Name free ports with listen_ports",
    )


def _resolve(host: str) -> tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple]:
    try:
        return socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise PlayFailed(
            f"announce_host {host} is no address: {error.strerror or error}",
            untouched="Nothing was changed",
            hint="Give the address under which the server reaches this host",
        ) from None


def server_context(cert_file: str | None, key_file: str | None) -> ssl.SSLContext:
    """TLS for a target that replicates by TLS, with the certificate that is given for the connection to it.

    Raises RestoreError without one: such a target trusts nobody who has none.
    """
    if not cert_file:
        raise RestoreError(
            "the server replicates by TLS (tls-replication yes), and there is no certificate that it would trust",
            untouched="Nothing was changed",
            hint="Give client_cert_file and client_key_file: of an authority that the server's ca-cert-file knows",
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert_file, key_file)
    return context
