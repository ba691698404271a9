# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways in which the archive was broken once: each is a thing that an unlucky or a hostile operator did to it."""

from __future__ import annotations

import copy
import json
import os
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive import run as passes
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.run import archive_planned
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.segments import read_segment
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RedisBackupError, RepositoryError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository import s3 as s3_store
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.archived import listed
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.open import open_store
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.s3 import S3Store
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.paths import resolve_paths

from support.archives import INSTANCE, Archived, told_gaps, with_aof
from support.faulty import Fault, faulty
from support.machine import tmpfs
from support.modules import ModuleFailed, run_module
from support.s3 import S3Server
from support.servers import Build, RedisProcess
from support.waiting import wait_for, wait_for_aof

MakeServer = Callable[..., RedisProcess]


@pytest.fixture
def archived(layout: Build, make_server: MakeServer, tmp_path: Path) -> Archived:
    """A server of each layout of the AOF, with --long of each version, and nothing archived yet."""
    return Archived(make_server(layout, conf=with_aof(layout)), tmp_path)


@pytest.fixture
def multi(any_build: Build, make_server: MakeServer, tmp_path: Path) -> Archived:
    """One version with an AOF of several files."""
    return Archived(make_server(any_build, conf=with_aof(any_build)), tmp_path)


def write(client: redis.Redis, count: int, name: str = "key") -> None:
    pipe = client.pipeline(transaction=False)
    for number in range(count):
        pipe.set(f"{name}:{number}", f"{number}:" + "x" * 40)
    pipe.execute()
    wait_for_aof(client)


def rest(client: redis.Redis) -> None:
    """Until no rewrite is under way or due, and there is a base."""

    def rested() -> bool:
        info = client.info("persistence")
        due = info["aof_rewrite_in_progress"] or info["aof_rewrite_scheduled"]
        return not due and info["aof_last_bgrewrite_status"] == "ok" and info["aof_base_size"] > 0

    wait_for(rested, "the rewrite to end")


def rewrite(client: redis.Redis) -> None:
    client.bgrewriteaof()
    rest(client)


def status(archived: Archived) -> dict[str, object]:
    found: dict[str, object] = run_module("redis_aof_archive", {**archived.params, "state": "status"})["archive"]
    return found


# --- the repository changes beneath the archive ---


def test_a_share_that_was_unmounted_is_not_filled_by_a_running_agent(archived: Archived) -> None:
    """Only the mount point is left, an empty folder: what is stored there would be hidden when the share is back."""
    request = archived.request()
    with archived.server.client() as client:
        write(client, 50)
        while passes.archive_pass(request).more:
            pass
        away = archived.repository.rename(archived.place / "away")
        archived.repository.mkdir()
        archived.options["away"] = True
        write(client, 50, "unmounted")
        with pytest.raises(RepositoryError, match="no archive"):
            passes.archive_pass(request)
        assert not list(archived.repository.rglob("*.zst"))
        shutil.rmtree(archived.repository)
        away.rename(archived.repository)
        while passes.archive_pass(request).more:
            pass
    assert archived.all()[-1].archive["gaps"] == []
    archived.assert_true()


def test_another_repository_from_one_day_to_the_next_gets_a_whole_archive(archived: Archived) -> None:
    with archived.server.client() as client:
        write(client, 50)
        archived.all()
        archived.repository.rename(archived.place / "old")
        archived.repository.mkdir()
        write(client, 50, "behind")
        final = archived.all(adopt=True)[-1]
    assert final.archive["lag_bytes"] == 0
    archived.assert_true()
    assert len(archived.coverage().ranges) == 1


def test_a_state_of_the_past_does_not_write_over_what_was_archived(archived: Archived) -> None:
    """The host was put back from a snapshot of its disk: AOF, links and state are of the past, and go another way."""
    archived.copying = True
    folder = archived.state_dir / "archive" / INSTANCE
    with archived.server.client() as client:
        write(client, 50)
        archived.all()
        earlier = (folder / "state.json").read_bytes()
        write(client, 50, "first")
        archived.all()
        write(client, 50, "second")
        archived.all()
        before = {path: path.read_bytes() for path in archived.repository.rglob("*.zst")}
        (folder / "state.json").write_bytes(earlier)
        write(client, 20, "other")
        final = archived.all()[-1]
    assert {path: path.read_bytes() for path in before} == before
    assert final.archive["lag_bytes"] == 0
    archived.assert_true()


