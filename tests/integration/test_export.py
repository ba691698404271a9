# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exports of keys from real servers: every type as it is, chosen keys, files whole or not at all."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.export import Wanted, count_matching
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.glob import compile_pattern
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.reading import TYPED, Selection, read_keys
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.tally import Tally
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.wire import Wire
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.connection import Login
from hypothesis import given, settings
from hypothesis import strategies as st

from support.dataset import AWKWARD, HOUR_MS, load_multiframe, raw, send
from support.exported import large, lines_of, values_of
from support.killing import kill_at_change, watch
from support.machine import AgeKey
from support.modules import run_module
from support.servers import Build, BuildMissing, RedisProcess, ServerFailed, build_named, free_port
from support.untouched import refused
from support.values import differences, snapshot_values
from support.waiting import wait_for

MakeServer = Callable[..., RedisProcess]
FIELD_TTLS = ("redis-8.2", "valkey-9.1")
RIGHTS = (
    "+info +scan +type +memory|usage +pexpiretime +select +get +strlen +getrange +lrange +llen +smembers +sscan +scard "
    "+zrange +zscan +zcard +hgetall +hkeys +hscan +hlen +hpexpiretime +xinfo +xrange +xlen +xpending +dump +watch "
    "+multi +exec +time"
)
DUMP_RIGHTS = "+info +scan +memory|usage +pexpiretime +select +dump"


def export(server: RedisProcess, path: Path, **params: Any) -> dict[str, Any]:
    return run_module("redis_export", {**server.connection, "path": str(path), **params})


def fill(server: RedisProcess) -> None:
    """Every type in every encoding, fields that expire where the server knows them, names that are no text."""
    client = raw(server.client())
    load_multiframe(server.client(), users=2500, drivers=300)
    send(client, [("HSET", b"hash:\xff", b"\xfe", b"\xfd", "text", "text"), ("SADD", b"\x00", b"\x00", b"\xff")])
    if server.build.name in FIELD_TTLS:
        fields = [word for n in range(700) for word in (f"field {n}", f"value {n}")]
        send(
            client,
            [
                ("HSET", "hash:expiring", "a", "1", "b", "2", AWKWARD, "3"),
                ("HPEXPIRE", "hash:expiring", HOUR_MS, "FIELDS", 2, "a", AWKWARD),
                ("HSET", "hash:expiring:large", *fields),
                ("HPEXPIREAT", "hash:expiring:large", 4102444800123, "FIELDS", 3, "field 0", "field 9", "field 699"),
                ("PEXPIRE", "hash:expiring:large", 2 * HOUR_MS),
            ],
        )


def test_every_type(server: RedisProcess, tmp_path: Path) -> None:
    fill(server)
    path = tmp_path / "keys.jsonl"
    result = export(server, path)
    wanted = snapshot_values(server.client(), portable=True)
    found = values_of(lines_of(path))
    assert differences(wanted, found, expiry_ms=5 if server.build.version < (7,) else 0) == []
    assert result["exported"] == len(wanted)
    assert sum(result["by_type"].values()) == sum(result["by_database"].values()) == len(wanted)
    assert result["with_expiry"] == sum(at is not None for _kind, _value, at in wanted.values())
    assert (result["skipped_count"], result["failed_keys"], result["gone"], result["in_parts"]) == (0, [], 0, 0)
    assert result["point_in_time"] is False
    assert result["stored_size"] == path.stat().st_size
    assert path.stat().st_mode & 0o777 == 0o600


def test_streams_keep_their_counters(server: RedisProcess, tmp_path: Path) -> None:
    send(
        raw(server.client()),
        [
            *[("XADD", "stream", f"{n}-1", "a", n) for n in range(1, 11)],
            ("XGROUP", "CREATE", "stream", "group", "0"),
            ("XREADGROUP", "GROUP", "group", "alice", "COUNT", 3, "STREAMS", "stream", ">"),
            ("XDEL", "stream", "9-1", "10-1"),
        ],
    )
    path = tmp_path / "keys.jsonl"
    export(server, path)
    (line,) = lines_of(path)
    found = line["value"]
    told = (found["entries_added"], found["max_deleted_id"], found["groups"][0]["entries_read"])
    assert told == ((None, None, None) if server.build.version < (7,) else (10, "10-1", 3))
    assert found["last_id"] == "10-1"


