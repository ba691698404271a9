# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups copied from one repository to another: as they are, or with other recipients; whole or not at all."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository import s3 as s3_store
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.open import open_store

from support.dataset import load_multiframe
from support.faulty import Fault, faulty
from support.killing import kill_after, members, watch
from support.machine import AgeKey, make_age_key, make_ssh_key
from support.modules import ModuleFailed, run_module, start_module
from support.restores import SOURCE, Backup, Restore
from support.s3 import S3Server
from support.servers import Build, RedisProcess
from support.untouched import assert_told, untouched
from support.values import Values, differences, snapshot_values
from support.waiting import wait_for
from support.within import run_within

PASSWORD = "correct-horse-battery-staple"
PLAIN = {"SHA256SUMS", "dump.rdb.zst", "manifest.json", "server.tar.zst"}
ENCRYPTED = {"SHA256SUMS", "dump.rdb.zst.age", "manifest.json", "server.tar.zst.age"}


@dataclass
class Donor:
    """Three backups of SOURCE, encrypted in the repository `encrypted` and in the clear in `plain`."""

    root: Path
    labels: list[str]
    clear: list[str]
    values: Values
    key: AgeKey

    @property
    def encrypted(self) -> dict[str, Any]:
        return {"name": "encrypted", "path": str(self.root / "encrypted")}

    @property
    def plain(self) -> dict[str, Any]:
        return {"name": "plain", "path": str(self.root / "plain")}

    def copy_of(self, name: str, place: Path) -> dict[str, Any]:
        """A repository of one's own to spoil."""
        shutil.copytree(self.root / name, place / "source")
        return {"name": "source", "path": str(place / "source")}


@pytest.fixture(scope="module")
def donor(any_build: Build, tmp_path_factory: pytest.TempPathFactory, age_key: AgeKey) -> Iterator[Donor]:
    root = tmp_path_factory.mktemp("copies")
    server = RedisProcess(any_build, root / "server", conf={"requirepass": PASSWORD}).start()
    load_multiframe(server.client(), 100, 30)
    common = {**server.connection, "instance": SOURCE, "state_dir": str(root / "state")}
    common["config_file"] = str(server.conf_path)
    found = Donor(root, [], [], {}, age_key)
    for _number in range(3):
        to = {"repositories": [{**found.encrypted, "create": True}], "encryption": {"recipients": [age_key.recipient]}}
        found.labels.append(run_module("redis_backup", {**common, **to})["backup"]["label"])
    found.clear.append(
        run_module("redis_backup", {**common, "repositories": [{**found.plain, "create": True}]})["backup"]["label"]
    )
    found.values = snapshot_values(server.client())
    server.destroy()
    yield found


@pytest.fixture
def shelf(tmp_path: Path) -> dict[str, Any]:
    """A new repository in a directory."""
    (tmp_path / "shelf").mkdir()
    return {"name": "shelf", "path": str(tmp_path / "shelf")}


def request(source: dict[str, Any], destination: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"instance": SOURCE, "source": source, "destination": destination, **more}


def copy(source: dict[str, Any], destination: dict[str, Any], *, check: bool = False, **more: Any) -> dict[str, Any]:
    return run_within("redis_backup_copy", request(source, destination, **more), check=check)


def refused(source: dict[str, Any], destination: dict[str, Any], *needles: str, **more: Any) -> dict[str, Any]:
    """A copy must fail, with all of `needles` in its paragraph; its result."""
    with pytest.raises(ModuleFailed) as caught:
        copy(source, destination, **more)
    assert_told(caught.value.msg, *needles)
    return caught.value.result


def folder(repository: dict[str, Any], label: str) -> Path:
    return Path(repository["path"], SOURCE, "backup", label)


def contents(repository: dict[str, Any], label: str) -> dict[str, bytes]:
    place = folder(repository, label)
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def labels_of(repository: dict[str, Any]) -> list[str]:
    return sorted(path.name for path in Path(repository["path"], SOURCE, "backup").glob("*"))


def manifest_of(repository: dict[str, Any], label: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder(repository, label) / "manifest.json").read_bytes())
    return found


