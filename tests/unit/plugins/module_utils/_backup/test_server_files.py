# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Server files into an archive and out of it."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._backup.server_files import (
    INDEX,
    ServerFile,
    collect,
    read_archive,
    redacted_archive,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RestoreError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.connection import Login, Server
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.instance import Instance, Place
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.paths import Paths


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "redis.conf").write_text("port 1\ninclude conf.d/*.conf\nrequirepass s3cret\n")
    (tmp_path / "conf.d" / "a.conf").write_bytes(b"masterauth s3cret\ndir /srv/\xff\n")
    (tmp_path / "users.acl").write_text("user alice on >s3cret ~*\n")
    (tmp_path / "nodes.conf").write_text("vars currentEpoch 3\n")
    (tmp_path / "redis.conf").chmod(0o640)
    paths = Paths(
        dir=str(tmp_path),
        config_file=str(tmp_path / "redis.conf"),
        aclfile=str(tmp_path / "users.acl"),
        nodes_file=str(tmp_path / "nodes.conf"),
    )
    return Instance(Place("db"), Server(Login()), "down", None, paths)


def test_round_trip(instance: Instance, tmp_path: Path) -> None:
    data, kept, missing = collect(instance, redact=False)
    index, files = read_archive(data)
    assert missing == []
    assert (
        kept
        == [f.path for f in files]
        == [f"{tmp_path}/{name}" for name in ("redis.conf", "conf.d/a.conf", "users.acl", "nodes.conf")]
    )
    assert [f.kind for f in files] == ["conf", "include", "acl", "nodes"]
    assert files[0].mode == 0o640
    assert [f.data for f in files] == [Path(f.path).read_bytes() for f in files]
    assert (index["redacted"], index["functions"]) == (False, False)


def test_redacted(instance: Instance) -> None:
    data, _kept, _missing = collect(instance, redact=True)
    assert b"s3cret" not in data
    index, files = read_archive(data)
    assert index["redacted"]
    assert b"dir /srv/\xff\n" in files[1].data
    assert files[2].data == b"user alice on ~*\n"


def test_redacted_later(instance: Instance) -> None:
    """The same as if it had been redacted at once; all else stays, members that are no files of the index too."""
    whole, _kept, _missing = collect(instance, redact=False)
    assert b"s3cret" in whole
    later, at_once = redacted_archive(whole), collect(instance, redact=True)[0]
    assert b"s3cret" not in later
    assert read_archive(later) == read_archive(at_once)
    assert redacted_archive(at_once) is at_once
    odd = archive({INDEX: json.dumps({"redacted": False, "files": []}).encode(), "functions.dump": b"\x00lib"})
    with tarfile.open(fileobj=io.BytesIO(redacted_archive(odd))) as found:
        assert [member.name for member in found] == [INDEX, "functions.dump"]
        functions = found.extractfile("functions.dump")
        assert functions is not None and functions.read() == b"\x00lib"


def test_what_cannot_be_read_is_named(instance: Instance, tmp_path: Path) -> None:
    os.unlink(tmp_path / "users.acl")
    _data, kept, missing = collect(instance, redact=False)
    assert missing == [str(tmp_path / "users.acl")]
    assert str(tmp_path / "nodes.conf") in kept


def archive(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


ENTRY = {"path": "/etc/redis.conf", "kind": "conf", "mode": "0640", "owner": "root", "group": "root"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no tar",
        archive({}),
        archive({INDEX: b"{"}),
        archive({INDEX: b"[]"}),
        archive({INDEX: b"{}"}),
        archive({INDEX: json.dumps({"files": [ENTRY]}).encode()}),
        archive({INDEX: json.dumps({"files": [{**ENTRY, "mode": "rwx"}]}).encode(), "files/etc/redis.conf": b""}),
        archive({INDEX: json.dumps({"files": ["x"]}).encode()}),
    ],
)
def test_no_archive(data: bytes) -> None:
    with pytest.raises(RestoreError, match="archive of server files cannot be read"):
        read_archive(data)


def test_names_in_the_archive_are_no_paths() -> None:
    data = archive({INDEX: json.dumps({"files": [ENTRY]}).encode(), "files/etc/redis.conf": b"x", "/etc/passwd": b"y"})
    _index, files = read_archive(data)
    assert files == [ServerFile("/etc/redis.conf", "conf", 0o640, "root", "root", b"x")]