def test_payloads(server: RedisProcess, make_server: MakeServer, tmp_path: Path) -> None:
    """The file is a list of commands, which any client can send."""
    fill(server)
    path = tmp_path / "keys.dump"
    result = export(server, path, format="dump")
    wanted = snapshot_values(server.client(), portable=True)
    assert result["exported"] == len(wanted)
    kinds = {kind for kind, _value, _at in wanted.values()}
    assert result["by_type"] == {
        kind: sum(each[0] == kind for each in wanted.values()) for kind in sorted(kinds)
    }
    copy = make_server(server.build)
    with path.open("rb") as commands:
        subprocess.run(["redis-cli", "-p", str(copy.port), "--pipe"], stdin=commands, check=True, capture_output=True)
    found = snapshot_values(copy.client(), portable=True)
    assert differences(wanted, found, expiry_ms=5 if server.build.version < (7,) else 0) == []


def test_types_that_only_the_server_can_read(make_server: MakeServer, tmp_path: Path) -> None:
    """What a module keeps is a line with its payload, under the name of its type."""
    try:
        server = make_server(build_named("redis-8.2"))
    except BuildMissing as error:
        pytest.skip(str(error))
    client = raw(server.client())
    try:
        client.execute_command("VADD", "vectors", "VALUES", 2, 1, 2, "element")
    except redis.ResponseError:
        pytest.skip("this build has no vector sets")
    send(client, [("PEXPIREAT", "vectors", 4102444800123), ("SET", "string", "x")])
    path = tmp_path / "keys.jsonl"
    result = export(server, path)
    assert result["by_type"] == {"string": 1, "vectorset": 1}
    line = next(line for line in lines_of(path) if line["key"] == "vectors")
    assert (line["type"], line["encoding"], line["expire_at_ms"]) == ("vectorset", "dump", 4102444800123)
    assert export(server, path, types=["vectorset"], force=True)["exported"] == 1
    wanted = client.execute_command("VEMB", "vectors", "element")
    send(client, [("DEL", "vectors"), ("RESTORE", "vectors", 0, values_of([line])[0, b"vectors"][1])])
    assert client.execute_command("VEMB", "vectors", "element") == wanted
    result = export(server, path, format="json", force=True)
    assert (result["exported"], result["skipped_count"]) == (1, 1)


def test_the_flat_file(server: RedisProcess, tmp_path: Path) -> None:
    load_multiframe(server.client(), users=300, drivers=20)
    path = tmp_path / "users.json"
    result = export(server, path, format="json", patterns=["user:*", "config:system"], db=[0])
    with server.client(decode_responses=True) as client:
        wanted = {key: client.get(key) for key in [*client.keys("user:*"), "config:system"]}
    assert json.loads(path.read_text()) == wanted
    assert result["exported"] == 301

    result = export(server, path, format="json", db=[0], force=True)
    assert "driver:0" not in json.loads(path.read_text())
    assert result["exported"] + result["skipped_count"] == server.client().dbsize()
    whys = {(each["type"], each["why"]) for each in result["failed_keys"]}
    assert len(result["failed_keys"]) == 20
    assert whys <= {
        ("hash", "the format json holds strings only"),
        *((kind, "the format json holds strings only") for kind in ("list", "set", "zset", "stream")),
        ("string", "its value is binary, and the flat file holds text only"),
        ("string", "its name is binary, and the flat file holds text only"),
    }
    assert "expire" in str(result["warnings"])
    refused("redis_export", {**server.connection, "path": str(tmp_path / "x"), "format": "json"}, "databases", "db")


# --- which keys ---


TEENS = {f"user:1{n}" for n in range(10)}
SORTED = {"zset:small", "zset:large", "geo"}