def opened(repository: dict[str, Any], label: str, identity: Path | None, name: str = "dump.rdb") -> bytes:
    """By hand: sums, decryption, decompression."""
    place = folder(repository, label)
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=place, check=True)
    command = f"zstd -q -d -c {name}.zst"
    if identity is not None:
        command = f"age -d -i {identity} {name}.zst.age | zstd -q -d -c"
    return subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=place, check=True, capture_output=True).stdout


def restored(target: RedisProcess, repository: dict[str, Any], label: str, values: Values, *identities: Path) -> None:
    """Restore a backup and compare it with what the server held."""
    backup = Backup(repository, label, values, {})
    restore = Restore(target, backup, identities=[str(path) for path in identities])
    restore.step("staged")
    target.stop()
    restore.step("active")
    target.start()
    assert not differences(values, snapshot_values(target.client()))
    restore.step("committed")


# --- as they are ---


def test_to_a_bucket_and_back(donor: Donor, s3: S3Server, shelf: dict[str, Any], target: RedisProcess) -> None:
    """Byte for byte, and a restore from the last copy. No identity is needed for the copies."""
    cloud = s3.entry(s3.bucket(), prefix="far/away")
    first = copy(donor.encrypted, cloud, labels=["all"])
    assert first["changed"]
    assert [one["label"] for one in first["copied"]] == donor.labels
    assert all(one["skipped"] is None and not one["reencrypted"] and one["stored_size"] for one in first["copied"])
    assert [name for name in s3.objects(cloud["bucket"]) if name.endswith(".lock")] == []
    again = copy(donor.encrypted, cloud, labels=["all"])
    assert not again["changed"] and again["actions"] == []
    assert [one["skipped"] for one in again["copied"]] == ["it is there"] * 3
    copy(cloud, shelf, labels=["all"])
    assert labels_of(shelf) == donor.labels
    for label in donor.labels:
        assert contents(shelf, label) == contents(donor.encrypted, label)
    ours, theirs = (Path(where["path"], SOURCE, "instance.json").read_text() for where in (shelf, donor.encrypted))
    assert json.loads(ours) == json.loads(theirs)
    all_of_them = [donor.encrypted, cloud, shelf]
    catalog = run_within("redis_backup_info", {"instance": SOURCE, "repositories": all_of_them})["backups"]
    assert [entry["repositories"] for entry in catalog] == [["encrypted", "s3", "shelf"]] * 3
    assert not any(entry["problems"] for entry in catalog)
    restored(target, shelf, donor.labels[-1], donor.values, donor.key.identity)


def test_which_labels(donor: Donor, shelf: dict[str, Any]) -> None:
    assert [one["label"] for one in copy(donor.encrypted, shelf)["copied"]] == donor.labels[-1:]
    made = copy(donor.encrypted, shelf, labels=[donor.labels[0], "latest"])
    assert [(one["label"], one["skipped"]) for one in made["copied"]] == [
        (donor.labels[0], None),
        (donor.labels[-1], "it is there"),
    ]
    assert labels_of(shelf) == [donor.labels[0], donor.labels[-1]]
    refused(donor.encrypted, shelf, "newest", "names no backup", labels=["newest"])
    refused(donor.encrypted, shelf, "names no backup", labels=[])
    told = refused(donor.encrypted, shelf, "20200101T000000Z_rdb", labels=["20200101T000000Z_rdb", donor.labels[1]])
    assert list(told["failed_labels"]) == ["20200101T000000Z_rdb"] and told["changed"]
    assert labels_of(shelf) == donor.labels


def test_check_mode(donor: Donor, shelf: dict[str, Any], tmp_path: Path) -> None:
    """It says what would be copied, and touches nothing."""
    with untouched(Path(shelf["path"]), donor.root):
        dry = copy(donor.encrypted, shelf, check=True, labels=["all"])
        assert dry["changed"] and len(dry["actions"]) == 3 and "would copy" in dry["actions"][0]
        assert [one["label"] for one in dry["copied"]] == donor.labels
        assert list(Path(shelf["path"]).iterdir()) == []
        new = {"name": "new", "path": str(tmp_path / "new")}
        refused(donor.encrypted, new, "does not exist", check=True)
        assert copy(donor.encrypted, {**new, "create": True}, check=True)["changed"]
        assert not (tmp_path / "new").exists()
    wet = copy(donor.encrypted, shelf, labels=["all"])
    assert set(dry) == set(wet)
    assert dry["diff"]["after"] == wet["diff"]["after"]
    with untouched(Path(shelf["path"])):
        assert not copy(donor.encrypted, shelf, check=True, labels=["all"])["changed"]


