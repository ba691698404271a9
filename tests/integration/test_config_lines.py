# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which lines redis_config writes, and where: single cases that test_config_property.py leaves open.

Each is shown on real servers: what a fresh server makes of the file counts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from support.confs import DEBIAN, Conf, ConfServer, config_of, once
from support.dataset import raw
from support.modules import run_module
from support.servers import Build

NOBODY = 65534

Enforce = Callable[..., tuple[dict[str, Any], ConfServer]]


@pytest.fixture
def enforce(server_root: Path) -> Iterator[Enforce]:
    """Call it with a build, a file and settings: the result on a server that runs from the file, and that server.

    A second run, if it follows, must find nothing to do (`twice=False`: it is left out).
    """
    servers: list[ConfServer] = []

    def run(
        build: Build, conf: Conf | bytes, settings: dict[str, Any], *, twice: bool = True, **more: Any
    ) -> tuple[dict[str, Any], ConfServer]:
        server = ConfServer(build, server_root / f"server{len(servers) + 1}", conf)
        servers.append(server)
        server.start()
        params = {**server.connection, "state_dir": str(server_root / "state"), "settings": settings, **more}
        done = run_module("redis_config", params)
        assert not twice or not run_module("redis_config", params)["changed"]
        return done, server

    yield run
    for server in servers:
        server.destroy()
        print(server.tail())


def lines_of(server: ConfServer) -> list[str]:
    return server.conf_path.read_text().split("\n")


def test_new_line_stands_behind_its_documentation(build: Build, enforce: Enforce) -> None:
    conf = b"# First.\n#\n# maxmemory <bytes>\n\n# Then.\n#\n# maxmemory-policy noeviction\n\nhz 20\n# the end\n"
    _done, server = enforce(build, conf, {"maxmemory-policy": "allkeys-lfu", "maxmemory": "300mb", "timeout": 700})
    assert server.conf_path.read_bytes() == (
        b"# First.\n#\n# maxmemory <bytes>\nmaxmemory 300mb\n\n# Then.\n#\n# maxmemory-policy noeviction\n"
        b"maxmemory-policy allkeys-lfu\n\nhz 20\n# the end\ntimeout 700\n"
    )


@pytest.mark.skipif(not DEBIAN.exists(), reason="the package redis-server is not installed")
def test_new_line_stands_where_the_package_documents_it(any_build: Build, enforce: Enforce) -> None:
    _done, server = enforce(any_build, Conf("debian", DEBIAN.read_bytes()), {"maxmemory": "300mb", "save": ["900 1"]})
    lines = lines_of(server)
    assert lines[lines.index("maxmemory 300mb") - 1] == "# maxmemory <bytes>"
    assert lines[lines.index("save 900 1") - 1].startswith("# save ")


def test_lines_end_as_the_others_do(build: Build, enforce: Enforce) -> None:
    conf = b"hz 20\r\n# save 3600 1\r\n\r\ntimeout 600\r\n"
    settings = {"hz": 30, "save": ["900 1", "300 10"], "tcp-keepalive": 60}
    _done, server = enforce(build, conf, settings)
    text = server.conf_path.read_bytes()
    assert text.count(b"\n") == text.count(b"\r\n") == 7
    assert once(build, server.conf_path)["save"] == "900 1 300 10"


def test_former_name_keeps_its_line(build: Build, enforce: Enforce) -> None:
    conf = b"# replicas\nslave-read-only yes\nmin-slaves-max-lag 5\n# the end\n"
    _done, server = enforce(build, conf, {"replica-read-only": False, "min-replicas-max-lag": 7})
    assert server.conf_path.read_bytes() == b"# replicas\nslave-read-only no\nmin-slaves-max-lag 7\n# the end\n"


def test_name_in_another_spelling_keeps_its_line(any_build: Build, enforce: Enforce) -> None:
    _done, server = enforce(any_build, b"HZ 20\nrepl-ping-slave-period 9\n", {"hz": 30, "repl-ping-replica-period": 8})
    assert server.conf_path.read_bytes() == b"HZ 30\nrepl-ping-slave-period 8\n"


def test_one_class_of_clients(build: Build, enforce: Enforce) -> None:
    """The list is the whole of them: for the other classes the default counts, now and after a restart."""
    conf = b"client-output-buffer-limit normal 1gb 0 0\nclient-output-buffer-limit pubsub 64mb 16mb 90\n"
    default = once(build, Conf("", b""))["client-output-buffer-limit"]
    wanted = default.replace("pubsub 33554432 8388608 60", "pubsub 134217728 16777216 30")
    _done, server = enforce(build, conf, {"client-output-buffer-limit": ["pubsub 128mb 16mb 30"]})
    with server.client() as client:
        live = config_of(client)["client-output-buffer-limit"]
    assert live == once(build, server.conf_path)["client-output-buffer-limit"] == wanted


