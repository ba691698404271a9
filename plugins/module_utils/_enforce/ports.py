# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the addresses of a redis.conf can be bound: a throw-away server listens nowhere, so it cannot tell."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

from .._config.conf_file import ConfFile
from .._config.edit import effective_lines
from .._config.values import text_of
from .._errors import ConfigError


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
