# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis_aof cuts an AOF at a second: what a server then loads is what a model of that second holds."""

from __future__ import annotations

import copy
import dataclasses
import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis

from support.aofs import FOLDER, MANIFEST, chain, listed, rewrite, verdict
from support.dataset import AWKWARD, FUNCTION, raw, send
from support.modules import ModuleFailed, run_module, start_module
from support.servers import Build, BuildMissing, RedisProcess, build_named
from support.waiting import wait_for_aof

LUA = "redis.call('SET',KEYS[1],ARGV[1]) redis.call('INCR',KEYS[2]) return redis.call('TIME')"
STAMPED = ["redis-7.0", "valkey-9.1", pytest.param("redis-8.2", marks=pytest.mark.long)]
ONE = ["redis-7.0", *(pytest.param(name, marks=pytest.mark.long) for name in ("redis-8.2", "valkey-9.1"))]
Values = dict[tuple[int, bytes], tuple[str, Any, "int | None"]]


@dataclass
class Model:
    """What the data is, by hand: no code of the collection, none of the server's files."""

    values: Values = field(default_factory=dict)
    functions: set[str] = field(default_factory=set)

    def set(self, db: int, key: bytes, value: bytes, at: int | None = None) -> None:
        self.values[db, key] = ("string", value, at)

    def increment(self, db: int, key: bytes) -> None:
        found = self.values.get((db, key), ("string", b"0", None))
        self.values[db, key] = ("string", b"%d" % (int(found[1]) + 1), found[2])


Step = tuple[Callable[[redis.Redis], Any], Callable[[Model], None]]


def steps(chance: random.Random) -> Iterator[Step]:
    """Writes of every kind, each with what it does to the model."""
    number = 0
    while True:
        number += 1
        awkward = AWKWARD[:40] + b"%d" % (number % 7)
        key = chance.choice([b"k%d" % (number % 50), awkward, b"#TS:1\r\n%d" % (number % 5)])
        value = chance.choice(
            [
                chance.randbytes(chance.randrange(400)),
                AWKWARD,
                b"x\r\n#TS:1\r\n#TS:9999999999\r\n*1\r\n$5\r\nMULTI\r\n",
                b"",
                b"#TS:1795000000\r\n" * 50,
            ]
        )
        yield chance.choice([_set, _in_other, _transaction, _script, _expiring, _deleted])(key, value, number)


def _set(key: bytes, value: bytes, _number: int) -> Step:
    return lambda c: send(c, [("SET", key, value)]), lambda m: m.set(0, key, value)


def _in_other(key: bytes, value: bytes, number: int) -> Step:
    db = 1 + number % 3

    def write(client: redis.Redis) -> None:
        with raw(client, db) as other:
            send(other, [("SET", key, value)])

    return write, lambda m: m.set(db, key, value)


def _transaction(key: bytes, value: bytes, number: int) -> Step:
    def write(client: redis.Redis) -> None:
        with client.pipeline(transaction=True) as transaction:
            transaction.execute_command("SET", key, value)
            transaction.execute_command("INCR", "transactions")
            transaction.execute_command("SET", b"last", b"%d" % number)
            transaction.execute()

    def model(model: Model) -> None:
        model.set(0, key, value)
        model.increment(0, b"transactions")
        model.set(0, b"last", b"%d" % number)

    return write, model


def _script(key: bytes, value: bytes, _number: int) -> Step:
    def model(model: Model) -> None:
        model.set(0, b"lua:" + key, value)
        model.increment(0, b"scripts")

    return lambda c: send(c, [("EVAL", LUA, 2, b"lua:" + key, "scripts", value)]), model


def _expiring(key: bytes, value: bytes, number: int) -> Step:
    at = 4_000_000_000_000 + number
    return (
        lambda c: send(c, [("SET", b"ttl:" + key, value), ("PEXPIREAT", b"ttl:" + key, at)]),
        lambda m: m.set(0, b"ttl:" + key, value, at),
    )


def _deleted(key: bytes, _value: bytes, _number: int) -> Step:
    return lambda c: send(c, [("DEL", key)]), lambda m: m.values.pop((0, key), None) and None


@dataclass
class Recorded:
    """A chain of AOF files, and what the data was at the end of each second that can be told for sure."""

    build: Build
    data_dir: Path
    conf: Path
    base_second: int
    sure: dict[int, Model]
    last: int


