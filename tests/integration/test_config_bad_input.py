# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis_config asked for what cannot be: told in one paragraph, and neither file nor server is touched."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.confs import ConfServer, config_of, once
from support.machine import tmpfs
from support.modules import ModuleFailed, run_module
from support.servers import Build, RedisProcess
from support.untouched import assert_told, refused, untouched

MakeServer = Callable[..., RedisProcess]

CONF = b"port 29999\ntimeout 600\nhz 20\n\nsave 900 1\nmaxmemory 500mb\nmaxmemory-policy allkeys-lru\n"
NOBODY = 65534
NO_OVERRIDE = ["--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]


@pytest.fixture
def of_build(server_root: Path) -> Iterator[Callable[[Build], ConfServer]]:
    """Call it with a build: a server that runs from CONF."""
    servers: list[ConfServer] = []

    def make(build: Build) -> ConfServer:
        server = ConfServer(build, server_root / f"server{len(servers) + 1}", CONF)
        servers.append(server)
        server.start()
        return server

    yield make
    for server in servers:
        server.destroy()
        print(server.tail())


@pytest.fixture
def each(build: Build, of_build: Callable[[Build], ConfServer]) -> ConfServer:
    """A server of each version."""
    return of_build(build)


@pytest.fixture
def one(any_build: Build, of_build: Callable[[Build], ConfServer]) -> ConfServer:
    """A server of one version, where it is no matter which."""
    return of_build(any_build)


def params(server: ConfServer, settings: Any, **more: Any) -> dict[str, Any]:
    place = {"executable": str(server.build.executable), "state_dir": str(server.directory / "state")}
    return {**server.connection, **place, "instance": "shop", "settings": settings, **more}


@contextlib.contextmanager
def nothing_changes(server: ConfServer) -> Iterator[None]:
    """The files and every value of the server are the same behind the block."""
    with server.client() as client, untouched(server.conf_path.parent, server.data_dir):
        before = config_of(client)
        yield
        assert config_of(client) == before


def declined(server: ConfServer, settings: Any, *needles: str, **options: Any) -> ModuleFailed:
    """The module must fail, in check mode too, tell it with `needles` and change nothing."""
    more = {name: options.pop(name) for name in list(options) if name not in ("privileges", "env")}
    with nothing_changes(server):
        foreseen = refused("redis_config", params(server, settings, **more), "shop", *needles, check=True, **options)
        failure = refused("redis_config", params(server, settings, **more), "shop", *needles, **options)
    assert len(failure.msg) < 2000, "a whole value is in the message"
    assert failure.msg == foreseen.msg
    return failure


# --- values and names ---


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("maxmemory-policy", "allkeys-lruu"),
        ("maxmemory", "lots"),
        ("hz", "fast"),
        ("timeout", -1),
        ("appendfsync", True),
        ("activerehashing", "maybe"),
        ("save", "900"),
        ("save", ["900 1", "300 ten"]),
        ("client-output-buffer-limit", ["nobody 0 0 0"]),
        ("databases", 0),
        ("notify-keyspace-events", "?"),
    ],
)
def test_value_the_server_refuses(one: ConfServer, name: str, value: Any) -> None:
    """A good setting beside it is not made either."""
    declined(one, {"timeout": 700, "hz": 30, name: value} if name not in ("timeout", "hz") else {name: value}, name)


def test_value_the_server_refuses_among_good_ones(each: ConfServer) -> None:
    good = {"timeout": 700, "maxmemory": "600mb", "save": ["60 1"], "databases": 20}
    declined(each, {**good, "maxmemory-policy": "everything"}, "maxmemory-policy")
    declined(each, {"maxmemory-policy": "everything", **good}, "maxmemory-policy")


