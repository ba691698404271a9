# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One backup in three repositories: each ends whole or without it, on its own, and enough of them make a success."""

from __future__ import annotations

import contextlib
import datetime
import json
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository import s3 as s3_store
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.manifest import seal
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.open import open_store

from support.dataset import load_multiframe
from support.faulty import Fault, FaultyProxy, faulty
from support.machine import AgeKey, make_ssh_key, tmpfs
from support.modules import ModuleFailed, run_module
from support.restores import SOURCE, Backup, Restore
from support.s3 import S3Server
from support.servers import Build, RedisProcess
from support.untouched import assert_told
from support.values import differences, snapshot_values
from support.within import run_within

FILES = {"SHA256SUMS", "dump.rdb.zst", "manifest.json", "server.tar.zst"}
NAMES = ["near", "far", "cloud"]


@dataclass
class Three:
    """Two directories and a bucket behind a proxy, for backups of one server."""

    server: RedisProcess
    place: Path
    s3: S3Server
    proxy: FaultyProxy
    bucket: str
    swapped: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def repositories(self) -> list[dict[str, Any]]:
        usual = [
            {"name": "near", "path": str(self.place / "near")},
            {"name": "far", "path": str(self.place / "far")},
            self.s3.entry(self.bucket, name="cloud", endpoint_url=self.proxy.endpoint),
        ]
        return [self.swapped.get(entry["name"], entry) for entry in usual]

    def params(self, **more: Any) -> dict[str, Any]:
        common = {**self.server.connection, "instance": SOURCE, "state_dir": str(self.place / "state")}
        return {**common, "repositories": self.repositories, **more}

    def backup(self, *, check: bool = False, **more: Any) -> dict[str, Any]:
        return run_within("redis_backup", self.params(**more), check=check)

    def refused(self, *needles: str, check: bool = False, **more: Any) -> dict[str, Any]:
        """A backup must fail, with all of `needles` in its paragraph; its result."""
        with pytest.raises(ModuleFailed) as caught:
            self.backup(check=check, **more)
        assert_told(caught.value.msg, SOURCE, *needles)
        return caught.value.result

    def labels(self, name: str) -> dict[str, set[str]]:
        """The files of everything that lies in a repository where backups are, by label."""
        if name == "cloud":
            return self.s3.labels(self.bucket, SOURCE)
        entry = next(each for each in self.repositories if each["name"] == name)
        root = Path(entry["path"], SOURCE, "backup")
        return {path.name: {each.name for each in path.iterdir()} for path in root.glob("*")}

    def serials(self, name: str) -> list[int]:
        folder = self.place / name / SOURCE / "backup"
        return [json.loads((path / "manifest.json").read_bytes())["serial"] for path in sorted(folder.glob("*"))]