def test_records_travel_with_the_bytes(donor: Donor, shelf: dict[str, Any], tmp_path: Path) -> None:
    """Also those that were added behind the first copy; one that found bytes damaged where they lay stays there."""
    source = donor.copy_of("encrypted", tmp_path)
    label = donor.labels[-1]
    records = folder(source, label) / "verification"
    records.mkdir()

    def record(name: str, level: str, ok: bool) -> None:
        time = f"{name[:4]}-{name[4:6]}-{name[6:8]}T00:00:00Z"
        said = {"level": level, "ok": ok, "time": time, "problems": [] if ok else ["damaged"]}
        (records / f"{name}-{level}.json").write_text(json.dumps(said))

    record("20261125T000000Z", "stored", False)
    record("20261126T000000Z", "restore", True)
    copy(source, shelf)
    assert set(contents(shelf, label)) == {*ENCRYPTED, "verification/20261126T000000Z-restore.json"}
    record("20261127T000000Z", "content", True)
    (folder(source, label) / "acknowledged.json").write_text('{"time": "2026-11-27T00:00:00Z"}')
    assert copy(source, shelf, check=True)["changed"]
    later = copy(source, shelf)
    assert later["changed"] and "added 2 records" in later["actions"][0]
    assert {"acknowledged.json", "verification/20261127T000000Z-content.json"} < set(contents(shelf, label))
    assert not copy(source, shelf)["changed"]
    assert not copy(source, shelf, check=True)["changed"]
    other = {"name": "other", "path": str(tmp_path / "other"), "create": True}
    anew = make_age_key(tmp_path / "new.txt")
    copy(source, other, encryption={"recipients": [anew.recipient]}, identities=[str(donor.key.identity)])
    assert set(contents(other, label)) == {*ENCRYPTED, "acknowledged.json"}, "a verification of other bytes"


# --- packed anew ---


def test_new_recipients(donor: Donor, shelf: dict[str, Any], tmp_path: Path, target: RedisProcess) -> None:
    """An age key and an SSH key: each opens the copy, the old one does not. The catalog knows one backup."""
    label = donor.labels[-1]
    age, ssh = make_age_key(tmp_path / "new.txt"), make_ssh_key(tmp_path / "id_ed25519")
    wanted = {"encryption": {"recipients": [age.recipient, ssh.recipient]}, "identities": [str(donor.key.identity)]}
    refused(donor.encrypted, shelf, label, "needs an identity", "identities", encryption=wanted["encryption"])
    assert labels_of(shelf) == []
    wrong = {**wanted, "identities": [str(age.identity)]}
    refused(donor.encrypted, shelf, label, "cannot be opened", "identity", **wrong)
    assert labels_of(shelf) == []
    (one,) = copy(donor.encrypted, shelf, **wanted)["copied"]
    assert one["reencrypted"]
    plain = opened(donor.encrypted, label, donor.key.identity)
    for key in (age, ssh):
        assert opened(shelf, label, key.identity) == plain
    with pytest.raises(subprocess.CalledProcessError):
        opened(shelf, label, donor.key.identity)
    old, new = manifest_of(donor.encrypted, label), manifest_of(shelf, label)
    assert new["reencrypted"]["from_sha256"] == old["sha256"]
    assert new["encryption"]["recipients"] == [age.recipient, ssh.recipient]
    assert {name for name in old if old[name] != new.get(name)} == {"encryption", "files", "sha256"}
    again = copy(donor.encrypted, shelf, **wanted)
    assert not again["changed"] and again["copied"][0]["skipped"]
    both = {"instance": SOURCE, "repositories": [donor.encrypted, shelf]}
    newest = run_within("redis_backup_info", both)["latest"]
    assert newest["repositories"] == ["encrypted", "shelf"] and not newest["problems"]
    other = make_age_key(tmp_path / "other.txt")
    for more in ({}, {**wanted, "encryption": {"recipients": [other.recipient]}}):
        refused(donor.encrypted, shelf, label, "packed in another way", "another repository", **more)
    restored(target, shelf, label, donor.values, ssh.identity)


