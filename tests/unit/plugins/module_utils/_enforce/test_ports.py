# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether addresses can be bound."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._enforce.ports import require_bindable
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import ConfigError
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.situations import conf

ELSEWHERE = "203.0.113.1"  # for documentation: nobody has it


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of this host on which somebody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock.getsockname()[1]


@pytest.fixture
def free() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.mark.parametrize(
    "bind", ["127.0.0.1", f"127.0.0.1 -{ELSEWHERE}", f"-{ELSEWHERE}", "127.0.0.1 -2001:db8::1", "*", '""', "-127.0.0.1"]
)
def test_free(bind: str, free: int) -> None:
    require_bindable(conf(f"bind {bind}\nport {free}\n"), (7, 0))


@pytest.mark.parametrize("bind", ["127.0.0.1", "*", "-127.0.0.1", f"-{ELSEWHERE} 127.0.0.1"])
def test_taken(bind: str, taken: int) -> None:
    with pytest.raises(ConfigError, match=rf"would not start: .* port {taken}: Address already in use"):
        require_bindable(conf(f"bind {bind}\nport {taken}\n"), (7, 0))


def test_not_an_address_of_this_host(free: int) -> None:
    with pytest.raises(ConfigError, match=rf"would not start: {ELSEWHERE} port {free}: Cannot assign"):
        require_bindable(conf(f"bind 127.0.0.1 {ELSEWHERE}\nport {free}\n"), (7, 0))


def test_an_include_is_read(taken: int) -> None:
    with pytest.raises(ConfigError, match="Address already in use"):
        require_bindable(conf("port 0\ninclude x\n", {"x": f"port {taken}\n"}), (7, 0))


@pytest.mark.parametrize("port", ["0", "x", ""])
def test_no_port_is_not_tried(port: str) -> None:
    require_bindable(conf(f'bind {ELSEWHERE}\nport "{port}"\n'), (7, 0))
