# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stored backups proven good, or not: every level on real servers, and what a verdict is not about."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.manifest import seal

from support.dataset import load_multiframe, raw, send
from support.fleet import RealFleet
from support.fleets import table, told
from support.hosts import Host, Lab
from support.killing import kill_after, members, watch
from support.machine import AgeKey, make_age_key
from support.modules import ModuleFailed, run_module
from support.plays import playbook_path, run_playbook
from support.s3 import S3Server
from support.servers import Build, BuildMissing, RedisProcess, build_named
from support.shelf import Shelf
from support.sites import Site
from support.untouched import assert_told, untouched
from support.waiting import wait_for
from support.within import run_within

MakeServer = Callable[..., RedisProcess]
LEVELS = ("stored", "content", "restore")
FIELDS = {"level", "ok", "time", "problems", "keys", "duration_s", "host", "server", "digest"}
SEED = 20261125


class Case:
    """A shelf with one backup of a server, and its verification."""

    def __init__(self, shelf: Shelf, server: RedisProcess, work: Path) -> None:
        self.shelf, self.server, self.work = shelf, server, work
        self.label = str(shelf.backup(server)["label"])

    def params(self, level: str, **more: Any) -> dict[str, Any]:
        key = self.shelf.key
        wanted = self.shelf.of(
            self.server,
            repositories=[self.shelf.repository],
            level=level,
            identities=[str(key.identity)] if key else [],
            work_dir=str(self.work),
        )
        return {name: value for name, value in {**wanted, **more}.items() if value is not None}

    def verify(self, level: str, **more: Any) -> dict[str, Any]:
        done = run_within("redis_backup_verify", self.params(level, **more))
        self.left_nothing()
        return done

    def fails(self, level: str, *needles: str, **more: Any) -> ModuleFailed:
        """The verification fails, and says so with all of `needles`."""
        with pytest.raises(ModuleFailed) as caught:
            run_within("redis_backup_verify", self.params(level, **more))
        assert_told(caught.value.msg, *needles)
        self.left_nothing()
        return caught.value

    def undecided(self, level: str, *needles: str, **more: Any) -> None:
        """The verification fails without a verdict: nothing is recorded."""
        before = self.records()
        failure = self.fails(level, *needles, **more)
        assert not failure.result["changed"] and failure.result["results"][0]["recorded"] is False
        assert self.records() == before

    def left_nothing(self) -> None:
        assert list(self.work.iterdir()) == []

    def path(self, name: str, label: str = "") -> Path:
        (found,) = self.shelf.folder(label or self.label).glob(f"{name}*")
        return found

    def records(self, label: str = "") -> list[dict[str, Any]]:
        folder = self.shelf.folder(label or self.label) / "verification"
        return [json.loads(path.read_text()) for path in sorted(folder.glob("*"), key=lambda path: path.name)]

    def forget(self) -> None:
        shutil.rmtree(self.shelf.folder(self.label) / "verification", ignore_errors=True)

    @contextlib.contextmanager
    def resealed(self, change: Callable[[dict[str, Any]], None]) -> Iterator[None]:
        """Another manifest, sealed by somebody who knows how, for a while."""
        path = self.shelf.folder(self.label) / "manifest.json"
        original = path.read_bytes()
        document = json.loads(original)
        change(document)
        path.write_bytes(seal(document))
        try:
            yield
        finally:
            path.write_bytes(original)

    def clone(self, seconds: float) -> str:
        """The same backup once more, as if made so long before."""
        label = time.strftime("%Y%m%dT%H%M%SZ_rdb", time.gmtime(time.time() - seconds))
        folder = self.shelf.folder(label)
        shutil.copytree(self.shelf.folder(self.label), folder)
        document = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_bytes(seal({**document, "label": label}))
        shutil.rmtree(folder / "verification", ignore_errors=True)
        return label


@pytest.fixture(params=["plain", "encrypted"])
def key(request: pytest.FixtureRequest, age_key: AgeKey) -> AgeKey | None:
    return age_key if request.param == "encrypted" else None


@pytest.fixture
def work(server_root: Path) -> Path:
    """Where throw-away servers get their directories."""
    found = server_root / "work"
    found.mkdir(mode=0o755)
    return found


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    (tmp_path / "repository").mkdir()
    return Shelf(tmp_path / "repository", tmp_path / "state")