def test_two_clones_with_one_state_do_not_write_over_each_other(multi: Archived) -> None:
    """A cloned machine has the UUID, the state and the epochs of its original: the second writer begins its own."""
    multi.copying = True
    request = multi.request()
    with multi.server.client() as client:
        write(client, 50)
        while passes.archive_pass(request).more:
            pass
        folder = multi.state_dir / "archive" / INSTANCE
        ours = (folder / "state.json").read_bytes()
        write(client, 50, "clone")
        multi.all()
        before = {path: path.read_bytes() for path in multi.repository.rglob("*.zst")}
        (folder / "state.json").write_bytes(ours)
        write(client, 10, "original")
        while passes.archive_pass(request).more:
            pass
    assert {path: path.read_bytes() for path in before} == before


def test_a_power_cut_behind_a_commit_that_nobody_noted(multi: Archived) -> None:
    """The object holds bytes that the disk lost: the server goes on with others, so the epoch does not go on."""
    multi.copying = True
    with multi.server.client() as client:
        write(client, 50)
        multi.all()
        write(client, 50, "lost")
    size = next(multi.server.data_dir.glob("appendonlydir/*.incr.aof")).stat().st_size
    multi.one_unnoted()
    multi.server.kill()
    (live,) = multi.server.data_dir.glob("appendonlydir/*.incr.aof")
    data = live.read_bytes()
    cut = data.rindex(b"*3\r\n", 0, size - 1000)
    os.truncate(live, cut)
    multi.server.start()
    with multi.server.client() as client:
        write(client, 100, "another way")
    multi.all()
    multi.assert_true()


# --- the AOF is not the one that it was ---


def test_an_aof_that_was_seen_off_is_a_gap(multi: Archived) -> None:
    with multi.server.client() as client:
        write(client, 100)
        multi.all()
        client.config_set("appendonly", "no")
        write(client, 100, "off")
        with pytest.raises(ModuleFailed, match="appendonly is off"):
            run_module("redis_aof_archive", multi.params)
        client.config_set("appendonly", "yes")
        rest(client)
        write(client, 100, "on")
    final = multi.all()[-1]
    assert len(final.archive["gaps"]) == 1 and "off" in told_gaps(final.archive)[0]
    covered = multi.coverage()
    assert len(covered.ranges) == 2 and all(not epoch.after for epoch in covered.epochs)


def test_a_restored_set_and_a_rewrite_before_the_next_pass(multi: Archived) -> None:
    """Increment 2 follows on 1 by its number, but not on the 1 that was archived."""
    with multi.server.client() as client:
        write(client, 100)
        multi.all()
    multi.server.stop()
    directory = multi.server.data_dir / "appendonlydir"
    directory.rename(multi.server.data_dir / "aside")
    multi.server.start()
    with multi.server.client() as client:
        write(client, 10, "new")
        rewrite(client)
        write(client, 10, "behind")
    final = multi.all()[-1]
    assert len(final.archive["gaps"]) == 1
    assert len(multi.coverage().ranges) == 2


