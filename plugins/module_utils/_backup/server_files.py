# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server needs beside its data: redis.conf and its includes, the ACL file, functions, nodes.conf."""

from __future__ import annotations

import contextlib
import grp
import io
import json
import os
import pwd
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from .._config.conf_file import load
from .._config.quoting import ENCODING, ERRORS
from .._config.redact import redact_acl, redact_conf
from .._config.writes import FREEZE, are_closed, open_writes
from .._errors import ConfigError, RestoreError
from .._server.connection import ReplyError
from .._server.instance import Instance

INDEX = "server.json"
FUNCTIONS = "functions.dump"
_LIMIT = 16 * 1024 * 1024


@dataclass(frozen=True)
class ServerFile:
    """One kept file: where it lay, what it is (`conf`, `include`, `acl`, `nodes`), to whom it belonged."""

    path: str
    kind: str
    mode: int
    owner: str
    group: str
    data: bytes

    @property
    def member(self) -> str:
        """Its name in the archive."""
        return "files/" + self.path.lstrip("/")


def _read(path: str, kind: str) -> ServerFile | None:
    try:
        with open(path, "rb") as stream:
            data = stream.read(_LIMIT + 1)
            found = os.fstat(stream.fileno())
    except OSError:
        return None
    if len(data) > _LIMIT:
        return None
    owner, group = str(found.st_uid), str(found.st_gid)
    with contextlib.suppress(KeyError):
        owner = pwd.getpwuid(found.st_uid).pw_name
    with contextlib.suppress(KeyError):
        group = grp.getgrgid(found.st_gid).gr_name
    return ServerFile(path, kind, found.st_mode & 0o7777, owner, group, data)


def _thawed(file: ServerFile) -> ServerFile:
    """A redis.conf without the lines of a freeze in which it is backed up: what it says itself is kept."""
    text = file.data.decode(ENCODING, ERRORS) if file.kind == "conf" else ""
    if not are_closed(text, FREEZE):
        return file
    return replace(file, data=open_writes(text, FREEZE).encode(ENCODING, ERRORS))


def _redacted(file: ServerFile) -> ServerFile:
    if file.kind not in ("conf", "include", "acl"):
        return file
    change = redact_acl if file.kind == "acl" else redact_conf
    text = change(file.data.decode(ENCODING, ERRORS))
    return ServerFile(file.path, file.kind, file.mode, file.owner, file.group, text.encode(ENCODING, ERRORS))


def wanted_files(instance: Instance) -> Iterator[tuple[str, str]]:
    """The paths of the files, and what they are."""
    paths = instance.paths
    if paths.config_file:
        yield paths.config_file, "conf"
        with contextlib.suppress(ConfigError):
            for path in load(paths.config_file).files[1:]:
                yield path, "include"
    if paths.aclfile:
        yield paths.aclfile, "acl"
    if paths.nodes_file:
        yield paths.nodes_file, "nodes"


def _functions(instance: Instance) -> bytes | None:
    """FUNCTION DUMP, where the server knows and allows it."""
    if instance.facts is None or instance.facts.version < (7, 0):
        return None
    try:
        reply = instance.server.call("FUNCTION", "DUMP")
    except ReplyError:
        return None
    return reply if isinstance(reply, bytes) else None


def collect(instance: Instance, *, redact: bool) -> tuple[bytes, list[str], list[str]]:
    """The tar archive of an instance's server files, what it holds, and what could not be read.

    With `redact`, passwords are left out: a secret never reaches an unencrypted artefact.
    """
    files, missing = [], []
    for path, kind in wanted_files(instance):
        file = _read(path, kind)
        if file is None:
            missing.append(path)
        else:
            file = _thawed(file)
            files.append(_redacted(file) if redact else file)
    functions = _functions(instance)
    index = {
        "redacted": redact,
        "functions": functions is not None,
        "files": [
            {"path": f.path, "kind": f.kind, "mode": f"{f.mode:04o}", "owner": f.owner, "group": f.group} for f in files
        ],
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        _add(archive, INDEX, json.dumps(index, indent=2).encode() + b"\n", 0o600)
        for file in files:
            _add(archive, file.member, file.data, file.mode)
        if functions is not None:
            _add(archive, FUNCTIONS, functions, 0o600)
    kept = [f.path for f in files] + (["functions"] if functions is not None else [])
    return out.getvalue(), kept, missing


def _add(archive: tarfile.TarFile, name: str, data: bytes, mode: int) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    member.mode = mode
    archive.addfile(member, io.BytesIO(data))


def redacted_archive(data: bytes) -> bytes:
    """An archive made by `collect`, its passwords left out: for a copy that is not encrypted. Raises RestoreError."""
    index, files = read_archive(data)
    if index.get("redacted"):
        return data
    clean = {file.member: _redacted(file) for file in files}
    out = io.BytesIO()
    with contextlib.ExitStack() as both:
        old = both.enter_context(tarfile.open(fileobj=io.BytesIO(data), mode="r:"))
        new = both.enter_context(tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT))
        for member in old.getmembers():
            stream = old.extractfile(member)
            content = stream.read() if stream is not None else b""
            if member.name == INDEX:
                content = json.dumps({**index, "redacted": True}, indent=2).encode() + b"\n"
            elif member.name in clean:
                content = clean[member.name].data
            _add(new, member.name, content, member.mode)
    return out.getvalue()


def read_archive(data: bytes) -> tuple[dict[str, Any], list[ServerFile]]:
    """The index and files of an archive made by `collect`. Nothing is written, no name in it is trusted as a path.

    Raises RestoreError when it is no such archive.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            members = {m.name: m for m in archive.getmembers() if m.isfile()}

            def content(name: str) -> bytes:
                stream = archive.extractfile(members[name])
                return stream.read() if stream is not None else b""

            index = json.loads(content(INDEX))
            files = []
            for entry in index["files"]:
                kept = ServerFile(
                    entry["path"], entry["kind"], int(entry["mode"], 8), entry["owner"], entry["group"], b""
                )
                files.append(ServerFile(kept.path, kept.kind, kept.mode, kept.owner, kept.group, content(kept.member)))
            return index, files
    except (tarfile.TarError, KeyError, ValueError, TypeError) as error:
        raise RestoreError(f"the archive of server files cannot be read: {error}") from None
