# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recovery to a second on real servers, held against a model that recorded each write with its second."""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.sparse import survey_archive
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore.point_cut import Decision
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore.point_fetch import Target, lay_chain
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore.point_plan import Point, chains_for

from support.aofs import rewrite
from support.archives import INSTANCE, Archived, with_aof
from support.dataset import raw, server_version
from support.machine import AgeKey, make_age_key
from support.modules import ModuleFailed, run_module, start_module
from support.restores import data_tree
from support.servers import Build, BuildMissing, RedisProcess, build_named
from support.sites import Site
from support.values import differences, snapshot_values
from support.waiting import wait_for, wait_for_aof
from support.written import History, replay

from .conftest import MakeServer


def need(name: str) -> Build:
    try:
        return build_named(name)
    except BuildMissing as error:
        pytest.skip(str(error))


def without_stamps(build: Build) -> dict[str, str]:
    return {"aof-timestamp-enabled": "no"} if build.version >= (7,) else {}


def archived_server(make_server: MakeServer, build: Build, place: Path, **conf: str) -> Archived:
    return Archived(make_server(build, conf={**with_aof(build), **conf}), place)


def target_of(make_server: MakeServer, build: Build) -> RedisProcess:
    return make_server(build, conf=with_aof(build))


def restore(archived: Archived, target: RedisProcess, state: str = "staged", **params: Any) -> dict[str, Any]:
    wanted = {
        **target.connection,
        "instance": INSTANCE,
        "state": state,
        "config_file": str(target.conf_path),
        "state_dir": str(archived.place / "other"),
    }
    if state == "staged":
        wanted["repository"] = {"name": "test", "path": str(archived.repository)}
    return run_module("redis_restore", {**wanted, **params})


def activate(archived: Archived, target: RedisProcess, **params: Any) -> dict[str, Any]:
    """Stage, stop, swap, start: what the role does."""
    done = restore(archived, target, **params)["restore"]
    target.stop()
    restore(archived, target, "active")
    target.start()
    return dict(done)


def assert_values(target: RedisProcess, wanted: Mapping[Any, Any]) -> None:
    with target.client() as client:
        assert not differences(snapshot_values(client), wanted)


def test_flushall_by_mistake(build: Build, make_server: MakeServer, tmp_path: Path) -> None:
    """Everything comes back up to the write before it, whatever was written behind."""
    archived = archived_server(make_server, build, tmp_path)
    with archived.server.client() as client:
        for number in range(200):
            client.set(f"key:{number}", b"\r\n#TS:1\r\n*1\r\n$8\r\nFLUSHALL\r\n" + bytes(range(256)))
        archived.all()
        client.rpush("list", "a", "b")
        client.expire("list", 3600)
        wanted = snapshot_values(client)
        client.flushall()
        client.set("later", "1")
        wait_for_aof(client)
    archived.all()
    target = target_of(make_server, build)
    with target.client() as client:
        client.set("old", "data")
    done = activate(archived, target, before_command="flushall")
    assert done["source"]["kind"] == "archive" and done["rpo_seconds"] == 0 and done["precision_seconds"] == 0
    assert done["keys"] == 201
    assert_values(target, wanted)


def histories_of(several: Sequence[Archived], seed: int, seconds: int) -> list[History]:
    """Writes and rewrites that go on for so many seconds on each server at once, archived meanwhile."""
    stop = threading.Event()
    histories = [History(archived.server.client(), seed) for archived in several]
    writers = [threading.Thread(target=history.run, args=(stop,)) for history in histories]
    for writer in writers:
        writer.start()
    end = time.time() + seconds
    while time.time() < end:
        for archived in several:
            archived.all()
        stop.wait(0.2)
    stop.set()
    for writer in writers:
        writer.join()
    assert not [history.error for history in histories if history.error]
    for archived in several:
        with archived.server.client() as client:
            wait_for_aof(client)
            reached = client.time()[0] + 3
    wait_for(lambda: time.time() >= reached, "the archive to reach beyond the last write")
    for archived in several:
        archived.all()
    return histories


def lay(archived: Archived, point: Point, root: Path) -> tuple[Decision, dict[str, Any]]:
    """What the library makes of the archive, below `root`."""
    found = survey_archive(archived.store, INSTANCE, [])
    assert found is not None
    chain = chains_for(found.coverage, point)[0]
    build = archived.server.build
    target = Target(str(root), ("appendonlydir", "appendonly.aof"), str(build.executable), build.version, "the target")
    decision, _paths = lay_chain(found, chain, chain.epochs, point, target)
    return decision, {"epochs": len(chain.epochs)}