@pytest.mark.parametrize("layout", ["redis-6.2"], indirect=True)
def test_a_restored_single_file(archived: Archived) -> None:
    """Another file in the place of the one that was archived, and a server that was started in between."""
    with archived.server.client() as client:
        write(client, 100)
    while run_module("redis_aof_archive", archived.params)["more"]:
        pass
    archived.server.stop()
    live = archived.server.data_dir / "appendonly.aof"
    data = live.read_bytes()
    live.rename(archived.server.data_dir / "aside")
    live.write_bytes(data[: data.rindex(b"*3\r\n", 0, len(data) // 2)])
    archived.server.start()
    with archived.server.client() as client:
        write(client, 100, "behind")
    while (made := run_module("redis_aof_archive", archived.params))["more"]:
        pass
    assert "was started in between" in told_gaps(made["archive"])[0]
    assert len(archived.coverage().ranges) == 2


def test_files_of_another_name_do_not_go_on(any_build: Build, make_server: MakeServer, tmp_path: Path) -> None:
    """appendfilename was changed: the server began anew, at number 1, and has rewritten since."""
    one = Archived(make_server(any_build, conf=with_aof(any_build)), tmp_path)
    with one.server.client() as client:
        write(client, 100)
        one.all()
    one.server.stop()
    other = make_server(any_build, conf=with_aof(any_build, appendfilename="other.aof"), start=False)
    shutil.rmtree(other.data_dir)
    shutil.move(one.server.data_dir, other.data_dir)
    other.start()
    with other.client() as client:
        write(client, 10, "new")
        rewrite(client)
        write(client, 10, "behind")
    paths = resolve_paths({"dir": str(other.data_dir), "appendonly": "yes", "appendfilename": "other.aof"})
    request = one.request()
    request.paths = paths
    while (made := passes.archive_pass(request)).more:
        pass
    assert len(made.archive["gaps"]) == 1 and made.archive["lag_bytes"] == 0
    assert len(one.coverage().ranges) == 2


def test_a_full_synchronisation_of_a_replica(any_build: Build, make_server: MakeServer, tmp_path: Path) -> None:
    """A replica takes over the data of another server: nothing of the old data is continued with the new increments."""
    primary = make_server(any_build)
    archived = Archived(make_server(any_build, conf=with_aof(any_build)), tmp_path)
    with archived.server.client() as client, primary.client() as source:
        write(client, 100, "old")
        archived.all()
        source.set("only", "new")
        client.replicaof("127.0.0.1", primary.port)
        wait_for(lambda: client.info("replication").get("master_link_status") == "up", "the link")
        rest(client)
        source.set("behind", "it")
        wait_for(lambda: client.get("behind"), "the replica")
        wait_for_aof(client)
        while (made := run_module("redis_aof_archive", archived.params))["more"]:
            pass
    covered = archived.coverage()
    assert made["archive"]["lag_bytes"] == 0
    assert "is a replica" in told_gaps(made["archive"])[0]
    newest = covered.at(covered.ranges[-1][1])
    assert newest is not None and len(newest.epochs) == 1


# --- what the module and status say ---


def test_check_mode_knows_the_links(archived: Archived) -> None:
    """A rewrite since the last pass: what it removed is held, and nothing is lost."""
    with archived.server.client() as client:
        write(client, 100)
        archived.all()
        write(client, 100, "unseen")
        rewrite(client) if archived.server.build.version >= (7,) else client.bgrewriteaof()
        wait_for(lambda: not client.info("persistence")["aof_rewrite_in_progress"], "the rewrite")
        write(client, 10, "behind")
    planned = archive_planned(archived.request())
    assert planned.archive["gaps"] == []
    assert not [action for action in planned.actions if "gone" in action], planned.actions


def test_status_tells_a_gap_before_a_pass_does(multi: Archived) -> None:
    with multi.server.client() as client:
        write(client, 100)
        multi.all()
        for number in range(5):
            rewrite(client)
            write(client, 10, f"lost{number}")
    found = status(multi)
    assert len(found["gaps"]) == 1  # type: ignore[arg-type]
    assert found["lag_bytes"] and found["base_bytes_left"]
    assert len(multi.all()[-1].archive["gaps"]) == 1


def test_a_clock_that_went_back_is_told(multi: Archived) -> None:
    with multi.server.client() as client:
        write(client, 100)
        multi.all()
        state = multi.state()
        ahead = copy.deepcopy(state)
        for name in ("looked", "covered_to", "covered_from", "last_pass", "last_success"):
            ahead[name] += 7200
        for track in ahead["tracks"]:
            track["lower"] += 7200
        (multi.state_dir / "archive" / INSTANCE / "state.json").write_text(json.dumps(ahead))
        write(client, 100, "behind")
        found = status(multi)
        assert found["lag_bytes"]
        final = multi.all()[-1]
        assert any("clock" in reason for reason in told_gaps(final.archive))
        assert final.archive["last_time"] < status(multi)["last_pass"] or final.archive["lag_bytes"] == 0


# --- several, and hostile ones, in one directory ---


def test_two_instances_in_one_directory_leave_each_other_their_links(
    any_build: Build, make_server: MakeServer, tmp_path: Path
) -> None:
    """Two servers may share a directory under other file names: one archive does not take the other's links for its."""
    one = Archived(make_server(any_build, conf=with_aof(any_build)), tmp_path / "one")
    conf = with_aof(any_build, appendfilename="b.aof", appenddirname="b", dir=str(one.server.data_dir))
    other = make_server(any_build, conf={**conf, "dbfilename": "b.rdb"})
    request = one.request()
    request.instance = "neighbour"
    request.paths = resolve_paths(
        {"dir": str(one.server.data_dir), "appendonly": "yes", "appendfilename": "b.aof", "appenddirname": "b"}
    )
    with one.server.client() as client, other.client() as beside:
        write(client, 50)
        write(beside, 50)
        one.all()
        while passes.archive_pass(request).more:
            pass
        write(client, 50, "unseen")
        passes.archive_pass(request)
        rewrite(client)
        write(client, 50, "behind")
        passes.archive_pass(request)
    assert one.all()[-1].archive["gaps"] == []
    assert len(one.coverage().ranges) == 1


def test_a_swapped_folder_leads_root_to_no_file_of_its_own(
    any_build: Build, make_server: MakeServer, tmp_path: Path
) -> None:
    """The server's user names a file of root's by a link in place of the folder: root does not read it for him."""
    archived = Archived(make_server(any_build, conf=with_aof(any_build), user=65534), tmp_path)
    with archived.server.client() as client:
        write(client, 10)
    secret = tmp_path / "secret"
    secret.mkdir(mode=0o755)
    (secret / "appendonly.aof.7.incr.aof").write_text("the password of root\n")
    (secret / "appendonly.aof.7.incr.aof").chmod(0o600)
    (secret / "appendonly.aof.manifest").write_text("file appendonly.aof.7.incr.aof seq 7 type i\n")
    archived.server.stop()
    folder = archived.server.data_dir / "appendonlydir"
    shutil.rmtree(folder)
    folder.symlink_to(secret)
    with pytest.raises(RedisBackupError, match="cannot be read"):
        archived.one()
    assert not list(archived.repository.rglob("*.zst"))


def test_two_agents_at_once_store_each_byte_once(archived: Archived) -> None:
    errors: list[Exception] = []
    archived.one()

    def work() -> None:
        for _number in range(10):
            try:
                archived.one()
            except RepositoryError as error:
                if "another process archives" not in str(error):
                    errors.append(error)

    with archived.server.client() as client:
        threads = [threading.Thread(target=work) for _each in range(2)]
        for thread in threads:
            thread.start()
        for number in range(20):
            write(client, 20, f"round{number}")
        for thread in threads:
            thread.join()
    assert not errors
    assert archived.all()[-1].archive["lag_bytes"] == 0
    archived.assert_true()


def test_a_state_that_is_torn_or_of_another_is_refused(archived: Archived) -> None:
    with archived.server.client() as client:
        write(client, 50)
    archived.all()
    path = archived.state_dir / "archive" / INSTANCE / "state.json"
    good = path.read_bytes()
    document = json.loads(good)
    for bad in (
        b"",
        good[: len(good) // 2],
        b"[]",
        b"null",
        b"[" * 100000,
        json.dumps({**document, "instance": "other"}).encode(),
        json.dumps({**document, "format": 2}).encode(),
        json.dumps({**document, "tracks": None}).encode(),
        json.dumps({**document, "tracks": [{}]}).encode(),
        json.dumps({**document, "surprise": 1}).encode(),
        json.dumps({**document, "gaps": [1]}).encode(),
        json.dumps({**document, "covered_to": "yesterday"}).encode(),
    ):
        path.write_bytes(bad)
        with pytest.raises(RedisBackupError, match="cannot be read"):
            archived.one()
        assert path.read_bytes() == bad, "it is left for a look at it"
    path.write_bytes(good)
    assert archived.one().archive["lag_bytes"] == 0


def test_a_state_that_is_lost_behind_the_first_object(archived: Archived) -> None:
    """That object is stored again, longer, and still tells what its epoch can be used for."""
    with archived.server.client() as client:
        write(client, 50)
        archived.all()
        archived.forget()
        write(client, 50, "more")
        final = archived.all()[-1]
    assert final.archive["gaps"] == [] and final.archive["lag_bytes"] == 0 and final.archive["first_time"]
    archived.assert_true()
    covered = archived.coverage()
    assert len(covered.epochs) == len(covered.chains) == 1


# --- disks and services that fail ---


def test_each_request_to_s3_fails_in_turn(
    multi: Archived, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the answers, too: the next pass goes on, no byte is stored twice, and none is left out."""
    bucket = s3.bucket()
    monkeypatch.setattr(s3_store, "_ATTEMPTS", 1)
    with faulty(s3.port) as proxy, multi.server.client() as client:
        entry = s3.entry(bucket, endpoint_url=proxy.endpoint)
        store = open_store({"type": "s3", **entry})
        assert isinstance(store, S3Store)

        def one() -> bool:
            multi.witness()
            request = multi.request()
            request.store = store
            return passes.archive_pass(request).more

        def settle() -> None:
            while one():
                pass

        write(client, 20)
        settle()
        proxy.arm()
        write(client, 20, "counted")
        settle()
        requests = len(proxy.requests)
        assert requests > 3
        for fault in (Fault.CUT_BEFORE, Fault.CUT_AFTER, Fault.ERROR):
            for number in range(1, requests + 1):
                write(client, 5, f"{fault.name}:{number}")
                proxy.arm(fault, number)
                with suppress(RedisBackupError):
                    settle()
                proxy.arm()
        settle()
        objects = [read_segment(store, INSTANCE, name, []) for name, _object in listed(store, INSTANCE)]
        increments = sorted((each for each in objects if each[0].kind == "incr"), key=lambda each: each[0].offset)
        (live,) = multi.server.data_dir.glob("appendonlydir/*.incr.aof")
        assert b"".join(data for _segment, data in increments) == live.read_bytes()
        assert len({segment.epoch for segment, _data in objects}) == 1
        assert not s3.uploads(bucket)
        assert not multi.state()["gaps"]


def test_full_disks(archived: Archived) -> None:
    """The repository's and the state's: told, nothing is torn, and it goes on when there is room again."""
    with tmpfs("1M") as small, archived.server.client() as client:
        write(client, 50)
        for what in ("repository", "state"):
            (small / what).mkdir()
            (archived.place / what).symlink_to(small / what)
        archived.all()
        ballast = small / "ballast"
        with suppress(OSError):
            ballast.write_bytes(bytes(1 << 21))
        pipe = client.pipeline(transaction=False)
        for number in range(200):
            pipe.set(f"large:{number}", os.urandom(400))
        pipe.execute()
        wait_for_aof(client)
        for _again in range(3):
            with pytest.raises(RedisBackupError, match="space left"):
                archived.one()
        ballast.unlink()
        final = archived.all()[-1]
        assert final.archive["lag_bytes"] == 0 and final.archive["gaps"] == []
        archived.assert_true()
        assert not list(archived.repository.rglob("*.part"))


def test_a_repository_that_may_not_be_written_and_back(multi: Archived) -> None:
    archived = multi
    with archived.server.client() as client:
        write(client, 50)
        archived.all()
        folder = archived.repository / INSTANCE / "archive"
        kept = folder.rename(archived.place / "kept")
        folder.write_text("a file in the place of the folder")
        write(client, 50, "more")
        with pytest.raises(RedisBackupError):
            archived.one()
        folder.unlink()
        kept.rename(folder)
    assert archived.all()[-1].archive["gaps"] == []
    archived.assert_true()


@pytest.mark.parametrize(
    "name", ["a b.aof", "ünïcode", "x.1.incr.aof", "y.1.base.rdb", "-last", "%2e", "a'b\"c", "..aof", "b\udcff.aof"]
)
def test_names_of_all_kinds(any_build: Build, make_server: MakeServer, tmp_path: Path, name: str) -> None:
    quoted = "".join(f"\\x{byte:02x}" for byte in os.fsencode(name))
    server = make_server(any_build, conf=with_aof(any_build, appendfilename=f'"{quoted}"'))
    archived = Archived(server, tmp_path)

    def settle() -> None:
        while True:
            request = archived.request()
            request.paths = resolve_paths({"dir": str(server.data_dir), "appendonly": "yes", "appendfilename": name})
            if not passes.archive_pass(request).more:
                break

    with server.client() as client:
        write(client, 20)
        settle()
        rewrite(client)
        write(client, 20, "more")
        settle()
        archived.forget()
        write(client, 20, "again")
        settle()
    assert archived.state()["gaps"] == []
    covered = archived.coverage()
    assert len(covered.chains[0].epochs) == len(covered.epochs) == 2, "the link outlives the loss of the state"
    assert all(data for _segment, data in archived.opened())


def test_prune_keeps_the_live_epoch_when_the_clock_went_back(multi: Archived) -> None:
    """Epochs sort by name: one that began behind another never sorts before it."""
    with multi.server.client() as client:
        write(client, 20)
        multi.all()
        path = multi.state_dir / "archive" / INSTANCE / "state.json"
        state = json.loads(path.read_text())
        (epoch,) = (multi.repository / INSTANCE / "archive").glob("2*")
        ahead = "2" + "9" + epoch.name[2:]
        for names in (state["tracks"], [state["left"] or {}]):
            for each in names:
                each["epoch"] = ahead
        state["last_epoch"], state["based"] = ahead, ahead
        path.write_text(json.dumps(state))
        rewrite(client)
        write(client, 20, "behind")
        final = multi.all()[-1]
    assert final.archive["epoch"] > ahead
