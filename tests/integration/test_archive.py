# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes of the archive beside servers that write and rewrite: every byte once, gaps told, and data that comes back."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RedisBackupError, RepositoryError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._times import from_iso

from support.archives import INSTANCE, Archived, told_gaps, with_aof
from support.machine import AgeKey
from support.modules import ModuleFailed, run_module
from support.servers import Build, RedisProcess
from support.waiting import wait_for, wait_for_aof

MakeServer = Callable[..., RedisProcess]


@pytest.fixture
def archived(layout: Build, make_server: MakeServer, tmp_path: Path) -> Archived:
    """A server of each layout of the AOF, with --long of each version, and nothing archived yet."""
    return Archived(make_server(layout, conf=with_aof(layout)), tmp_path)


@pytest.fixture
def each(build: Build, make_server: MakeServer, tmp_path: Path) -> Archived:
    """A server of each version."""
    return Archived(make_server(build, conf=with_aof(build)), tmp_path)


@pytest.fixture
def multi(any_build: Build, make_server: MakeServer, tmp_path: Path) -> Archived:
    """One version with an AOF of several files."""
    return Archived(make_server(any_build, conf=with_aof(any_build)), tmp_path)


def write(client: redis.Redis, count: int, name: str = "key", size: int = 40) -> None:
    pipe = client.pipeline(transaction=False)
    for number in range(count):
        pipe.set(f"{name}:{number}", f"{number}:" + "x" * size)
    pipe.execute()
    wait_for_aof(client)


def rewrite(client: redis.Redis) -> None:
    """A rewrite from its beginning to its end."""
    client.bgrewriteaof()

    def rested() -> bool:
        info = client.info("persistence")
        return not info["aof_rewrite_in_progress"] and not info["aof_rewrite_scheduled"]

    wait_for(rested, "the rewrite to end")
    assert client.info("persistence")["aof_last_bgrewrite_status"] == "ok"


@contextmanager
def counting(server: RedisProcess) -> Iterator[list[int]]:
    """A writer that counts up as fast as it can; the list's only element is the last number that was answered."""
    last, stop = [0], threading.Event()

    def work() -> None:
        with server.client() as client:
            while not stop.is_set():
                pipe = client.pipeline(transaction=False)
                for number in range(last[0] + 1, last[0] + 51):
                    pipe.set("counter", number)
                    pipe.rpush("numbers", number)
                pipe.execute()
                last[0] += 50

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield last
    finally:
        stop.set()
        thread.join()