SELECTIONS: tuple[tuple[Selection, set[str]], ...] = (
    (Selection(patterns=(b"user:1?",)), TEENS),
    (Selection(patterns=(b"user:1?", b"driver:[0-2]")), TEENS | {"driver:0", "driver:1", "driver:2"}),
    (
        Selection(patterns=(b"second:?", b"*:system"), databases=frozenset([1])),
        {f"second:{n}" for n in range(10)} | {"config:system"},
    ),
    (Selection(types=frozenset(["zset"])), SORTED),
    (Selection(types=frozenset(["zset", "list"])), SORTED | {"list:small", "list:large", "list:huge-element"}),
    (Selection(patterns=(b"*:empty",), types=frozenset(["stream"])), {"stream:empty"}),
    (Selection(databases=frozenset([1])), {f"second:{n}" for n in range(100)} | {"config:system"}),
)


def test_selection(any_build: Build, make_server: MakeServer, tmp_path: Path) -> None:
    """Both forms of reading, and the counting of check mode, find the same."""
    server = make_server(any_build)
    load_multiframe(server.client(), users=100, drivers=20)
    login = Login(port=server.port)
    for selection, wanted in SELECTIONS:
        with Wire(login) as wire:
            for kind in (TYPED, "dump"):
                tally = Tally()
                found = [entry.key for batch in read_keys(wire, selection, kind, tally=tally) for entry in batch]
                assert sorted(found) == sorted(key.encode() for key in wanted)
                assert sum(tally.by_type.values()) == len(wanted)
        assert count_matching(Wanted(login, selection))[0] == len(wanted)
    params = {**server.connection, "path": str(tmp_path / "keys"), "patterns": ["user:1?"], "types": ["string", "set"]}
    assert run_module("redis_export", params, check=True)["exported"] == 10
    assert list(tmp_path.iterdir()) == []
    assert run_module("redis_export", params)["exported"] == 10
    assert {line["key"] for line in lines_of(tmp_path / "keys")} == TEENS


def test_patterns_mean_what_they_mean_to_the_server(build: Build, make_server: MakeServer) -> None:
    client = raw(make_server(build).client())
    letters = st.sampled_from([bytes([letter]) for letter in b"ab-]^\\[*?c\n\x00\x80\xff"])
    words = st.lists(letters, max_size=6).map(b"".join)

    @settings(deadline=None)
    @given(st.lists(words, max_size=20), st.lists(words, min_size=1, max_size=10))
    def check(keys: list[bytes], patterns: list[bytes]) -> None:
        client.execute_command("FLUSHALL")
        if keys:
            client.execute_command("MSET", *(word for key in keys for word in (key, b"1")))
        for pattern in patterns:
            matches = compile_pattern(pattern).fullmatch
            found = set(client.execute_command("KEYS", pattern))
            assert {key for key in keys if matches(key)} == found, pattern

    check()


