# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What in a host breaks persistence: the judgement, from facts; the look, at hosts laid out in a directory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._preflight.folders import Folder
from ansible_collections.globalscope.redis_backup.plugins.module_utils._preflight.host import HostFacts, look
from ansible_collections.globalscope.redis_backup.plugins.module_utils._preflight.judge import (
    Finding,
    ServerNeeds,
    judge,
    needs_of,
    preflight,
    size_text,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.connection import Login, Server
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.facts import Facts
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.instance import Instance, Place
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.paths import Paths

MIB, GIB = 1 << 20, 1 << 30
DATA = "/var/lib/redis"
GOOD_HOST = HostFacts(
    overcommit="1",
    hugepages="madvise",
    memory=8 * GIB,
    free=10 * GIB,
    user="redis",
    dir=Folder(DATA, ""),
    unit=(Folder(DATA, ""), Folder("/etc/redis", "")),
)
GOOD_SERVER = ServerNeeds(
    running=True, used=GIB, maxmemory=3 * GIB, disable_thp="yes", saves=True, appendonly=True, aof_bytes=GIB
)
NAMES = [
    "overcommit_memory",
    "transparent_hugepages",
    "disk_space",
    "maxmemory",
    "fork_memory",
    "dir_writable",
    "systemd_paths",
    "persistence",
]


def found(host: HostFacts | None, needs: ServerNeeds) -> dict[str, Finding]:
    findings = judge(host, needs)
    assert all(f.found and f.wanted and bool(f.hint) != f.ok for f in findings)
    return {f.name: f for f in findings}


def bad(host: HostFacts | None, needs: ServerNeeds) -> list[str]:
    return [name for name, finding in found(host, needs).items() if not finding.ok]


def test_a_good_host() -> None:
    assert list(found(GOOD_HOST, GOOD_SERVER)) == NAMES
    assert bad(GOOD_HOST, GOOD_SERVER) == []


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        ({"overcommit": "0"}, "overcommit_memory", "0"),
        ({"overcommit": "2"}, "overcommit_memory", "2"),
        ({"hugepages": "always", "server_hugepages": True}, "transparent_hugepages", "has not turned them off"),
        ({"free": 2 * GIB - 1}, "disk_space", "2.0 GiB free in /var/lib/redis"),
        ({"memory": 5 * GIB}, "fork_memory", "maxmemory 3.0 GiB, 5.0 GiB in the host"),
        ({"memory_limit": 4 * GIB}, "fork_memory", "4.0 GiB in the server's control group"),
        ({"dir": Folder(DATA, "is not writable by redis")}, "dir_writable", f"{DATA} is not writable by redis"),
        ({"unit": (Folder(DATA, ""), Folder("/etc/redis", "read-only by X"))}, "systemd_paths", "/etc/redis is read-o"),
    ],
)
def test_each_fault_of_a_host(change: Mapping[str, object], name: str, words: str) -> None:
    host = replace(GOOD_HOST, **change)  # type: ignore[arg-type]
    assert bad(host, GOOD_SERVER) == [name]
    assert words in found(host, GOOD_SERVER)[name].found


def test_what_is_unread_is_left_out() -> None:
    assert judge(HostFacts(), ServerNeeds()) == []
    assert list(found(HostFacts(dir=Folder(DATA, None), unit=(Folder(DATA, None),)), GOOD_SERVER)) == ["persistence"]
    assert list(found(None, GOOD_SERVER)) == ["persistence"]


@pytest.mark.parametrize(
    ("own", "setting", "ok"),
    [(None, "", True), (None, "yes", True), (None, "no", False), (False, "no", False), (False, "yes", True)],
)
def test_huge_pages_that_the_server_turns_off_for_itself(own: bool | None, setting: str, ok: bool) -> None:
    host = replace(GOOD_HOST, hugepages="always", server_hugepages=own)
    assert found(host, replace(GOOD_SERVER, disable_thp=setting))["transparent_hugepages"].ok is ok


def test_an_unlimited_server_is_told_when_it_matters() -> None:
    small = replace(GOOD_SERVER, maxmemory=0, used=MIB)
    assert bad(GOOD_HOST, small) == []
    assert bad(GOOD_HOST, replace(small, used=3 * GIB)) == ["maxmemory"]
    assert bad(GOOD_HOST, replace(small, used=5 * GIB)) == ["maxmemory", "fork_memory"]
    assert bad(replace(GOOD_HOST, memory_limit=4 * GIB), small) == ["maxmemory"]
    assert bad(GOOD_HOST, ServerNeeds(maxmemory=0)) == []


def test_room_for_an_aof_that_is_only_wanted() -> None:
    tight = replace(GOOD_HOST, free=GIB + MIB)
    assert bad(tight, replace(GOOD_SERVER, appendonly=False, aof_bytes=None)) == []
    assert bad(tight, replace(GOOD_SERVER, aof_bytes=None)) == ["disk_space"]


