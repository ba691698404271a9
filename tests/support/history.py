# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A history of backups without waiting for years: one real backup, stored again and again under other times."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import NotFoundError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.identity import (
    HostState,
    write_identity,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.layout import make_label
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.manifest import seal
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.open import open_store
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.store import Store
from ansible_collections.globalscope.redis_backup.plugins.module_utils._times import to_iso

from support.modules import run_module
from support.s3 import S3Server
from support.servers import RedisProcess

INSTANCE = "shop"
FILES = {"SHA256SUMS", "dump.rdb.zst", "manifest.json", "server.tar.zst"}


@dataclass(frozen=True)
class Template:
    """A real backup: what its manifest says, and the bytes of its other files by their names."""

    manifest: dict[str, Any]
    files: dict[str, bytes]

    @classmethod
    def made(cls, server: RedisProcess, place: Path) -> Template:
        """Back `server` up into a new folder, and read what was made."""
        entry = {"name": "template", "path": str(place / "repository"), "create": True}
        common = {**server.connection, "instance": INSTANCE, "state_dir": str(place / "state")}
        made = run_module("redis_backup", {**common, "repositories": [entry]})["backup"]
        folder = place / "repository" / INSTANCE / "backup" / made["label"]
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        return cls(json.loads(files.pop("manifest.json")), files)

    @property
    def uuid(self) -> str:
        return str(self.manifest["uuid"])

    def copy_to(
        self,
        entry: dict[str, Any],
        times: Sequence[float],
        *,
        instance: str = INSTANCE,
        first: int = 0,
        step: int = 1,
        **over: Any,
    ) -> list[str]:
        """Store a backup of `instance` for each of `times` in the repository `entry`; their labels.

        The first has the serial `first` + 1, the next `step` more. `over` replaces what the manifests say. In a
        directory, the files get the age that they pretend to have.
        """
        posix = entry.get("type", "posix") == "posix"
        if posix:
            os.makedirs(entry["path"], mode=0o700, exist_ok=True)
        store = open_store({"type": "posix", **entry})
        write_identity(store, instance, self.uuid)
        labels = []
        for number, seconds in enumerate(times):
            said = {
                **self.manifest,
                "instance": instance,
                "serial": first + 1 + number * step, "started": to_iso(seconds), "finished": to_iso(seconds + 1),
                "snapshot_time": to_iso(seconds),
                **over,
            }
            said["label"] = label = make_label(seconds, said["engine"])
            files = {**self.files, "manifest.json": seal({k: v for k, v in said.items() if k != "sha256"})}
            folder = Path(entry.get("path", "/"), instance, "backup", label)
            if posix:
                folder.mkdir(mode=0o700, parents=True)
            for name, data in files.items():
                if posix:
                    (folder / name).write_bytes(data)
                    os.utime(folder / name, (seconds, seconds))
                else:
                    store.write(f"{instance}/backup/{label}/{name}", data)
            labels.append(label)
        return labels


@dataclass
class Place:
    """The repository `entry` and what tests want to know of it, on any kind of store. `state_dir` is the host's."""

    entry: dict[str, Any]
    state_dir: Path
    service: S3Server | None = None

    @property
    def common(self) -> dict[str, Any]:
        """The parameters that every module takes."""
        return {"instance": INSTANCE, "state_dir": str(self.state_dir), "repositories": [self.entry]}

    @property
    def store(self) -> Store:
        return open_store({"type": "posix", **self.entry})

    def known_to_host(self, template: Template) -> Place:
        """The host has made these backups itself."""
        HostState(str(self.state_dir)).write(INSTANCE, template.uuid)
        return self

    @property
    def folders(self) -> dict[str, set[str]]:
        """The names of the files of every backup, whole or not, by its label."""
        found: dict[str, set[str]] = {}
        for file in self.store.files(f"{INSTANCE}/backup"):
            label, _slash, name = file.path.split("/", 2)[2].partition("/")
            found.setdefault(label, set()).add(name)
        if "path" in self.entry:
            folder = Path(self.entry["path"], INSTANCE, "backup")
            found.update({path.name: set() for path in folder.glob("*") if path.name not in found})
        return found

    @property
    def labels(self) -> list[str]:
        """The labels of the backups that have a manifest."""
        return sorted(label for label, names in self.folders.items() if "manifest.json" in names)

    def assert_none_torn(self, when: str = "") -> None:
        """No manifest without its files."""
        for label, names in self.folders.items():
            assert "manifest.json" not in names or names >= FILES, f"{when}: {label} has only {sorted(names)}"

    def assert_no_remains(self, when: str = "") -> None:
        """No file without a manifest, no folder without a file, no unfinished upload."""
        for label, names in self.folders.items():
            assert names >= FILES, f"{when}: {label} has only {sorted(names)}"
        if self.service is not None:
            assert self.service.uploads(self.entry["bucket"]) == [], when

    def end_lease(self) -> None:
        """Let the lease of a killed owner have ended, as it does after two minutes."""
        if self.service is not None:
            with contextlib.suppress(NotFoundError):
                lock = json.loads(self.store.read(f"{INSTANCE}/.lock"))
                ended = json.dumps({**lock, "expires": "2026-01-01T00:00:00Z"}).encode()
                self.store.write(f"{INSTANCE}/.lock", ended)