def settle(*clients: redis.Redis) -> None:
    """Wait until what lives for moments only is gone."""
    for client in clients:

        def gone(client: redis.Redis = client) -> bool:
            return not any(key.startswith(b"short:") for _number, key in snapshot_values(client))

        wait_for(gone, "short-lived keys to be gone")


def everything(client: redis.Redis) -> tuple[Any, Any]:
    functions = client.execute_command("FUNCTION", "LIST") if server_version(client) >= (7,) else []
    return snapshot_values(client), sorted(map(repr, functions))


def test_every_second_is_what_the_model_says(make_server: MakeServer, tmp_path: Path, long: bool) -> None:
    """Each second of a history of awkward writes and rewrites, against one that is rebuilt from the model."""
    builds = [need(name) for name in ("redis-7.0", "redis-8.2", "valkey-9.1")]
    several = [archived_server(make_server, build, tmp_path / build.name) for build in builds]
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    histories = histories_of(several, seed, 180 if long else 6)
    checked = spans = 0
    for archived, history in zip(several, histories, strict=True):
        reference = target_of(make_server, archived.server.build).client()
        done = 0
        for second in history.seconds():
            due = [batch for batch in history.batches if batch.after < second + 1]
            replay(reference, due[done:])
            done = len(due)
            spans += assert_second(make_server, archived, second, reference) > 1
            checked += 1
    assert spans, "no second lay across a rewrite"
    assert checked >= (450 if long else 9)


def assert_second(make_server: MakeServer, archived: Archived, second: int, reference: redis.Redis) -> int:
    """What is recovered is what the reference holds, exactly; from how many epochs."""
    build = archived.server.build
    target = make_server(build, conf={**with_aof(build), "aof-load-truncated": "no"}, start=False)
    decision, told = lay(archived, Point(second), target.data_dir)
    assert decision.precision == 0 and decision.recovered_to == second and decision.by == "timestamps", decision
    target.start()
    with target.client() as client:
        settle(client, reference)
        found, wanted = everything(client), everything(reference)
        assert not differences(found[0], wanted[0]), f"second {second}"
        assert found[1] == wanted[1]
    target.destroy()
    return int(told["epochs"])


def test_within_the_stated_precision_without_timestamps(layout: Build, make_server: MakeServer, tmp_path: Path) -> None:
    """A prefix of what was written, nothing too late, and all up to the second that is told."""
    archived = archived_server(make_server, layout, tmp_path, **without_stamps(layout))
    for history in histories_of([archived], 7, 4):
        for second in history.seconds()[1:]:
            target = make_server(layout, conf=with_aof(layout), start=False)
            decision, _told = lay(archived, Point(second), target.data_dir)
            assert decision.precision >= 0 and decision.by == "clocks", decision
            target.start()
            with target.client() as client:
                numbers = [int(raw(client, n).get("batch") or 0) for n in range(3)]
                last = max(numbers)
                reference = make_server(layout)
                with reference.client() as other:
                    replay(other, history.batches[:last])
                    settle(client, other)
                    assert not differences(snapshot_values(client), snapshot_values(other))
            assert not last or history.batches[last - 1].before < second + 1, "nothing later"
            assert last == len(history.batches) or history.batches[last].after >= decision.recovered_to, "all before"
            target.destroy()
            reference.destroy()


def test_increments_that_stayed_empty_end_no_chain(any_build: Build, make_server: MakeServer, tmp_path: Path) -> None:
    """Rewrites with no write between them: what came later is recovered out of each base, also the oldest."""
    archived = archived_server(make_server, any_build, tmp_path)
    seconds_apart(archived, 1, beyond=False)
    with archived.server.client() as client:
        for _rewrite in range(3):
            rewrite(client)
            archived.all()
    second, wanted = seconds_apart(archived, 1)[0]
    found = survey_archive(archived.store, INSTANCE, [])
    assert found is not None
    chains = chains_for(found.coverage, Point(second))
    assert len(chains) > 2
    for number, chain in enumerate(chains):
        target = make_server(any_build, conf=with_aof(any_build), start=False)
        names = ("appendonlydir", "appendonly.aof")
        place = Target(str(target.data_dir), names, str(any_build.executable), any_build.version, "the target")
        lay_chain(found, chain, chain.epochs, Point(second), place)
        target.start()
        with target.client() as client:
            assert not differences(snapshot_values(client), wanted), f"chain {number}"
        target.destroy()


# --- whole restores, and what is refused ---