@pytest.fixture(scope="module")
def server(any_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    server = RedisProcess(any_build, tmp_path_factory.mktemp("many") / "server").start()
    load_multiframe(server.client(), 200, 50)
    yield server
    server.destroy()


@pytest.fixture(scope="module")
def bucket(s3: S3Server) -> str:
    """One for all tests: each bucket costs the service volumes."""
    return s3.bucket()


@pytest.fixture
def three(
    server: RedisProcess, s3: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Three]:
    monkeypatch.setattr(s3_store, "_ATTEMPTS", 1)
    s3.clear(bucket)
    for name in ("near", "far"):
        (tmp_path / name).mkdir()
    with faulty(s3.port) as proxy:
        yield Three(server, tmp_path, s3, proxy, bucket)


def warnings_of(result: dict[str, Any], words: str) -> list[str]:
    """The warnings with these words: those of earlier runs in this process come along."""
    return [str(each) for each in result.get("warnings", []) if words in str(each)]


# --- the loss of any two ---


@pytest.mark.parametrize("left", NAMES)
def test_any_one_is_enough(three: Three, left: str, target: RedisProcess) -> None:
    made = three.backup()["backup"]
    assert (made["repositories"], made["failed"]) == (NAMES, {})
    values = snapshot_values(three.server.client())
    for name in {"near", "far"} - {left}:
        shutil.rmtree(three.place / name)
    if left != "cloud":
        three.s3.clear(three.bucket)
    (entry,) = [each for each in three.repositories if each["name"] == left]
    restore = Restore(target, Backup(entry, made["label"], values, made))
    restore.step("staged")
    target.stop()
    restore.step("active")
    target.start()
    assert not differences(values, snapshot_values(target.client()))
    restore.step("committed")


# --- one fails in each phase ---


@contextlib.contextmanager
def not_there(three: Three) -> Iterator[tuple[str, str]]:
    shutil.rmtree(three.place / "far")
    yield "far", "does not exist"
    (three.place / "far").mkdir()


@contextlib.contextmanager
def read_only(three: Three) -> Iterator[tuple[str, str]]:
    with tmpfs("8M") as place:
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        three.swapped["far"] = {"name": "far", "path": str(place)}
        yield "far", "not writable"
    three.swapped.clear()


@contextlib.contextmanager
def full(three: Three) -> Iterator[tuple[str, str]]:
    """It shows while the backup is written: there was none before that could have been a measure."""
    with tmpfs("100K") as place:
        three.swapped["far"] = {"name": "far", "path": str(place)}
        yield "far", "No space left"
        assert not list(place.glob(f"{SOURCE}/backup/*")), "remains"
    three.swapped.clear()


@contextlib.contextmanager
def too_little_room(three: Three) -> Iterator[tuple[str, str]]:
    """The last backup is the measure, and nothing is begun there."""
    with tmpfs("8M") as place:
        three.swapped["far"] = {"name": "far", "path": str(place)}
        last = three.backup()["backup"]["label"]
        filler = place / "filler"
        with contextlib.suppress(OSError), filler.open("wb") as stream:
            while stream.write(b"x" * 4096):
                stream.flush()
        yield "far", "bytes left, the last backup"
        assert list(three.labels("far")) == [last]
    three.swapped.clear()


@contextlib.contextmanager
def damaged_identity(three: Three) -> Iterator[tuple[str, str]]:
    path = three.place / "far" / SOURCE / "instance.json"
    path.parent.mkdir()
    path.write_text("{}")
    yield "far", "instance.json) is damaged"
    shutil.rmtree(path.parent)


@contextlib.contextmanager
def foreign_files(three: Three) -> Iterator[tuple[str, str]]:
    path = three.place / "far" / SOURCE / "holiday.jpg"
    path.parent.mkdir()
    path.write_text("sun")
    yield "far", "no backups of this collection"
    shutil.rmtree(path.parent)


@contextlib.contextmanager
def locked_directory(three: Three) -> Iterator[tuple[str, str]]:
    (three.place / "far").mkdir(exist_ok=True)
    with open_store({"name": "far", "type": "posix", "path": str(three.place / "far")}).lock(SOURCE):
        yield "far", "is being written"


@contextlib.contextmanager
def locked_bucket(three: Three) -> Iterator[tuple[str, str]]:
    with open_store(three.s3.entry(three.bucket)).lock(SOURCE):
        yield "cloud", "is being written"


@contextlib.contextmanager
def gone_half_way(three: Three) -> Iterator[tuple[str, str]]:
    """From the first request that writes an artefact on, nothing answers: nothing can be cleaned up either."""
    three.proxy.arm(Fault.CUT_BEFORE, 1, lasting=True, words=("PUT", "dump.rdb"))
    yield "cloud", "cannot be reached"
    three.proxy.arm()
    three.s3.client.delete_object(Bucket=three.bucket, Key=f"{SOURCE}/.lock")


PHASES = [
    not_there,
    read_only,
    full,
    too_little_room,
    damaged_identity,
    foreign_files,
    locked_directory,
    locked_bucket,
    gone_half_way,
]


@pytest.mark.parametrize(
    "least",
    [
        pytest.param(1, id="one will do", marks=pytest.mark.long),
        pytest.param(2, id="two will do"),
        pytest.param(None, id="all"),
    ],
)
@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.__name__)
def test_one_fails(
    three: Three, phase: Callable[[Three], contextlib.AbstractContextManager[tuple[str, str]]], least: int | None
) -> None:
    """The two others get the backup whole; when it is over, the next run serves all three and leaves no remains."""
    with phase(three) as (broken, words):
        before = {name: set(three.labels(name)) for name in NAMES}
        others = [name for name in NAMES if name != broken]
        if least is None:
            told = three.refused(words, f"complete in: {', '.join(others)}", "2 of 3 repositories have it, 3 must")
            assert (told["failed_repositories"], told["complete_repositories"]) == ([broken], others)
        else:
            done = three.backup(repositories_min=least)
            assert done["changed"] and done["backup"]["repositories"] == others
            assert list(done["backup"]["failed"]) == [broken] and words in done["backup"]["failed"][broken]
            (warning,) = warnings_of(done, f"repository {broken} lacks the backup {done['backup']['label']}")
            assert words in warning
            assert sum(action.startswith("wrote ") for action in done["actions"]) == 2
        for name in others:
            (new,) = three.labels(name).keys() - before[name]
            assert three.labels(name)[new] == FILES
        there = three.labels(broken)
        assert all("manifest.json" not in there[label] for label in there.keys() - before[broken])
    healed = three.backup()["backup"]
    assert (healed["repositories"], healed["failed"]) == (NAMES, {})
    for name in NAMES:
        assert all(files == FILES for files in three.labels(name).values()), (name, three.labels(name))


