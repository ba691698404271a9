# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of redis_import share: lines of jsonl, the module in this process, and what must not have changed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RedisBackupError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.digest import digest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.file_source import FileSource
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.import_options import (
    import_spec,
    request_of,
    result_of,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.importing import import_keys
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.connection import Login, Server

from support.dataset import raw
from support.servers import Build, RedisProcess
from support.untouched import assert_told

MakeServer = Callable[..., RedisProcess]
LATER = 4_102_444_800_000
MANY = 24_000


def line(key: str = "k", kind: str = "string", value: Any = "v", **members: Any) -> str:
    """A line of jsonl."""
    return json.dumps({"db": 0, "key": key, "type": kind, "value": value, **members}) + "\n"


def strings(count: int) -> str:
    return "".join(line(f"user:{n}", value=f"value {n}") for n in range(count))


def run_here(params: Mapping[str, Any]) -> dict[str, Any]:
    """What the module does, in this process: it starts so often in these tests."""
    given = {**{name: option.get("default") for name, option in import_spec().items()}, **params}
    login = Login(port=given["login_port"], password=given.get("login_password"))
    request = request_of(given, login)
    done = import_keys(FileSource(given["path"], given["format"], given["identities"]), request)
    return {**result_of(done), "warnings": done.warnings}


def refused_here(params: Mapping[str, Any], *needles: str) -> dict[str, Any]:
    """Must fail, and tell so in a paragraph with all of `needles`. Returns what it tells beside."""
    with pytest.raises(RedisBackupError) as caught:
        run_here(params)
    assert_told(caught.value.paragraph("shop", "Nothing was changed"), *needles)
    return caught.value.details


def write(params: dict[str, Any], text: str | bytes) -> None:
    Path(params["path"]).write_bytes(text if isinstance(text, bytes) else text.encode())


def digest_of(server: RedisProcess) -> tuple[str, int]:
    with Server(Login(port=server.port, password=server.password)) as found:
        return digest(found)


@contextlib.contextmanager
def nothing_written(server: RedisProcess) -> Iterator[None]:
    """Assert that the server holds the same behind the block, and no journal was begun."""
    before = digest_of(server)
    yield
    assert digest_of(server) == before


def parts_of(key: str, kind: str, values: list[Any], **members: Any) -> str:
    last = len(values) - 1
    return "".join(line(key, kind, v, part=n, more=n < last, **members) for n, v in enumerate(values))


def stream_part(numbers: range) -> dict[str, Any]:
    pending = [[f"{n}-0", "alice", 1_700_000_000_000, n] for n in (1, 2, 5)]
    group = {"name": "g", "last_delivered_id": "5-0", "entries_read": 5, "consumers": ["alice", "bob"]}
    return {
        "entries": [[f"{n}-0", [["f", str(n)]]] for n in numbers],
        "last_id": "9-0",
        "entries_added": 9,
        "max_deleted_id": "2-0",
        "groups": [{**group, "pending": pending}] if 5 in numbers else [],
    }


def assert_whole(server: RedisProcess, others: int = 11) -> None:
    """All keys of `slow` are there once, and nothing else but the server's own."""
    with raw(server.client()) as client:
        assert client.execute_command("DBSIZE") == MANY + others
        assert client.execute_command("HGETALL", f"user:{MANY - 1}") == [b"n", b"%d" % (MANY - 1)]
        assert client.execute_command("KEYS", "redis_backup:*") == []


def server_with_keys(build: Build, make_server: MakeServer) -> RedisProcess:
    """A server with keys of its own."""
    found = make_server(build)
    client = found.client()
    client.mset({f"mine:{n}": n for n in range(10)})
    client.rpush("mine:list", "a", "b")
    return found


def options(server: RedisProcess, directory: Path) -> dict[str, Any]:
    """The options that all share."""
    return {**server.connection, "path": str(directory / "keys.jsonl"), "state_dir": str(directory / "state")}