@pytest.fixture
def case(any_build: Build, make_server: MakeServer, shelf: Shelf, work: Path) -> Case:
    """An unencrypted backup of the usual version."""
    server = make_server(any_build)
    load_multiframe(server.client(), 100, 30)
    return Case(shelf, server, work)


def digest_of(server: RedisProcess) -> str:
    return str(run_within("redis_check", {**server.connection, "digest": True})["digest"])


# --- the levels ---


def test_every_level(build: Build, key: AgeKey | None, make_server: MakeServer, shelf: Shelf, work: Path) -> None:
    """The server is not even needed: it is gone. The digest is the one that redis_check gives for the live server."""
    server = make_server(build)
    load_multiframe(server.client(), 300, 100)
    wanted = digest_of(server)
    shelf.key = key
    case = Case(shelf, server, work)
    keys = sum(raw(server.client(), db).execute_command("DBSIZE") for db in (0, 1))
    server.stop()
    for level in LEVELS:
        done = run_module("redis_backup_verify", case.params(level))
        (result,) = done["results"]
        assert done["changed"] and result["ok"] and result["recorded"] and result["problems"] == []
        assert (result["label"], result["repository"], result["level"]) == (case.label, "shelf", level)
        assert result["keys"] == (None if level == "stored" else keys)
        assert f"verified {case.label} of shop" in done["actions"][0]
        case.left_nothing()
    assert result["functions"] == (None if build.version < (7,) else 1)
    records = {record["level"]: record for record in case.records()}
    assert list(records) == list(LEVELS) and all(set(record) == FIELDS for record in records.values())
    assert all(record["ok"] and record["duration_s"] >= 0 and record["host"] for record in records.values())
    assert (records["restore"]["digest"], records["restore"]["keys"]) == (wanted, keys)
    version = ".".join(map(str, build.version))
    assert records["restore"]["server"] == {"flavour": build.flavour, "version": version}
    shown = run_within("redis_backup_info", {"instance": "shop", "repositories": [shelf.repository]})["latest"]
    assert shown["verified"] and shown["verified_at"] == records["restore"]["time"]