def test_two_fail(three: Three) -> None:
    """One is left: enough for one, too few for two."""
    shutil.rmtree(three.place / "far")
    with locked_bucket(three):
        told = three.refused("far", "cloud", "does not exist", "is being written", "1 of 3", repositories_min=2)
        assert told["failed_repositories"] == ["cloud", "far"]
        made = three.backup(repositories_min=1)["backup"]
        assert made["repositories"] == ["near"] and sorted(made["failed"]) == ["cloud", "far"]
        shutil.rmtree(three.place / "near")
        told = three.refused("near", "far", "No repository has it", repositories_min=1)
        assert told["failed_repositories"] == ["cloud", "far", "near"] and told["complete_repositories"] == []


def test_another_server_of_that_name_stops_all(three: Three) -> None:
    """However few would do: that is no fault of a repository."""
    path = three.place / "far" / SOURCE / "instance.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"instance": SOURCE, "uuid": "6f1b6a52-7d1c-4b61-9b5f-1f6a3a3ff001"}))
    told = three.refused("another server", "adopt: true", repositories_min=1)
    assert "failed_repositories" not in told
    assert all(three.labels(name) == {} for name in NAMES)


def test_impossible_numbers(three: Three) -> None:
    for least in (0, -1, 4):
        three.refused(f"repositories_min is {least}, with 3 repositories", repositories_min=least)
    assert all(three.labels(name) == {} for name in NAMES)


def test_check_mode(three: Three) -> None:
    shutil.rmtree(three.place / "far")
    three.refused("does not exist", "that was to be made", "No repository has it", check=True)
    dry = three.backup(check=True, repositories_min=2)
    assert dry["changed"] and len(dry["actions"]) == 2
    assert warnings_of(dry, "repository far lacks")
    assert dry["diff"]["after"] == "near: a new backup\nfar: no backup\ncloud: a new backup\n"
    assert three.labels("cloud") == {}


# --- max_age ---


def test_young_enough_where_it_can_be_had(three: Three) -> None:
    """A repository that is away gets none, and is no reason for another one in those that have one."""
    first = three.backup()["backup"]["label"]
    shutil.rmtree(three.place / "far")
    again = three.backup(max_age=3600, repositories_min=2)
    assert not again["changed"] and again["backup"]["label"] == first
    assert again["backup"]["repositories"] == ["near", "cloud"] and list(again["backup"]["failed"]) == ["far"]
    assert not three.backup(max_age=3600, repositories_min=2, check=True)["changed"]
    told = three.refused("far", "young enough in: near, cloud", max_age=3600)
    assert told["failed_repositories"] == ["far"]
    assert [list(three.labels(name)) for name in ("near", "cloud")] == [[first], [first]]
    (three.place / "far").mkdir()
    back = three.backup(max_age=3600, repositories_min=2)
    assert back["changed"] and back["backup"]["repositories"] == NAMES, "it lacks the young one, so all get one"
    assert [len(three.labels(name)) for name in NAMES] == [2, 1, 2]
    assert not three.backup(max_age=3600)["changed"]