def test_value_only_the_running_server_refuses(each: ConfServer) -> None:
    """What was set before is undone: the port is another's."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with nothing_changes(each):
            settings = {"timeout": 700, "port": port, "hz": 30, "maxmemory": "600mb"}
            refused("redis_config", params(each, settings), "shop", "port")


def test_unknown_directive(each: ConfServer) -> None:
    declined(each, {"timeout": 700, "maxmemory-polcy": "noeviction"}, "maxmemory-polcy", "maxmemory-policy")
    declined(each, {"no such directive": 1}, "no such directive")
    declined(each, {"xyzzy-plugh": 1}, "xyzzy-plugh")
    declined(each, {"xyzzy-plugh": None}, "xyzzy-plugh")


def test_unknown_directive_may_be_left_out(each: ConfServer) -> None:
    settings = {"xyzzy-plugh": 1, "timeout": 700}
    done = run_module("redis_config", params(each, settings, skip_unknown=["xyzzy-plugh", "never-asked"]))
    assert done["changed"]
    assert [found["directive"] for found in done["drift"]] == ["timeout"]
    assert each.conf_path.read_bytes() == CONF.replace(b"600", b"700")


@pytest.mark.parametrize(
    "settings",
    [
        {"slave-read-only": "no", "replica-read-only": "yes"},
        {"timeout": 1000, "TIMEOUT": 2000},
        {"replica-priority": 1, "slave-priority": 1},
    ],
)
def test_one_directive_by_two_names(one: ConfServer, settings: dict[str, Any]) -> None:
    declined(one, settings, *settings)


@pytest.mark.parametrize("name", ["include", "sentinel", "", " ", "#timeout", "timeout 60", '"timeout"', "a\nb", "\0"])
def test_names_that_are_none(one: ConfServer, name: str) -> None:
    declined(one, {name: "60"}, "settings")


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1},
        [{"a": 1}],
        [[["900", "1"]]],
        ["1", "2"],
        [],
        [None],
    ],
)
def test_values_of_the_wrong_shape(one: ConfServer, value: Any) -> None:
    declined(one, {"maxmemory": value}, "maxmemory")


@pytest.mark.parametrize("settings", [None, "timeout", ["timeout"], 5])
def test_settings_of_the_wrong_type(one: ConfServer, settings: Any) -> None:
    """Refused by Ansible's own check of arguments."""
    with nothing_changes(one), pytest.raises(ModuleFailed, match="settings"):
        run_module("redis_config", params(one, settings))


def test_no_settings(one: ConfServer) -> None:
    declined(one, {}, "settings")