def refused(archived: Archived, target: RedisProcess, words: str, **params: Any) -> dict[str, Any]:
    """A refusal that leaves the target as it was."""
    before = data_tree(target)
    with pytest.raises(ModuleFailed, match=words) as failed:
        restore(archived, target, **params)
    assert data_tree(target) == before
    with target.client() as client:
        assert client.ping()
    return failed.value.result


def seconds_apart(archived: Archived, rounds: int, *, beyond: bool = True) -> list[tuple[int, Any]]:
    """Write in so many seconds, each a pass; each second, and the state at its end."""
    found = []
    with archived.server.client() as client:
        client.set("begun", "1")
        wait_for_aof(client)
        archived.all()
        for number in range(rounds):
            client.set("round", number)
            client.rpush("rounds", f"{number}\r\n#TS:1\r\n")
            wait_for_aof(client)
            wanted = snapshot_values(client)
            second = int(client.time()[0])
            wait_for(lambda: client.time()[0] > second, "the next second")  # noqa: B023
            archived.all()
            found.append((second, wanted))
        if beyond:
            last = found[-1][0]
            wait_for(lambda: client.time()[0] > last + 2, "time to pass")
            client.set("beyond", "1")
            wait_for_aof(client)
    archived.all()
    return found


def iso(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))


def test_a_whole_restore_to_a_second(layout: Build, make_server: MakeServer, tmp_path: Path, age_key: AgeKey) -> None:
    """From an encrypted archive, across a rewrite; asked for again it changes nothing; another moment does."""
    archived = archived_server(make_server, layout, tmp_path)
    archived.key = age_key
    early = seconds_apart(archived, 2, beyond=False)
    with archived.server.client() as client:
        rewrite(client)
    late = seconds_apart(archived, 2)
    target = target_of(make_server, layout)
    keys = {"identities": [str(age_key.identity)]}
    for second, wanted in (early[0], late[0]):
        done = activate(archived, target, at=iso(second), **keys)
        assert done["target_time"] == iso(second) and done["rpo_seconds"] <= done["precision_seconds"] + 1
        if layout.version >= (7,):
            assert done["recovered_to"] == iso(second) and done["precision_seconds"] == 0
            assert_values(target, wanted)
        restore(archived, target, "committed")
    again = restore(archived, target, at=iso(late[0][0]), **keys)
    assert not again["changed"] and "restored before" in again["actions"][-1]
    newest = activate(archived, target, at="latest", **keys)
    assert newest["source"]["by"] == "end"
    with archived.server.client() as client:
        assert_values(target, snapshot_values(client))
    with pytest.raises(ModuleFailed, match="is encrypted and no identity is given"):
        restore(archived, target, at=iso(early[1][0]), force=True)


def test_what_is_not_covered(any_build: Build, make_server: MakeServer, tmp_path: Path) -> None:
    """Before, behind, in a gap, too far back: refused with the nearest times and all ranges."""
    archived = archived_server(make_server, any_build, tmp_path)
    early = seconds_apart(archived, 1, beyond=False)
    target = target_of(make_server, any_build)
    second = early[0][0]
    told = refused(archived, target, "nearest covered time is", at=iso(second - 3600))
    assert iso(second) in told["msg"] or "covered are" in told["msg"]
    refused(archived, target, "at: latest", at=iso(second + 3600))
    refused(archived, target, "no time with a zone", at="yesterday")
    refused(archived, target, "exclude each other", at="latest", label="20260101T000000Z_rdb")
    refused(archived, target, "holds no FLUSHALL", before_command="FLUSHALL")
    refused(archived, target, "no name of a command", before_command="*")
    archived.server.stop()
    shutil.rmtree(archived.server.data_dir / "appendonlydir")
    broken = time.time()
    wait_for(lambda: time.time() > broken + 3, "a gap that holds whole seconds")
    archived.server.start()
    seconds_apart(archived, 1, beyond=False)
    gap = archived.coverage().gaps[0]
    print(gap, archived.coverage().ranges)
    told = refused(archived, target, "lies in a gap of the archive", at=iso(int(gap["from"]) + 1))
    assert told["msg"].count(" to ") >= 2


