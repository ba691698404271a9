# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real Redis and Valkey servers of several versions, each a process below one directory on a free port."""

from __future__ import annotations

import contextlib
import functools
import os
import pwd
import random
import re
import shlex
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from support.checkout import CACHE
from support.waiting import wait_for

BUILD_NAMES = ("redis-6.2", "redis-7.0", "redis-8.2", "valkey-9.1")


class BuildMissing(Exception):
    """The server build is not on this machine."""


class ServerFailed(AssertionError):
    """A server ended, or did not answer, when it should serve."""


@dataclass(frozen=True)
class Build:
    """One server program; `executable` acts as the check tools too when it is run under their names."""

    name: str
    executable: Path
    flavour: str
    version: tuple[int, ...]

    def __str__(self) -> str:
        return self.name


@functools.cache
def build_named(name: str) -> Build:
    """The build of that name, from the cache or the system. Raises BuildMissing."""
    program = "valkey-server" if name.startswith("valkey") else "redis-server"
    for executable in (CACHE / "servers" / name / "bin" / program, Path("/usr/bin") / program):
        if not os.access(executable, os.X_OK):
            continue
        words = subprocess.run([executable, "--version"], check=True, capture_output=True, text=True).stdout
        found = re.match(r"(Redis|Valkey) server v=(\d+)\.(\d+)\.(\d+)", words)
        if found and name == f"{found[1].lower()}-{found[2]}.{found[3]}":
            return Build(name, executable, found[1].lower(), tuple(int(part) for part in found.groups()[1:]))
    raise BuildMissing(f"no server {name} here: ./dev test brings it (redis-7.0: Debian 12's redis-server)")


def builds() -> list[Build]:
    """All builds of this machine."""
    found = []
    for name in BUILD_NAMES:
        try:
            found.append(build_named(name))
        except BuildMissing:
            continue
    return found