def test_in_a_bucket(
    any_build: Build, make_server: MakeServer, s3: S3Server, age_key: AgeKey, tmp_path: Path, work: Path
) -> None:
    server = make_server(any_build)
    load_multiframe(server.client(), 200, 50)
    bucket = s3.bucket()
    common = {**server.connection, "instance": "shop", "state_dir": str(tmp_path / "state")}
    common["repositories"] = [s3.entry(bucket, prefix="redis")]
    made = run_module("redis_backup", {**common, "encryption": {"recipients": [age_key.recipient]}})["backup"]
    wanted = {**common, "identities": [str(age_key.identity)], "work_dir": str(work)}
    for level in LEVELS:
        assert run_module("redis_backup_verify", {**wanted, "level": level})["results"][0]["ok"]
    names = [name for name in s3.objects(bucket) if "/verification/" in name]
    assert [json.loads(s3.body(bucket, name))["level"] for name in sorted(names)] == list(LEVELS)
    path = f"redis/shop/backup/{made['label']}/dump.rdb.zst.age"
    body = bytearray(s3.body(bucket, path))
    body[len(body) // 2] ^= 1
    s3.client.put_object(Bucket=bucket, Key=path, Body=bytes(body))
    for level in LEVELS:
        with pytest.raises(ModuleFailed, match="SHA-256") as caught:
            run_module("redis_backup_verify", {**wanted, "level": level})
        assert caught.value.result["results"][0]["recorded"]
    assert list(work.iterdir()) == []


def test_a_server_of_another_user(any_build: Build, make_server: MakeServer, shelf: Shelf, work: Path) -> None:
    """Its throw-away server runs as that user, too, and may enter the directory."""
    server = make_server(any_build, user=65534)
    load_multiframe(server.client(), 20, 5)
    shelf.root.parent.chmod(0o755)
    assert Case(shelf, server, work).verify("restore")["results"][0]["ok"]


def test_check_mode_reads_nothing_and_says_what_would_be(case: Case) -> None:
    with untouched(case.shelf.root, case.work):
        done = run_module("redis_backup_verify", case.params("restore"), check=True)
    assert done["changed"] and done["results"] == []
    assert done["actions"][0].startswith(f"would verify {case.label} of shop in repository shelf")


# --- damage ---


@pytest.mark.parametrize("level", LEVELS)
def test_a_flipped_byte_is_found_and_recorded(
    key: AgeKey | None, level: str, any_build: Build, make_server: MakeServer, shelf: Shelf, work: Path, long: bool
) -> None:
    server = make_server(any_build)
    load_multiframe(server.client(), 20, 5)
    shelf.key = key
    case = Case(shelf, server, work)
    for name in ("dump.rdb", "server.tar", "SHA256SUMS", "manifest.json"):
        path = case.path(name)
        original = path.read_bytes()
        chance = random.Random(f"{SEED} {name} {level}")
        for at in (0, len(original) - 1, *(chance.randrange(len(original)) for _more in range(50 if long else 1))):
            flipped = bytearray(original)
            flipped[at] ^= 1 << chance.randrange(8)
            path.write_bytes(flipped)
            failure = case.fails(level, path.name)
            (result,) = failure.result["results"]
            assert failure.result["changed"] and not result["ok"] and result["recorded"]
            (record,) = case.records()
            assert (record["level"], record["ok"]) == (level, False) and path.name in record["problems"][0]
            case.forget()
        path.write_bytes(original)
    assert case.verify(level)["results"][0]["ok"]


@pytest.mark.parametrize("name", ["dump.rdb", "server.tar", "SHA256SUMS"])
def test_a_missing_file_is_found(case: Case, name: str) -> None:
    path = case.path(name)
    path.unlink()
    assert case.fails("stored", path.name).result["results"][0]["ok"] is False


def spoil(path: Path) -> None:
    """Change the last byte of a file."""
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def test_several_bad_files_are_all_told(case: Case) -> None:
    for name in ("dump.rdb", "server.tar"):
        path = case.path(name)
        spoil(path)
    (result,) = case.fails("content", "dump.rdb.zst", "server.tar.zst").result["results"]
    assert len(result["problems"]) == 2


def _total(document: dict[str, Any]) -> None:
    document["keys"]["total"] += 1


def _lasting(document: dict[str, Any]) -> None:
    document["keys"]["expires"] += 1


def _databases(document: dict[str, Any]) -> None:
    found = document["keys"]["databases"]
    found["db0"]["keys"] -= 1
    found["db1"]["keys"] += 1


def _functions(document: dict[str, Any]) -> None:
    document["server"]["functions"] += 1


def _server_files(document: dict[str, Any]) -> None:
    document["server_files"]["kept"].append("/etc/redis/users.acl")


@pytest.mark.parametrize(
    "change, level, words",
    [
        (_total, "content", "its manifest says"),
        (_total, "restore", "its manifest says"),
        (_server_files, "content", "lacks /etc/redis/users.acl"),
        (_lasting, "restore", "keys without an expiry time"),
        (_databases, "restore", "db1 holds"),
        (_functions, "restore", "functions"),
    ],
)
def test_whole_archives_of_other_content(
    case: Case, change: Callable[[dict[str, Any]], None], level: str, words: str
) -> None:
    """Every hash is right; only who opens it, or loads it, finds that it is another data set."""
    with case.resealed(change):
        below = LEVELS[: LEVELS.index(level)] if (change, level) != (_total, "restore") else LEVELS[:1]
        for lower in below:
            assert case.verify(lower)["results"][0]["ok"]
        case.fails(level, words)
        assert case.records()[-1]["ok"] is False
    assert case.verify(level)["results"][0]["ok"]


def test_other_data_than_last_time(case: Case) -> None:
    """The digest of an earlier record of the same bytes is held against the new one."""
    case.verify("restore")
    assert case.verify("restore")["results"][0]["ok"]
    folder = case.shelf.folder(case.label) / "verification"
    newest = max(folder.iterdir())
    record = json.loads(newest.read_text())
    newest.write_text(json.dumps({**record, "digest": "0" * 64}))
    case.fails("restore", "other data than on")


def test_keys_that_expire_are_no_damage(build: Build, make_server: MakeServer, shelf: Shelf, work: Path) -> None:
    """Between the backup and two verifications: keys, and fields of hashes where the server knows such."""
    server = make_server(build)
    client = server.client()
    load_multiframe(client, 20, 5)
    now = int(time.time() * 1000)
    soon, later = now + 4000, now + 7000
    commands: list[tuple[Any, ...]] = [("SET", f"soon:{n}", n, "PX", soon - now) for n in range(20)]
    commands += [("SET", f"later:{n}", n, "PX", later - now) for n in range(20)]
    with_fields = build.version >= ((9, 0) if build.flavour == "valkey" else (7, 4))
    if with_fields:
        commands += [("HSET", f"fields:{n}", "one", 1, "two", 2) for n in range(5)]
        commands += [("HPEXPIREAT", f"fields:{n}", soon, "FIELDS", 2, "one", "two") for n in range(5)]
    send(raw(client), commands)
    case = Case(shelf, server, work)
    held = json.loads(case.path("manifest.json").read_text())["keys"]["total"]
    found = [case.verify("restore")["results"][0]]
    for moment in (soon, later):
        wait_for(lambda moment=moment: time.time() * 1000 > moment, "keys to be past their time")
        found.append(case.verify("restore")["results"][0])
    assert all(each["ok"] for each in found), found
    assert found[0]["keys"] <= held and found[2]["keys"] == held - 40 - (5 if with_fields else 0)


# --- what a verdict is not about ---


def test_no_identity_and_a_wrong_one(
    any_build: Build, make_server: MakeServer, shelf: Shelf, work: Path, age_key: AgeKey, tmp_path: Path
) -> None:
    server = make_server(any_build)
    shelf.key = age_key
    case = Case(shelf, server, work)
    other = make_age_key(tmp_path / "other")
    rubbish = tmp_path / "rubbish"
    rubbish.write_text("AGE-SECRET-KEY-1NOKEY\n")
    for level in LEVELS[1:]:
        case.undecided(level, "no identity is given", identities=[])
        case.undecided(level, "is missing or not readable", identities=[str(tmp_path / "none")])
        case.undecided(level, "no identity matched", identities=[str(other.identity)])
        case.undecided(level, "cannot be opened", identities=[str(rubbish)])
    assert case.verify("stored", identities=[])["results"][0]["ok"]
    path = case.path("dump.rdb")
    spoil(path)
    case.fails("content", "SHA-256", identities=[str(other.identity)])  # what is told by hashes needs no identity
    assert not case.records()[-1]["ok"]


def test_too_little_memory(case: Case) -> None:
    """Refused beforehand; and where the manifest promised too little, the bound holds: no verdict either way."""
    used = {"used_memory_bytes": 1 << 50}
    with case.resealed(lambda document: document["server"].update(used)):
        case.undecided("restore", "this host has")
    with case.resealed(lambda document: document["server"].update(used_memory_bytes=3 << 20)):
        case.undecided("restore", "memory_limit_mb allows 2 MB", memory_limit_mb=2)
    raw(case.server.client()).execute_command("FLUSHALL")
    send(raw(case.server.client()), [("SET", f"large:{n}", b"x" * (32 << 20)) for n in range(10)], chunk=2)
    large = Case(case.shelf, case.server, case.work)
    with large.resealed(lambda document: document["server"].update(used_memory_bytes=1 << 20)):
        large.undecided("restore", "too little memory", memory_limit_mb=60)
    assert large.verify("restore", memory_limit_mb=1000)["results"][0]["ok"]


def test_too_little_room(case: Case, small_tmpfs: Callable[[str], Path]) -> None:
    case.undecided("restore", "a throw-away server needs", work_dir=str(small_tmpfs("2M")))
    case.undecided("restore", "is no directory", work_dir=str(case.work / "none"))


def test_a_place_where_others_may_write(case: Case, tmp_path: Path) -> None:
    """They could put a link in the place of what we hand over to the server's user."""
    for name, mode, owner, needle in (
        ("open", 0o777, 0, "may be written by other users"),
        ("group", 0o770, 0, "may be written by other users"),
        ("theirs", 0o700, 65534, "belongs to another user"),
    ):
        place = tmp_path / name
        place.mkdir()
        place.chmod(mode)
        if owner:
            if os.geteuid():
                continue
            os.chown(place, owner, owner)
        case.undecided("restore", needle, "work_dir", work_dir=str(place))
    case.work.chmod(0o1777)  # as /var/tmp is
    assert case.verify("restore")["results"][0]["ok"]


def test_what_a_killed_run_left_takes_no_room(case: Case, small_tmpfs: Callable[[str], Path]) -> None:
    """It goes before room is asked for: else a full disk would stay full."""
    place = small_tmpfs("100M")
    ended = subprocess.Popen(["true"])
    ended.wait()
    left = place / f"redis_backup-throwaway-{ended.pid}-x"
    left.mkdir()
    (left / "dump.rdb").write_bytes(bytes(60 << 20))
    assert case.verify("restore", work_dir=str(place))["results"][0]["ok"]
    assert list(place.iterdir()) == []


def test_versions_that_do_not_load_it(case: Case) -> None:
    try:
        older = build_named("redis-6.2")
    except BuildMissing as error:
        pytest.skip(str(error))
    case.server.stop()
    for level in LEVELS[1:]:
        case.undecided(level, "loads RDB formats up to 9", executable=str(older.executable))
    assert case.verify("stored", executable=str(older.executable))["results"][0]["ok"]


def test_modules_that_are_not_here(case: Case) -> None:
    modules = [{"name": "search", "ver": "20811"}]
    with case.resealed(lambda document: document["server"].update(modules=modules)):
        case.undecided("restore", "modules search")
        assert case.verify("content")["results"][0]["ok"]


def test_no_program(case: Case) -> None:
    case.server.stop()
    with pytest.raises(ModuleFailed, match="no Redis or Valkey server program"):
        case.verify("content", executable="/nowhere/redis-server")
    assert case.records() == []


def test_a_repository_that_is_not_there(case: Case, tmp_path: Path) -> None:
    """The others are verified all the same."""
    away = {"name": "away", "path": str(tmp_path / "away")}
    failure = case.fails("stored", "does not exist", repositories=[away, case.shelf.repository])
    verdicts = [(each["repository"], each["ok"]) for each in failure.result["results"]]
    assert verdicts == [("away", False), ("shelf", True)]
    assert case.records()[0]["ok"]


def test_labels(case: Case) -> None:
    older = case.clone(3600)
    done = case.verify("stored", labels=[older, "latest"])
    assert [each["label"] for each in done["results"]] == [older, case.label]
    case.fails("stored", "no backup 20200101T000000Z_rdb of shop", labels=["20200101T000000Z_rdb"])
    case.fails("stored", "is no label", labels=["yesterday"])
    case.fails("stored", "no backup of nobody", instance="nobody")
    unfinished = case.clone(-5)
    (case.shelf.folder(unfinished) / "manifest.json").unlink()
    assert [each["label"] for each in case.verify("stored")["results"]] == [case.label]


def test_rotation(case: Case) -> None:
    """Ten backups, three in a hundred thirty: four runs have seen all, and the fifth begins again."""
    labels = sorted([case.label, *(case.clone(3600 * (n + 1)) for n in range(9))])
    seen = []
    for number in (3, 3, 3, 3):
        found = [each["label"] for each in case.verify("stored", share=30)["results"]]
        assert len(found) == number
        seen += found
    assert seen[:9] == labels[:9] and set(seen) == set(labels)
    assert len(case.verify("stored", count=1)["results"]) == 1
    assert [each["label"] for each in case.verify("restore", count=1)["results"]] == labels[:1]  # none was loaded yet
    assert [each["label"] for each in case.verify("content", count=1)["results"]] == labels[1:2]  # a load counts


# --- killed ---


@pytest.mark.parametrize("whom", ["group", "module"])
def test_killed_at_a_random_instant(
    whom: str, any_build: Build, make_server: MakeServer, shelf: Shelf, work: Path, age_key: AgeKey, long: bool
) -> None:
    """No half record, no process, at most a directory that the next run removes."""
    server = make_server(any_build)
    load_multiframe(server.client(), 5000, 1000)
    shelf.key = age_key
    case = Case(shelf, server, work)
    params = case.params("restore")
    roots = [work, shelf.root]
    seconds = watch("redis_backup_verify", params, roots).seconds
    chance = random.Random(f"{SEED} {whom}")
    for number in range(20 if long else 6):
        case.forget()
        after = chance.uniform(0, seconds)
        process = kill_after("redis_backup_verify", params, roots, after, group=whom == "group")
        instant = f"run {number}: {whom} killed after {after * 1000:.1f} ms"
        wait_for(lambda process=process: not members(process), f"its programs to end ({instant})", 10)
        whole = (shelf.folder(case.label) / "verification").glob("[0-9]*")
        assert all(json.loads(path.read_text())["ok"] for path in whole), instant
        assert len(list(work.iterdir())) <= 1, instant
        assert run_module("redis_backup_verify", params)["results"][0]["ok"], instant
        case.left_nothing()


# --- the role and the playbook ---


def cmdlines_with(secret: str, until: threading.Event, found: list[str]) -> None:
    """Look at all processes' command lines and environments until told to stop."""
    while not until.wait(0.02):
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):
                    if secret.encode() in (entry / "cmdline").read_bytes():
                        found.append(entry.name)


