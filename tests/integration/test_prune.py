# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Retention on real repositories, in a directory and on S3: what stays, what goes, and what nobody may remove."""

from __future__ import annotations

import datetime
import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.identity import write_identity

from support.history import FILES, INSTANCE, Place, Template
from support.killing import kill_after, kill_at_change, watch
from support.modules import ModuleFailed, finish, run_module, start_module
from support.s3 import S3Server
from support.servers import Build, RedisProcess, free_port
from support.untouched import assert_told, untouched
from support.within import run_within

SEED = 20261124
DAY = 86400.0
T0 = datetime.datetime(2026, 11, 18, 10, 26, 40, tzinfo=datetime.timezone.utc).timestamp()


@pytest.fixture(scope="module")
def server(any_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    server = RedisProcess(any_build, tmp_path_factory.mktemp("prune") / "server").start()
    server.client().mset({f"key:{number}": "value" for number in range(200)})
    yield server
    server.destroy()


@pytest.fixture(scope="module")
def template(server: RedisProcess, tmp_path_factory: pytest.TempPathFactory) -> Template:
    """One real backup, to be multiplied."""
    return Template.made(server, tmp_path_factory.mktemp("template"))


@pytest.fixture(params=["posix", "s3"])
def place(request: pytest.FixtureRequest, template: Template, tmp_path: Path) -> Place:
    """An empty repository of either kind."""
    if request.param == "posix":
        found = Place({"name": "local", "path": str(tmp_path / "local")}, tmp_path / "state")
    else:
        service = request.getfixturevalue("s3")
        found = Place(service.entry(service.bucket(), prefix="p"), tmp_path / "state", service)
    return found.known_to_host(template)


@pytest.fixture
def shelf(template: Template, tmp_path: Path) -> Place:
    """An empty directory."""
    return Place({"name": "local", "path": str(tmp_path / "local")}, tmp_path / "state").known_to_host(template)


def daily(count: int, step: float = DAY) -> list[float]:
    return [T0 - (count - 1 - number) * step for number in range(count)]


def prune(place: Place, keep: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    check = more.pop("check", False)
    return run_within("redis_backup_prune", {**place.common, "keep": keep or {"last": 3}, **more}, check=check)


def refused(place: Place, *needles: str, **more: Any) -> dict[str, Any]:
    with pytest.raises(ModuleFailed) as caught:
        prune(place, more.pop("keep", None), **more)
    assert_told(caught.value.msg, *needles)
    return caught.value.result


# --- what stays and what goes ---


def test_what_stays_and_what_goes(place: Place, template: Template) -> None:
    """Check mode tells it beforehand, with a diff, and a second run has nothing to do."""
    labels = template.copy_to(place.entry, daily(30, DAY / 4))
    keep = {"last": 2, "daily": 3, "weekly": 2}
    dry = prune(place, keep, check=True)
    assert place.labels == labels, "check mode removed something"
    found = prune(place, keep)
    stay = {labels[-1], labels[-2], labels[-3], labels[-7], labels[-11]}
    # 10:26 and 04:26 today; 22:26 of the two days before; the last one of the week before (Sunday, 22:26)
    assert set(place.labels) == stay
    assert found["removed"] == dry["removed"] == sorted(set(labels) - stay)
    assert [each["label"] for each in found["kept"]] == sorted(stay)
    assert found["kept"][-1]["reasons"][:2] == ["one of the last 2", "daily 2026-11-18"]
    assert found["diff"] == dry["diff"]
    assert found["diff"]["before"].count("\n") == 30 and found["diff"]["after"].count("\n") == 5
    assert found["freed_bytes"] == dry["freed_bytes"] > 25 * sum(map(len, template.files.values()))
    assert dry["actions"][0].startswith(f"would remove {labels[0]} from repository {place.entry['name']}")
    place.assert_no_remains()
    again = prune(place, keep)
    assert (again["changed"], again["removed"], again["actions"]) == (False, [], [])


def test_pins_and_engines(place: Place, template: Template) -> None:
    """A pin is a date by the newest backup; each engine has its own history."""
    forever, expired, later = (
        template.copy_to(place.entry, [T0 - back * DAY], annotations={"keep": keep})[0]
        for back, keep in ((40, True), (39, "2026-11-17"), (38, "2026-11-18"))
    )
    aof = template.copy_to(place.entry, daily(4), first=100, engine="aof")
    rdb = template.copy_to(place.entry, [each + 60 for each in daily(4)], first=200)
    found = prune(place, {"last": 1}, minimum_verified=1)
    assert place.labels == sorted([forever, later, aof[-1], rdb[-1]])
    reasons = {each["label"]: each["reasons"] for each in found["kept"]}
    assert (reasons[forever], reasons[later]) == (["pinned"], ["pinned until 2026-11-18"])
    assert expired in found["removed"]


def test_verified_ones_stay(place: Place, template: Template) -> None:
    labels = template.copy_to(place.entry, daily(9))
    record = {"level": "restore", "ok": True, "time": "2026-11-18T00:00:00Z"}
    for label in labels[:3]:
        path = f"{INSTANCE}/backup/{label}/verification/20261118T000000Z-restore.json"
        place.store.write(path, json.dumps(record).encode())
    prune(place, {"last": 1})
    assert place.labels == [*labels[1:3], labels[-1]]


def test_a_clock_that_jumped(place: Place, template: Template) -> None:
    """One backup from 2036 among the others is none of the newest; a clock that stays there stops everything."""
    labels = template.copy_to(place.entry, daily(9))
    (wrong,) = template.copy_to(place.entry, [T0 + 3652 * DAY], first=9)
    (after,) = template.copy_to(place.entry, [T0 + DAY], first=10)
    assert prune(place, {"daily": 4}, check=True)["removed"] == labels[:-3]
    assert wrong in place.labels
    assert prune(place, {"last": 2}, minimum_verified=0)["removed"] == labels[:-1], "the witness goes, too"
    assert place.labels == [labels[-1], after, wrong]
    (stays,) = template.copy_to(place.entry, [T0 + 3653 * DAY], first=11)
    found = prune(place, {"last": 1})
    assert not found["changed"]
    assert "a clock jumped between" in found["repositories"][0]["blocked"]
    assert stays in found["repositories"][0]["blocked"]


# --- a server that came up empty ---


def test_an_emptied_server_pushes_nothing_out(place: Place, any_build: Build, make_server: Any) -> None:
    """Its backups are made by the hour, until a human has said that all is well."""
    server = make_server(any_build)
    server.client().mset({f"key:{number}": "value" for number in range(100)})
    making = {**server.connection, **place.common, "adopt": True, "state_dir": f"{place.state_dir}-b"}
    if "path" in place.entry:
        making["repositories"] = [{**place.entry, "create": True}]
    place.state_dir = Path(making["state_dir"])
    good = [run_within("redis_backup", making)["backup"]["label"] for _run in range(3)]
    server.client().flushall()
    empty = [run_within("redis_backup", making)["backup"]["label"] for _run in range(5)]
    for minimum in (0, 2):
        found = prune(place, {"last": 1}, minimum_verified=minimum)
        assert (found["changed"], found["removed"]) == (False, [])
        assert f"{empty[0]} (and 4 after it) is suspect" in found["repositories"][0]["blocked"]
        assert "warnings" in found
    assert place.labels == sorted(good + empty)
    shown = run_within("redis_backup_info", place.common)
    assert [each["label"] for each in shown["backups"] if each["suspect"]] == empty
    assert shown["latest"]["label"] == good[-1], "a recovery would use an empty backup"
    word = {**place.common, "labels": [empty[0]], "reason": "It was emptied on purpose."}
    assert run_within("redis_backup_acknowledge", word, check=True)["changed"]
    assert not prune(place, {"last": 1})["changed"]
    assert run_within("redis_backup_acknowledge", word)["changed"]
    assert not run_within("redis_backup_acknowledge", word)["changed"]
    prune(place, {"last": 1}, minimum_verified=0)
    assert place.labels == [empty[-1]]


# --- what nobody may remove ---


@pytest.mark.parametrize("mode", ["COMPLIANCE", "GOVERNANCE"])
def test_object_lock(s3: S3Server, template: Template, tmp_path: Path, mode: str) -> None:
    """It is asked before, so nothing is half removed; the others go on."""
    bucket = s3.bucket(lock=True)
    locking = s3.entry(bucket, object_lock={"mode": mode, "days": 1})
    place = Place(s3.entry(bucket), tmp_path / "state", s3).known_to_host(template)
    times = daily(9)
    held = template.copy_to(locking, times[2:4], first=2)
    free = template.copy_to(place.entry, [*times[:2], *times[4:]])
    before = [key for key in s3.versions(bucket) if any(label in key for label in held)]
    for check in (True, False, False):
        found = prune(place, {"last": 3}, check=check)
        reasons = {each["label"]: each["reasons"] for each in found["kept"]}
        assert all(mode in reasons[label][0] and "locked until" in reasons[label][0] for label in held)
    assert not found["changed"]
    assert place.labels == [*held, *free[-3:]]
    assert [key for key in s3.versions(bucket) if any(label in key for label in held)] == before
    place.assert_no_remains()


def test_a_legal_hold_on_one_file(s3: S3Server, template: Template, tmp_path: Path) -> None:
    """What cannot be removed whole is not begun."""
    bucket = s3.bucket(lock=True)
    place = Place(s3.entry(bucket), tmp_path / "state", s3).known_to_host(template)
    labels = template.copy_to(place.entry, daily(5))
    key = f"{INSTANCE}/backup/{labels[0]}/dump.rdb.zst"
    s3.client.put_object_legal_hold(Bucket=bucket, Key=key, LegalHold={"Status": "ON"})
    found = prune(place)
    (kept,) = [each for each in found["kept"] if each["label"] == labels[0]]
    assert "legal hold" in kept["reasons"][0]
    assert place.labels == [labels[0], *labels[2:]]
    place.assert_no_remains()


def test_a_record_that_cannot_be_read(shelf: Place, template: Template) -> None:
    """It may tell of damage: what it tells must not pass for a good backup and let others go."""
    labels = template.copy_to(shelf.entry, daily(5))
    folder = Path(shelf.entry["path"], INSTANCE, "backup", labels[-1], "verification")
    folder.mkdir()
    good = {"level": "restore", "ok": True, "time": "2026-11-18T11:00:00Z"}
    (folder / "20261118T110000Z-restore.json").write_text(json.dumps(good))
    unread = folder / "20261118T120000Z-content.json"
    with unread.open("wb") as stream:
        stream.truncate(17 * 1024 * 1024)
    refused(shelf, unread.name, "is larger than")
    assert shelf.labels == labels
    newest = run_within("redis_backup_info", shelf.common)["backups"][-1]
    assert (newest["usable"], newest["verified"]) == (True, False)
    unread.unlink()
    assert prune(shelf)["removed"] == labels[:2]


def test_a_link_in_the_place_of_a_folder(shelf: Place, template: Template, tmp_path: Path) -> None:
    """Somebody moved a backup to another disk: it is not followed, and it is no empty folder either."""
    labels = template.copy_to(shelf.entry, daily(5))
    folder = Path(shelf.entry["path"], INSTANCE, "backup", labels[1])
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with untouched(tmp_path / "elsewhere"):
        found = prune(shelf)
    assert folder.is_symlink() and found["removed"] == labels[:1]
    (kept,) = [each for each in found["kept"] if each["label"] == labels[1]]
    assert "is a link or a file" in kept["reasons"][0]


def test_foreign_files(shelf: Place, template: Template) -> None:
    """What is no backup stays; a folder that is none of ours is refused."""
    labels = template.copy_to(shelf.entry, daily(5))
    root = Path(shelf.entry["path"], INSTANCE)
    for name in ("backup/notes.txt", "backup/20261118-by-hand/dump.rdb", "export/x"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("mine")
    prune(shelf)
    assert shelf.labels == labels[-3:]
    assert (root / "backup/notes.txt").exists() and (root / "backup/20261118-by-hand/dump.rdb").exists()
    (root / "instance.json").unlink()
    with untouched(root):
        refused(shelf, "no backups of this collection", "stays whole", keep={"last": 1})


def test_another_servers_backups(place: Place, template: Template) -> None:
    labels = template.copy_to(place.entry, daily(5))
    write_identity(place.store, INSTANCE, "11111111-2222-3333-4444-555555555555")
    found = refused(place, INSTANCE, "another server", "11111111-2222-3333-4444-555555555555", "adopt: true")
    assert place.labels == labels and found["removed"] == []
    assert prune(place, adopt=True)["removed"] == labels[:2]


# --- repositories that fail, locks ---


def test_one_of_three_is_out_of_reach(shelf: Place, s3: S3Server, template: Template, tmp_path: Path) -> None:
    """The others are pruned; the task fails and says which, with all that was done."""
    gone = s3.entry("nowhere", name="gone", endpoint_url=f"http://127.0.0.1:{free_port()}")
    cloud = Place(s3.entry(s3.bucket()), shelf.state_dir, s3)
    unmounted = {"name": "nas", "path": str(tmp_path / "unmounted")}
    template.copy_to(cloud.entry, daily(5))
    labels = template.copy_to(shelf.entry, daily(5))
    failure = refused(
        shelf, "gone", "cannot be reached", "nas", "does not exist", "Pruned: local, s3",
        repositories=[gone, shelf.entry, unmounted, cloud.entry],
    )  # fmt: skip
    assert shelf.labels == cloud.labels == labels[2:]
    assert failure["removed"] == labels[:2]
    assert [each["name"] for each in failure["repositories"] if each["failed"]] == ["gone", "nas"]
    assert not Path(unmounted["path"]).exists()


def test_a_writer_is_at_work(place: Place, template: Template) -> None:
    labels = template.copy_to(place.entry, daily(5))
    with place.store.lock(INSTANCE):
        refused(place, "another backup of shop is being written")
        assert prune(place, check=True)["removed"] == labels[:2]
    assert place.labels == labels
    assert prune(place)["removed"] == labels[:2]


def test_directory_that_cannot_be_written(shelf: Place, template: Template) -> None:
    """What stays is whole, and the failure is told when the others are gone."""
    labels = template.copy_to(shelf.entry, daily(5))
    stuck = Path(shelf.entry["path"], INSTANCE, "backup", labels[0])
    if os.system(f"chattr +i {stuck} {stuck}/manifest.json 2>/dev/null"):
        pytest.skip("no immutable files here")
    try:
        found = refused(shelf, labels[0], "Operation not permitted")
    finally:
        os.system(f"chattr -i {stuck} {stuck}/manifest.json")
    assert shelf.labels == [labels[0], *labels[2:]]
    assert found["removed"] == [labels[1]]
    shelf.assert_no_remains()


@pytest.mark.parametrize(
    ("params", "needles"),
    [
        ({"keep": None}, ["keep names no rule for local", "nothing was removed", "daily"]),
        ({"keep": {"last": 0}}, ["keep names no rule"]),
        ({"keep": {"last": -1}}, ["last is -1", "0 or more"]),
        ({"keep": {"within": -0.5}}, ["within is -0.5"]),
        ({"keep": {"within": "nan"}}, ["within is nan"]),
        ({"keep": {"last": 1}, "minimum_verified": -2}, ["minimum_verified is -2"]),
        ({"keep": {"last": 1}, "shrink_ratio": "nan"}, ["shrink_ratio is nan", "nothing was changed"]),
        ({"keep": {"last": 1}, "shrink_ratio": -1}, ["shrink_ratio is -1"]),
        ({"keep": {"last": 1}, "instance": "../shop"}, ["cannot name an instance"]),
    ],
)
def test_bad_input(shelf: Place, template: Template, params: dict[str, Any], needles: list[str]) -> None:
    template.copy_to(shelf.entry, daily(5))
    with untouched(Path(shelf.entry["path"])), pytest.raises(ModuleFailed) as caught:
        run_within("redis_backup_prune", {**shelf.common, **params})
    assert_told(caught.value.msg, *needles)


# --- remains ---


def test_remains_of_dead_writers(shelf: Place, template: Template) -> None:
    """Those of yesterday go, those of today stay for the next backup to judge."""
    labels = template.copy_to(shelf.entry, daily(3))
    root = Path(shelf.entry["path"], INSTANCE, "backup")
    old, young, empty = "20261101T000000Z_rdb", "20261102T000000Z_rdb", "20261103T000000Z_rdb"
    for label, age in ((old, 1.1 * DAY), (young, 0.5 * DAY)):
        (root / label).mkdir()
        (root / label / "dump.rdb.zst.part").write_bytes(b"x" * 1000)
        os.utime(root / label / "dump.rdb.zst.part", (time.time() - age,) * 2)
    (root / empty).mkdir()
    found = prune(shelf)
    assert found["repositories"][0]["remains"] == [old, empty]
    assert (found["freed_bytes"], found["changed"], found["removed"]) == (1000, True, [])
    assert sorted(shelf.folders) == [young, *labels]


def test_unfinished_uploads_are_aborted(s3: S3Server, template: Template, tmp_path: Path) -> None:
    place = Place(s3.entry(s3.bucket()), tmp_path / "state", s3).known_to_host(template)
    labels = template.copy_to(place.entry, daily(4))
    for label in (labels[0], labels[-1], "20261101T000000Z_rdb"):
        key = f"{INSTANCE}/backup/{label}/dump.rdb.zst"
        s3.client.create_multipart_upload(Bucket=place.entry["bucket"], Key=key)
    s3.client.create_multipart_upload(Bucket=place.entry["bucket"], Key="other/backup/x")
    prune(place, check=True)
    assert len(s3.uploads(place.entry["bucket"])) == 4
    prune(place)
    assert s3.uploads(place.entry["bucket"]) == ["other/backup/x"]
    assert place.labels == labels[1:]


# --- killed, and two at once ---


def test_killed_at_a_random_instant(place: Place, template: Template, server: RedisProcess, long: bool) -> None:
    """No manifest without its files, never fewer than are to stay, and the next runs finish."""
    times = daily(10)
    stay = 3
    params = {**place.common, "keep": {"last": stay}}
    local = "path" in place.entry
    roots = [Path(place.entry["path"]), place.state_dir] if local else [place.state_dir]
    template.copy_to(place.entry, times)
    prune(place, params["keep"])  # makes the folders of the host's state
    place.store.remove(f"{INSTANCE}/backup")
    template.copy_to(place.entry, times)
    work = watch("redis_backup_prune", params, roots)
    chance = random.Random(f"{SEED} {place.entry['name']}")
    removals = [number for number, words in enumerate(work.changes, 1) if words.startswith(("os.remove", "os.rmdir"))]
    cut = 0
    for _number in range(30 if long else 10 if local else 5):
        place.store.remove(f"{INSTANCE}/backup")
        labels = template.copy_to(place.entry, times)
        if local:  # most of its time is the start of Python
            number = chance.choice(removals)
            when = f"killed before change {number}, {work.changes[number - 1]}"
            kill_at_change("redis_backup_prune", params, roots, number)
        else:
            instant = chance.uniform(0.4, 0.95) * work.seconds
            when = f"killed after {instant * 1000:.1f} of {work.seconds * 1000:.0f} ms"
            kill_after("redis_backup_prune", params, roots, instant)
        cut += stay < len(place.labels) < len(times)
        place.assert_none_torn(when)
        assert place.labels[-stay:] == labels[-stay:], when
        place.end_lease()
        prune(place, params["keep"])
        assert place.labels == labels[-stay:], when
        if not local:  # its remains look young, for the copies are; a backup takes them at once
            run_within("redis_backup", {**server.connection, **place.common})
        place.assert_no_remains(when)
    assert cut or not (local or long), "no kill fell between the first and the last removal"


def test_two_controllers_at_once(place: Place, template: Template, server: RedisProcess, long: bool) -> None:
    """Both end well, or one says who holds the lock; nothing is torn, nothing is left over."""
    template.copy_to(place.entry, daily(12))
    both = [Place(place.entry, place.state_dir.parent / name, place.service).known_to_host(template) for name in "ab"]
    done = 0
    for _round in range(10 if long else 3):
        running = [
            (name, start_module(name, {**each.common, **more}))
            for name, more in (
                ("redis_backup", server.connection),
                ("redis_backup_prune", {"keep": {"last": 4}, "minimum_verified": 2}),
            )
            for each in both
        ]
        for name, process in running:
            try:
                finish(process, name)
                done += 1
            except ModuleFailed as failure:
                assert_told(failure.msg, "another", INSTANCE)
        place.assert_none_torn()
    assert done
    for each in both:
        run_module("redis_backup", {**server.connection, **each.common})
        prune(each, {"last": 4})
    assert len(place.labels) == 4
    place.assert_no_remains()
    shown = run_within("redis_backup_info", place.common)["backups"]
    assert [each["label"] for each in shown if each["usable"]] == place.labels
    assert all(names >= FILES for names in place.folders.values())