def test_what_matches_nothing(any_build: Build, make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server(any_build)
    server.client().set("user:1", "x")
    path = tmp_path / "keys.jsonl"
    for patterns in (["users:*"], ["user:*", "users:*"]):
        params = {**server.connection, "path": str(path), "patterns": patterns}
        refused("redis_export", params, "users:*", "allow_unmatched")
        refused("redis_export", params, "users:*", check=True)
        assert list(tmp_path.iterdir()) == []
    result = export(server, path, patterns=["user:*", "users:*"], allow_unmatched=True)
    assert (result["exported"], result["patterns_unmatched"]) == (1, ["users:*"])
    assert "users:*" in str(result["warnings"])
    server.client().flushall()
    refused("redis_export", {**server.connection, "path": str(tmp_path / "new")}, "holds no key")
    result = export(server, path, allow_unmatched=True, force=True)
    assert (result["exported"], path.read_bytes().strip()) == (0, b"")


# --- the file ---


def test_the_name_says_how_it_is_packed(
    any_build: Build, make_server: MakeServer, tmp_path: Path, age_key: AgeKey
) -> None:
    server = make_server(any_build)
    load_multiframe(server.client(), users=2000, drivers=10)
    wanted = snapshot_values(server.client(), portable=True)
    encryption = {"recipients": [age_key.recipient]}
    opened = {
        "keys.jsonl": ["cat"],
        "keys.jsonl.zst": ["zstd", "-dc"],
        "keys.jsonl.age": ["age", "-d", "-i", str(age_key.identity)],
        "keys.jsonl.zst.age": ["sh", "-c", f"age -d -i {age_key.identity} $1 | zstd -dc", "-"],
    }
    for name, words in opened.items():
        path = tmp_path / name
        result = export(server, path, **({"encryption": encryption} if name.endswith("age") else {}))
        plain = tmp_path / "plain"
        plain.write_bytes(subprocess.run([*words, str(path)], check=True, capture_output=True).stdout)
        assert differences(wanted, values_of(lines_of(plain)), expiry_ms=0) == []
        assert result["size"] == plain.stat().st_size
        told = subprocess.run(["sha256sum", str(path)], check=True, capture_output=True, text=True).stdout
        assert told.split()[0] == result["sha256"]
        assert path.stat().st_mode & 0o777 == 0o600


def test_what_is_refused_before_anything_is_read(
    any_build: Build, make_server: MakeServer, tmp_path: Path, age_key: AgeKey
) -> None:
    server = make_server(any_build)
    server.client().set("user:1", "x")
    there = tmp_path / "there.jsonl"
    there.write_text("mine")
    (tmp_path / "folder").mkdir()
    recipients = {"encryption": {"recipients": [age_key.recipient]}}

    def no(path: Path, *needles: str, **params: Any) -> None:
        refused("redis_export", {**server.connection, "path": str(path), **params}, *needles)

    no(there, "it exists already", "force")
    no(tmp_path / "folder", "no file", force=True)
    no(tmp_path / "missing" / "keys", "does not exist")
    no(tmp_path / "keys.jsonl.age", "recipients")
    no(tmp_path / "keys.jsonl.zst", ".age", **recipients)
    no(tmp_path / "keys.jsonl", "patterns is empty", patterns=[])
    no(tmp_path / "keys.jsonl", "keys_per_second", keys_per_second=0)
    no(tmp_path / "keys.jsonl", "db must", db=[-1])
    assert there.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "there.jsonl"]
    assert export(server, there, force=True)["exported"] == 1
    assert len(lines_of(there)) == 1


@pytest.mark.parametrize("name", ["keys.jsonl", "keys.jsonl.zst"])
def test_a_killed_export_leaves_no_file(any_build: Build, make_server: MakeServer, tmp_path: Path, name: str) -> None:
    server = make_server(any_build)
    load_multiframe(server.client(), users=10_000, drivers=10, types=False)
    path = tmp_path / name
    params = {**server.connection, "path": str(path)}
    changes = watch("redis_export", params, [tmp_path]).changes
    path.unlink()
    # Right before each change to the folder: the last one is the renaming.
    for number in (1, len(changes)):
        kill_at_change("redis_export", params, [tmp_path], number)
        assert not path.exists()
    path.write_text("mine")
    kill_at_change("redis_export", {**params, "force": True}, [tmp_path], len(changes))
    assert path.read_text() == "mine"
    assert export(server, path, force=True)["exported"] == sum(
        1 for _each in snapshot_values(server.client(), portable=True)
    )
    assert [each.name for each in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["keys.jsonl", "keys.jsonl.zst"])
def test_a_full_disk(
    any_build: Build, make_server: MakeServer, small_tmpfs: Callable[[str], Path], name: str
) -> None:
    server = make_server(any_build)
    send(raw(server.client()), (("SET", f"key:{n}", random.randbytes(500)) for n in range(6000)))
    place = small_tmpfs("1M")
    refused("redis_export", {**server.connection, "path": str(place / name)}, "No space left", "Free or add room")
    assert list(place.iterdir()) == []


# --- who may, and under which names ---


def test_least_rights(server: RedisProcess, tmp_path: Path, long: bool) -> None:
    """What the documentation names is enough."""
    fill(server)
    client = raw(server.client())
    send(client, [("SET", "string:large", b"x" * 9_000_000)])
    if long:
        client.execute_command("FLUSHALL")
        large(client)
    old = server.build.version < (7,)

    def user(name: str, rights: str) -> dict[str, Any]:
        words = rights.split()
        if old:
            words = [word.replace("+memory|usage", "+memory").replace("+pexpiretime", "+pttl") for word in words]
            words = [word for word in words if word != "+hpexpiretime"] + ["+time"]
        elif server.build.name not in FIELD_TTLS:
            words = [word for word in words if word != "+hpexpiretime"]
        keys = "~*" if old else "%R~*"
        client.execute_command("ACL", "SETUSER", name, "reset", "on", ">pw", "resetchannels", keys, "-@all", *words)
        return {**server.connection, "login_user": name, "login_password": "pw"}

    wanted = snapshot_values(server.client(), portable=True)
    path = tmp_path / "keys"
    result = run_module("redis_export", {**user("reader", RIGHTS), "path": str(path)})
    assert (result["exported"], result["in_parts"]) == (len(wanted), 6 if long else 1)
    login = user("dumper", DUMP_RIGHTS)
    result = run_module("redis_export", {**login, "path": str(path), "format": "dump", "force": True})
    assert result["exported"] == len(wanted)
    refused("redis_export", {**login, "path": str(tmp_path / "no")}, "NOPERM")
    assert not (tmp_path / "no").exists()