def free_ports(count: int) -> list[int]:
    """So many free TCP ports of 127.0.0.1, no two the same, outside the range that outgoing connections take.

    A cluster node's bus has its port + 10000, which lies outside it (from 32768 on) as well, and is nobody's port.
    Processes that share the work of a test run look for them in ranges of their own.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 4
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(12700 + 2500 * worker, 15200 + 2500 * worker)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


def free_port() -> int:
    """One free port."""
    return free_ports(1)[0]


def connect(host: str, port: int, password: str | None = None, **options: Any) -> redis.Redis:
    """A plain client: bytes in and out, RESP2, no command ever sent twice."""
    options.setdefault("socket_timeout", 30)
    retry = Retry(NoBackoff(), 0)
    return redis.Redis(host=host, port=port, password=password, protocol=2, retry=retry, **options)


class RedisProcess:
    """A server with `directory`/redis.conf, its data in `directory`/data, its log in `directory`/redis.log.

    Values of `conf` are written as they stand (`{"save": "900 1"}`; a list gives one line for each element; an
    empty string is written `""`). `user` is the uid the server runs as; it then owns what it has to write, and
    `directory` must be reachable for it. redis.conf is written once: what a test or the server changes in it stays.

    The server has a process group of its own and dies with the test run. A process that something else started
    for the same data directory (a playbook, by `start_command`) is found and ended as well: see `processes`.
    """

    def __init__(
        self,
        build: Build,
        directory: Path,
        *,
        conf: Mapping[str, str | Sequence[str]] | None = None,
        args: Sequence[str] = (),
        user: int | None = None,
    ) -> None:
        self.build = build
        self.directory = directory
        self.args = list(args)
        self.user = user
        self.data_dir = directory / "data"
        self.conf_path = directory / "redis.conf"
        self.log_path = directory / "redis.log"
        self.pid_path = directory / "redis.pid"
        self._process: subprocess.Popen[bytes] | None = None
        wanted: dict[str, str | Sequence[str]] = {
            "bind": "127.0.0.1",
            "port": str(free_port()),
            "dir": str(self.data_dir),
            "logfile": str(self.log_path),
            "pidfile": str(self.pid_path),
            "save": "",
            "appendonly": "no",
            "repl-diskless-sync-delay": "0",
        }
        wanted.update(conf or {})
        self.port = int(str(wanted["port"]))
        password = wanted.get("requirepass")
        self.password = password if isinstance(password, str) and password else None
        self.data_dir.mkdir(parents=True)
        lines = []
        for name, value in wanted.items():
            lines += [f"{name} {word or chr(34) * 2}" for word in ([value] if isinstance(value, str) else value)]
        self.conf_path.write_text("\n".join(lines) + "\n")
        if user is not None:
            for path in (directory, self.data_dir, self.conf_path):
                os.chown(path, user, self._group())

    def __repr__(self) -> str:
        return f"<{self.build.name} on port {self.port} in {self.directory}>"

    def _group(self) -> int:
        assert self.user is not None
        return pwd.getpwuid(self.user).pw_gid

    # --- starting and ending ---

    def _command(self, *privileges: str) -> list[str]:
        words = list(privileges)
        if self.user is not None:
            words += [f"--reuid={self.user}", f"--regid={self._group()}", "--clear-groups"]
        return [*(["setpriv", *words] if words else []), str(self.build.executable), str(self.conf_path), *self.args]

    @property
    def start_command(self) -> str:
        """A shell command that starts the server in the background, for playbooks that are given one."""
        return shlex.join([*self._command(), "--daemonize", "yes"])

    @property
    def stop_command(self) -> str:
        """A shell command that tells the server to end, and does not wait for it; fine when there is none."""
        return f"! [ -s {shlex.quote(str(self.pid_path))} ] || kill -TERM $(cat {shlex.quote(str(self.pid_path))})"

    def start(self, wait: bool = True, timeout: float = 30.0) -> RedisProcess:
        """Start the server and, with `wait`, return when it has loaded its data. Raises ServerFailed."""
        assert self.pid is None, f"{self!r} is running"
        # Linux ends the server when this thread does, however the run is aborted.
        with (self.directory / "output").open("wb") as output:
            self._process = subprocess.Popen(
                self._command("--pdeathsig=KILL"),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        # Reaped as soon as it ends: a zombie would look like a living server to whoever stopped it.
        threading.Thread(target=self._process.wait, daemon=True).start()
        if wait:
            self.wait_up(timeout)
        return self

    def wait_up(self, timeout: float = 30.0) -> None:
        """Return when the server answers and has loaded its data. Raises ServerFailed when it ends instead."""
        with self.client(socket_timeout=5) as client:

            def serving() -> bool:
                try:
                    return not client.info("persistence").get("loading")  # a Sentinel does not say
                except (redis.ConnectionError, redis.BusyLoadingError) as error:
                    if self._process is not None and self._process.poll() is not None and not self.processes():
                        raise ServerFailed(f"{self!r} ended {self._process.returncode}:\n{self.tail()}") from error
                    return False

            wait_for(serving, f"{self!r} to serve", timeout)

    def _signal(self, number: int) -> None:
        pid = self.pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """SIGKILL to the server alone: a child that is saving lives on, as it does after a real crash."""
        self._signal(signal.SIGKILL)
        self.wait_down()

    def stop(self, timeout: float = 30.0) -> None:
        """SIGTERM, and wait for the end: the server saves when it has save points."""
        self._signal(signal.SIGTERM)
        self.wait_down(timeout)

    def wait_down(self, timeout: float = 30.0) -> None:
        """Return when the server (not yet its children) has ended."""
        wait_for(lambda: self.pid is None, f"{self!r} to end", timeout)

    def destroy(self) -> None:
        """End the server and every process that works in its data directory, at once."""

        def none_left() -> bool:
            left = self.processes()
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not left and (self._process is None or self._process.poll() is not None)

        if self._process is not None and self._process.poll() is None:
            self._process.kill()
        wait_for(none_left, f"the processes of {self!r} to end")

    # --- looking at it ---

    def processes(self) -> list[int]:
        """Process ids of the server and its children, by their working directory: who started them is no matter."""
        here = str(self.data_dir)
        return [pid for pid, directory in _working_directories() if directory in (here, f"{here} (deleted)")]

    @property
    def pid(self) -> int | None:
        """The server's process id, None when it does not run."""
        if self._process is not None and self._process.poll() is None:
            return self._process.pid
        try:
            pid = int(self.pid_path.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return pid if pid in self.processes() else None

    @property
    def log(self) -> str:
        """Everything the server has logged so far."""
        try:
            return self.log_path.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def tail(self, lines: int = 20) -> str:
        """The end of the log, and what the program printed."""
        output = self.directory / "output"
        printed = output.read_text(errors="replace") if output.exists() else ""
        return "\n".join([*self.log.splitlines()[-lines:], *printed.splitlines()[-lines:]])

    @property
    def connection(self) -> dict[str, Any]:
        """The connection parameters of the collection's modules."""
        found: dict[str, Any] = {"login_host": "127.0.0.1", "login_port": self.port}
        if self.password is not None:
            found["login_password"] = self.password
        return found

    def client(self, **options: Any) -> redis.Redis:
        """A client for this server; `options` go to redis.Redis."""
        options.setdefault("password", self.password)
        return connect("127.0.0.1", self.port, **options)


def _working_directories() -> Iterator[tuple[int, str]]:
    """Process id and working directory of every process whose directory may be known (zombies have none)."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield int(entry.name), str((entry / "cwd").readlink())
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