def record(server: RedisProcess, seconds: float, seed: int, rewrites: int) -> Recorded:
    """Write for so many seconds, rewriting in between; a model is kept for each second that no write straddles."""
    client = raw(server.client())
    chance, model = random.Random(seed), Model()
    writes = steps(chance)
    send(client, [("FUNCTION", "LOAD", FUNCTION)])
    model.functions.add("multiframe")
    rewrite(server.client())  # the base holds data
    client.execute_command("CONFIG", "SET", "aof-disable-auto-gc", "yes")
    base = int(client.execute_command("TIME")[0])
    sure: dict[int, Model] = {}
    unsure: set[int] = set()
    begun, rewritten, now = time.monotonic(), 0, base
    while time.monotonic() - begun < seconds:
        write, effect = next(writes)
        before, micros = map(int, client.execute_command("TIME"))
        if before % 2 and micros > 900_000:
            continue  # not every second shall end in the middle of a write
        if before > now:
            sure.update({second: copy.deepcopy(model) for second in range(now, before)})
        write(client)
        effect(model)
        now = int(client.execute_command("TIME")[0])
        if now != before:  # in which of the two seconds it was executed, nobody told
            unsure.update(range(before, now))
        if rewritten < rewrites and time.monotonic() - begun > seconds * (rewritten + 1) / (rewrites + 1):
            rewrite(server.client())
            rewritten += 1
            now = int(client.execute_command("TIME")[0])
            sure.update({second: copy.deepcopy(model) for second in range(before, now)})
    sure[now] = copy.deepcopy(model)
    wait_for_aof(server.client())
    server.stop()
    chain(server.data_dir)
    for second in unsure:
        sure.pop(second, None)
    return Recorded(server.build, server.data_dir, server.conf_path, base, sure, now)


@pytest.fixture(params=STAMPED)
def stamped(request: pytest.FixtureRequest) -> Build:
    """Each version that writes timestamps."""
    try:
        return build_named(request.param)
    except BuildMissing as error:
        pytest.skip(str(error))


CONF = {"appendonly": "yes", "aof-timestamp-enabled": "yes"}


def truncated(build: Build, path: Path, second: int | str, **options: Any) -> dict[str, Any]:
    params = {"state": "truncated", "path": str(path), "to_timestamp": str(second), "executable": str(build.executable)}
    check = options.pop("check", False)
    return run_module("redis_aof", {**params, "login_port": 1, **options}, check=check)


def test_the_data_is_that_of_the_second(stamped: Build, make_server: Any, server_root: Path, long: bool) -> None:
    found = record(make_server(stamped, conf=CONF), 20.0 if long else 3.6, 7, rewrites=6 if long else 2)
    path, files = found.data_dir / FOLDER, len(listed(found.data_dir))
    assert files == (8 if long else 4)
    seconds = sorted(second for second in found.sure if second >= found.base_second)
    assert len(seconds) >= 2
    for second in seconds:
        dest = server_root / "copy" / FOLDER
        dest.parent.mkdir()
        made = truncated(stamped, found.data_dir / FOLDER, second, dest=str(dest))
        assert made["changed"] and made["aof"]["valid"]
        assert made["aof"]["last_timestamp"] is None or made["aof"]["last_timestamp"] <= second
        real = verdict(stamped, dest.parent, server_root / "real", values=True)
        assert real.starts and real.cut is None, real.log
        assert real.values == found.sure[second].values, second
        shutil.rmtree(dest.parent)
    for second in seconds[-2::-1]:  # in place, from the newest to the oldest
        foreseen = truncated(stamped, path, second, check=True)
        done = truncated(stamped, path, second)
        assert done["changed"] == foreseen["changed"] and done["lost"] == foreseen["lost"]
        assert not truncated(stamped, path, second)["changed"]
        real = verdict(stamped, found.data_dir, server_root / "real", values=True)
        assert real.starts and real.values == found.sure[second].values, second
        assert all(Path(path).exists() for path in done["originals"])


@pytest.fixture(scope="module", params=ONE)
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """A short chain; of one version, with --long of each."""
    try:
        build = build_named(request.param)
    except BuildMissing as error:
        pytest.skip(str(error))
    server = RedisProcess(build, tmp_path_factory.mktemp("chain"), conf=CONF)
    try:
        return record(server.start(), 3.2, 1, rewrites=1)
    finally:
        server.destroy()


@pytest.fixture
def short(recorded: Recorded, server_root: Path) -> Recorded:
    """A copy of it."""
    return dataclasses.replace(recorded, data_dir=Path(shutil.copytree(recorded.data_dir, server_root / "chain")))


def early(found: Recorded) -> int:
    """A second behind which something is cut."""
    second = min(second for second in found.sure if second >= found.base_second)
    assert second < found.last
    return second


def unchanged(data_dir: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in data_dir.rglob("*") if path.is_file()}


