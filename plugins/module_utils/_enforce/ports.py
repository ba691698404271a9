# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the addresses of a redis.conf can be bound: a throw-away server listens nowhere, so it cannot tell."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

from .._config.conf_file import ConfFile
from .._config.effective import effective_lines
from .._config.values import text_of
from .._errors import ConfigError
from .._server.connection import Login
from .._server.instance import Instance
from .._server.occupied import answers


def require_addresses(bind: str) -> None:
    """Raise ConfigError for an address in a value of `bind` that this host has not."""
    for address in bind.split():
        optional, host = address.startswith("-"), address.lstrip("-")
        try:
            _try(host, 0)
        except OSError as error:
            if not optional:
                raise ConfigError(
                    f"settings: bind {address}: {error.strerror or error}",
                    untouched="Nothing was changed",
                    hint="Name an address of this host; with a hyphen before it, the server starts without it, too",
                ) from None


def require_silent(file: ConfFile, instance: Instance) -> None:
    """Raise ConfigError when a server answers at the port of this redis.conf: it is not down, the login is wrong."""
    port = text_of(effective_lines(file, "port", ()) or [["6379"]])
    hosts = text_of(effective_lines(file, "bind", ()) or [["127.0.0.1"]]).split()
    hosts = [{"*": "127.0.0.1", "::*": "::1", "0.0.0.0": "127.0.0.1"}.get(h, h) for h in (h.lstrip("-") for h in hosts)]
    login = instance.server.login
    for host in hosts if port.isdecimal() and port != "0" else ():
        if answers(Login(host=host, port=int(port), connect_timeout=login.connect_timeout)):
            hangs = (login.host, str(login.port)) == (host, port)
            raise ConfigError(
                f"{instance.title} does not answer, but "
                + ("its port is open: it hangs" if hangs else f"a server does at {host}:{port}, as {file.path} says"),
                untouched="Nothing was changed",
                hint="Look at its log, or whether it was stopped by a signal"
                if hangs
                else "Correct login_host and login_port of the instance, or its config_file",
            )


def _try(host: str, port: int) -> None:
    """Bind a socket for a moment. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(({"*": "", "::*": "::"}.get(host, host), port))


def require_bindable(file: ConfFile, version: Sequence[int]) -> None:
    """Raise ConfigError for an address this host has not, or a port that another program holds."""
    port = text_of(effective_lines(file, "port", version) or [["6379"]])
    addresses = text_of(effective_lines(file, "bind", version) or [["*"]]).split()
    for address in addresses:
        optional, host = address.startswith("-"), address.lstrip("-")
        if not port.isdecimal() or port == "0":
            return
        try:
            _try(host, int(port))
        except OSError as error:
            if optional and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                continue
            raise ConfigError(
                f"{file.path}: the server would not start: {address or '*'} port {port}: {error.strerror}",
                untouched="Nothing was changed",
                hint="Correct bind and port, or stop the program that holds the port",
            ) from None
