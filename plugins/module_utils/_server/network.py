# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who this host is in its network: the addresses it has, and the network they are in."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import os
import re
import socket


@functools.cache
def is_loopback(host: str) -> bool:
    """Whether an address means the host that says it."""
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    return False


def is_literal(host: str) -> bool:
    """Whether it is an address, and no name that has to be looked up."""
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(host.partition("%")[0]))
    return False


def parse_fib_trie(text: str) -> list[str]:
    """The own IPv4 addresses in /proc/net/fib_trie. Pure."""
    found: list[str] = []
    for address in re.findall(r"\|-- ([0-9.]+)\n\s+/32 host LOCAL", text):
        if address not in found:
            found.append(address)
    return found


def parse_if_inet6(text: str) -> list[str]:
    """The own IPv6 addresses in /proc/net/if_inet6, without those of one link. Pure."""
    found = []
    for line in text.splitlines():
        word = line.split()[0] if line.split() else ""
        if re.fullmatch(r"[0-9a-f]{32}", word):
            address = ipaddress.IPv6Address(int(word, 16))
            if not address.is_link_local:
                found.append(str(address))
    return found


def own_addresses() -> list[str]:
    """The addresses of this host, loopback last."""
    found = parse_fib_trie(_read("/proc/net/fib_trie")) + parse_if_inet6(_read("/proc/net/if_inet6"))
    return sorted(found, key=is_loopback) or ["127.0.0.1"]


def resolved(host: str) -> list[str]:
    """The addresses of a name as this host looks it up; empty where nobody knows it, or it is one itself."""
    if not host or is_literal(host):
        return []
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


def hostnames() -> list[str]:
    """What this host is called."""
    name = socket.gethostname()
    return [name] if name and name != "localhost" else []


def machine() -> str:
    """This running kernel: two inventory hosts that tell the same share its memory and its disks' speed."""
    return _read("/proc/sys/kernel/random/boot_id").strip() or socket.gethostname()


def network() -> str:
    """This machine's network, or the container's: where two tell the same, 127.0.0.1 is the same."""
    try:
        return f"{machine()}/{os.readlink('/proc/self/ns/net')}"
    except OSError:
        return machine()


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""
