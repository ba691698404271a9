# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exports of keys in repositories: written like backups, whole or not at all, and read back proven."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.open import open_store

from support.dataset import load_multiframe
from support.killing import kill_after, kill_at_change, watch
from support.machine import AgeKey
from support.modules import ModuleFailed
from support.s3 import S3Server
from support.servers import Build, RedisProcess
from support.sftp import SftpServer
from support.values import differences, snapshot_values
from support.within import run_within

SEED = 20261123
NAME = "shop"


@pytest.fixture(scope="module")
def server(any_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    """A server with every type of data, which no test changes."""
    found = RedisProcess(any_build, tmp_path_factory.mktemp("source") / "server").start()
    load_multiframe(found.client(), users=200, drivers=50)
    yield found
    found.destroy()


class Shop:
    """One instance with its repositories below a directory."""

    def __init__(self, server: RedisProcess, root: Path, key: AgeKey | None = None) -> None:
        self.server, self.root, self.key = server, root, key
        self.local = self.place("local")

    def place(self, name: str) -> dict[str, Any]:
        (self.root / name).mkdir(exist_ok=True)
        return {"name": name, "path": str(self.root / name)}

    @property
    def common(self) -> dict[str, Any]:
        return {"instance": NAME, "state_dir": str(self.root / "state")}

    def params(self, *entries: dict[str, Any], **more: Any) -> dict[str, Any]:
        """The parameters of redis_export."""
        params = {**self.server.connection, **self.common, "repositories": list(entries) or [self.local]}
        if self.key is not None:
            params["encryption"] = {"recipients": [self.key.recipient]}
        return {**params, "name": "drivers", "patterns": ["driver:*"], **more}

    def export(self, *entries: dict[str, Any], **more: Any) -> dict[str, Any]:
        return run_within("redis_export", self.params(*entries, **more))

    def taken(self, target: RedisProcess, entry: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """The parameters of redis_import."""
        identities = [str(self.key.identity)] if self.key is not None else []
        source = {"repository": entry or self.local, "name": "drivers", "identities": identities}
        return {**target.connection, **self.common, **source, **more}

    def folder(self, name: str = "local") -> Path:
        return self.root / name / NAME / "export"

    def info(self, *entries: dict[str, Any], **more: Any) -> dict[str, Any]:
        return run_within("redis_backup_info", {**self.common, "repositories": list(entries) or [self.local], **more})


@pytest.fixture
def shop(server: RedisProcess, tmp_path: Path) -> Shop:
    return Shop(server, tmp_path)


@pytest.fixture
def target(any_build: Build, make_server: Any) -> RedisProcess:
    """An empty server."""
    found: RedisProcess = make_server(any_build)
    return found


def drivers_of(server: RedisProcess) -> Any:
    """Every value under driver:*, as an outside reading finds it."""
    return {at: value for at, value in snapshot_values(server.client()).items() if at[1].startswith(b"driver:")}


def failing(name: str, params: dict[str, Any], words: str) -> str:
    with pytest.raises(ModuleFailed, match=words) as caught:
        run_within(name, params)
    return caught.value.msg


@pytest.mark.parametrize("form", ["jsonl", "dump"])
def test_there_and_back(server: RedisProcess, tmp_path: Path, age_key: AgeKey, target: RedisProcess, form: str) -> None:
    """Encrypted, listed, verified without a server's program, imported; and by hand."""
    shop = Shop(server, tmp_path, age_key)
    done = shop.export(format=form)
    export = done["export"]
    label = export["label"]
    assert done["changed"] and done["exported"] == export["keys"] >= 50
    assert export["repositories"] == ["local"] and export["encrypted"] and export["point_in_time"] is False
    folder = shop.folder() / label
    assert {path.name for path in folder.iterdir()} == {f"keys.{form}.zst.age", "SHA256SUMS", "manifest.json"}
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=folder, check=True)
    opened = f"age -d -i {age_key.identity} keys.{form}.zst.age | zstd -q -d -c"
    plain = subprocess.run(opened, shell=True, cwd=folder, check=True, stdout=subprocess.PIPE).stdout
    assert len(plain) == export["size"] and b"driver:" in plain
    shown = shop.info(instance=NAME)
    assert shown["backups"] == [] and shown["latest"] is None
    (told,) = shown["exports"]
    assert (told["label"], told["name"], told["format"], told["patterns"]) == (label, "drivers", form, ["driver:*"])
    assert told["usable"] and told["keys"]["total"] == export["keys"] and told["server"]["version"]
    assert shop.info()["exports"] == shown["exports"]
    verify = {**shop.common, "repositories": [shop.local], "exports": True, "login_port": 1, "executable": "/none"}
    (result,) = run_within("redis_backup_verify", {**verify, "level": "stored"})["results"]
    assert result["ok"] and result["label"] == label
    opened_too = {"level": "content", "identities": [str(age_key.identity)]}
    (result,) = run_within("redis_backup_verify", {**verify, **opened_too})["results"]
    assert result["ok"] and result["keys"] == export["keys"]
    assert shop.info()["exports"][0]["verified"] is True
    failing("redis_import", shop.taken(target, identities=[]), "identity")
    imported = run_within("redis_import", shop.taken(target))
    assert imported["imported"] == export["keys"] and imported["backup"]["label"] == label
    assert differences(drivers_of(server), snapshot_values(target.client())) == []


def test_a_second_one_within_max_age_reads_nothing(shop: Shop) -> None:
    first = shop.export(max_age=600)
    second = shop.export(max_age=600)
    assert (first["changed"], second["changed"]) == (True, False)
    assert second["export"]["label"] == first["export"]["label"] and second["exported"] == first["exported"]
    assert shop.export(max_age=600, patterns=["driver:1*"])["changed"]
    other = shop.export(max_age=600, name="users", patterns=["user:*"])
    assert other["changed"] and other["export"]["name"] == "users"


def test_check_mode_counts_and_writes_nothing(shop: Shop) -> None:
    dry = run_within("redis_export", shop.params(), check=True)
    assert dry["changed"] and dry["export"] is None and dry["exported"] >= 50
    assert dry["actions"] == [f"would export drivers of {NAME} to repository local ({shop.root / 'local'})"]
    assert "local: a new export" in dry["diff"]["after"]
    assert list((shop.root / "local").iterdir()) == [] and not (shop.root / "state").exists()
    with pytest.raises(ModuleFailed, match="matches nobody:"):
        run_within("redis_export", shop.params(patterns=["nobody:*"]), check=True)


def test_a_pattern_that_matches_nothing_leaves_nothing(shop: Shop) -> None:
    failing("redis_export", shop.params(patterns=["driver:*", "nobody:*"]), "matches nobody:")
    assert list(shop.folder().iterdir()) == [] and shop.info(instance=NAME)["exports"] == []
    empty = shop.export(patterns=["nobody:*"], allow_unmatched=True)
    assert empty["exported"] == 0 and empty["patterns_unmatched"] == ["nobody:*"]


@pytest.mark.parametrize("name", ["", "Drivers", "a_b", "rdb", "aof", "../x", "x" * 41])
def test_names_that_cannot_be(shop: Shop, name: str) -> None:
    failing("redis_export", shop.params(name=name), "cannot name an export")
    assert list((shop.root / "local").iterdir()) == []


def test_two_repositories_of_which_one_is_down(shop: Shop, target: RedisProcess) -> None:
    gone = {"name": "gone", "path": str(shop.root / "gone")}
    words = failing("redis_export", shop.params(shop.local, gone), "failed in gone")
    assert "It is complete in: local" in words
    done = shop.export(shop.local, gone, repositories_min=1)
    assert done["export"]["repositories"] == ["local"] and "does not exist" in done["export"]["failed"]["gone"]
    both = shop.place("both")
    whole = shop.export(shop.local, both)
    assert whole["export"]["repositories"] == ["local", "both"]
    (listed,) = [one for one in shop.info(shop.local, both)["exports"] if one["repositories"] == ["local", "both"]]
    assert listed["label"] == whole["export"]["label"]
    shutil.rmtree(shop.root / "local")
    assert run_within("redis_import", shop.taken(target, both))["imported"] == whole["exported"]


def test_a_full_repository_fails_alone(shop: Shop, small_tmpfs: Any) -> None:
    """What was begun there is gone; the other has the export whole."""
    small = {"name": "small", "path": str(small_tmpfs("16k"))}
    done = shop.export(shop.local, small, repositories_min=1, patterns=["*"])
    assert done["export"]["repositories"] == ["local"] and "No space left" in done["export"]["failed"]["small"]
    (folder,) = shop.folder().iterdir()
    assert (folder / "manifest.json").exists()
    left = [path for path in Path(small["path"]).rglob("*") if path.is_file() and path.name not in (".lock",)]
    assert [path.name for path in left] in ([], ["instance.json"])


def test_another_server_of_the_same_name_is_refused(shop: Shop) -> None:
    shop.export()
    stranger = {**shop.params(), "state_dir": str(shop.root / "other-state")}
    failing("redis_export", stranger, "another server under the name shop")
    assert run_within("redis_export", {**stranger, "adopt": True})["changed"]


@pytest.mark.parametrize("validate", [True, False])
def test_a_damaged_byte_keeps_every_key_out(shop: Shop, target: RedisProcess, validate: bool) -> None:
    """Proven before the first key is written, also where keys are not checked before."""
    label = shop.export()["export"]["label"]
    path = shop.folder() / label / "keys.jsonl.zst"
    stored = path.read_bytes()
    place = len(stored) // 2
    path.write_bytes(stored[:place] + bytes([stored[place] ^ 1]) + stored[place + 1 :])
    failing("redis_import", shop.taken(target, validate=validate), "is damaged")
    assert target.client().dbsize() == 0
    with pytest.raises(ModuleFailed, match="its SHA-256"):
        run_within("redis_backup_verify", {**shop.common, "repositories": [shop.local], "labels": [label]})
    shown = shop.info(instance=NAME)["exports"][0]
    assert not shown["usable"] and "failed" in shown["problems"]["local"]
    failing("redis_import", shop.taken(target), "no usable export")


def test_which_one_is_imported(shop: Shop, target: RedisProcess) -> None:
    users = shop.export(name="users", patterns=["user:*"])["export"]["label"]
    old = shop.export()["export"]["label"]
    new = shop.export(patterns=["driver:1*"])["export"]
    assert run_within("redis_import", shop.taken(target, on_conflict="skip"))["backup"]["label"] == new["label"]
    assert target.client().dbsize() == new["keys"]
    named = shop.taken(target, label=old, on_conflict="skip")
    assert run_within("redis_import", named)["backup"]["label"] == old
    failing("redis_import", shop.taken(target, label=users), f"no export {users}")
    failing("redis_import", shop.taken(target, name="carts"), "It holds exports of: drivers, users")
    lone = {name: value for name, value in shop.taken(target, label=users).items() if name != "name"}
    assert run_within("redis_import", lone)["backup"]["label"] == users
    failing("redis_import", {**lone, "at": "2026-11-22T23:51:41Z"}, "of no one moment")
    staged = {**target.connection, **shop.common, "state": "staged", "repository": shop.local, "label": users}
    failing("redis_restore", staged, "redis_import")


def test_retention_and_copies(shop: Shop) -> None:
    """Beside backups; the exports of each name for themselves."""
    common = {**shop.server.connection, **shop.common, "repositories": [shop.local]}
    backup = run_within("redis_backup", common)["backup"]["label"]
    made = [shop.export()["export"]["label"] for _each in range(3)]
    users = shop.export(name="users", patterns=["user:*"])["export"]["label"]
    prune = {**shop.common, "repositories": [shop.local], "keep": {"last": 1}, "minimum_verified": 0}
    dry = run_within("redis_backup_prune", prune, check=True)
    assert dry["removed"] == made[:2]
    assert {path.name for path in shop.folder().iterdir()} == {*made, users}
    elsewhere = shop.place("elsewhere")
    copying = {**shop.common, "source": shop.local, "destination": elsewhere, "labels": ["all"]}
    done = run_within("redis_backup_copy", copying)
    assert [one["label"] for one in done["copied"]] == sorted([backup, *made, users])
    assert run_within("redis_backup_prune", prune)["removed"] == made[:2]
    assert {path.name for path in shop.folder().iterdir()} == {made[2], users}
    assert {path.name for path in shop.folder("elsewhere").iterdir()} == {*made, users}
    assert run_within("redis_backup_prune", prune)["changed"] is False
    manifest = json.loads((shop.folder() / users / "manifest.json").read_text())
    assert manifest["serial"] == 1 and manifest["export"]["name"] == "users"


def assert_none_torn(shop: Shop, when: str) -> list[str]:
    """Every manifest has its files, and they are what it says. The labels of the whole ones."""
    whole = []
    for folder in sorted(shop.folder().iterdir()) if shop.folder().exists() else []:
        if (folder / "manifest.json").exists():
            subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=folder, check=True)
            subprocess.run(["zstd", "-q", "-t", "keys.jsonl.zst"], cwd=folder, check=True)
            whole.append(folder.name)
    assert [one["label"] for one in shop.info(instance=NAME, usable_only=True)["exports"]] == whole, when
    return whole