def test_full_for_good(three: Three) -> None:
    """A repository without room for another backup is named, and does not make the others fill up."""
    with too_little_room(three) as (broken, _words):
        (label,) = three.labels(broken)
        path = Path(three.swapped[broken]["path"], SOURCE, "backup", label, "manifest.json")
        path.write_bytes(seal({**json.loads(path.read_bytes()), "snapshot_time": "2026-01-01T00:00:00Z"}))
        done = three.backup(max_age=3600, repositories_min=2)
        assert not done["changed"] and done["backup"]["label"] == label
        assert done["backup"]["repositories"] == ["near", "cloud"] and list(done["backup"]["failed"]) == [broken]
        assert [list(three.labels(name)) for name in NAMES] == [[label]] * 3


# --- what the log says ---


def test_lock_of_a_dead_owner(three: Three) -> None:
    ended = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=1)
    dead = {"owner": "db9.example.com, process 7", "token": "x", "expires": ended.strftime("%Y-%m-%dT%H:%M:%SZ")}
    three.s3.client.put_object(Bucket=three.bucket, Key=f"{SOURCE}/.lock", Body=json.dumps(dead).encode())
    actions = three.backup()["actions"]
    (word,) = [action for action in actions if "took over" in action]
    assert "took over the lock of db9.example.com, process 7" in word and f"s3://{three.bucket}" in word
    assert not any("took over" in action for action in three.backup()["actions"])


def test_remains_that_nobody_may_remove(three: Three) -> None:
    """An artefact of a dead writer under object lock: a word, and the backup is made."""
    bucket = three.s3.bucket(lock=True)
    lock = {"mode": "COMPLIANCE", "days": 1}
    three.swapped["cloud"] = three.s3.entry(bucket, name="cloud", object_lock=lock)
    remains = "20261101T000000Z_rdb"
    open_store(three.swapped["cloud"]).write(f"{SOURCE}/backup/{remains}/dump.rdb.zst", b"half")
    open_store(three.swapped["cloud"]).write(f"{SOURCE}/instance.json", (b'{"instance": "x", "uuid": "u"}'))
    made = three.backup(adopt=True)
    assert made["backup"]["repositories"] == NAMES
    (warning,) = warnings_of(made, remains)
    assert "stay" in warning and "could not be removed" in warning
    assert three.s3.labels(bucket, SOURCE)[made["backup"]["label"]] == FILES


# --- annotations and serials ---


def test_keep(three: Three) -> None:
    for bad in ("next year", "2027-02-30", 5):
        three.refused("keep", "2027-01-31", annotations={"keep": bad})
    assert all(three.labels(name) == {} for name in NAMES)
    for good in (True, "2027-01-31", "2027-01-31T18:00:00Z"):
        label = three.backup(annotations={"keep": good, "why": "audit"})["backup"]["label"]
        manifest = json.loads((three.place / "near" / SOURCE / "backup" / label / "manifest.json").read_bytes())
        assert manifest["annotations"] == {"keep": good, "why": "audit"}


def test_serials_grow(three: Three) -> None:
    """Whatever is left of what knew the last one: the repositories, or the host."""
    three.backup()
    three.backup()
    assert three.serials("near") == [1, 2]
    shutil.rmtree(three.place / "state")
    three.backup(adopt=True)
    assert three.serials("far") == [1, 2, 3]
    for name in ("near", "far"):
        shutil.rmtree(three.place / name / SOURCE / "backup")
    three.s3.clear(three.bucket)
    three.backup()
    assert three.serials("near") == three.serials("far") == [4]


# --- SSH keys ---