def test_same_recipients_are_no_reason_to_open_it(donor: Donor, shelf: dict[str, Any]) -> None:
    made = copy(donor.encrypted, shelf, encryption={"recipients": [donor.key.recipient]})
    assert [one["reencrypted"] for one in made["copied"]] == [False]
    assert contents(shelf, donor.labels[-1]) == contents(donor.encrypted, donor.labels[-1])


def test_level(donor: Donor, shelf: dict[str, Any]) -> None:
    """Packed tighter, for the same recipients."""
    label = donor.labels[-1]
    wanted = {"compression": {"level": 19}, "identities": [str(donor.key.identity)]}
    (one,) = copy(donor.encrypted, shelf, **wanted)["copied"]
    assert one["reencrypted"]
    old, new = manifest_of(donor.encrypted, label), manifest_of(shelf, label)
    assert new["compression"]["level"] == 19 and new["encryption"] == old["encryption"]
    assert one["stored_size"] < sum(file["stored_size"] for file in old["files"])
    assert opened(shelf, label, donor.key.identity) == opened(donor.encrypted, label, donor.key.identity)
    assert not copy(donor.encrypted, shelf, **wanted)["changed"]


def test_from_the_clear_to_encrypted(donor: Donor, shelf: dict[str, Any]) -> None:
    (label,) = donor.clear
    (one,) = copy(donor.plain, shelf, encryption={"recipients": [donor.key.recipient]})["copied"]
    assert one["reencrypted"]
    assert set(contents(shelf, label)) == ENCRYPTED
    assert opened(shelf, label, donor.key.identity) == opened(donor.plain, label, None)


def test_into_the_clear_only_by_that_word(donor: Donor, shelf: dict[str, Any]) -> None:
    """And without the passwords that the encrypted backup keeps."""
    label = donor.labels[-1]
    identities = [str(donor.key.identity)]
    for vague in ({"recipients": []}, {"none": False}):
        refused(donor.encrypted, shelf, "names no recipient", "none: true", encryption=vague, identities=identities)
    for both in ({}, {"recipients": [donor.key.recipient], "none": True}):
        with pytest.raises(ModuleFailed, match="recipients"):
            copy(donor.encrypted, shelf, encryption=both, identities=identities)
    copy(donor.encrypted, shelf, encryption={"none": True}, identities=identities)
    assert set(contents(shelf, label)) == PLAIN
    assert opened(shelf, label, None) == opened(donor.encrypted, label, donor.key.identity)
    kept = opened(donor.encrypted, label, donor.key.identity, "server.tar")
    shown = opened(shelf, label, None, "server.tar")
    assert PASSWORD.encode() in kept and PASSWORD.encode() not in shown
    assert members_of(kept) == members_of(shown)
    said = manifest_of(shelf, label)
    assert said["encryption"] is None and said["server_files"]["redacted"]
    both_places = {"instance": SOURCE, "repositories": [donor.encrypted, shelf]}
    assert run_within("redis_backup_info", both_places)["latest"]["repositories"] == ["encrypted", "shelf"]