def test_default_behind_an_include(build: Build, enforce: Enforce) -> None:
    conf = Conf("", b"include @HERE@/a.conf\ntimeout 700\n", {"a.conf": b"timeout 600\nsave 60 1\nmaxmemory 300mb\n"})
    _done, server = enforce(build, conf, {"timeout": None, "save": None, "maxmemory": None})
    default = once(build, Conf("", b""))
    fresh = once(build, server.conf_path)
    with server.client() as client:
        live = config_of(client)
    for name in ("timeout", "save", "maxmemory"):
        assert live[name] == fresh[name] == default[name], name


def test_commands_renamed(build: Build, enforce: Enforce) -> None:
    """Only a start reads them, and CONFIG GET does not tell them."""
    conf = b'rename-command KEYS ""\nhz 20\n'
    settings = {"rename-command": [["FLUSHALL", ""], "DEBUG really-debug"]}
    done, server = enforce(build, conf, settings)
    assert done["restart_required"]
    assert "rename-command" in done["restart_reasons"][0]
    assert b"really-debug" in server.conf_path.read_bytes()
    assert "really-debug" not in str(done)

    def known(client: redis.Redis) -> dict[str, str]:
        names = ("flushall", "debug", "really-debug", "keys")
        return {name: str(raw(client).execute_command("COMMAND", "INFO", name) != [None]) for name in names}

    fresh = once(build, server.conf_path, known)
    assert fresh == {"flushall": "False", "debug": "False", "really-debug": "True", "keys": "True"}


def test_start_only_values_in_another_notation_need_no_restart(build: Build, enforce: Enforce) -> None:
    settings = {"syslog-facility": "LOCAL3", "unixsocketperm": "0770", "rdbchecksum": "NO", "databases": 20.0}
    done, server = enforce(build, b"", settings)
    assert sorted(reason.partition(":")[0] for reason in done["restart_reasons"]) == sorted(settings)
    server.stop()
    server.start()
    params = {**server.connection, "state_dir": str(server.directory / "state"), "settings": settings}
    again = run_module("redis_config", params)
    assert not again["changed"]
    assert not again["drift"]
    assert not again["restart_required"], again["restart_reasons"]


def test_only_the_file_or_only_the_server(build: Build, enforce: Enforce) -> None:
    done, server = enforce(build, b"hz 20\n", {"hz": 30}, apply="file")
    assert done["restart_required"]
    with server.client() as client:
        assert config_of(client, "hz") == {"hz": "20"}
    assert server.conf_path.read_bytes() == b"hz 30\n"
    done, server = enforce(build, b"hz 20\n", {"hz": 30}, apply="live")
    assert not done["restart_required"]
    with server.client() as client:
        assert config_of(client, "hz") == {"hz": "30"}
    assert server.conf_path.read_bytes() == b"hz 20\n"


def test_copies_are_few(any_build: Build, server_root: Path, enforce: Enforce) -> None:
    _done, server = enforce(any_build, b"hz 20\n", {"hz": 21}, backup_count=3)
    params = {**server.connection, "state_dir": str(server_root / "state"), "backup_count": 3}
    for hz in range(22, 30):
        before = server.conf_path.read_bytes()
        done = run_module("redis_config", {**params, "settings": {"hz": hz}})
        assert Path(done["backup_file"]).read_bytes() == before
    assert len(list(Path(done["backup_file"]).parent.glob("redis.conf.*"))) == 3
    done = run_module("redis_config", {**params, "settings": {"hz": 40}, "backup": False})
    assert done["backup_file"] is None


def test_server_of_another_user_keeps_its_file(build: Build, server_root: Path) -> None:
    """Its own CONFIG REWRITE works as before, and what a throw-away server reads is nobody else's to read."""
    if os.geteuid():
        pytest.skip("another user needs root")
    conf = Conf("", b"masterauth secret-of-old\nhz 20\nsave 900 1\n", mode=0o640)
    server = ConfServer(build, server_root / "server", conf, user=NOBODY)
    try:
        server.start()
        before = server.conf_path.stat()
        settings = {"hz": 30, "masterauth": "secret-of-new", "save": ["60 1"], "rdbcompression": False}
        params = {**server.connection, "state_dir": str(server_root / "state"), "settings": settings}
        done = run_module("redis_config", params)
        after = server.conf_path.stat()
        assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
        assert Path(done["backup_file"]).stat().st_mode & 0o077 == 0
        with server.client() as client:
            client.config_rewrite()
        assert not run_module("redis_config", params)["changed"]
    finally:
        server.destroy()


def test_config_renamed(build: Build, enforce: Enforce) -> None:
    """With command_map everything works; without it the file alone is changed, and it is said."""
    conf = b"rename-command CONFIG secret-config\nhz 20\n"
    _done, server = enforce(build, conf, {"hz": 30}, command_map={"CONFIG": "secret-config"})
    assert server.conf_path.read_bytes() == conf.replace(b"20", b"30")
    with server.client() as client:
        assert client.execute_command("secret-config", "GET", "hz")[1] == b"30"
    done, server = enforce(build, conf, {"hz": 30})
    assert done["restart_required"]
    assert server.conf_path.read_bytes() == conf.replace(b"20", b"30")
    with server.client() as client:
        assert client.execute_command("secret-config", "GET", "hz")[1] == b"20"