def assert_prefix(build: Build, directory: Path, make_server: MakeServer, least: int, most: int) -> None:
    """A server that starts from these files holds all numbers up to one between the two."""
    target = make_server(build, conf=with_aof(build), start=False)
    shutil.rmtree(target.data_dir)
    shutil.move(directory, target.data_dir)
    target.start()
    with target.client() as client:
        numbers = [int(word) for word in client.lrange("numbers", 0, -1)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert least <= len(numbers) <= most


def test_writes_and_rewrites(each: Archived, make_server: MakeServer, tmp_path: Path, long: bool) -> None:
    """Passes, writes and rewrites at once: every byte that the server wrote, once, and the data comes back."""
    archived = each
    rewrites = 12 if long else 3
    with archived.server.client() as client, counting(archived.server) as last:
        wait_for(lambda: last[0] > 100, "the first writes")
        for number in range(rewrites * 4):
            archived.one()
            if number % 4 == 1:
                rewrite(client)
    with archived.server.client() as client:
        wait_for_aof(client)
    final = archived.all()[-1]
    assert final.archive["lag_bytes"] == 0 and final.archive["lag_seconds"] == 0
    assert final.archive["gaps"] == []
    archived.assert_true()
    covered = archived.coverage()
    assert len(covered.ranges) == 1, covered.ranges
    directory = archived.recovered(tmp_path / "recovered", covered.ranges[0][1])
    assert_prefix(archived.server.build, directory, make_server, last[0], last[0])


def test_encrypted_objects_open_with_stock_tools(multi: Archived, age_key: AgeKey) -> None:
    multi.key = age_key
    with multi.server.client() as client:
        write(client, 500)
    made = multi.all()
    assert any(each.object for each in made)
    paths = list((multi.repository / INSTANCE / "archive").glob("*/*/*"))
    assert paths and all(path.name.endswith(".zst.age") for path in paths)
    multi.assert_true()
    segments = [segment for segment, _data in multi.opened()]
    assert all(segment.instance == INSTANCE and segment.uuid == multi.state()["uuid"] for segment in segments)
    ordered = sorted(segments, key=lambda segment: segment.written)
    assert ordered[0].previous == "" and all(segment.previous for segment in ordered[1:])


def test_nothing_new_stores_nothing(archived: Archived) -> None:
    with archived.server.client() as client:
        write(client, 50)
    archived.all()
    before = sorted(path for path in archived.repository.rglob("*") if path.is_file())
    again = archived.one()
    assert not again.changed and again.object is None and not again.more
    assert sorted(path for path in archived.repository.rglob("*") if path.is_file()) == before


def test_large_files_go_in_pieces(archived: Archived) -> None:
    """Objects are bounded; a base is whole with the piece that says so."""
    with archived.server.client() as client:
        write(client, 3000)
        rewrite(client)
        write(client, 1000, "more")
    made = archived.all(segment_bytes=20000)
    assert len(made) > 5
    assert all(each.object is None or each.object["size"] <= 20000 for each in made)
    archived.assert_true()
    assert len(archived.coverage().ranges) == 1


def test_a_failed_rewrite_and_a_slow_one_are_bridged(
    any_build: Build, make_server: MakeServer, tmp_path: Path
) -> None:
    """An epoch without a base is reached from the one before it."""
    conf = with_aof(any_build, **{"rdb-key-save-delay": "2000"})
    archived = Archived(make_server(any_build, conf=conf), tmp_path)
    with archived.server.client() as client:
        client.config_set("rdb-key-save-delay", 0)
        write(client, 2000)
        archived.all()
        client.config_set("rdb-key-save-delay", 2000)
        client.bgrewriteaof()
        wait_for(lambda: client.info("persistence")["aof_rewrite_in_progress"], "the rewrite to begin")
        write(client, 300, "during")
        archived.all()
        epochs = archived.coverage().epochs
        assert len(epochs) == 2 and not epochs[1].whole_base
        assert epochs[1].after is not None and epochs[1].after.proven
        children = [pid for pid in archived.server.processes() if pid != archived.server.pid]
        for pid in children:
            os.kill(pid, 9)
        wait_for(lambda: not client.info("persistence")["aof_rewrite_in_progress"], "the rewrite to fail")
        client.config_set("rdb-key-save-delay", 0)
        write(client, 300, "after")
        archived.all()
        count = client.dbsize()
        covered = archived.coverage()
    assert len(covered.ranges) == 1
    directory = archived.recovered(tmp_path / "recovered", covered.ranges[0][1])
    target = make_server(any_build, conf=with_aof(any_build), start=False)
    shutil.rmtree(target.data_dir)
    shutil.move(directory, target.data_dir)
    target.start()
    with target.client() as client:
        assert client.dbsize() == count


def test_what_a_rewrite_removed_is_shipped_from_its_link(archived: Archived) -> None:
    """Writes, then a rewrite between two passes: the rest of the old file comes from the link, and there is no gap."""
    with archived.server.client() as client:
        write(client, 100)
        archived.all()
        write(client, 100, "unseen")
        rewrite(client)
        write(client, 100, "behind")
        status = run_module("redis_aof_archive", {**archived.params, "state": "status"})["archive"]
        assert status["lag_bytes"] > 0 and status["lag_seconds"] > 0 and status["gaps"] == []
    final = archived.all()[-1]
    assert final.archive["gaps"] == []
    archived.assert_true()
    assert len(archived.coverage().ranges) == 1
    archived.one()
    assert len(archived.remains()) == 1, "only the live file is held"


def test_two_rewrites_while_nobody_looked_are_a_gap(multi: Archived) -> None:
    """An increment that nobody held is gone: told, recorded in the repository, cured by the new base."""
    with multi.server.client() as client:
        write(client, 100)
        multi.all()
        rewrite(client)
        write(client, 100, "lost")
        rewrite(client)
        write(client, 100, "found")
    final = multi.all()[-1]
    (reason,) = told_gaps(final.archive)
    assert "does not go on from" in reason
    (gap,) = final.archive["gaps"]
    assert gap["from"] and gap["to"]
    covered = multi.coverage()
    assert len(covered.ranges) == 2 and len(covered.gaps) == 1
    assert covered.gaps[0]["reason"] == reason
    start, end = covered.gaps[0]["from"], covered.gaps[0]["to"]
    assert covered.at((start + end) / 2) is None
    assert covered.at(end + 0.001) is not None


def test_the_repository_away_and_back(multi: Archived) -> None:
    """Nothing is lost, the spool holds what was removed, and status tells the truth in between."""
    multi.copying = True
    with multi.server.client() as client:
        write(client, 100)
        multi.all()
        multi.repository.rename(multi.place / "away")
        multi.options["away"] = True
        for number in range(3):
            write(client, 200, f"outage{number}")
            with pytest.raises(RepositoryError, match="does not exist"):
                multi.one()
            rewrite(client)
        with pytest.raises(RepositoryError):
            multi.one()
        status = run_module("redis_aof_archive", {**multi.params, "state": "status"})["archive"]
        assert status["spool_bytes"] > 0 and status["lag_bytes"] > 0 and status["lag_seconds"] > 0
        assert "does not exist" in status["last_error"] and status["gaps"] == []
        assert status["last_success"] <= status["last_pass"]
        (multi.place / "away").rename(multi.repository)
    final = multi.all()[-1]
    assert final.archive["gaps"] == [] and final.archive["lag_bytes"] == 0 and final.archive["last_error"] is None
    multi.assert_true()
    covered = multi.coverage()
    assert len(covered.ranges) == 1 and len(covered.epochs) == 4
    multi.one()
    assert multi.one().archive["spool_bytes"] == 0


def test_the_bound_of_the_spool_is_a_recorded_gap(archived: Archived) -> None:
    """A dead repository: beyond the bound the links are let go, and the newest base begins anew."""
    archived.copying = True
    with archived.server.client() as client:
        write(client, 100)
        archived.all()
        archived.repository.rename(archived.place / "away")
        archived.options["away"] = True
        for number in range(4):
            write(client, 1000, f"outage{number}")
            with pytest.raises(RepositoryError):
                archived.one(spool_bytes=150_000)
            rewrite(client)
        with pytest.raises(RepositoryError):
            archived.one(spool_bytes=150_000)
        status = run_module("redis_aof_archive", {**archived.params, "state": "status"})["archive"]
        assert 0 <= status["spool_bytes"] <= 150_000
        (archived.place / "away").rename(archived.repository)
        write(client, 100, "behind")
    final = archived.all(spool_bytes=150_000)[-1]
    assert any("spool reached its bound" in reason for reason in told_gaps(final.archive))
    assert final.archive["lag_bytes"] == 0 and final.archive["first_time"] is not None
    archived.assert_true()
    covered = archived.coverage()
    assert len(covered.ranges) == 2 and covered.gaps
    assert all(covered.at((gap["from"] + gap["to"]) / 2) is None for gap in covered.gaps if gap["to"] > gap["from"])


def test_a_lost_state_is_built_from_links_and_listing(archived: Archived) -> None:
    """No byte twice, none left out, the same epoch; what was removed meanwhile comes from the links."""
    with archived.server.client() as client:
        write(client, 300)
        archived.all()
        write(client, 300, "more")
        archived.all()
        epochs = {path.name for path in (archived.repository / INSTANCE / "archive").iterdir() if path.is_dir()}
        archived.forget()
        write(client, 300, "again")
        final = archived.all()[-1]
        assert final.archive["gaps"] == []
        now = {path.name for path in (archived.repository / INSTANCE / "archive").iterdir() if path.is_dir()}
        assert now == epochs
        archived.assert_true()
        write(client, 10, "unseen")
        archived.forget()
        rewrite(client)
        write(client, 10, "behind")
    assert archived.all()[-1].archive["gaps"] == []
    archived.assert_true()
    assert len(archived.coverage().ranges) == 1


def test_state_and_links_lost_is_a_gap(multi: Archived) -> None:
    with multi.server.client() as client:
        write(client, 100)
        multi.all()
        multi.forget()
        shutil.rmtree(multi.spool)
        write(client, 100, "more")
    with pytest.raises(RedisBackupError, match="another server"):
        multi.one()
    final = multi.all(adopt=True)[-1]
    assert told_gaps(final.archive) == ["the host's state and its links were lost"]
    multi.assert_true()


def test_restarts_go_on_in_the_same_epoch(archived: Archived) -> None:
    with archived.server.client() as client:
        write(client, 100)
        archived.all()
    archived.server.stop()
    archived.all()
    archived.server.start()
    with archived.server.client() as client:
        write(client, 100, "more")
    archived.server.kill()
    archived.all()
    archived.server.start()
    with archived.server.client() as client:
        write(client, 100, "again")
    final = archived.all()[-1]
    assert final.archive["gaps"] == []
    archived.assert_true()
    assert len(archived.coverage().epochs) == 1


def test_a_torn_end_that_the_server_cut_begins_anew(archived: Archived) -> None:
    """Half a command was archived, the server cut it as it started: the epoch ends, the file is archived again."""
    with archived.server.client() as client:
        write(client, 100)
    archived.server.kill()
    live = max(archived.server.data_dir.rglob("appendonly*.aof"), key=lambda path: path.stat().st_mtime)
    with live.open("ab") as stream:
        stream.write(b"*3\r\n$3\r\nSET\r\n$4\r\ntorn")
    archived.all()
    archived.server.start()
    with archived.server.client() as client:
        write(client, 200, "behind")
    torn = {path.parent.parent.name for path in (archived.repository / INSTANCE / "archive").glob("*/*/*.zst")}
    final = archived.all()[-1]
    assert final.archive["epoch"] not in torn
    data = {place: data for place, data in archived.by_hand().items() if place[0] == final.archive["epoch"]}
    assert any(content == live.read_bytes() for content in data.values())
    assert archived.coverage().at(archived.coverage().ranges[-1][1]).epochs[0].name == final.archive["epoch"]


def test_an_aof_that_was_off_in_between_is_no_part_of_the_chain(multi: Archived) -> None:
    """What a server wrote while its AOF was off is nowhere: the new base begins what can be recovered."""
    with multi.server.client() as client:
        write(client, 100)
        multi.all()
        client.config_set("appendonly", "no")
        write(client, 100, "off")
        with pytest.raises(ModuleFailed, match="appendonly is off"):
            run_module("redis_aof_archive", multi.params)
        client.config_set("appendonly", "yes")
        wait_for(lambda: client.info("persistence")["aof_base_size"] > 0 and not client.info("persistence")
                 ["aof_rewrite_in_progress"], "the AOF to be on")
        write(client, 100, "on")
        multi.all()
        epochs = multi.coverage().epochs
        assert len(epochs) == 2 and epochs[1].whole_base
        assert epochs[1].after is None or not epochs[1].after.proven


def test_a_restored_directory_is_a_new_chain(multi: Archived) -> None:
    """Other files under the old names: nothing of the old chain is continued, and nothing covers the time between."""
    with multi.server.client() as client:
        write(client, 100)
        multi.all()
    multi.server.stop()
    shutil.rmtree(multi.server.data_dir / "appendonlydir")
    multi.server.start()
    with multi.server.client() as client:
        write(client, 10, "new")
    final = multi.all()[-1]
    assert len(final.archive["gaps"]) == 1
    covered = multi.coverage()
    assert len(covered.ranges) == 2
    newest = covered.at(covered.ranges[-1][1])
    assert newest is not None and len(newest.epochs) == 1


def test_two_servers_of_one_name_are_told_apart(any_build: Build, make_server: MakeServer, tmp_path: Path) -> None:
    one = Archived(make_server(any_build, conf=with_aof(any_build)), tmp_path)
    one.all()
    other = Archived(make_server(any_build, conf=with_aof(any_build)), tmp_path)
    kept = one.state_dir.rename(tmp_path / "kept")
    with pytest.raises(RedisBackupError, match="another server"):
        other.one()
    assert kept.exists()


def test_backups_and_archive_agree_who_it_is(multi: Archived) -> None:
    backup = {key: value for key, value in multi.params.items() if key not in ("repository", "encryption")}
    run_module("redis_aof_archive", multi.params)
    made = run_module("redis_backup", {**backup, "repositories": [multi.params["repository"]]})
    assert made["changed"]
    assert multi.one().archive["lag_bytes"] == 0


def test_the_module(multi: Archived, age_key: AgeKey) -> None:
    """Check mode changes nothing; a pass tells what it did; status before and after."""
    multi.key = age_key
    with multi.server.client() as client:
        write(client, 10)
    nothing = run_module("redis_aof_archive", {**multi.params, "state": "status"})
    assert nothing["archive"]["epoch"] is None and not nothing["changed"]
    checked = run_module("redis_aof_archive", multi.params, check=True)
    assert checked["changed"] and any("would store" in action for action in checked["actions"])
    assert not multi.repository.exists() and not multi.spool.exists() and not multi.state_dir.exists()
    made = run_module("redis_aof_archive", multi.params)
    assert made["changed"] and made["object"]["size"] > 0 and made["more"]
    while made["more"]:
        made = run_module("redis_aof_archive", multi.params)
    status = run_module("redis_aof_archive", {**multi.params, "state": "status"})["archive"]
    assert status["lag_bytes"] == 0 and status["first_time"] <= status["last_time"]
    again = run_module("redis_aof_archive", multi.params)
    assert not again["changed"] and again["object"] is None
    multi.assert_true()


def test_no_aof_is_told(any_build: Build, make_server: MakeServer, tmp_path: Path) -> None:
    archived = Archived(make_server(any_build), tmp_path)
    with pytest.raises(ModuleFailed, match="appendonly is off"):
        run_module("redis_aof_archive", archived.params)


def test_prune_lets_old_epochs_go_and_the_catalog_tells_the_archive(multi: Archived) -> None:
    """What no kept backup needs goes; what is left covers everything from the oldest kept backup on."""
    common = {key: value for key, value in multi.params.items() if key not in ("repository", "encryption")}
    common["repositories"] = [{"name": "test", "path": str(multi.repository)}]
    multi.all()
    with multi.server.client() as client:
        for number in range(3):
            write(client, 50, f"before{number}")
            rewrite(client)
            multi.all()
        wait_for(lambda: int(client.time()[0]) > multi.state()["covered_to"], "the next second")
        made = run_module("redis_backup", common)
        assert made["changed"]
        for number in range(2):
            write(client, 50, f"after{number}")
            rewrite(client)
            multi.all()
    shown = run_module("redis_backup_info", common)["archive"]
    assert shown["epochs"] == 6 and shown["repository"] == "test" and shown["objects"] > 6
    planned = run_module("redis_backup_prune", {**common, "keep": {"last": 1}}, check=True)
    pruned = run_module("redis_backup_prune", {**common, "keep": {"last": 1}})
    (one,) = pruned["repositories"]
    assert planned["changed"] and planned["repositories"][0]["epochs"] == one["epochs"]
    assert len(one["epochs"]) == 3 and one["freed_bytes"] > 0
    assert all(f"test: epoch {epoch} of the archive\n" in planned["diff"]["before"] for epoch in one["epochs"])
    again = run_module("redis_backup_prune", {**common, "keep": {"last": 1}})
    assert not again["changed"]
    left = run_module("redis_backup_info", common)
    assert left["archive"]["epochs"] == 3
    covered = multi.coverage()
    assert covered.ranges[0][0] <= from_iso(left["latest"]["time"]) + 1
    with multi.server.client() as client:
        write(client, 10, "goes on")
    assert multi.all()[-1].archive["gaps"] == []


def test_root_acts_as_the_owner_of_the_data(any_build: Build, make_server: MakeServer, tmp_path: Path) -> None:
    """The links are the server user's; a planted link leads root nowhere; what the agent owns stays the agent's."""
    archived = Archived(make_server(any_build, conf=with_aof(any_build), user=65534), tmp_path)
    with archived.server.client() as client:
        write(client, 10)
    archived.all()
    assert {path.stat().st_uid for path in (archived.spool, *archived.spool.glob("*"))} == {65534}
    assert archived.spool.stat().st_mode & 0o077 == 0
    shutil.rmtree(archived.spool)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    archived.spool.symlink_to(elsewhere)
    with pytest.raises(RedisBackupError, match="is no folder"):
        archived.one()
    assert not list(elsewhere.iterdir())
    archived.spool.unlink()
    assert archived.one().archive["gaps"] == []