def test_ssh_recipient(
    any_build: Build, server: RedisProcess, age_key: AgeKey, tmp_path: Path, target: RedisProcess
) -> None:
    """An SSH key beside an age key: restored by the SSH identity alone."""
    ssh = make_ssh_key(tmp_path / "id_ed25519")
    shelf = {"name": "shelf", "path": str(tmp_path / "shelf")}
    common = {**server.connection, "instance": SOURCE, "state_dir": str(tmp_path / "state")}
    recipients = {"recipients": [age_key.recipient, ssh.recipient]}
    to = {"repositories": [{**shelf, "create": True}], "encryption": recipients}
    made = run_module("redis_backup", {**common, **to})["backup"]
    assert made["encrypted"]
    values = snapshot_values(server.client())
    restore = Restore(target, Backup(shelf, made["label"], values, made), identities=[str(ssh.identity)])
    restore.step("staged")
    target.stop()
    restore.step("active")
    target.start()
    assert not differences(values, snapshot_values(target.client()))
    restore.step("committed")
    bad = {**to, "encryption": {"recipients": [random.choice(ssh.recipient.split())]}}
    with pytest.raises(ModuleFailed) as caught:
        run_module("redis_backup", {**common, **bad})
    assert_told(caught.value.msg, "age", "recipient")


def test_two_controllers(three: Three) -> None:
    """Both begin in one instant: one gets all three repositories, the other those that are free again by then."""
    ends: list[str] = []
    start = threading.Barrier(2)

    def run(number: int) -> None:
        params = three.params(state_dir=str(three.place / f"state{number}"))
        start.wait(30)
        try:
            made = run_module("redis_backup", params)["backup"]
            assert made["repositories"] == NAMES
            ends.append("made")
        except ModuleFailed as error:
            assert_told(error.msg, "is being written")
            ends.append("refused")

    three.backup()
    for number in range(2):  # two hosts that are known as one
        shutil.copytree(three.place / "state", three.place / f"state{number}")
    controllers = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for each in controllers:
        each.start()
    for each in controllers:
        each.join()
    assert sorted(ends) in (["made", "made"], ["made", "refused"]), ends
    whole = [three.labels(name) for name in NAMES]
    assert all(files == FILES for labels in whole for files in labels.values())
    assert len(set(whole[0]) & set(whole[1]) & set(whole[2])) >= 2, "no backup of this round is in all three"


def test_tiers(three: Three) -> None:
    """Each run writes where the newest backup is too old for that repository: often near, rarely in the cloud."""
    for name, age in (("far", 3600), ("cloud", 86400)):
        entry = next(each for each in three.repositories if each["name"] == name)
        three.swapped[name] = {**entry, "max_age": age}
    first = three.backup()["backup"]
    assert (first["repositories"], first["passed_over"]) == (NAMES, {})
    planned = three.backup(check=True)
    assert planned["actions"] == [f"would back up {SOURCE} to repository near ({three.place}/near)"]
    second = three.backup()["backup"]
    assert second["repositories"] == ["near"]
    assert second["passed_over"] == {"far": first["label"], "cloud": first["label"]}
    assert [len(three.labels(name)) for name in NAMES] == [2, 1, 1]
    three.swapped["far"]["max_age"] = 0
    time.sleep(1.1)  # a backup of the same second is 0 s old
    third = three.backup()["backup"]
    assert third["repositories"] == ["near", "far"]
    three.swapped["near"] = {"name": "near", "path": str(three.place / "near"), "max_age": 3600}
    three.swapped["far"]["max_age"] = 3600
    assert three.backup()["changed"] is False
    assert [len(three.labels(name)) for name in NAMES] == [3, 2, 1]


def test_a_tier_that_fails_is_told_though_others_rest(three: Three) -> None:
    entry = three.repositories[2]
    three.swapped["cloud"] = {**entry, "max_age": 86400}
    three.backup()
    shutil.rmtree(three.place / "far")
    three.refused("far")
    assert three.backup(repositories_min=2)["backup"]["repositories"] == ["near"]


@pytest.mark.parametrize("check", [False, True])
def test_tiers_that_rest_do_not_stand_in_for_the_one_that_was_due(three: Three, check: bool) -> None:
    """Hourly backups that fail are no success, because there is a daily one."""
    for name in ("far", "cloud"):
        entry = next(each for each in three.repositories if each["name"] == name)
        three.swapped[name] = {**entry, "max_age": 86400}
    three.backup()
    shutil.rmtree(three.place / "near")
    three.refused("near", "None was made", repositories_min=1, check=check)