HOSTILE = [
    "x\nrequirepass y",
    "a\0b\nhz 50",
    "x\r\nhz 50",
    'x"\nhz 50\n"',
    "x' hz 50 '",
    "x\\",
    "\\\nhz 50",
    '"',
    "'",
    "\t\x0b\x0c",
    " # hz 50",
    "\x01\x7f\x1b[31m",
    "\u2028hz 50\u2029\u0085hz 50",
    "\ufeff",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_no_value_becomes_another_directive(one: ConfServer, value: str) -> None:
    stays_one_value(one, value)


@pytest.mark.long
@pytest.mark.parametrize("value", HOSTILE)
def test_no_value_becomes_another_directive_on_any_version(each: ConfServer, value: str) -> None:
    stays_one_value(each, value)


def stays_one_value(server: ConfServer, value: str) -> None:
    """It is refused, or it is the value to the last byte, now and after a restart; nothing else moves."""
    with server.client() as client:
        before = config_of(client)
        try:
            done = run_module("redis_config", params(server, {"masterauth": value}), diff=True)
        except ModuleFailed as failure:
            assert_told(failure.msg, "masterauth")
            assert server.conf_path.read_bytes() == CONF
            assert config_of(client) == before
            return
        assert len(value) < 3 or value not in str(done)
        live = config_of(client)
        assert live == {**before, **{name: value for name in ("masterauth", "primaryauth") if name in before}}
        assert server.conf_path.read_bytes().startswith(CONF)
        assert server.conf_path.read_bytes().count(b"\n") == CONF.count(b"\n") + 1
        fresh = once(server.build, server.conf_path)
        assert {name: fresh[name] for name in ("masterauth", "hz", "requirepass")} == {
            name: live[name] for name in ("masterauth", "hz", "requirepass")
        }
        assert not run_module("redis_config", params(server, {"masterauth": value}))["changed"]


@pytest.mark.parametrize("value", ["60\nhz 50", "60 \\x0ahz 50", "60\0", "60 # a minute", "60; hz 50", "\uff16\uff10"])
def test_no_number_becomes_another_directive(one: ConfServer, value: str) -> None:
    declined(one, {"timeout": value}, "timeout")


def test_value_of_a_megabyte(one: ConfServer) -> None:
    declined(one, {"timeout": "9" * 1_000_000}, "timeout")
    declined(one, {"x" * 1_000_000: 1})
    declined(one, {"maxmemory-policy": "é" * 500_000}, "maxmemory-policy")
    value = "secret" * 170_000
    done = run_module("redis_config", params(one, {"masterauth": value}))
    assert len(str(done)) < 20_000
    assert once(one.build, one.conf_path)["masterauth"] == value
    assert not run_module("redis_config", params(one, {"masterauth": value}))["changed"]


# --- the file ---


@pytest.mark.parametrize(
    ("line", "number"),
    [
        (b'timeout "60', 3),
        (b"timeout sixty", 3),
        (b"timeout", 3),
        (b"timeout 60 # a minute", 3),
        (b"xyzzy-plugh 1", 3),
        (b"\xef\xbb\xbftimeout 60", 3),
        (b'rename-command CONFIG "', 3),
    ],
)
@pytest.mark.parametrize("running", [True, False], ids=["running", "down"])
def test_syntax_error_in_the_file(one: ConfServer, line: bytes, number: int, running: bool) -> None:
    one.conf_path.write_bytes(CONF.replace(b"hz 20", line))
    settings = {"maxmemory": "600mb"}
    where = [str(one.conf_path), f"line {number}"]
    if running:
        declined(one, settings, *where)
        return
    one.stop()
    more = {"config_file": str(one.conf_path), "data_dir": str(one.data_dir)}
    with untouched(one.conf_path.parent, one.data_dir):
        refused("redis_config", params(one, settings, **more), "shop", *where)


def test_syntax_error_on_any_version(each: ConfServer) -> None:
    each.conf_path.write_bytes(CONF.replace(b"hz 20", b"hz twenty"))
    declined(each, {"maxmemory": "600mb"}, str(each.conf_path), "line 3", "hz")
    each.conf_path.write_bytes(CONF.replace(b"hz 20", b"xyzzy-plugh 20"))
    declined(each, {"maxmemory": "600mb"}, str(each.conf_path), "xyzzy-plugh")


def test_syntax_error_in_an_include(one: ConfServer) -> None:
    include = one.conf_path.parent / "more.conf"
    include.write_bytes(b"# more\n\ntcp-keepalive 'x\n")
    one.conf_path.write_bytes(CONF + b"include %s\n" % bytes(include))
    declined(one, {"maxmemory": "600mb"}, str(include), "line 3")


def test_syntax_error_in_the_line_that_is_wanted_is_mended(one: ConfServer) -> None:
    one.conf_path.write_bytes(CONF.replace(b"hz 20", b'hz "20'))
    try:
        run_module("redis_config", params(one, {"hz": 30}))
    except ModuleFailed as failure:
        assert_told(failure.msg, str(one.conf_path), "line 3")
        assert one.conf_path.read_bytes() == CONF.replace(b"hz 20", b'hz "20')
    else:
        assert one.conf_path.read_bytes() == CONF.replace(b"hz 20", b"hz 30")


def test_include_that_is_missing(each: ConfServer) -> None:
    each.conf_path.write_bytes(CONF + b"include /nowhere/at/all.conf\n")
    declined(each, {"maxmemory": "600mb"}, "/nowhere/at/all.conf", str(each.conf_path), "line 8")


def test_includes_in_a_circle(one: ConfServer) -> None:
    one.conf_path.write_bytes(CONF + b"include %s\n" % bytes(one.conf_path))
    declined(one, {"maxmemory": "600mb"}, str(one.conf_path), "circle")


def test_file_that_is_gone(one: ConfServer) -> None:
    one.conf_path.unlink()
    declined(one, {"maxmemory": "600mb"}, str(one.conf_path))


def test_file_that_is_a_directory_or_no_text(one: ConfServer) -> None:
    declined(one, {"maxmemory": "600mb"}, str(one.data_dir), config_file=str(one.data_dir))
    declined(one, {"maxmemory": "600mb"}, str(one.build.executable), config_file=str(one.build.executable))


def test_file_of_another_user(one: ConfServer) -> None:
    """For root without the right to override modes: it can be read, then not even that."""
    if os.geteuid():
        pytest.skip("another owner needs root")
    for path in (one.conf_path, one.conf_path.parent):
        os.chown(path, NOBODY, NOBODY)
    for mode in (0o644, 0o600):
        one.conf_path.chmod(mode)
        declined(one, {"maxmemory": "600mb"}, str(one.conf_path), privileges=NO_OVERRIDE)


def test_file_on_a_read_only_mount(any_build: Build, server_root: Path) -> None:
    with tmpfs("2M") as disk:
        conf = disk / "redis.conf"
        conf.write_bytes(CONF)
        server = ConfServer(any_build, server_root / "server", conf)
        try:
            server.start()
            subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
            declined(server, {"maxmemory": "600mb"}, str(conf), "read-only")
        finally:
            server.destroy()


def test_file_on_a_full_disk(any_build: Build, server_root: Path) -> None:
    """The old file stays whole."""
    with tmpfs("1M") as disk:
        conf = disk / "redis.conf"
        conf.write_bytes(b"# x\n" * 1000 + CONF)
        server = ConfServer(any_build, server_root / "server", conf)
        try:
            server.start()
            with contextlib.suppress(OSError), (disk / "filler").open("wb") as filler:
                while True:
                    filler.write(b"x" * 4096)
                    filler.flush()
            with nothing_changes(server):
                refused("redis_config", params(server, {"maxmemory": "600mb"}), "shop", str(conf), "No space left")
        finally:
            server.destroy()


def test_directory_that_does_not_exist(each: ConfServer) -> None:
    declined(each, {"dir": "/nowhere/at/all"}, "dir", "/nowhere/at/all")
    declined(each, {"dir": str(each.conf_path)}, "dir")


# --- the server ---


def test_server_down_and_no_file_known(one: ConfServer) -> None:
    one.stop()
    with untouched(one.conf_path.parent, one.data_dir):
        refused("redis_config", params(one, {"maxmemory": "600mb"}), "shop", f"127.0.0.1:{one.port}", "config_file")


def test_file_the_down_server_would_not_start_with(each: ConfServer) -> None:
    each.stop()
    more = {"config_file": str(each.conf_path), "data_dir": str(each.data_dir)}
    with untouched(each.conf_path.parent, each.data_dir):
        for settings, name in (({"maxmemory": "lots"}, "maxmemory"), ({"databases": 0}, "databases")):
            refused("redis_config", params(each, settings, **more), "shop", name)
        refused("redis_config", params(each, {"xyzzy-plugh": 1}, **more), "shop", "xyzzy-plugh")


def test_server_without_a_file(any_build: Build, server_root: Path) -> None:
    server = ConfServer(any_build, server_root / "server", b"")
    server.conf_path.unlink()
    server._command = lambda *privileges: [str(any_build.executable), *server.args]  # type: ignore[method-assign]
    try:
        server.start()
        with server.client() as client:
            before = config_of(client)
            refused("redis_config", params(server, {"maxmemory": "600mb"}), "shop", "config_file")
            assert config_of(client) == before
            done = run_module("redis_config", params(server, {"maxmemory": "600mb"}, apply="live"))
            assert done["changed"]
            assert config_of(client, "maxmemory") == {"maxmemory": str(600 << 20)}
    finally:
        server.destroy()


def test_wrong_password(one: ConfServer) -> None:
    with one.client() as client:
        client.config_set("requirepass", "correct-horse")
    one.password = "correct-horse"
    with nothing_changes(one):
        wrong = params(one, {"maxmemory": "600mb"}, login_password="wrong-horse")
        failure = refused("redis_config", wrong, "shop", f"127.0.0.1:{one.port}", "login_password")
        assert "wrong-horse" not in str(failure.result)