def test_keys_that_may_not_be_read(any_build: Build, make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server(any_build)
    server.client().mset({"user:1": "x", "secret": "y"})
    words = ["reset", "on", ">pw", "~user:*", "+@all"]
    server.client().execute_command("ACL", "SETUSER", "some", *words)
    login = {**server.connection, "login_user": "some", "login_password": "pw"}
    refused("redis_export", {**login, "path": str(tmp_path / "keys")}, "NOPERM")
    found = run_module("redis_export", {**login, "path": str(tmp_path / "keys"), "patterns": ["user:*"]})
    assert found["exported"] == 1


def test_renamed_commands(build: Build, make_server: MakeServer, tmp_path: Path) -> None:
    names = {"scan": "sc%n", "type": "typ", "dump": "d", "get": "g", "memory": "mem", "select": "sel", "info": "inf"}
    names["pexpiretime" if build.version >= (7,) else "pttl"] = "expires"
    conf = {"rename-command": [f"{old} {new}" for old, new in names.items()]}
    server = make_server(build, conf=conf, start=False)
    server.start(wait=False)
    with server.client() as client:
        _wait_for_ping(client)
        client.mset({f"user:{n}": n for n in range(500)})
        client.rpush("list", "a")
    mapped = {**server.connection, "command_map": names}
    for form in ("jsonl", "dump"):
        found = run_module("redis_export", {**mapped, "path": str(tmp_path / form), "format": form})
        assert found["exported"] == 501
    refused("redis_export", {**server.connection, "path": str(tmp_path / "no")}, "command_map")


def _wait_for_ping(client: redis.Redis) -> None:
    def there() -> bool:
        try:
            return bool(client.ping())
        except (redis.ConnectionError, redis.BusyLoadingError):
            return False

    wait_for(there, "the server to answer")


def test_tls_and_unix_sockets(any_build: Build, make_server: MakeServer, server_root: Path, tmp_path: Path) -> None:
    words = "req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    key, certificate = server_root / "key.pem", server_root / "cert.pem"
    subprocess.run(
        ["openssl", *words.split(), "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True
    )
    port = free_port()
    socket = server_root / "socket"
    conf = {
        "tls-port": str(port),
        "tls-cert-file": str(certificate),
        "tls-key-file": str(key),
        "tls-ca-cert-file": str(certificate),
        "tls-auth-clients": "no",
        "unixsocket": str(socket),
    }
    try:
        server = make_server(any_build, conf=conf)
    except ServerFailed:
        pytest.skip("this build knows no TLS")
    load_multiframe(server.client(), users=5000, drivers=10)
    server.client().set("large", random.randbytes(20_000_000))
    wanted = snapshot_values(server.client(), portable=True)
    path = tmp_path / "keys"
    encrypted = {"login_port": port, "tls": True, "ca_certs": str(certificate)}
    for params in (encrypted, {"login_unix_socket": str(socket)}):
        run_module("redis_export", {**params, "path": str(path), "force": True})
        assert differences(wanted, values_of(lines_of(path)), expiry_ms=0) == []
    # Both directions full at once.
    with Wire(Login(port=port, tls=True, ca_certs=str(certificate))) as wire:
        value = b"x" * 100_000
        replies = wire.exchange(b"".join(wire.packed("ECHO", value) for _each in range(300)), 300)
        assert replies == [value] * 300
    refused("redis_export", {"login_port": port, "tls": True, "path": str(tmp_path / "no")}, "certificate")
