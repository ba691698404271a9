# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Repositories through rclone, on a real SFTP service and a real S3 service: round trip, lock, kills, bad input."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import NotFoundError, RepositoryError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository import rclone_lock, rclone_program
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.open import open_store
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.store import Store

from support.dataset import load_multiframe
from support.faulty import Fault, faulty
from support.killing import kill_after, members, watch
from support.machine import AgeKey
from support.modules import ModuleFailed, finish, run_module, start_module
from support.restores import SOURCE, Backup, Restore
from support.s3 import OWNER, S3Server
from support.servers import Build, RedisProcess, free_port
from support.sftp import SftpServer
from support.untouched import assert_told
from support.values import differences, snapshot_values
from support.waiting import wait_for
from support.within import run_within

FILES = {"SHA256SUMS", "dump.rdb.zst", "manifest.json", "server.tar.zst"}
LABEL = "20261123T000000Z_rdb"
FOLDERS = itertools.count(1)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """rclone 1.60 does not understand AWS_CA_BUNDLE; nothing else of this machine must reach it either."""
    for name in [name for name in os.environ if name.startswith(("RCLONE_", "AWS_"))]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def server(any_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Any:
    server = RedisProcess(any_build, tmp_path_factory.mktemp("rclone") / "server").start()
    load_multiframe(server.client(), 200, 50)
    server.client().mset({f"large:{n}": os.urandom(100_000) for n in range(40)})
    yield server
    server.destroy()


@pytest.fixture
def params(server: RedisProcess, tmp_path: Path) -> dict[str, Any]:
    """The parameters of redis_backup but for its repositories."""
    return {**server.connection, "instance": SOURCE, "state_dir": str(tmp_path / "state")}


@pytest.fixture
def entry(sftp: SftpServer) -> dict[str, Any]:
    """A new repository on SFTP."""
    return sftp.entry(f"repository-{next(FOLDERS)}")


def s3_entry(s3: S3Server, place: Path) -> dict[str, Any]:
    """A new repository in a new bucket, by way of rclone's own S3."""
    conf = place / "s3.conf"
    text = f"[s3]\ntype = s3\nprovider = Other\nendpoint = {s3.endpoint}\nregion = us-east-1\n"
    conf.write_text(f"{text}access_key_id = {OWNER[0]}\nsecret_access_key = {OWNER[1]}\n")
    return {"name": "cloud", "type": "rclone", "remote": "s3", "path": f"{s3.bucket()}/live", "config_file": str(conf)}


@pytest.fixture(params=["sftp", "s3"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """A new repository on each kind of service."""
    if request.param == "s3":
        return s3_entry(request.getfixturevalue("s3"), tmp_path)
    entry: dict[str, Any] = request.getfixturevalue("entry")
    return entry


def refused(params: dict[str, Any], *needles: str, name: str = "redis_backup") -> str:
    """A module in this process must fail, and say so in a paragraph with all of `needles`."""
    with pytest.raises(ModuleFailed) as caught:
        run_within(name, params)
    assert_told(caught.value.msg, *needles)
    return caught.value.msg


@dataclass(frozen=True)
class Shelf:
    """What lies in a repository on SFTP, seen from the service's side."""

    root: Path

    @property
    def labels(self) -> dict[str, set[str]]:
        """The names of the files of every backup, whole or not."""
        folder = self.root / SOURCE / "backup"
        return {path.name: set(os.listdir(path)) for path in folder.iterdir()} if folder.exists() else {}

    @property
    def locks(self) -> list[Path]:
        return sorted((self.root / SOURCE).glob(".lock-*"))

    def free_the_lock(self) -> None:
        """What a killed owner left has ended."""
        for lock in self.locks:
            lock.rename(lock.with_name(f"{lock.name.rpartition('-')[0]}-1000000000"))

    def assert_no_torn_backup(self) -> None:
        for label, names in self.labels.items():
            if "manifest.json" not in names:
                continue
            folder = self.root / SOURCE / "backup" / label
            json.loads((folder / "manifest.json").read_text())
            for line in (folder / "SHA256SUMS").read_text().splitlines():
                digest, name = line.split("  ")
                assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, (label, name)

    def assert_clean(self) -> None:
        """Whole backups only, and nothing of a lock."""
        self.assert_no_torn_backup()
        assert set(map(frozenset, self.labels.values())) == {frozenset(FILES)}, self.labels
        assert self.locks == []
        assert not list((self.root / SOURCE).rglob("*.part"))


def shelf_of(entry: dict[str, Any]) -> Shelf:
    return Shelf(Path(entry["path"]))


# --- the round trip ---


def test_there_and_back(
    server: RedisProcess,
    either: dict[str, Any],
    age_key: AgeKey,
    tmp_path: Path,
    target: RedisProcess,
) -> None:
    """Backup, catalog, restore; rclone.conf stays as it was."""
    conf = Path(either["config_file"])
    before = conf.read_bytes(), conf.stat().st_mtime_ns
    shelf = {"name": "shelf", "type": "posix", "path": str(tmp_path / "shelf"), "create": True}
    both = {"instance": SOURCE, "state_dir": str(tmp_path / "state"), "repositories": [shelf, either]}
    recipients = {"recipients": [age_key.recipient]}
    made = run_module("redis_backup", {**server.connection, **both, "encryption": recipients})["backup"]
    assert made["repositories"] == ["shelf", either["name"]]
    store = open_store(either)
    folder = Path(shelf["path"], SOURCE, "backup", made["label"])
    stored = {path.name: path.read_bytes() for path in folder.iterdir()}
    files = {file.path: file.size for file in store.files("")}
    above = f"{SOURCE}/backup/{made['label']}"
    assert {path: size for path, size in files.items() if path.startswith(above)} == {
        f"{above}/{name}": len(data) for name, data in stored.items()
    }
    assert set(files) - {f"{above}/{name}" for name in stored} == {f"{SOURCE}/instance.json"}
    for name, data in stored.items():
        with store.open(f"{above}/{name}") as stream:
            assert stream.read() == data, name
    again = run_module("redis_backup", {**server.connection, **both, "encryption": recipients, "max_age": 3600})
    assert (again["changed"], again["backup"]["label"]) == (False, made["label"])
    catalog = run_module("redis_backup_info", {"instance": SOURCE, "repositories": [either]})
    assert catalog["latest"]["label"] == made["label"]
    assert not catalog["latest"]["problems"]
    backup = Backup(either, made["label"], snapshot_values(server.client()), made)
    restore = Restore(target, backup, identities=[str(age_key.identity)])
    assert restore.step("staged")["restore"]["label"] == made["label"]
    target.stop()
    restore.step("active")
    target.start()
    assert not differences(backup.values, snapshot_values(target.client()))
    restore.step("committed")
    assert (conf.read_bytes(), conf.stat().st_mtime_ns) == before, "rclone.conf was rewritten"


def test_by_hand(sftp: SftpServer, entry: dict[str, Any], params: dict[str, Any], tmp_path: Path) -> None:
    """As the guide says, with no part of this collection."""
    label = run_within("redis_backup", {**params, "repositories": [entry]})["backup"]["label"]
    source = f"store:{entry['path']}/{SOURCE}/backup/{label}"
    env = {**os.environ, "RCLONE_SFTP_SHELL_TYPE": "none"}
    subprocess.run(["rclone", "--config", sftp.conf, "copy", source, tmp_path / "by-hand"], check=True, env=env)
    command = "sha256sum -c SHA256SUMS && zstd -q -d dump.rdb.zst -o dump.rdb && redis-check-rdb dump.rdb"
    subprocess.run(["sh", "-c", command], check=True, capture_output=True, cwd=tmp_path / "by-hand")


def test_made_on_demand(entry: dict[str, Any], params: dict[str, Any]) -> None:
    """By `create` alone; check mode makes none."""
    refused({**params, "repositories": [{**entry, "create": False}]}, SOURCE, "does not exist", "create: true")
    assert run_within("redis_backup", {**params, "repositories": [entry]}, check=True)["changed"]
    assert not Path(entry["path"]).exists()
    run_within("redis_backup", {**params, "repositories": [entry]})
    shelf_of(entry).assert_clean()
    none = {"instance": SOURCE, "repositories": [{**entry, "path": entry["path"] + "-not", "create": False}]}
    refused(none, "does not exist", name="redis_backup_info")


def test_connection_string(sftp: SftpServer, entry: dict[str, Any], params: dict[str, Any]) -> None:
    """The remote of no rclone.conf, and one out of the environment."""
    options = {"host": "127.0.0.1", "port": str(sftp.port), "user": sftp.user.pw_name}
    options["key_file"] = str(sftp.directory / "user")
    remote = ":sftp," + ",".join(f"{name}={value}" for name, value in options.items()) + ":"
    nothing = {name: value for name, value in entry.items() if name != "config_file"}
    run_within("redis_backup", {**params, "repositories": [{**nothing, "remote": remote}]})
    shelf_of(entry).assert_clean()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RCLONE_CONFIG_ELSEWHERE_TYPE", "sftp")
        for name, value in options.items():
            patch.setenv(f"RCLONE_CONFIG_ELSEWHERE_{name.upper()}", value)
        found = {"instance": SOURCE, "repositories": [{**nothing, "remote": "elsewhere"}]}
        assert run_within("redis_backup_info", found)["latest"]["usable"]


# --- the store ---


def test_interface(either: dict[str, Any]) -> None:
    store = open_store({**either, "create": True})
    store.prepare()
    assert store.names("x") == []
    assert store.files("x") == []
    for ask in (store.read, store.open, store.size):
        with pytest.raises(NotFoundError):
            ask("x/none")
    store.write("x/instance.json", b"1")
    store.write("x/instance.json", b"22")
    assert store.read("x/instance.json") == b"22"
    with pytest.raises(RepositoryError, match="larger than"):
        store.read("x/instance.json", 1)
    store.write("x/empty", b"")
    assert store.read("x/empty") == b""
    with store.open("x/empty") as stream:
        assert stream.read() == b""
    large = os.urandom(9 << 20)
    for number in range(5):
        sink = store.create(f"x/backup/2026112{number}T000000Z_rdb/dump.rdb.zst")
        sink.write(large)
        sink.commit()
        sink.abort()
        store.write(f"x/backup/2026112{number}T000000Z_rdb/manifest.json", b"%d" % number)
    folder = "x/backup/20261120T000000Z_rdb"
    assert store.size(f"{folder}/dump.rdb.zst") == len(large)
    wanted = [f"x/backup/2026112{number}T000000Z_rdb/manifest.json" for number in range(6)]
    read = dict(store.read_many(wanted))
    assert [read[path] for path in wanted[:5]] == [b"0", b"1", b"2", b"3", b"4"]
    assert isinstance(read[wanted[5]], NotFoundError)
    assert len([file for file in store.files("x") if abs(file.modified - time.time()) < 60]) == 12
    sink = store.create(f"{folder}/more")
    sink.write(large)
    sink.abort()
    assert store.names(folder) == ["dump.rdb.zst", "manifest.json"]
    for _time in range(2):
        store.remove(folder)
        store.remove("x/instance.json")
    assert store.names("x") == ["backup", "empty"]
    assert len(store.names("x/backup")) == 4
    for path in ("../y", "", "/"):
        with pytest.raises(RepositoryError):
            store.remove(path)


def test_what_breaks_off_is_taken_up(either: dict[str, Any]) -> None:
    """rclone dies in the middle of a file: the reader goes on where it broke. Where it cannot, that is an error."""
    store = open_store({**either, "create": True})
    store.prepare()
    data = os.urandom(12 << 20)
    sink = store.create("x/large")
    sink.write(data)
    sink.commit()
    with store.open("x/large") as stream:
        got = stream.read(1 << 20)
        stream._process.kill()  # type: ignore[attr-defined]
        got += b"".join(iter(lambda: stream.read(1 << 20), b""))
    assert got == data
    with store.open("x/large") as stream:
        stream.read(1 << 20)
        store.remove("x/large")
        stream._process.kill()  # type: ignore[attr-defined]
        with pytest.raises(OSError, match="broke off"):
            read_on(stream)


def read_on(stream: BinaryIO) -> bytes:
    return b"".join(iter(lambda: stream.read(1 << 20), b""))


def test_service_dies_while_a_file_is_read(own_sftp: SftpServer) -> None:
    """What rclone had read by then is not the whole; when the service is back, the rest comes."""
    entry = own_sftp.entry()
    store = open_store(entry)
    store.prepare()
    data = os.urandom(60 << 20)
    path = own_sftp.own(Path(str(entry["path"]))) / "large"
    path.write_bytes(data)
    own_sftp.own(path, 0o644)
    with store.open("large") as stream:
        stream.read(1 << 20)
        own_sftp.kill()
        with pytest.raises(OSError, match="broke off"):
            read_on(stream)
    own_sftp.start()
    with store.open("large") as stream:
        got = stream.read(1 << 20)
        own_sftp.kill()
        own_sftp.start()
        assert got + read_on(stream) == data


@pytest.mark.parametrize("lasting", [False, True])
def test_answer_is_cut_short(s3: S3Server, tmp_path: Path, lasting: bool) -> None:
    """S3 ends its answer early, once or always: the whole object, or an error."""
    data = os.urandom(12 << 20)
    with faulty(s3.port) as proxy:
        entry = s3_entry(s3, tmp_path)
        conf = Path(entry["config_file"])
        conf.write_text(conf.read_text().replace(s3.endpoint, proxy.endpoint))
        store = open_store(entry)
        sink = store.create("x/large")
        sink.write(data)
        sink.commit()
        proxy.arm()
        with store.open("x/large") as stream:
            assert read_on(stream) == data
        asked = [request.startswith("GET") and "large" in request for request in proxy.requests]
        number = asked.index(True) + 1
        proxy.arm(Fault.TRUNCATED, number, lasting=lasting)
        try:
            with store.open("x/large") as stream:
                assert read_on(stream) == data
        except (OSError, RepositoryError) as error:
            assert lasting, error
        else:
            assert not lasting


# --- bad input ---


def test_what_the_remote_refuses(
    sftp: SftpServer, entry: dict[str, Any], params: dict[str, Any], tmp_path: Path
) -> None:
    """Each in an operator's words, the earlier backup as it was."""
    run_within("redis_backup", {**params, "repositories": [entry]})
    bad = {
        "wrong_key": {"key_file": str(sftp.directory / "wrong")},
        "no_key": {"key_file": str(tmp_path / "none")},
        "wrong_host": {"known_hosts_file": str(sftp.directory / "known_wrong")},
        "nobody_there": {"port": str(free_port())},
        "no_name": {"host": "nowhere.invalid"},
    }
    conf = tmp_path / "bad.conf"
    conf.write_text("".join(sftp.section(name, **options) for name, options in bad.items()))
    for remote, words in {
        "wrong_key": "does not accept the credentials",
        "no_key": "key cannot be read",
        "wrong_host": "another host key",
        "nobody_there": "cannot be reached",
        "no_name": "cannot be reached",
        "unknown": "knows no such remote",
    }.items():
        asked = {**entry, "config_file": str(conf), "remote": remote}
        begun = time.monotonic()
        refused({**params, "repositories": [asked]}, SOURCE, words, f"{remote}:{entry['path']}")
        assert time.monotonic() - begun < 30, remote
    asked = {**entry, "config_file": str(tmp_path / "none.conf")}
    refused({**params, "repositories": [asked]}, "none.conf does not exist")
    asked = {**entry, "remote": ":sftp,host=127.0.0.1,pass=hunter2:"}
    assert "hunter2" not in refused({**params, "repositories": [asked]}, "holds a secret", "RCLONE_SFTP_PASS")
    shelf_of(entry).assert_clean()


def test_no_permission(sftp: SftpServer, entry: dict[str, Any], params: dict[str, Any]) -> None:
    place = Path(entry["path"])
    place.mkdir()
    place.chmod(0o755)  # the tests' user's, not the service's
    if place.stat().st_uid == sftp.user.pw_uid:
        pytest.skip("needs root: the service runs as the same user")
    refused({**params, "repositories": [entry]}, SOURCE, "not permitted", str(place))
    assert list(place.iterdir()) == []


def test_disk_full(
    sftp: SftpServer, params: dict[str, Any], small_tmpfs: Callable[[str], Path], tmp_path: Path
) -> None:
    """The other repository gets its backup; what was begun is removed, and the place is as empty as before."""
    place = sftp.own(small_tmpfs("2M"))
    entry = sftp.entry(place)
    shelf = {"name": "shelf", "path": str(tmp_path / "shelf"), "create": True}
    told = refused({**params, "repositories": [entry, shelf]}, SOURCE, "no room left", "complete in: shelf")
    assert Shelf(place).labels == {}, told
    assert Shelf(place).locks == []


def test_rclone_is_missing(entry: dict[str, Any], params: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        return find(f"no-{name}" if name == "rclone" else name)

    find = rclone_program.find_program
    monkeypatch.setattr(rclone_program, "find_program", missing)
    refused({**params, "repositories": [entry]}, "rclone is not installed", "package")


# --- the lock ---


def test_second_writer(entry: dict[str, Any], params: dict[str, Any]) -> None:
    """It is refused while the owner lives, and takes over when its lease has ended."""
    writer = {**params, "repositories": [entry]}
    run_within("redis_backup", writer)
    shelf = shelf_of(entry)
    with open_store(entry).lock(SOURCE) as word:
        assert not word
        held = shelf.locks
        refused(writer, SOURCE, "another backup of", f"process {os.getpid()}", "lock ends at")
        assert shelf.locks == held
    assert shelf.locks == []
    dead = shelf.root / SOURCE / f".lock-{'0' * 32}-1000000000"
    dead.write_text(json.dumps({"owner": "db9.example.com, process 7"}))
    with open_store(entry).lock(SOURCE) as word:
        assert word is not None
        assert "db9.example.com, process 7" in word
        assert "2001-09-09T01:46:40Z" in word
        assert dead not in shelf.locks
    dead.write_text("")
    run_within("redis_backup", writer)
    shelf.assert_clean()


def taken_at_once(stores: Sequence[Store]) -> list[str]:
    """Take the lock through all stores in one instant, and hold it until all have tried: why some were refused."""
    start, stop = threading.Barrier(len(stores)), threading.Barrier(len(stores))
    lost: list[str] = []

    def take(store: Store) -> None:
        start.wait(60)
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(store.lock(SOURCE))
            except RepositoryError as error:
                lost.append(str(error))
            stop.wait(60)

    threads = [threading.Thread(target=take, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return lost


@pytest.mark.parametrize("dead", [False, True], ids=["none before", "a dead owner's"])
def test_two_at_once(either: dict[str, Any], dead: bool) -> None:
    """One gets the lock; the other is told who has it."""
    stores = [open_store({**either, "create": True}) for _store in range(2)]
    stores[0].prepare()
    for number in range(3):
        if dead:
            stores[0].write(f"{SOURCE}/.lock-{number:032x}-1000000000", b"{}")
        lost = taken_at_once(stores)
        assert len(lost) == 1, lost
        assert "another backup of" in lost[0]
        assert f"process {os.getpid()}" in lost[0]
        assert stores[0].names(SOURCE) == []


def test_lease_is_renewed(either: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rclone_lock, "_RENEW", 0.05)
    store = open_store({**either, "create": True})
    store.prepare()
    other = open_store({**either, "create": True})
    with store.lock(SOURCE):
        first = other.names(SOURCE)
        wait_for(lambda: other.names(SOURCE) not in ([], first), "the lease to be renewed")
        store.assure(SOURCE)
    assert other.names(SOURCE) == []


@pytest.mark.parametrize("renewed", [False, True])
def test_lock_was_taken_over(either: dict[str, Any], monkeypatch: pytest.MonkeyPatch, renewed: bool) -> None:
    """Another writer came and may have cleaned up behind us: no manifest is written any more."""
    if renewed:
        monkeypatch.setattr(rclone_lock, "_FRESH", 1e6)
    store = open_store({**either, "create": True})
    store.prepare()
    path = f"{SOURCE}/backup/{LABEL}/manifest.json"
    with store.lock(SOURCE):
        store.write(path, b"1")
        (lock,) = [name for name in store.names(SOURCE) if name.startswith(".lock")]
        open_store(either).remove(f"{SOURCE}/{lock}")
        with pytest.raises(RepositoryError, match="was lost"):
            store.write(path, b"2")
    assert store.read(path) == b"1"


# --- what dies half way ---


def rcat_of(process: subprocess.Popen[bytes], name: str) -> int:
    """The rclone of a module's process group that writes the file `name`."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ProcessLookupError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                mine = os.getpgid(int(entry.name)) == process.pid
                if mine and b"rcat" in words and any(word.endswith(name.encode()) for word in words):
                    return int(entry.name)
    return 0


def backup_with(params: dict[str, Any], act: Callable[[int], None]) -> str:
    """A backup during which something happens while the dump is written. It must fail: its words."""
    process = start_module("redis_backup", params)
    act(wait_for(lambda: rcat_of(process, "dump.rdb.zst"), "rclone to write the dump", interval=0.002))
    with pytest.raises(ModuleFailed) as caught:
        finish(process, "redis_backup")
    return caught.value.msg


def test_rclone_is_killed(entry: dict[str, Any], params: dict[str, Any]) -> None:
    """The backup fails and leaves nothing; the next is well."""
    run_within("redis_backup", {**params, "repositories": [entry]})
    shelf = shelf_of(entry)
    before = shelf.labels
    told = backup_with({**params, "repositories": [entry]}, lambda pid: os.kill(pid, signal.SIGKILL))
    assert_told(told, SOURCE, "signal 9")
    assert shelf.labels == before
    shelf.assert_clean()
    run_within("redis_backup", {**params, "repositories": [entry]})
    shelf.assert_clean()
    assert len(shelf.labels) == 2


@pytest.fixture
def own_sftp(server_root: Path) -> Iterator[SftpServer]:
    """A service that a test may kill."""
    service = SftpServer(server_root).start()
    yield service
    service.kill()


@pytest.mark.usefixtures("sftp")
def test_service_is_killed(own_sftp: SftpServer, params: dict[str, Any]) -> None:
    """What could not be cleaned up is cleaned by the next run, when the lease has ended."""
    entry = own_sftp.entry()
    shelf = Shelf(Path(str(entry["path"])))
    run_within("redis_backup", {**params, "repositories": [entry]})
    told = backup_with({**params, "repositories": [entry]}, lambda _pid: own_sftp.kill())
    assert_told(told, SOURCE, "cannot be reached")
    shelf.assert_no_torn_backup()
    own_sftp.start()
    if shelf.locks:
        refused({**params, "repositories": [entry]}, "another backup of")
    shelf.free_the_lock()
    run_within("redis_backup", {**params, "repositories": [entry]})
    shelf.assert_clean()
    assert len(shelf.labels) == 2


def test_service_stands_still(
    own_sftp: SftpServer, params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that takes connections and answers nothing does not hold a backup up for ever."""
    monkeypatch.setattr(rclone_program, "_TIMEOUTS", {"--contimeout": "1s", "--timeout": "2s"})
    entry = own_sftp.entry()
    run_within("redis_backup", {**params, "repositories": [entry]})
    own_sftp.pause()
    refused({**params, "repositories": [entry]}, SOURCE, "cannot be reached")
    own_sftp.resume()
    run_within("redis_backup", {**params, "repositories": [entry]})
    Shelf(Path(str(entry["path"]))).assert_clean()


@pytest.mark.parametrize(
    "group", [True, pytest.param(False, marks=pytest.mark.long)], ids=["with all it started", "alone"]
)
def test_killed_at_a_random_instant(
    sftp: SftpServer, entry: dict[str, Any], params: dict[str, Any], long: bool, group: bool
) -> None:
    """SIGKILL to the module: never a manifest without its files, and the next run cleans up."""
    params = {**params, "repositories": [entry]}
    state = Path(params["state_dir"])
    run_within("redis_backup", params)
    shelf = shelf_of(entry)
    seconds = watch("redis_backup", params, [state]).seconds
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _number in range(30 if long else 2):
        instant = chance.uniform(0, seconds)
        process = kill_after("redis_backup", params, [state], instant, group=group)
        wait_for(lambda process=process: not members(process), "the programs of the killed module to end", 60)
        sftp.wait_idle()
        what = f"killed {instant * 1000:.0f} ms after its first change (seed {seed})"
        print(what, shelf.labels)
        shelf.assert_no_torn_backup()
        shelf.free_the_lock()
        run_within("redis_backup", params)
        shelf.assert_clean()