def test_killed_at_any_instant(shop: Shop, long: bool) -> None:
    """There is never a manifest without its files, and the next run removes what is left."""
    params = shop.params(patterns=["*"])
    roots = [shop.root]
    work = watch("redis_export", params, roots)
    assert_none_torn(shop, "at first")
    chance = random.Random(SEED)
    count = 30 if long else 4
    for number in range(count):
        seconds = (number + chance.random()) / count * work.seconds
        kill_after("redis_export", params, roots, seconds)
        assert_none_torn(shop, f"killed after {seconds * 1000:.1f} ms")
    done = watch("redis_export", params, roots).changes  # where others were before, there is less to do
    numbers = range(1, len(done) + 1)
    for number in numbers if long else sorted(chance.sample(numbers, 3)):
        kill_at_change("redis_export", params, roots, number)
        assert_none_torn(shop, f"killed before change {number}, {done[number - 1]}")
    label = shop.export(patterns=["*"])["export"]["label"]
    assert label in assert_none_torn(shop, "in the end")
    assert all((folder / "manifest.json").exists() for folder in shop.folder().iterdir())


def test_on_s3(shop: Shop, s3: S3Server, target: RedisProcess) -> None:
    """The same on a real service, of which one cannot be reached."""
    cloud = {**s3.entry(s3.bucket()), "name": "cloud"}
    down = {**cloud, "name": "down", "endpoint_url": "http://127.0.0.1:9"}
    done = shop.export(cloud, down, repositories_min=1)
    assert done["export"]["repositories"] == ["cloud"] and list(done["export"]["failed"]) == ["down"]
    (shown,) = shop.info(cloud, instance=NAME)["exports"]
    assert shown["usable"] and shown["keys"]["total"] == done["exported"]
    assert run_within("redis_import", shop.taken(target, cloud))["imported"] == done["exported"]
    assert differences(drivers_of(shop.server), snapshot_values(target.client())) == []
    dead = f"{NAME}/export/20260101T000000Z_drivers/keys.jsonl.zst"
    s3.client.create_multipart_upload(Bucket=cloud["bucket"], Key=dead)
    second = shop.export(cloud)["export"]["label"]
    assert s3.uploads(cloud["bucket"]) == []
    prune = {**shop.common, "repositories": [cloud], "keep": {"last": 1}, "minimum_verified": 0}
    assert run_within("redis_backup_prune", prune)["removed"] == [done["export"]["label"]]
    assert [one["label"] for one in shop.info(cloud, instance=NAME)["exports"]] == [second]


@pytest.mark.long
def test_on_sftp(shop: Shop, sftp: SftpServer, target: RedisProcess) -> None:
    """By way of rclone: what a run that holds the lock remembers of folders is right for exports, too."""
    far = {**sftp.entry("exports"), "name": "far", "create": True}
    first = shop.export(far)["export"]["label"]
    dead = f"{NAME}/export/20260101T000000Z_drivers/keys.jsonl.zst"
    open_store(far).write(dead, b"half")
    second = shop.export(far)
    assert "removed the remains of the unfinished export 20260101T000000Z_drivers" in " ".join(second["actions"])
    assert [one["label"] for one in shop.info(far, instance=NAME)["exports"]] == [first, second["export"]["label"]]
    assert run_within("redis_import", shop.taken(target, far))["imported"] == second["exported"]
    assert differences(drivers_of(shop.server), snapshot_values(target.client())) == []