def test_the_playbook_and_its_secret(any_build: Build, make_server: Any, tmp_path: Path, age_key: AgeKey) -> None:
    """By FQCN and from the checkout; the identity shows in no output, in no command line, and is gone at the end."""
    site = Site(make_server(any_build), tmp_path, age_key)
    load_multiframe(site.server.client(), 50, 20)
    site.play("backup").ok()
    secret = next(line for line in age_key.identity.read_text().splitlines() if line.startswith("AGE-SECRET"))
    extra = {"redis_backup_identity": secret, "redis_backup_verify_level": "restore"}
    stop, found = threading.Event(), []
    watcher = threading.Thread(target=cmdlines_with, args=(secret, stop, found))
    watcher.start()
    try:
        done = site.play("globalscope.redis_backup.verify", extra, arguments=["-vvv"], diff=True).ok()
    finally:
        stop.set()
        watcher.join()
    assert found == []
    assert "AGE-SECRET" not in done.stdout
    assert not list(Path("/run").glob("redis_backup-multiframe*"))
    assert table(done)[0].startswith("1 instance, 1 good, ")
    assert re.search(r"^multiframe +good +\w+ +local +\d+ +[\d.]+ \w+ +[\d.]+ s$", table(done)[3]), table(done)
    assert done.last("redis_backup_verify")["results"][0]["ok"]
    dry = site.play("verify", extra, check=True).ok()
    assert "would verify" in str(dry.last("redis_backup_verify")["actions"]) and "would verify" in told(dry)
    bad = site.play("verify", {**extra, "redis_backup_identity": secret[:-1] + "Q"})
    assert bad.rc != 0 and "cannot be opened" in bad.stdout and "AGE-SECRET" not in bad.stdout
    assert not list(Path("/run").glob("redis_backup-multiframe*"))