def test_a_damaged_object(any_build: Build, make_server: MakeServer, tmp_path: Path) -> None:
    """What needs it is refused, what does not is given; a base that is damaged is gone around."""
    archived = archived_server(make_server, any_build, tmp_path)
    early = seconds_apart(archived, 2, beyond=False)
    with archived.server.client() as client:
        for number in range(1000):  # what makes the way from the older base the longer one
            client.set("much", f"{number}" * 20)
        rewrite(client)
    late = seconds_apart(archived, 2)
    objects = sorted((archived.repository / INSTANCE / "archive").glob("*/*/*.zst"))
    bases = [path for path in objects if ".base." in path.parent.name]
    bases[-1].write_bytes(bases[-1].read_bytes()[:-7] + b"damaged")
    target = target_of(make_server, any_build)
    done = restore(archived, target, at=iso(late[0][0]))
    assert any("passed over" in action for action in done["actions"])
    assert len(done["restore"]["source"]["epochs"]) == 2
    restore(archived, target, "rolled_back")
    newest = max(path.parent for path in objects if ".incr." in path.parent.name)
    first = min(newest.iterdir())
    first.write_bytes(first.read_bytes()[:-7] + b"damaged")
    told = refused(archived, target, "damaged", at=iso(late[0][0]))
    assert "covered" in told["msg"]
    assert early


def test_an_object_is_missing(any_build: Build, make_server: MakeServer, tmp_path: Path) -> None:
    """What lies behind the hole is refused, what lies before it is given."""
    archived = archived_server(make_server, any_build, tmp_path)
    found = seconds_apart(archived, 5, beyond=False)
    objects = sorted((archived.repository / INSTANCE / "archive").glob("*/*.incr.aof/*.zst"))
    assert len(objects) >= 5
    objects[-3].unlink()
    target = target_of(make_server, any_build)
    told = refused(archived, target, "has a gap behind|cannot give", at=iso(found[-2][0]))
    assert "overed" in told["msg"]
    done = activate(archived, target, at=iso(found[0][0]))
    assert done["precision_seconds"] == 0
    assert_values(target, found[0][1])


def test_no_archive_gives_the_backup_before(any_build: Build, make_server: MakeServer, tmp_path: Path) -> None:
    """A time means the newest backup before it, and the result tells how much older that is; a command needs more."""
    archived = archived_server(make_server, any_build, tmp_path)
    with archived.server.client() as client:
        client.set("a", "1")
        place = {"name": "test", "path": str(archived.repository), "create": True}
        common = {"instance": INSTANCE, "repositories": [place], "state_dir": str(archived.state_dir)}
        run_module("redis_backup", {**archived.server.connection, **common})
    target = target_of(make_server, any_build)
    later = int(time.time()) + 100
    done = restore(archived, target, at=iso(later))["restore"]
    assert done["rpo_seconds"] >= 99 and done["source"]["kind"] == "backup" and done["label"].endswith("_rdb")
    refused(archived, target, "no archive and no backup of the AOF", before_command="FLUSHALL")


def test_a_backup_of_the_aof_is_cut(any_build: Build, make_server: MakeServer, tmp_path: Path) -> None:
    """Without an archive, an AOF backup whose timestamps reach past the second gives it exactly."""
    archived = archived_server(make_server, any_build, tmp_path)
    found = []
    with archived.server.client() as client:
        for number in range(3):
            client.set("round", number)
            second = int(client.time()[0])
            wanted = snapshot_values(client)
            wait_for(lambda: client.time()[0] > second, "the next second")  # noqa: B023
            found.append((second, wanted))
        client.flushall()
        client.set("later", "1")
        wait_for_aof(client)
        place = {"name": "test", "path": str(archived.repository), "create": True}
        common = {"instance": INSTANCE, "repositories": [place], "state_dir": str(archived.state_dir)}
        run_module("redis_backup", {**archived.server.connection, **common, "engine": "aof"})
    target = target_of(make_server, any_build)
    done = activate(archived, target, at=iso(found[1][0]))
    assert done["source"]["kind"] == "backup" and done["precision_seconds"] == 0 and done["rpo_seconds"] == 0
    assert_values(target, found[1][1])
    restore(archived, target, "committed")
    activate(archived, target, before_command="FLUSHALL")
    assert_values(target, found[2][1])


def test_the_command_lies_before_the_newest_base(any_build: Build, make_server: MakeServer, tmp_path: Path) -> None:
    """Rewrites came after the mistake: it is looked for back through the archive. A pattern of its key, in MULTI."""
    archived = archived_server(make_server, any_build, tmp_path)
    with archived.server.client() as client:
        client.set("user:1", b"\0\xff")
        client.set("other", "1")
        wanted = snapshot_values(client)
        pipe = client.pipeline(transaction=True)
        pipe.set("in", "the transaction")
        pipe.delete("user:1")
        pipe.execute()
        client.delete("other")
        wait_for_aof(client)
        archived.all()
        for _number in range(2):
            rewrite(client)
            archived.all()
            client.set("later", "1")
        wait_for_aof(client)
    archived.all()
    target = target_of(make_server, any_build)
    done = activate(archived, target, before_command="del user:*")
    assert len(done["source"]["epochs"]) == 1
    assert_values(target, wanted)


