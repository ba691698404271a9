# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any keys to a file and back, between all versions, a cluster and a single server: nothing is lost, nothing added.

What is compared was read by the tests' own code; the collection's digest is held beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.digest import digest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.export import KeysExport, Wanted
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.file_source import FileSource
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.importing import (
    Imported,
    ImportRequest,
    import_keys,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.reading import Selection
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.connection import Login, Server
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from support.clusters import make_cluster
from support.dataset import load_multiframe, raw, send
from support.keysets import Command, keysets
from support.modules import run_module
from support.servers import BUILD_NAMES, Build, BuildMissing, RedisProcess, build_named, builds
from support.values import Values, differences, snapshot_values

MakeServer = Callable[..., RedisProcess]
Keyset = list[tuple[int, list[Command]]]

LONG = settings().max_examples > 1000
PROPERTY = settings(
    max_examples=300 if LONG else 8,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink an example takes minutes, with servers
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
FIELDS_EXPIRE = ("redis-8.2", "valkey-9.1")
# Who takes whose payloads (DUMP and RESTORE).
TAKE = {
    "redis-6.2": BUILD_NAMES,
    "redis-7.0": ("redis-7.0", "redis-8.2", "valkey-9.1"),
    "redis-8.2": ("redis-8.2",),
    "valkey-9.1": ("valkey-9.1",),
}


@pytest.fixture
def servers(make_server: MakeServer) -> dict[str, RedisProcess]:
    """One server of each version that is here."""
    return {build.name: make_server(build) for build in builds()}


def fill(server: RedisProcess, keys: Keyset) -> None:
    """Make the keys, in a server that was emptied."""
    with server.client() as client:
        client.flushall()
        for database in sorted({database for database, _commands in keys}):
            with raw(client, database) as there:
                send(there, (command for number, commands in keys if number == database for command in commands))


def exported(server: RedisProcess, path: Path, form: str = "jsonl") -> None:
    """All keys of a server in a file."""
    export = KeysExport(Wanted(Login(port=server.port), Selection(), form, allow_unmatched=True))
    path.write_bytes(b"".join(bytes(chunk) for chunk in export.chunks()))


def imported(path: Path, server: RedisProcess, form: str = "jsonl") -> Imported:
    """The file in an emptied server."""
    with server.client() as client:
        client.flushall()
    request = ImportRequest(Login(port=server.port), str(path.parent / "state"))
    return import_keys(FileSource(str(path), form), request)


def values_of(server: RedisProcess, *, portable: bool) -> Values:
    """Everything that a server holds."""
    with server.client() as client:
        return snapshot_values(client, portable=portable)


def without_field_expiries(values: Values) -> Values:
    """The same where fields never expire."""
    found = dict(values)
    for key, (kind, value, at) in values.items():
        if kind == "hash":
            lasting = {name: each[0] if isinstance(each, tuple) else each for name, each in value.items()}
            found[key] = (kind, lasting, at)
    return found


def digest_of(server: RedisProcess) -> tuple[str, int]:
    with Server(Login(port=server.port)) as found:
        return digest(found)


def without_seen(values: Values) -> Values:
    """The same without the moments when consumers of streams came, which cannot be set."""
    found = dict(values)
    for key, (kind, value, at) in values.items():
        if kind == "stream":
            groups = {name: {n: v for n, v in group.items() if n != "seen"} for name, group in value["groups"].items()}
            found[key] = (kind, {**value, "groups": groups}, at)
    return found


def assert_equal(source: RedisProcess, target: RedisProcess, result: Imported) -> None:
    """Both hold the same, as far as the target can."""
    counted = "redis-6.2" not in (source.build.name, target.build.name)
    before, after = (without_seen(values_of(server, portable=not counted)) for server in (source, target))
    fields = any(isinstance(each, tuple) for k, v, _at in before.values() if k == "hash" for each in v.values())
    if fields and target.build.name not in FIELDS_EXPIRE:
        assert differences(without_field_expiries(before), after, expiry_ms=5) == []
        (told,) = result.warnings
        assert "fields of hashes expire" in told and target.build.flavour in told.lower(), told
    else:
        assert differences(before, after, expiry_ms=5) == []
        assert digest_of(source) == digest_of(target)
        assert result.warnings == []
    assert result.counts.imported == len(after)
    assert result.bad.count == 0


@pytest.mark.parametrize("name", BUILD_NAMES)
@PROPERTY
@given(st.data())
def test_any_keys_by_jsonl(name: str, servers: dict[str, RedisProcess], tmp_path: Path, data: st.DataObject) -> None:
    source = servers.get(name) or pytest.skip(f"no {name} here")
    keys = data.draw(keysets(field_expiries=name in FIELDS_EXPIRE))
    fill(source, keys)
    path = tmp_path / "keys.jsonl"
    exported(source, path)
    before = values_of(source, portable=False)
    for target in servers.values():
        if target is not source:
            note(f"into {target!r}")
            assert_equal(source, target, imported(path, target))
    # And back into itself: emptied before, so that all comes from the file.
    back = imported(path, source)
    assert differences(without_seen(before), without_seen(values_of(source, portable=False)), expiry_ms=5) == []
    assert back.counts.imported == len(before)


@pytest.mark.parametrize("name", BUILD_NAMES)
@PROPERTY
@given(st.data())
def test_any_keys_by_dump(name: str, servers: dict[str, RedisProcess], tmp_path: Path, data: st.DataObject) -> None:
    source = servers.get(name) or pytest.skip(f"no {name} here")
    keys = data.draw(keysets(field_expiries=name in FIELDS_EXPIRE))
    fill(source, keys)
    path = tmp_path / "keys.dump"
    exported(source, path, "dump")
    for other in TAKE[name]:
        target = servers.get(other)
        if target is not None and target is not source:
            note(f"into {target!r}")
            assert_equal(source, target, imported(path, target, "dump"))


# --- with the modules themselves, and in volume ---


@pytest.fixture(params=["redis-7.0", "redis-8.2", "valkey-9.1"])
def cluster_build(request: pytest.FixtureRequest) -> Build:
    if request.param != "redis-7.0" and not LONG:
        pytest.skip("needs --long")
    try:
        return build_named(request.param)
    except BuildMissing as error:
        pytest.skip(str(error))


def all_values(nodes: Sequence[RedisProcess]) -> Values:
    """What a cluster holds."""
    found: Values = {}
    for node in nodes:
        found.update(without_seen(values_of(node, portable=False)))
    return found


@pytest.mark.parametrize("form", ["jsonl", pytest.param("dump", marks=pytest.mark.long)])
def test_a_cluster_into_a_single_server_and_back(
    cluster_build: Build, make_server: MakeServer, tmp_path: Path, form: str
) -> None:
    nodes = make_cluster(make_server, cluster_build)
    single = make_server(cluster_build)
    load_multiframe(single.client(), users=3000, drivers=600)
    with raw(single.client(), 1) as second:
        second.execute_command("FLUSHDB")
    single.client().set(b"no tag {} \xff", b"1")
    single.client().rpush(b"a}b{", b"1", b"2")
    before = without_seen(values_of(single, portable=False))
    path = str(tmp_path / f"all.{form}.zst")
    given = {"state_dir": str(tmp_path / "state"), "path": path}
    run_module("redis_export", {**single.connection, **given, "format": form})
    done = run_module("redis_import", {**nodes[1].connection, **given})
    assert (done["changed"], done["imported"], done["failed_count"]) == (True, len(before), 0)
    assert differences(before, all_values(nodes)) == []
    assert all(node.client().dbsize() > 500 for node in nodes)
    # All of it again: nothing is written, nothing changes.
    again = run_module("redis_import", {**nodes[2].connection, **given, "on_conflict": "skip"})
    assert (again["changed"], again["imported"], again["skipped_count"]) == (False, 0, len(before))
    over = run_module("redis_import", {**nodes[0].connection, **given, "on_conflict": "replace"})
    assert over["imported"] == len(before)
    assert differences(before, all_values(nodes)) == []
    # And back.
    path = str(tmp_path / f"back.{form}")
    run_module("redis_export", {**nodes[0].connection, **given, "path": path, "format": form})
    single.client().flushall()
    run_module("redis_import", {**single.connection, **given, "path": path})
    assert differences(before, without_seen(values_of(single, portable=False))) == []


@pytest.fixture
def large(make_server: MakeServer, any_build: Build) -> Iterator[RedisProcess]:
    """A server with values that come in parts, of every type."""
    server = make_server(any_build)
    with raw(server.client()) as client:
        words = ("EVAL", LARGE, 0)
        client.execute_command(*words)
        for entry in (b"17-0", b"89999-0"):
            client.execute_command("XDEL", "large:stream", entry)
        yield server


LARGE = """
local chunk = string.rep('x', 1000)
for n = 1, 18000 do
  local value = n .. chunk
  redis.call('RPUSH', 'large:list', value)
  redis.call('SADD', 'large:set', value)
  redis.call('ZADD', 'large:zset', n / 7, value)
  redis.call('HSET', 'large:hash', n, value)
  redis.call('APPEND', 'large:string', value)
end
for n = 1, 90000 do redis.call('XADD', 'large:stream', n .. '-0', 'field', 'value ' .. n) end
redis.call('XGROUP', 'CREATE', 'large:stream', 'group', '0')
redis.call('XREADGROUP', 'GROUP', 'group', 'reader', 'COUNT', 50, 'STREAMS', 'large:stream', '>')
redis.call('PEXPIREAT', 'large:hash', '4102444800123')
redis.call('SET', 'small', '1')
"""


def test_large_values(large: RedisProcess, make_server: MakeServer, tmp_path: Path) -> None:
    target = make_server(large.build)
    target.client().set("stays", "1")
    given: dict[str, Any] = {"path": str(tmp_path / "keys.jsonl"), "state_dir": str(tmp_path / "state")}
    told = run_module("redis_export", {**large.connection, **given})
    assert told["in_parts"] == 6
    done = run_module("redis_import", {**target.connection, **given})
    assert (done["imported"], done["replaced"]) == (7, 0)
    assert "1 pending entries of large streams" in str(done["warnings"])
    before, after = (without_seen(values_of(server, portable=False)) for server in (large, target))
    assert after.pop((0, b"stays"))
    # Entry 17 was pending when it was deleted, and nobody could tell when its place in the stream came.
    pending = before[0, b"large:stream"][1]["groups"][b"group"]
    for part in (pending["pending"], pending["consumers"][b"reader"]):
        part[:] = [each for each in part if each[0] != b"17-0"]
    assert differences(before, after) == []
