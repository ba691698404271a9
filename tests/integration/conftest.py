# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures for tests on real servers and real hosts; what they hand out is described in tests/support."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from support.hosts import Host, Lab, lab
from support.machine import AgeKey, make_age_key, tmpfs
from support.restores import Backup, Backups, fill_with_old_data
from support.s3 import S3Missing, S3Server
from support.servers import BUILD_NAMES, Build, BuildMissing, RedisProcess, build_named
from support.sftp import SftpMissing, SftpServer

MakeServer = Callable[..., RedisProcess]


USUAL = "redis-7.0"

_EACH = [pytest.param(name, marks=pytest.mark.long if name == USUAL else ()) for name in BUILD_NAMES]


@pytest.fixture(params=_EACH)
def build(request: pytest.FixtureRequest) -> Build:
    """Each version in turn; the usual one, which most other tests run on, with --long. `-k redis-6.2` picks one."""
    try:
        return build_named(request.param)
    except BuildMissing as error:
        pytest.skip(str(error))


_LATER = [pytest.param(name, marks=pytest.mark.long) for name in BUILD_NAMES[2:]]


@pytest.fixture(params=[*BUILD_NAMES[:2], *_LATER])
def layout(request: pytest.FixtureRequest) -> Build:
    """A version with an AOF of one file and one with several files; with --long all."""
    try:
        return build_named(request.param)
    except BuildMissing as error:
        pytest.skip(str(error))


@pytest.fixture
def long(pytestconfig: pytest.Config) -> bool:
    """Whether there is time for more."""
    return bool(pytestconfig.getoption("--long"))


@pytest.fixture(scope="session")
def any_build() -> Build:
    """One server version, for tests where the version is no matter."""
    for name in (USUAL, *BUILD_NAMES):
        with contextlib.suppress(BuildMissing):
            return build_named(name)
    pytest.skip("no server of any version here")


@pytest.fixture
def server_root() -> Iterator[Path]:
    """A directory for servers that every user may enter (pytest's own are root's), with short paths for sockets."""
    root = Path(tempfile.mkdtemp(prefix="redis-backup-test-"))
    root.chmod(0o755)
    yield root
    shutil.rmtree(root)


@pytest.fixture
def make_server(server_root: Path) -> Iterator[MakeServer]:
    """Call it as make_server(build, conf=..., args=..., user=..., start=True) as often as needed.

    At the end every server is killed, with its children, and the end of its log shown if the test failed.
    """
    servers: list[RedisProcess] = []

    def make(
        build: Build,
        *,
        conf: Mapping[str, str | Sequence[str]] | None = None,
        args: Sequence[str] = (),
        user: int | None = None,
        start: bool = True,
    ) -> RedisProcess:
        if user is not None and os.geteuid():
            pytest.skip("a server of another user needs root")
        directory = server_root / f"server{len(servers) + 1}"
        directory.mkdir()
        server = RedisProcess(build, directory, conf=conf, args=args, user=user)
        servers.append(server)
        return server.start() if start else server

    yield make
    for server in servers:
        server.destroy()
        print(f"{server!r}:\n{server.tail()}")


@pytest.fixture
def server(build: Build, make_server: MakeServer) -> RedisProcess:
    """A running server of each version, with the default settings of RedisProcess."""
    return make_server(build)


@pytest.fixture
def small_tmpfs() -> Iterator[Callable[[str], Path]]:
    """Call it with a size ("2M"): a new file system of that size, gone after the test."""
    with contextlib.ExitStack() as mounted:
        yield lambda size: mounted.enter_context(tmpfs(size))


@pytest.fixture(scope="session")
def age_key(tmp_path_factory: pytest.TempPathFactory) -> AgeKey:
    """An age identity and its recipient, the same for the whole run."""
    return make_age_key(tmp_path_factory.mktemp("age") / "identity.txt")


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """A running S3 service: s3.entry(s3.bucket()) is a repository in a new bucket."""
    with tempfile.TemporaryDirectory(prefix="redis-backup-s3-", ignore_cleanup_errors=True) as directory:
        try:
            service = S3Server(Path(directory))
        except S3Missing as error:
            pytest.skip(str(error))
        try:
            yield service.start()
        finally:
            service.destroy()


@pytest.fixture(scope="session")
def sftp() -> Iterator[SftpServer]:
    """A running SFTP service: sftp.entry("folder") is a repository there, by way of rclone."""
    with tempfile.TemporaryDirectory(prefix="redis-backup-sftp-", ignore_cleanup_errors=True) as directory:
        try:
            service = SftpServer(Path(directory))
        except SftpMissing as error:
            pytest.skip(str(error))
        try:
            yield service.start()
        finally:
            service.kill()


@pytest.fixture(scope="module")
def host_lab() -> Iterator[Lab]:
    """Real hosts: host_lab.first(n), host_lab.more(n) for fresh ones, host_lab.inventory(*hosts).

    One file at a time has them: files may run beside each other.
    """
    with lab() as found:
        yield found


@pytest.fixture(scope="module")
def hosts(host_lab: Lab) -> Callable[[int], list[Host]]:
    """Call it with a number: that many running hosts, shared by all tests of a file."""
    return host_lab.first


@pytest.fixture
def host(hosts: Callable[[int], list[Host]]) -> Host:
    """One running host, shared by all tests of a file."""
    return hosts(1)[0]


@pytest.fixture(scope="module")
def backups(tmp_path_factory: pytest.TempPathFactory) -> Backups:
    return Backups(tmp_path_factory.mktemp("backups"))


@pytest.fixture
def backup(backups: Backups, any_build: Build) -> Backup:
    return backups.of(any_build)


@pytest.fixture
def target(any_build: Build, make_server: MakeServer) -> RedisProcess:
    """A running server with an AOF and other data than any backup's."""
    server = make_server(any_build, conf={"appendonly": "yes", "save": "3600 1"})
    fill_with_old_data(server.client())
    return server