def test_a_fleet_of_real_hosts(
    host_lab: Lab, hosts: Callable[[int], list[Host]], tmp_path: Path, age_key: AgeKey
) -> None:
    """Two hosts with two instances each; one of the four backups is damaged: it alone fails."""
    fleet = RealFleet(host_lab, hosts(2), tmp_path)
    with fleet.prepared():
        inventory = fleet.inventory()
        extra: dict[str, Any] = {
            "redis_backup_repositories": [{"name": "local", "path": "/srv/backup", "create": True}],
            "redis_backup_recipients": [age_key.recipient],
        }
        run_playbook(playbook_path("backup"), inventory, extra).ok()
        extra["redis_backup_verify_level"] = "restore"
        extra["redis_backup_identity"] = age_key.identity.read_text()
        done = run_playbook(playbook_path("verify"), inventory, extra).ok()
        assert table(done)[0].startswith("4 instances, 4 good, "), done.stdout
        first = fleet.hosts[0]
        name = f"{first.name}-6379"
        first.run(f"printf x >> /srv/backup/{name}/backup/*/dump.rdb.zst.age")
        bad = run_playbook(playbook_path("verify"), inventory, extra)
        assert bad.rc != 0
        assert [host for host, stats in bad.stats.items() if stats["failures"]] == [first.name]
        assert any(re.match(rf"{name} +NOT good ", each) for each in table(bad)), table(bad)
        for host in fleet.hosts:
            assert str(host.run("ls /run | grep redis_backup- || true").stdout).strip() == ""
            counts = str(host.run("for each in /srv/backup/*/backup/*/verification; do ls $each | wc -l; done").stdout)
            assert counts.split() == ["2", "2"], counts
            host.run("rm -rf /srv/backup")