def test_room_while_the_server_is_down_is_measured_by_its_files() -> None:
    needs = ServerNeeds(saves=True, appendonly=True)
    host = replace(GOOD_HOST, dump_bytes=5 * GIB, aof_bytes=6 * GIB)
    assert bad(host, needs) == ["disk_space"]
    assert bad(replace(host, free=12 * GIB), needs) == []


@pytest.mark.parametrize(
    ("info", "config", "ways"),
    [
        ({"aof_enabled": "0"}, {"save": "3600 1 300 100"}, "save points"),
        ({"aof_enabled": "1"}, {"save": ""}, "AOF"),
        ({"aof_enabled": "0"}, {"save": "900 1", "appendonly": "yes"}, "AOF and save points"),
        ({"aof_enabled": "0"}, {"save": ""}, "neither AOF nor save points"),
        ({"aof_enabled": "0", "connected_slaves": "2"}, {"save": '""'}, "neither AOF nor save points"),
        ({"aof_enabled": "0"}, {}, None),
        ({"aof_enabled": "1"}, {}, "AOF"),
        (None, {"dir": DATA}, "save points"),
        (None, {"save": "", "appendonly": "no"}, "neither AOF nor save points"),
        (None, {}, None),
    ],
)
def test_what_survives_a_restart(info: dict[str, str] | None, config: dict[str, str], ways: str | None) -> None:
    findings = found(None, needs_of(Facts(info) if info else None, config))
    assert (findings["persistence"].found if findings else None) == ways
    if ways:
        assert findings["persistence"].ok is not ways.startswith("neither")
        assert ("2 replicas would follow" in findings["persistence"].hint) is bool(info and "connected_slaves" in info)


def test_needs_of_a_server() -> None:
    facts = Facts({"used_memory": "1000", "maxmemory": "0", "aof_enabled": "1", "aof_current_size": "7"})
    assert needs_of(facts, {"maxmemory": "1gb", "save": "1 1", "disable-thp": "NO"}) == ServerNeeds(
        True, 1000, GIB, "no", True, True, 7
    )
    assert needs_of(facts, {}).maxmemory == 0
    assert needs_of(None, {"maxmemory": "nonsense"}).maxmemory is None


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 * GIB, "3.0 GiB"), (1 << 60, "1048576.0 TiB")],
)
def test_sizes_are_readable(size: int, text: str) -> None:
    assert size_text(size) == text


