# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A proxy before an HTTP service that spoils chosen requests, and passes the others on as they are.

Everything is handed on unchanged, the Host header too: it is part of what S3 clients sign.
"""

from __future__ import annotations

import contextlib
import enum
import http.client
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Fault(enum.Enum):
    """What happens to a request."""

    CUT_BEFORE = "reset before the service has seen it"
    CUT_AFTER = "done by the service, the answer lost by a reset"
    ERROR = "answered 500"
    SLOW_DOWN = "answered 503 SlowDown"
    TRUNCATED = "done by the service, the answer cut in its middle"
    DELAY = "passed on half a second late"


_ANSWERS = {Fault.ERROR: (500, "InternalError"), Fault.SLOW_DOWN: (503, "SlowDown")}
_ALONE = {"connection", "expect", "keep-alive", "transfer-encoding"}  # headers of one connection only


class FaultyProxy:
    """Listens on a port of its own. Requests are counted from `arm` on, from 1; `requests` tells what they were."""

    def __init__(self, port: int, certificate: Path | None = None) -> None:
        """`port` is the service's, on 127.0.0.1. With a file of a certificate and its key, the proxy speaks TLS."""
        self.target = ("127.0.0.1", port)
        self.requests: list[str] = []
        self._counting = threading.Lock()
        self._fault: Fault | None = None
        self._at = 0
        self._lasting = False
        self._words: tuple[str, ...] = ()
        self._counted = 0
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._scheme = "http"
        if certificate is not None:
            self._scheme = "https"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def arm(
        self, fault: Fault | None = None, at: int = 0, *, lasting: bool = False, words: tuple[str, ...] = ()
    ) -> None:
        """Count from 1 again, and spoil request `at`, or (`lasting`) all from that one on.

        With `words`, only requests that have all of them count, but all that follow are spoilt.
        """
        with self._counting:
            self.requests = []
            self._fault, self._at, self._lasting, self._words = fault, at, lasting, words
            self._counted = 0

    def next_fault(self, request: str) -> Fault | None:
        """Count a request; what is to happen to it."""
        with self._counting:
            self.requests.append(request)
            counts = all(word in request for word in self._words)
            self._counted += counts
            hit = (counts and self._counted == self._at) or (self._lasting and self._counted >= self._at)
            return self._fault if hit else None

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    proxy: FaultyProxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def handle_expect_100(self) -> bool:
        """Say it at once: the client waits a second for it."""
        told = super().handle_expect_100()
        self.wfile.flush()
        return told

    def _serve(self) -> None:
        body = self._body()
        fault = self.proxy.next_fault(f"{self.command} {self.path}")
        if fault is Fault.CUT_BEFORE:
            return self._cut()
        if fault in _ANSWERS:
            return self._refuse(*_ANSWERS[fault])
        if fault is Fault.DELAY:
            time.sleep(0.5)
        status, reason, headers, answer = self._ask(body)
        if fault is Fault.CUT_AFTER:
            return self._cut()
        head = "".join(f"{name}: {value}\r\n" for name, value in headers)
        whole = f"HTTP/1.1 {status} {reason}\r\n{head}\r\n".encode("latin-1") + answer
        if fault is Fault.TRUNCATED:
            self.wfile.write(whole[: len(whole) - (len(answer) + 1) // 2 if answer else len(whole) // 2])
            return self._cut(softly=True)
        self.wfile.write(whole)
        self.wfile.flush()
        return None

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":  # as boto3 sends over TLS
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve

    def _ask(self, body: bytes) -> tuple[int, str, list[tuple[str, str]], bytes]:
        with contextlib.closing(http.client.HTTPConnection(*self.proxy.target, timeout=60)) as service:
            service.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _ALONE:
                    service.putheader(name, value)
            if body and "Content-Length" not in self.headers:
                service.putheader("Content-Length", str(len(body)))
            service.endheaders(body or None)
            answer = service.getresponse()
            data = answer.read()
            headers = [(n, v) for n, v in answer.getheaders() if n.lower() not in (*_ALONE, "content-length")]
            # The answer to HEAD tells a length and has no body.
            length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
            if length is not None and answer.status != 204:
                headers.append(("Content-Length", length))
            return answer.status, answer.reason, headers, data

    def _refuse(self, status: int, code: str) -> None:
        words = f"<Error><Code>{code}</Code><Message>{code}, by the proxy</Message></Error>".encode()
        head = f"HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\nContent-Length: {len(words)}\r\n\r\n"
        self.wfile.write(head.encode() + (b"" if self.command == "HEAD" else words))
        self.wfile.flush()

    def _cut(self, *, softly: bool = False) -> None:
        """End the connection: with a reset, or (`softly`) behind what was written."""
        if softly:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # a client that goes away, or trusts no certificate of ours
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, *_words: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def faulty(port: int, certificate: Path | None = None) -> Iterator[FaultyProxy]:
    """A proxy before the service on that port."""
    proxy = FaultyProxy(port, certificate)
    try:
        yield proxy
    finally:
        proxy.close()