def test_what_cannot_be_had_is_refused(short: Recorded, server_root: Path) -> None:
    before, path = unchanged(short.data_dir), short.data_dir / FOLDER
    with pytest.raises(ModuleFailed, match=r"its base was made at .*It covers 20"):
        truncated(short.build, path, short.base_second - 5)
    with pytest.raises(ModuleFailed, match="no time with a zone"):
        truncated(short.build, path, "2026-11-22 23:51:41")
    assert not truncated(short.build, path, short.last + 10**6)["changed"]
    (server_root / "full").mkdir()
    (server_root / "full" / "x").write_text("x")
    with pytest.raises(ModuleFailed, match="holds something else"):
        truncated(short.build, path, short.last, dest=str(server_root / "full"))
    assert unchanged(short.data_dir) == before


def test_a_new_directory_is_made_while_the_server_runs(short: Recorded, make_server: Any, server_root: Path) -> None:
    server = make_server(short.build, conf=CONF, start=False)
    shutil.rmtree(server.data_dir)
    shutil.copytree(short.data_dir, server.data_dir)
    server.start()
    second = early(short)
    params = {**server.connection, "state": "truncated", "to_timestamp": str(second), "dest": str(server_root / "dest")}
    foreseen = run_module("redis_aof", params, check=True)
    assert foreseen["changed"] and not (server_root / "dest").exists()
    assert run_module("redis_aof", params)["changed"]
    assert not run_module("redis_aof", params)["changed"]
    with pytest.raises(ModuleFailed, match="not stopped"):
        run_module("redis_aof", {**params, "dest": None, "stop_timeout": 0})


def test_without_timestamps_no_second_is_found(layout: Build, make_server: Any) -> None:
    server = make_server(layout, conf={"appendonly": "yes"})
    server.client().set("a", "b")
    now = int(server.client().time()[0])
    server.stop()
    path = server.data_dir / FOLDER if (server.data_dir / FOLDER).exists() else server.data_dir / "appendonly.aof"
    with pytest.raises(ModuleFailed, match="no timestamps"):
        truncated(layout, path, now + 1)


def test_a_clock_that_went_backwards_is_told(short: Recorded) -> None:
    path = listed(short.data_dir)[-1]
    second = early(short)
    path.write_bytes(path.read_bytes() + b"#TS:%d\r\n*3\r\n$3\r\nSET\r\n$1\r\nz\r\n$1\r\n1\r\n" % second)
    before = unchanged(short.data_dir)
    with pytest.raises(ModuleFailed, match="went backwards"):
        truncated(short.build, short.data_dir / FOLDER, second)
    assert unchanged(short.data_dir) == before


def test_damage_behind_the_second_is_cut_away_and_before_it_refused(short: Recorded, server_root: Path) -> None:
    second = early(short)
    files = listed(short.data_dir)
    healthy = files[-1].read_bytes()
    files[-1].write_bytes(healthy + b"\0" * 100)
    assert truncated(short.build, short.data_dir / FOLDER, second, dest=str(server_root / "dest"))["aof"]["valid"]
    with pytest.raises(ModuleFailed, match="is damaged"):
        truncated(short.build, short.data_dir / FOLDER, short.last + 1)
    assert (short.data_dir / FOLDER / MANIFEST).exists()


def test_killed_at_any_moment_it_loads_no_hole_and_goes_on(short: Recorded, server_root: Path, long: bool) -> None:
    """After each kill the server refuses the set, or holds what was there or what was wanted; the next run ends it."""
    second, path = early(short), short.data_dir / FOLDER
    whole = verdict(short.build, short.data_dir, server_root / "real", values=True)
    params = {"state": "truncated", "path": str(path), "to_timestamp": str(second), "login_port": 1}
    params["executable"] = str(short.build.executable)
    chance = random.Random(3)
    for number in range(25 if long else 4):
        data_dir = Path(shutil.copytree(short.data_dir, server_root / f"killed{number}"))
        params["path"] = str(data_dir / FOLDER)
        process = start_module("redis_aof", params)
        time.sleep(chance.uniform(0.2, 0.6))  # some moment: none of them may matter
        process.kill()
        process.communicate()
        real = verdict(short.build, data_dir, server_root / "real", values=True)
        if real.starts:
            assert real.cut is None and real.values in (whole.values, short.sure[second].values)
        run_module("redis_aof", params)
        real = verdict(short.build, data_dir, server_root / "real", values=True)
        assert real.starts and real.values == short.sure[second].values
        assert not list((data_dir / FOLDER).glob(".*"))
        shutil.rmtree(data_dir)