def test_a_target_that_starts_from_its_dump(any_build: Build, make_server: MakeServer, tmp_path: Path) -> None:
    """It gets an RDB that a throw-away server made of what was recovered."""
    archived = archived_server(make_server, any_build, tmp_path)
    second, wanted = seconds_apart(archived, 1)[0]
    target = make_server(any_build)
    done = activate(archived, target, at=iso(second))
    assert done["loaded_keys"] == len(wanted)
    assert_values(target, wanted)


def test_a_base_newer_than_the_target(make_server: MakeServer, tmp_path: Path) -> None:
    archived = archived_server(make_server, need("redis-8.2"), tmp_path)
    archived.options["server"] = {"flavour": "redis", "version": "8.2.3"}
    seconds_apart(archived, 1, beyond=False)
    refused(archived, target_of(make_server, need("redis-7.0")), "cannot load what was archived", at="latest")


def test_too_little_room(
    any_build: Build, make_server: MakeServer, tmp_path: Path, small_tmpfs: Callable[[str], Path]
) -> None:
    archived = archived_server(make_server, any_build, tmp_path)
    seconds_apart(archived, 1, beyond=False)
    target = make_server(any_build, conf={**with_aof(any_build), "dir": str(small_tmpfs("4M"))})
    refused(archived, target, "staging needs", at="latest")


def test_killed_while_it_stages(any_build: Build, make_server: MakeServer, tmp_path: Path) -> None:
    """SIGKILL at any moment of staging, and again: the target serves on, and the next run gives the moment."""
    archived = archived_server(make_server, any_build, tmp_path)
    second, wanted = seconds_apart(archived, 1)[0]
    target = target_of(make_server, any_build)
    params = {
        **target.connection,
        "instance": INSTANCE,
        "state": "staged",
        "config_file": str(target.conf_path),
        "state_dir": str(archived.place / "other"),
        "repository": {"name": "test", "path": str(archived.repository)},
        "at": iso(second),
    }
    for _number in range(3):
        process = start_module("redis_restore", params)
        workspace = target.data_dir / ".redis_backup"
        wait_for(
            lambda: process.poll() is not None or any(workspace.glob("*/staged/*")),  # noqa: B023
            "staging to begin",
            interval=0.001,
        )
        process.kill()
        process.wait()
    activate(archived, target, at=iso(second))
    assert_values(target, wanted)
    assert len(list((target.data_dir / ".redis_backup").glob("*/journal.json"))) == 1


def test_a_disaster_recovery_before_a_command(any_build: Build, make_server: MakeServer, tmp_path: Path) -> None:
    """The role and its report: a flushed server gets back what was there, and the RPO is that of the moment."""
    archived = archived_server(make_server, any_build, tmp_path)
    key = make_age_key(tmp_path / "key")
    site = Site(archived.server, tmp_path, key, name=INSTANCE)
    with archived.server.client() as client:
        client.set("a", "1")
        site.play("backup").ok()
        client.set("b", b"\0\r\n")
        wanted = snapshot_values(client)
        client.flushall()
        wait_for_aof(client)
    place = {"state_dir": str(tmp_path / f"state-{INSTANCE}"), "encryption": {"recipients": [key.recipient]}}
    params = {**archived.params, **place}
    more = True
    while more:
        more = run_module("redis_aof_archive", params)["more"]
    site.play(
        "disaster_recovery",
        {"redis_disaster_recovery_before_command": "FLUSHALL", "redis_disaster_recovery_confirm": INSTANCE},
    ).ok()
    assert_values(archived.server, wanted)
    report = site.report()
    assert report["backup"]["label"].endswith("_point") and report["source"]["kind"] == "archive"
    assert report["backup"]["keys"] == 2 and report["rpo_seconds"] is not None


def test_the_catalog_tells_what_is_archived(any_build: Build, make_server: MakeServer, tmp_path: Path) -> None:
    archived = archived_server(make_server, any_build, tmp_path)
    second, _values = seconds_apart(archived, 1, beyond=False)[0]
    params = {"instance": INSTANCE, "repositories": [{"name": "test", "path": str(archived.repository)}]}
    for at, wanted in ((iso(second), True), (iso(second - 3600), False), (None, None)):
        told = run_module("redis_backup_info", {**params, **({"at": at} if at else {})})
        assert told["archive"]["covers_at"] is wanted