class FakeHost:
    """A host laid out in a directory, with one server in it; its user is another than ours, so that modes count."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = root / "var/lib/redis"
        self.data.mkdir(parents=True)
        self.put("proc/sys/vm/overcommit_memory", "0\n")
        self.put("proc/meminfo", "MemTotal:        8388608 kB\nMemFree:          1 kB\n")
        self.put("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n")
        self.put("etc/redis/redis.conf", f"dir {DATA}\n")
        self.put("proc/7/comm", "redis-server\n")
        self.put("proc/7/cmdline", "redis-server *:6379\0")
        self.put("proc/7/cgroup", "0::/system.slice/redis.service\n")
        self.status()
        (root / "proc/7/cwd").symlink_to(self.data)
        (root / "proc/7/root").symlink_to(root)

    def put(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def status(self, uid: int = 4_000_001, groups: str = "", capabilities: str = "0000000000000000") -> None:
        ids = "\t".join([str(uid)] * 4)
        text = f"Name:\tredis-server\nUid:\t{ids}\nGid:\t{ids}\nGroups:\t{groups}\nCapEff:\t{capabilities}\n"
        self.put("proc/7/status", f"{text}THP_enabled:\t0\n")

    def instance(self, *, running: bool = True, pid: int = 7) -> Instance:
        facts = Facts({"process_id": str(pid), "used_memory": "1000", "aof_enabled": "0"}) if running else None
        paths = Paths(dir=DATA, config_file="/etc/redis/redis.conf")
        return Instance(Place("db"), Server(Login()), "running" if running else "down", facts, paths)

    def look(self, *, running: bool = True, pid: int = 7) -> HostFacts | None:
        return look(self.instance(running=running, pid=pid), str(self.root))

    def closed(self) -> str | None:
        host = self.look()
        return host.dir.closed if host and host.dir else "not seen"


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


def test_a_look_at_a_host(host: FakeHost) -> None:
    host.put("var/lib/redis/dump.rdb", "12345")
    host.put("var/lib/redis/appendonlydir/a.1.base.rdb", "123")
    host.put("var/lib/redis/appendonlydir/a.1.incr.aof", "1234")
    seen = host.look()
    assert seen is not None and seen.free
    assert (seen.overcommit, seen.hugepages, seen.server_hugepages, seen.memory) == ("0", "always", False, 8 * GIB)
    assert (seen.dump_bytes, seen.aof_bytes, seen.memory_limit, seen.unit) == (5, 7, None, ())
    assert seen.user == "user 4000001"


def test_the_tightest_control_group_counts(host: FakeHost) -> None:
    host.put("sys/fs/cgroup/system.slice/memory.max", str(2 * GIB))
    host.put("sys/fs/cgroup/system.slice/redis.service/memory.max", "max\n")
    seen = host.look()
    assert seen is not None and seen.memory_limit == 2 * GIB
    host.put("proc/7/cgroup", "5:cpu,memory:/redis\n1:name=systemd:/redis\n")
    host.put("sys/fs/cgroup/memory/redis/memory.limit_in_bytes", str(GIB))
    host.put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712")
    seen = host.look()
    assert seen is not None and seen.memory_limit == GIB


@pytest.mark.parametrize(
    ("mode", "uid", "groups", "capabilities", "words"),
    [
        (0o755, 4_000_001, "", "0", "is not writable by user 4000001"),
        (0o757, 4_000_001, "", "0", ""),
        (0o752, 4_000_001, "", "0", "is not writable by"),
        (0o770, 4_000_001, "own", "0", ""),
        (0o707, 4_000_001, "own", "0", "is not writable by"),
        (0o700, -1, "", "0", ""),
        (0o500, -1, "", "0", "is not writable by"),
        (0o500, -1, "", "1ffffffffff", ""),
    ],
)
def test_who_may_write_the_data_directory(
    host: FakeHost, mode: int, uid: int, groups: str, capabilities: str, words: str
) -> None:
    for folder in (host.root, host.root / "var", host.root / "var/lib"):
        folder.chmod(0o755)
    own = host.data.stat()
    host.status(own.st_uid if uid < 0 else uid, str(own.st_gid) if groups else "", capabilities)
    host.data.chmod(mode)
    closed = host.closed()
    host.data.chmod(0o700)
    assert closed is not None and closed.startswith(words) and bool(closed) == bool(words)


def test_directories_above_and_below(host: FakeHost) -> None:
    host.root.chmod(0o755)
    (host.root / "var").chmod(0o700)
    host.data.chmod(0o777)
    assert host.closed() == "lies below /var, which user 4000001 may not enter"
    (host.root / "var").chmod(0o755)
    (host.data / "appendonlydir").mkdir(mode=0o755)
    assert host.closed() == "holds appendonlydir, which is not writable by user 4000001"
    (host.data / "appendonlydir").chmod(0o777)
    assert host.closed() == ""


def test_a_data_directory_that_is_none(host: FakeHost) -> None:
    host.data.rmdir()
    seen = host.look(running=False)
    assert seen is not None and seen.dir == Folder(DATA, "does not exist") and seen.free is None
    host.data.write_text("")
    seen = host.look(running=False)
    assert seen is not None and seen.dir == Folder(DATA, "is no directory")


def test_a_server_elsewhere_is_not_judged_by_this_host(host: FakeHost) -> None:
    assert host.look(pid=8) is None  # no such process
    assert host.look(pid=0) is None  # a service that does not tell
    (host.root / "proc/7/cwd").unlink()
    (host.root / "proc/7/cwd").symlink_to(host.root)
    assert host.look() is None  # a server, with another data directory
    host.put("proc/7/comm", "systemd\n")
    host.put("proc/7/cmdline", "/sbin/init\0")
    (host.root / "proc/7/cwd").unlink()
    assert host.look() is None


def test_a_server_that_is_down(host: FakeHost, tmp_path: Path) -> None:
    seen = host.look(running=False)
    assert seen is not None and seen.overcommit == "0" and seen.dir == Folder(DATA, None)
    assert look(host.instance(running=False), str(tmp_path / "elsewhere")) is None


def test_a_host_that_hides_everything(host: FakeHost) -> None:
    for name in ("proc/sys/vm/overcommit_memory", "proc/meminfo", "proc/7/status", "proc/7/cgroup", "proc/7/root"):
        (host.root / name).unlink()
    (host.root / "sys/kernel/mm/transparent_hugepage/enabled").write_bytes(b"\xff\xfe")
    names = [
        finding["name"] for finding in preflight(host.instance(), {"save": "", "maxmemory": "0"}, root=str(host.root))
    ]
    assert names == ["disk_space", "persistence"]


def test_the_result_is_plain(host: FakeHost) -> None:
    results = preflight(host.instance(), {"maxmemory": "6gb", "save": "900 1"}, root=str(host.root))
    assert {r["name"]: r["ok"] for r in results} == {
        "overcommit_memory": False,
        "transparent_hugepages": True,
        "disk_space": True,
        "maxmemory": True,
        "fork_memory": False,
        "dir_writable": False,
        "persistence": True,
    }
    assert set(results[0]) == {"name", "ok", "found", "wanted", "hint"}


def test_this_host() -> None:
    """The real /proc and /sys: nothing fails, whatever this machine hides; this process is no server."""
    facts = Facts({"process_id": str(os.getpid()), "used_memory": "1", "aof_enabled": "1"})
    instance = Instance(Place("db"), Server(Login()), "running", facts, Paths(dir=os.getcwd()))
    assert [f["name"] for f in preflight(instance)] == ["persistence"]
    down = Instance(Place("db"), Server(Login()), "down", None, Paths(dir=os.getcwd()))
    assert "disk_space" in [f["name"] for f in preflight(down)]
