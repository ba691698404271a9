# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Damaged backups: whatever byte is wrong, staging refuses, names the file, and the live server does not notice.

Most tests call the library in this process: a module takes a third of a second, and there are many bytes to try.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RedisBackupError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.info import show_catalog
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.manifest import seal
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.posix import PosixStore
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore.request import (
    Options,
    Outcome,
    Selection,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore.stage import stage
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore.swap import roll_back
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.connection import Login
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.instance import Place, find_instance

from support.dataset import load_multiframe
from support.machine import AgeKey
from support.modules import run_module
from support.servers import Build, RedisProcess
from support.shelf import Shelf
from support.untouched import assert_told, refused, untouched

SEED = 7
FILES = ("rdb", "server", "SHA256SUMS", "manifest.json")


@dataclass
class Scene:
    """A server that runs with AOF, and two different backups of it."""

    server: RedisProcess
    shelf: Shelf
    labels: list[str]

    def path(self, kind: str, label: str | None = None) -> Path:
        """A stored file: an artefact by its kind, or a file by its name."""
        folder = self.shelf.folder(label or self.labels[-1])
        content = {"rdb": "dump.rdb.zst", "server": "server.tar.zst"}.get(kind, kind)
        (found,) = folder.glob(f"{content}*" if content != kind else kind)
        return found

    @property
    def store(self) -> PosixStore:
        return PosixStore("shelf", str(self.shelf.root))

    @property
    def identities(self) -> tuple[str, ...]:
        return (str(self.shelf.key.identity),) if self.shelf.key else ()

    def stage(self, label: str | None = None, **options: Any) -> Outcome:
        """What redis_restore does for state: staged, in this process."""
        login = Login(port=self.server.port)
        place = Place(name=self.shelf.instance, executable=str(self.server.build.executable))
        instance = find_instance(login, place, may_be_down=True)
        selection = Selection(self.store, self.shelf.instance, label or self.labels[-1])
        with contextlib.closing(instance.server):
            return stage(instance, selection, Options(**{"identities": self.identities, **options}))

    def unstage(self) -> None:
        """Take back what a staging that went well has laid ready."""
        instance = find_instance(Login(port=self.server.port), Place(name=self.shelf.instance))
        with contextlib.closing(instance.server):
            roll_back(instance, Options())
        for folder in self.workspace.iterdir():
            if folder.is_dir():
                shutil.rmtree(folder)

    @property
    def workspace(self) -> Path:
        return self.server.data_dir / ".redis_backup"

    def refuses(self, *needles: str, label: str | None = None, **options: Any) -> None:
        """Assert that staging fails with a paragraph that has all of `needles`, and leaves nothing behind."""
        try:
            done = self.stage(label, **options)
        except RedisBackupError as error:
            assert_told(error.paragraph(), *needles)
        else:
            pytest.fail(f"staged all the same: {done.actions}")
        self.left_nothing()

    def left_nothing(self) -> None:
        left = [path.name for path in self.workspace.glob("*") if path.name != "lock"]
        assert not left, f"left in the data directory: {left}"

    def accepts(self) -> None:
        """Assert that both backups are still good: what was refused was refused for its damage."""
        for label in self.labels:
            assert self.stage(label).changed
            self.unstage()


@pytest.fixture(scope="module", params=["plain", "encrypted"])
def scene(request: pytest.FixtureRequest, any_build: Build, age_key: AgeKey) -> Iterator[Scene]:
    with tempfile.TemporaryDirectory(prefix="redis-backup-test-") as name:
        root = Path(name)
        (root / "repository").mkdir()
        acl = root / "users.acl"
        acl.write_text("user default on nopass ~* &* +@all\nuser shop on >s3cret ~shop:* +@read\n")
        conf = {"appendonly": "yes", "aclfile": str(acl)}
        server = RedisProcess(any_build, root / "server", conf=conf)
        try:
            with server.start().client() as client:
                load_multiframe(client, 300, 100, types=False)
                key = age_key if request.param == "encrypted" else None
                shelf = Shelf(root / "repository", root / "state", key=key)
                first = shelf.backup(server)["label"]
                client.set("between", "the backups")
                with server.conf_path.open("a") as conf_file:
                    conf_file.write("# so that the server's files differ too\n")
                yield Scene(server, shelf, [first, shelf.backup(server)["label"]])
        finally:
            server.destroy()


@pytest.fixture(autouse=True)
def unharmed(scene: Scene) -> Iterator[None]:
    """Behind every test: the server still serves as if nothing had been, and both backups are good again."""
    with scene.server.client() as client, untouched(scene.server.data_dir, scene.shelf.root):
        run_id = client.info("server")["run_id"]
        yield
        scene.left_nothing()
        assert client.info("server")["run_id"] == run_id
        assert client.get("between") == b"the backups"
        scene.accepts()


@contextlib.contextmanager
def changed(path: Path, content: bytes) -> Iterator[None]:
    """Other content in a file, for a while."""
    original = path.read_bytes()
    assert content != original
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(original)


def positions(size: int, step: int, more: int) -> list[int]:
    """Every `step`th byte of a file, its first, middle and last ones, and `more` anywhere."""
    chance = random.Random(SEED)
    wanted = {0, 1, size // 2, size - 2, size - 1, *range(0, size, step)}
    wanted.update(chance.randrange(size) for _more in range(more))
    return sorted(wanted)


def flips(path: Path, step: int, more: int) -> Iterator[tuple[int, bytes]]:
    """The file with one byte changed, for many positions: one bit of it, or several."""
    chance = random.Random(SEED)
    original = path.read_bytes()
    for at in positions(len(original), step, more):
        flipped = bytearray(original)
        flipped[at] ^= chance.choice((1, 2, 4, 8, 16, 32, 64, 128, 255, chance.randrange(1, 256)))
        yield at, bytes(flipped)


@pytest.mark.parametrize("kind", ["SHA256SUMS", "manifest.json"])
def test_one_byte_flipped_in_a_small_file(scene: Scene, kind: str, request: pytest.FixtureRequest) -> None:
    """Every few bytes of manifest and sums; all of them with --long."""
    path = scene.path(kind)
    for _at, content in flips(path, 1 if request.config.getoption("--long") else 13, 20):
        with changed(path, content):
            scene.refuses(str(path), "damaged", "use another backup")


def test_white_space_is_part_of_a_manifest(scene: Scene) -> None:
    """Bytes that change nothing in what it says."""
    path = scene.path("manifest.json")
    whole = path.read_bytes()
    for content in (whole.replace(b" ", b"\t", 1), whole.replace(b"\n", b"\r", 1), whole.rstrip(b"\n")):
        with changed(path, content):
            scene.refuses(str(path), "damaged", "use another backup")


@pytest.mark.parametrize("policy", ["missing", "none"])
@pytest.mark.parametrize("kind", ["rdb", "server"])
def test_one_byte_flipped_in_an_artefact(scene: Scene, kind: str, policy: str, request: pytest.FixtureRequest) -> None:
    """Also in the server's files when they are not wanted: a backup is good as a whole."""
    path = scene.path(kind)
    size = path.stat().st_size
    step, more = (size // 200 + 1, 100) if request.config.getoption("--long") else (size, 20)
    for _at, content in flips(path, step, more):
        with changed(path, content):
            scene.refuses(str(path), "SHA-256", "use another backup", server_files=policy)


@pytest.mark.parametrize("kind", FILES)
def test_a_file_cut_or_with_more_at_its_end(scene: Scene, kind: str) -> None:
    path = scene.path(kind)
    whole = path.read_bytes()
    contents = [whole[:length] for length in (0, 1, len(whole) // 2, len(whole) - 1)]
    for content in [*contents, whole + b"\0", whole + b"\n", whole * 2]:
        with changed(path, content):
            scene.refuses(str(path), "damaged", "use another backup")


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_missing(scene: Scene, kind: str) -> None:
    path = scene.path(kind)
    away = path.rename(path.with_name(f"{path.name}.away"))
    try:
        scene.refuses(str(path.parent), path.name)
    finally:
        away.rename(path)


@pytest.mark.parametrize("kind", FILES)
def test_a_file_swapped_with_that_of_another_backup(scene: Scene, kind: str) -> None:
    """Each file is good in itself, and in the wrong place."""
    one, other = (scene.path(kind, label) for label in scene.labels)
    contents = one.read_bytes(), other.read_bytes()
    with changed(one, contents[1]), changed(other, contents[0]):
        for label, path in zip(scene.labels, (one, other)):
            scene.refuses(str(path), label=label)


def test_whole_folders_swapped(scene: Scene) -> None:
    one, other = (scene.shelf.folder(label) for label in scene.labels)
    away = one.with_name("away")

    def swap() -> None:
        one.rename(away)
        other.rename(one)
        away.rename(other)

    swap()
    try:
        for label in scene.labels:
            scene.refuses(str(scene.shelf.folder(label)), "wrong place", label=label)
    finally:
        swap()


def test_half_written_backup(scene: Scene) -> None:
    """What a writer that died leaves: artefacts, one of them unfinished, and no manifest."""
    label = time.strftime("%Y%m%dT%H%M%SZ_rdb", time.gmtime(time.time() + 60))
    folder = scene.shelf.folder(label)
    shutil.copytree(scene.shelf.folder(scene.labels[-1]), folder)
    try:
        (folder / "manifest.json").unlink()
        (folder / "SHA256SUMS").unlink()
        server = scene.path("server")
        (folder / server.name).rename(folder / f"{server.name}.part")
        scene.refuses(label, "manifest.json", "incomplete", label=label)
        assert scene.labels[-1] in str(scene.stage("latest").actions), "the newest whole backup is the latest one"
        scene.unstage()
    finally:
        shutil.rmtree(folder)


# Each takes a manifest and makes another, which is then sealed anew as if by somebody who knows how.
def _keys(document: dict[str, Any]) -> None:
    document["keys"]["total"] += 1


def _size(document: dict[str, Any]) -> None:
    document["files"][0]["size"] -= 1


def _digest(document: dict[str, Any]) -> None:
    document["files"][0]["sha256"] = hashlib.sha256(b"other bytes").hexdigest()


def _no_server_files(document: dict[str, Any]) -> None:
    del document["files"][1]


def _names_swapped(document: dict[str, Any]) -> None:
    one, other = document["files"]
    one["name"], other["name"] = other["name"], one["name"]


def _label(document: dict[str, Any]) -> None:
    document["label"] = "20200101T000000Z_rdb"


def _instance(document: dict[str, Any]) -> None:
    document["instance"] = "another"


def _other_packing(document: dict[str, Any]) -> None:
    document["encryption"] = None if document["encryption"] else {"program": "age", "recipients": ["age1other"]}


def _name_leads_out(document: dict[str, Any]) -> None:
    document["files"][0]["name"] = "../../../../etc/passwd"


@pytest.mark.parametrize(
    "edit",
    [_keys, _size, _digest, _no_server_files, _names_swapped, _label, _instance, _other_packing, _name_leads_out],
)
@pytest.mark.parametrize("sums", ["sums left", "sums fitting"])
def test_manifest_edited(scene: Scene, edit: Callable[[dict[str, Any]], None], sums: str, age_key: AgeKey) -> None:
    """The seal guards against accident alone; the rest of the checks must still hold against what it says."""
    manifest, digests = scene.path("manifest.json"), scene.path("SHA256SUMS")
    document = json.loads(manifest.read_bytes())
    edit(document)
    with contextlib.ExitStack() as stack:
        stack.enter_context(changed(manifest, json.dumps(document, indent=2, sort_keys=True).encode() + b"\n"))
        scene.refuses(str(manifest), "SHA-256", "edited")
        stack.enter_context(changed(manifest, seal(document)))
        if sums == "sums fitting":
            text = "".join(f"{entry['sha256']}  {entry['name']}\n" for entry in document["files"]).encode()
            if text != digests.read_bytes():
                stack.enter_context(changed(digests, text))
            if edit is _no_server_files:
                stack.close()  # a backup without server files, whole and sealed, is one: nothing to refuse
                return
        scene.refuses(str(scene.shelf.folder(scene.labels[-1])), identities=(str(age_key.identity),))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a JSON document."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield from places(below, (*path, key))


@pytest.mark.parametrize("scene", ["plain"], indirect=True)
@pytest.mark.parametrize("other", ["gone", None, "", "words", -1, 1e300, [], {}, [[]], True], ids=repr)
def test_manifest_with_a_value_that_makes_no_sense(scene: Scene, other: Any) -> None:
    """Sealed anew with one value missing or of another kind: refused in words or, where it is no matter, taken.

    Any other exception than a foreseen one fails this test, in staging and in the catalog.
    """
    manifest = scene.path("manifest.json")
    document = json.loads(manifest.read_bytes())
    for path in places(document):
        if path[0] == "sha256":
            continue
        edited = json.loads(json.dumps(document))
        holder = edited
        for key in path[:-1]:
            holder = holder[key]
        if other == "gone":
            del holder[path[-1]]
        elif holder[path[-1]] == other:
            continue
        else:
            holder[path[-1]] = other
        sealed = seal(edited)
        if sealed == manifest.read_bytes():
            continue
        with changed(manifest, sealed):
            with contextlib.suppress(RedisBackupError):
                scene.stage(check_mode=True)
            try:
                scene.stage()
            except RedisBackupError as error:
                assert_told(error.paragraph())
            else:
                scene.unstage()
            shown = show_catalog([scene.store], scene.shelf.instance, at=None, usable_only=False, query=None)
            assert scene.labels[0] in [entry["label"] for entry in shown["backups"] if entry["usable"]], path
        scene.left_nothing()


@pytest.mark.parametrize("kind", FILES)
def test_module_refuses_and_the_server_does_not_notice(scene: Scene, kind: str) -> None:
    """The same by the module itself: once for each file, in the middle of it."""
    path = scene.path(kind)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    with changed(path, bytes(content)):
        params = scene.shelf.to_restore(scene.server, label=scene.labels[-1])
        refused("redis_restore", params, str(path), "live data was not touched")
        if kind == "manifest.json":
            refused("redis_restore", params, str(path), check=True)
            asked = scene.shelf.of(scene.server, repositories=[scene.shelf.repository])
            backups = {entry["label"]: entry for entry in run_module("redis_backup_info", asked)["backups"]}
            assert not backups[scene.labels[-1]]["usable"]
            assert str(path) in backups[scene.labels[-1]]["problems"]["shelf"]
