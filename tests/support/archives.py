# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive of a real server's AOF, held against links of the test's own to every file that the server ever wrote."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.coverage import Coverage, coverage
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.frame import Segment
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.run import (
    ArchivePass,
    ArchiveRequest,
    archive_pass,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.segments import read_segment
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.state import ArchiveHost, ArchiveState
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.archived import listed
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.identity import HostState
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.pipeline import Packing
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.posix import PosixStore
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.paths import resolve_paths

from support.machine import AgeKey
from support.servers import Build, RedisProcess

INSTANCE = "archived"


def with_aof(build: Build, **more: str) -> dict[str, str | Sequence[str]]:
    """The settings of a server whose AOF is archived."""
    found: dict[str, str | Sequence[str]] = {"appendonly": "yes", "auto-aof-rewrite-percentage": "0", **more}
    if build.version >= (7,):
        found["aof-timestamp-enabled"] = "yes"
    return found


class Archived:
    """A server, a place with a repository and the host's state, and passes made in this process."""

    def __init__(self, server: RedisProcess, place: Path, key: AgeKey | None = None, **options: Any) -> None:
        self.server = server
        self.place = place
        self.key = key
        self.options = options
        self.truth = server.directory / "truth"  # on the file system of the data
        self.truth.mkdir()
        self.copying = False  # links of our own would hide how much room those of the archive hold

    @property
    def repository(self) -> Path:
        return self.place / "repository"

    @property
    def state_dir(self) -> Path:
        return self.place / "state"

    @property
    def spool(self) -> Path:
        return self.server.data_dir / ".redis_archive" / INSTANCE

    @property
    def store(self) -> PosixStore:
        return PosixStore("test", str(self.repository), create=not self.options.get("away"))

    @property
    def params(self) -> dict[str, Any]:
        """The same for the module."""
        found: dict[str, Any] = {
            **self.server.connection,
            "instance": INSTANCE,
            "repository": {"name": "test", "path": str(self.repository), "create": True},
            "state_dir": str(self.state_dir),
        }
        if self.key is not None:
            found["encryption"] = {"recipients": [self.key.recipient]}
        return found

    def request(self, **options: Any) -> ArchiveRequest:
        version = self.server.build.version
        wanted = {name: value for name, value in {**self.options, **options}.items() if name != "away"}
        return ArchiveRequest(
            instance=INSTANCE,
            paths=resolve_paths({"dir": str(self.server.data_dir), "appendonly": "yes"}),
            layout="multi" if version >= (7,) or self.server.build.flavour == "valkey" else "single",
            store=self.store,
            packing=Packing(recipients=(self.key.recipient,) if self.key else ()),
            host=ArchiveHost(str(self.state_dir)),
            backups=HostState(str(self.state_dir)),
            **wanted,
        )

    def witness(self) -> None:
        """Leave links (or copies) of our own to the files that are there now."""
        folder = self.server.data_dir / "appendonlydir"
        found = [*folder.glob("*.aof"), *folder.glob("*.rdb")] if folder.exists() else []
        found += list(self.server.data_dir.glob("appendonly.aof"))
        for path in found:
            try:
                target = self.truth / f"{path.stat().st_ino}-{path.name}"
                if self.copying:
                    self._copy(path)
                elif not target.exists():
                    os.link(path, target)
            except FileNotFoundError:
                continue

    def _copy(self, path: Path) -> None:
        """Keep a copy; numbers of inodes come again."""
        data, inode = path.read_bytes(), path.stat().st_ino
        known = sorted(self.truth.glob(f"{inode}.*-{path.name}"))
        same = next((each for each in known if data.startswith(each.read_bytes())), None)
        (same or self.truth / f"{inode}.{len(known)}-{path.name}").write_bytes(data)

    def one(self, **options: Any) -> ArchivePass:
        """One pass."""
        self.witness()
        made = archive_pass(self.request(**options))
        assert not made.warnings
        return made

    def one_unnoted(self) -> ArchivePass:
        """One pass that dies behind the commit of its object: the state is as it was written just before."""
        states: list[bytes] = []
        path = self.state_dir / "archive" / INSTANCE / "state.json"

        class Noting(ArchiveHost):
            def write(self, state: ArchiveState) -> None:
                super().write(state)
                states.append(path.read_bytes())

        self.witness()
        request = self.request()
        request.host = Noting(str(self.state_dir))
        made = archive_pass(request)
        assert made.object is not None
        path.write_bytes([each for each in states if json.loads(each)["pending"]][-1])
        return made

    def all(self, **options: Any) -> list[ArchivePass]:
        """Passes until nothing is left."""
        made = [self.one(**options)]
        while made[-1].more:
            made.append(self.one(**options))
        return made

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.state_dir / "archive" / INSTANCE / "state.json").read_text())
        return found

    # --- what is in the repository ---

    def opened(self) -> list[tuple[Segment, bytes]]:
        """Every object, by our own reader: epoch by epoch, file by file."""
        identities = [str(self.key.identity)] if self.key else []
        return [
            read_segment(self.store, INSTANCE, name, identities) for name, _object in listed(self.store, INSTANCE)
        ]

    def by_hand(self) -> dict[tuple[str, str], bytes]:
        """What the objects of each file hold one behind the other, by epoch and name: stock tools alone."""
        found: dict[tuple[str, str], bytes] = {}
        for path in sorted((self.repository / INSTANCE / "archive").glob("*/*/*.zst*")):
            if path.name.endswith(".part"):
                continue
            decrypt = f"age -d -i {self.key.identity}" if self.key else "cat"
            command = f"set -o pipefail; {decrypt} <'{path}' | zstd -q -d -c"
            done = subprocess.run(["bash", "-c", command], check=True, stdout=subprocess.PIPE)
            place = (path.parent.parent.name, path.parent.name)
            offset = int(path.name.partition(".")[0].removesuffix("-last"))
            assert len(found.get(place, b"")) == offset, f"{path}: no byte twice, and none left out"
            found[place] = found.get(place, b"") + done.stdout
        return found

    def coverage(self) -> Coverage:
        return coverage(segment for segment, _data in self.opened())

    def assert_true(self, *, whole: bool = True) -> None:
        """Each archived file is byte for byte one that the server wrote; all of it for the files that there are now."""
        self.witness()
        truth = {path: path.read_bytes() for path in self.truth.iterdir()}
        archived = self.by_hand()
        for (epoch, name), data in archived.items():
            known = [content for path, content in truth.items() if path.name.endswith(f"-{name}")]
            assert any(content[: len(data)] == data for content in known), f"{epoch}/{name} is no file of the server"
        for segment, data in self.opened():
            assert archived[(segment.epoch, segment.file)][segment.offset : segment.end] == data
        if whole:
            live = [*self.server.data_dir.glob("appendonlydir/*.aof"), *self.server.data_dir.glob("appendonly.aof")]
            for path in live:
                data = path.read_bytes()
                assert not data or any(name == path.name and got == data for (_e, name), got in archived.items()), path

    def recovered(self, directory: Path, moment: float) -> Path:
        """The data of a moment as a data directory that a server of the same version starts from."""
        chain = self.coverage().at(moment)
        assert chain is not None, f"nothing covers {moment}: {self.coverage().ranges}"
        data = self.by_hand()
        if chain.epochs[0].single:
            directory.mkdir(parents=True)
            epoch = chain.epochs[0]
            (directory / "appendonly.aof").write_bytes(data[(epoch.name, "appendonly.aof")])
            return directory
        folder = directory / "appendonlydir"
        folder.mkdir(parents=True)
        base = chain.epochs[0].base[0]
        lines = [f"file {base.file} seq {base.seq} type b\n"]
        (folder / base.file).write_bytes(data[(base.epoch, base.file)])
        for epoch in chain.epochs:
            for first in epoch.segments[:1]:
                (folder / first.file).write_bytes(data[(epoch.name, first.file)])
                lines.append(f"file {first.file} seq {first.seq} type i\n")
        (folder / "appendonly.aof.manifest").write_text("".join(lines))
        return directory

    def remains(self) -> list[str]:
        """The links that are held, relative to the spool."""
        return sorted(str(path.relative_to(self.spool)) for path in self.spool.glob("*/*"))

    def forget(self) -> None:
        """Lose the state of the host."""
        shutil.rmtree(self.state_dir)


def told_gaps(archive: Mapping[str, Any]) -> list[str]:
    return [gap["reason"] for gap in archive["gaps"]]