def members_of(archive: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as found:
        return found.getnames()


# --- what goes wrong ---


def damage(repository: dict[str, Any], label: str, name: str) -> None:
    path = folder(repository, label) / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("anew", [False, True], ids=["as it is", "packed anew"])
def test_damaged_at_the_source(donor: Donor, shelf: dict[str, Any], tmp_path: Path, anew: bool) -> None:
    """Nothing of it comes to the destination; the others do, and the task fails and names it."""
    source = donor.copy_of("encrypted", tmp_path)
    more: dict[str, Any] = {"labels": ["all"]}
    if anew:
        recipient = make_age_key(tmp_path / "new.txt").recipient
        more.update(encryption={"recipients": [recipient]}, identities=[str(donor.key.identity)])
    damage(source, donor.labels[0], "server.tar.zst.age")
    damage(source, donor.labels[1], "dump.rdb.zst.age")
    with untouched(Path(source["path"])):
        told = refused(source, shelf, "2 of the backups", *donor.labels[:2], "SHA-256", "server.tar.zst.age", **more)
    assert sorted(told["failed_labels"]) == donor.labels[:2]
    assert [one["label"] for one in told["copied"]] == donor.labels[2:]
    assert labels_of(shelf) == donor.labels[2:]
    for label in donor.labels:
        damage(source, label, "manifest.json")
    refused(source, shelf, "no usable backup", **{**more, "labels": ["latest"]})


def test_newest_is_damaged(donor: Donor, shelf: dict[str, Any], tmp_path: Path) -> None:
    """The newest usable one is copied, with a warning."""
    source = donor.copy_of("encrypted", tmp_path)
    (folder(source, donor.labels[2]) / "dump.rdb.zst.age").unlink()
    (folder(source, donor.labels[1]) / "manifest.json").unlink()
    made = copy(source, shelf)
    assert [one["label"] for one in made["copied"]] == donor.labels[:1]
    assert "passed over" in str(made["warnings"]) and donor.labels[2] in str(made["warnings"])
    refused(source, shelf, "no whole backup", "being written", labels=[donor.labels[1]])


def test_newest_was_found_bad(donor: Donor, shelf: dict[str, Any], tmp_path: Path) -> None:
    """A verification has told so: it is no backup to promote."""
    source = donor.copy_of("encrypted", tmp_path)
    record = folder(source, donor.labels[-1]) / "verification" / "20261118T110000Z-restore.json"
    record.parent.mkdir(exist_ok=True)
    record.write_text('{"level": "restore", "ok": false, "time": "2026-11-18T11:00:00Z", "problems": ["it is bad"]}')
    done = copy(source, shelf)
    assert [one["label"] for one in done["copied"]] == [donor.labels[-2]]
    assert "it is bad" in str(done["warnings"])


def test_a_link_at_the_destination(donor: Donor, shelf: dict[str, Any], tmp_path: Path) -> None:
    """What lies behind it is not written over, and it is not taken for remains."""
    copy(donor.encrypted, shelf, labels=["all"])
    moved = folder(shelf, donor.labels[0])
    moved.rename(tmp_path / "elsewhere")
    moved.symlink_to(tmp_path / "elsewhere")
    with untouched(tmp_path / "elsewhere"):
        refused(donor.encrypted, shelf, donor.labels[0], "is a link or a file", labels=["all"])
    assert moved.is_symlink()


def test_onto_itself(donor: Donor, tmp_path: Path, s3: S3Server) -> None:
    """Under another name, by a link, within a backup, in a bucket: none is a second copy."""
    source = donor.copy_of("encrypted", tmp_path)
    (tmp_path / "alias").symlink_to(source["path"])
    within = folder(source, donor.labels[0]) / "copies"
    with untouched(Path(source["path"])):
        for path in (source["path"], tmp_path / "alias", within):
            refused(source, {"name": "again", "path": str(path), "create": True}, "again", "in the same place")
    cloud = s3.entry(s3.bucket())
    copy(source, cloud)
    refused(cloud, {**cloud, "name": "again"}, "again", "in the same place")
    copy(cloud, s3.entry(cloud["bucket"], name="again", prefix="elsewhere"))


def test_another_backup_of_the_label(donor: Donor, shelf: dict[str, Any], tmp_path: Path) -> None:
    source = donor.copy_of("encrypted", tmp_path)
    label = donor.labels[-1]
    copy(source, shelf)
    place = folder(shelf, label)
    shutil.rmtree(place)
    shutil.copytree(folder(donor.plain, donor.clear[0]), place)
    with untouched(Path(shelf["path"])):
        refused(source, shelf, label, "another backup of the same label")
    damage(shelf, label, "manifest.json")
    with untouched(Path(shelf["path"])):
        refused(source, shelf, label, "damaged")


def test_mended_where_files_are_missing(donor: Donor, shelf: dict[str, Any], tmp_path: Path) -> None:
    """A copy that has lost a file, or the end of one, gets it again. One that was packed anew cannot."""
    label = donor.labels[-1]
    copy(donor.encrypted, shelf)
    whole = contents(shelf, label)
    (folder(shelf, label) / "server.tar.zst.age").unlink()
    (folder(shelf, label) / "SHA256SUMS").unlink()
    (folder(shelf, label) / "dump.rdb.zst.age").write_bytes(whole["dump.rdb.zst.age"][:-1])
    with untouched(Path(shelf["path"])):
        assert len(copy(donor.encrypted, shelf, check=True)["actions"]) == 1
    made = copy(donor.encrypted, shelf)
    assert made["changed"] and made["copied"][0]["skipped"] is None
    assert contents(shelf, label) == whole
    other = {"name": "other", "path": str(tmp_path / "other"), "create": True}
    recipient = make_age_key(tmp_path / "new.txt").recipient
    wanted = {"encryption": {"recipients": [recipient]}, "identities": [str(donor.key.identity)]}
    copy(donor.encrypted, other, **wanted)
    (folder(other, label) / "server.tar.zst.age").unlink()
    refused(donor.encrypted, other, label, "not whole any more", "server.tar.zst.age", **wanted)


def test_another_server_of_that_name(donor: Donor, shelf: dict[str, Any]) -> None:
    other = {"instance": SOURCE, "uuid": "6f1b6a52-7d1c-4b61-9b5f-1f6a3a3ff001"}
    identity = Path(shelf["path"], SOURCE, "instance.json")
    identity.parent.mkdir()
    identity.write_text(json.dumps(other))
    with untouched(Path(shelf["path"])):
        for check in (False, True):
            refused(donor.encrypted, shelf, other["uuid"], "another server", "adopt: true", check=check)
    copy(donor.encrypted, shelf, adopt=True)
    assert json.loads(identity.read_text())["uuid"] == manifest_of(shelf, donor.labels[-1])["uuid"]


def test_places_that_are_not_there(donor: Donor, shelf: dict[str, Any], tmp_path: Path) -> None:
    none = {"name": "none", "path": str(tmp_path / "none")}
    empty = {"name": "empty", "path": str(tmp_path)}
    with untouched(tmp_path):
        refused(none, shelf, str(tmp_path / "none"), "does not exist", "Mount it")
        refused(donor.encrypted, none, str(tmp_path / "none"), "does not exist", "Mount it")
        refused(empty, shelf, "no backups of", SOURCE)


def test_full(donor: Donor, small_tmpfs: Callable[[str], Path]) -> None:
    """What has room is copied; what has none leaves nothing."""
    size = sum(len(data) for data in contents(donor.encrypted, donor.labels[0]).values())
    place = small_tmpfs(f"{(size + 65536) // 1024}K")
    full = {"name": "full", "path": str(place)}
    told = refused(donor.encrypted, full, "Free or add room", *donor.labels[1:], labels=["all"])
    assert [one["label"] for one in told["copied"]] == donor.labels[:1]
    assert labels_of(full) == donor.labels[:1]


def test_service_goes_away(donor: Donor, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """From some request on: what was copied stays, the rest is named, and a later run completes it."""
    monkeypatch.setattr(s3_store, "_ATTEMPTS", 1)
    bucket = s3.bucket()
    with faulty(s3.port) as proxy:
        cloud = s3.entry(bucket, endpoint_url=proxy.endpoint)
        copy(donor.encrypted, cloud, labels=["all"])
        count = len(proxy.requests)
        for number in random.Random("copy").sample(range(5, count - 2), 4):
            proxy.arm()
            s3.clear(bucket)
            proxy.arm(Fault.CUT_BEFORE, number, lasting=True)
            told = refused(donor.encrypted, cloud, f"s3://{bucket}", labels=["all"])
            done = [one["label"] for one in told.get("copied", [])]
            whole = [label for label, names in s3.labels(bucket, SOURCE).items() if "manifest.json" in names]
            assert sorted(whole) == done, f"request {number}"
            assert not done or sorted([*done, *told["failed_labels"]]) == donor.labels
            proxy.arm()
            with contextlib.suppress(s3.client.exceptions.ClientError):
                s3.client.delete_object(Bucket=bucket, Key=f"{SOURCE}/.lock")
            copy(donor.encrypted, cloud, labels=["all"])
            assert s3.labels(bucket, SOURCE) == dict.fromkeys(donor.labels, ENCRYPTED), f"request {number}"


def test_two_copiers(donor: Donor, shelf: dict[str, Any]) -> None:
    """One of them does it all; the other is done when it comes late, or says who is at work."""
    with open_store({**shelf, "type": "posix"}).lock(SOURCE):
        refused(donor.encrypted, shelf, "is being written", "Wait")
        assert copy(donor.encrypted, shelf, check=True)["changed"]
    params = request(donor.encrypted, shelf, labels=["all"])
    start = threading.Barrier(2)
    ends: list[str] = []

    def run() -> None:
        start.wait(30)
        try:
            ends.append("changed" if run_module("redis_backup_copy", params)["changed"] else "unchanged")
        except ModuleFailed as error:
            assert_told(error.msg, "is being written")
            ends.append("refused")

    copiers = [threading.Thread(target=run) for _number in range(2)]
    for each in copiers:
        each.start()
    for each in copiers:
        each.join()
    assert "changed" in ends and len(ends) == 2, ends
    assert not copy(donor.encrypted, shelf, labels=["all"])["changed"]
    assert labels_of(shelf) == donor.labels


@pytest.mark.parametrize("anew", [False, True], ids=["as it is", "packed anew"])
def test_killed_at_a_random_instant(
    donor: Donor, shelf: dict[str, Any], tmp_path: Path, anew: bool, long: bool
) -> None:
    """Never a manifest without its files; the next run completes the copies and leaves no remains."""
    place = Path(shelf["path"])
    more: dict[str, Any] = {"labels": ["all"]}
    identity = donor.key.identity
    if anew:
        key = make_age_key(tmp_path / "new.txt")
        identity = key.identity
        more.update(encryption={"recipients": [key.recipient]}, identities=[str(donor.key.identity)])
    params = request(donor.encrypted, shelf, **more)
    work = watch("redis_backup_copy", params, [place])
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _number in range(30 if long else 10):
        shutil.rmtree(place)
        place.mkdir()
        instant = chance.uniform(0, work.seconds)
        process = kill_after("redis_backup_copy", params, [place], instant)
        wait_for(lambda process=process: not members(process), "the programs of the killed module to end", 10)
        what = f"killed {instant * 1000:.0f} ms after its first change (seed {seed})"
        for label in labels_of(shelf):
            names = set(contents(shelf, label))
            assert "manifest.json" not in names or names == ENCRYPTED, what
        run_within("redis_backup_copy", params)
        assert labels_of(shelf) == donor.labels, what
        for label in donor.labels:
            assert set(contents(shelf, label)) == ENCRYPTED, what
        opened(shelf, chance.choice(donor.labels), identity)
        assert not run_within("redis_backup_copy", params)["changed"], what


def test_memory_does_not_grow_with_the_backup(
    any_build: Build, make_server: Callable[..., RedisProcess], shelf: dict[str, Any], tmp_path: Path
) -> None:
    """A backup of some 100 MB under a limit of address space that could not hold it twice."""
    server = make_server(any_build)
    server.client().mset({f"large:{n}": os.urandom(1 << 20) for n in range(100)})
    source = {"name": "source", "path": str(tmp_path / "source"), "create": True}
    common = {**server.connection, "instance": SOURCE, "state_dir": str(tmp_path / "state")}
    made = run_module("redis_backup", {**common, "repositories": [source]})["backup"]
    assert made["stored_size"] > 100 << 20
    process = start_module("redis_backup_copy", request(source, shelf))
    peak = 0

    def ended() -> bool:
        nonlocal peak
        with contextlib.suppress(OSError, IndexError, ValueError):
            status = Path(f"/proc/{process.pid}/status").read_text()
            peak = max(peak, int(status.partition("VmHWM:")[2].split()[0]))
        return process.poll() is not None

    wait_for(ended, "the copy to end", 60, 0.01)
    process.communicate()
    assert labels_of(shelf) == [made["label"]]
    assert 0 < peak < 64 << 10, f"{peak} kB"
