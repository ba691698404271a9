# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host in its network."""

from __future__ import annotations

from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.network import (
    is_literal,
    is_loopback,
    machine,
    network,
    own_addresses,
    parse_fib_trie,
    parse_if_inet6,
    resolved,
)

FIB_TRIE = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     +-- 127.0.0.0/8 2 0 2
        +-- 127.0.0.0/31 1 0 0
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
        |-- 127.255.255.255
           /32 link BROADCAST
     +-- 192.0.2.0/30 2 0 2
        |-- 192.0.2.0
           /24 link UNICAST
        |-- 192.0.2.2
           /32 host LOCAL
Local:
        |-- 192.0.2.2
           /32 host LOCAL
"""
IF_INET6 = """\
fe8000000000000000fc00fffe000001 04 40 20 80     eth0
00000000000000000000000000000001 01 80 10 80       lo
fd000000000000000000000000000002 04 40 00 82     eth0
"""


def test_parsing() -> None:
    assert parse_fib_trie(FIB_TRIE) == ["127.0.0.1", "192.0.2.2"]
    assert parse_if_inet6(IF_INET6) == ["::1", "fd00::2"]
    assert parse_fib_trie("") == parse_if_inet6("") == []


def test_kinds_of_addresses() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost")] == [True] * 4
    assert [is_loopback(host) for host in ("10.0.0.1", "db1", "", "::2", "fe80::1%eth0")] == [False] * 5
    assert [is_literal(host) for host in ("10.0.0.1", "::1", "db1", "")] == [True, True, False, False]


def test_this_host() -> None:
    assert "127.0.0.1" in own_addresses()
    assert machine() and network().startswith(machine())
    assert resolved("127.0.0.1") == resolved("") == []
    assert set(resolved("localhost")) & {"127.0.0.1", "::1"}
    assert resolved("no.such.host.invalid") == []
    assert resolved("x" * 300) == []
