# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every story of the demo needs: servers below one directory, playbooks run as a user would, and their end."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import redis
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.digest import digest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.connection import Login, Server

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("REDIS_BACKUP_CACHE", ROOT / ".cache"))
sys.path.insert(0, str(ROOT / "tests"))

MINIMAL_CONF = """\
port {port}
bind 127.0.0.1
daemonize yes
dir {home}/data
logfile {home}/server.log
pidfile {home}/server.pid
aclfile {home}/data/users.acl
appendonly {aof}
aof-timestamp-enabled yes
save 900 1
repl-diskless-sync-delay 0
"""


def say(text: str) -> None:
    """One line of the story."""
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    print(f"\n{bold}» {text}{plain}", flush=True)


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _number in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]


def working_places() -> Iterator[tuple[int, Path]]:
    """Each process that sees the files we see (no container's), and its working directory."""
    ours = os.stat("/proc/self/ns/mnt").st_ino
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{pid}/ns/mnt").st_ino == ours:
                yield int(pid), Path(os.readlink(f"/proc/{pid}/cwd").removesuffix(" (deleted)"))


class DemoServer:
    """One server below `home`: its configuration, its data on what plays the disk."""

    def __init__(self, home: Path, program: str, port: int, *, aof: bool, password: str) -> None:
        self.home, self.program, self.port, self.password = home, program, port, password
        (home / "data").mkdir(parents=True)
        (home / "redis.conf").write_text(MINIMAL_CONF.format(home=home, port=port, aof="yes" if aof else "no"))
        (home / "data/users.acl").write_text(f"user default on >{password} ~* &* +@all\n")
        for path in (home / "redis.conf", home / "data/users.acl"):
            path.chmod(0o600)

    @property
    def start_command(self) -> str:
        return f"{self.program} {self.home}/redis.conf"

    def login(self) -> Login:
        return Login(port=self.port, password=self.password)

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, password=self.password, protocol=2)

    def start(self) -> None:
        subprocess.run([self.program, str(self.home / "redis.conf")], check=True)
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(redis.exceptions.ConnectionError):
                if self.client().ping():
                    return
            if time.monotonic() > deadline:
                raise SystemExit(f"the demo's server did not start: see {self.home}/server.log")
            time.sleep(0.05)

    def processes(self) -> list[int]:
        """The server and its children, however they were started: those that work in its data directory."""
        return [pid for pid, place in working_places() if place == self.home / "data"]

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        while pids := self.processes():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)

    def host_variables(self) -> dict[str, Any]:
        instance = {
            "name": f"{self.home.name}-{self.port}",
            "login_port": self.port,
            "login_password": self.password,
            "config_file": str(self.home / "redis.conf"),
            "executable": self.program,
            "start_command": self.start_command,
            "stop_command": f"kill -TERM $(cat {self.home}/server.pid)",
            "state_dir": str(self.home / "state"),
            "tier": "important",
        }
        return {"ansible_connection": "local", "redis_instances": [instance]}


class Story:
    """Two servers, a repository, a key pair, and the directory in which all of it lies."""

    def __init__(self, home: Path, program: str) -> None:
        self.home = home
        first, second = free_ports(2)
        password = secrets.token_hex(12)
        self.lost = DemoServer(home / "multiframe", program, first, aof=True, password=password)
        self.blank = DemoServer(home / "replacement", program, second, aof=False, password=password)
        self.instance = f"multiframe-{first}"
        self.repository = home / "repository"
        self.repository.mkdir(mode=0o700)

    def run(self) -> None:
        """Tell it. Raises SystemExit when it does not end as it should."""
        raise NotImplementedError

    def stop(self) -> None:
        """Leave no process behind."""
        self.lost.kill()
        self.blank.kill()

    def make_identity(self) -> str:
        """A new age key pair; its public half."""
        identity = self.home / "identity.txt"
        subprocess.run(["age-keygen", "-o", str(identity)], check=True, stderr=subprocess.DEVNULL)
        return identity.read_text().split("public key: ")[1].splitlines()[0]

    def write_inventory(self, recipient: str, more: Mapping[str, Any] | None = None) -> None:
        """The inventory a user would write: the hosts, where backups go, who can open them."""
        hosts = {"multiframe": self.lost.host_variables(), "replacement": self.blank.host_variables()}
        hosts["replacement"]["redis_instances"][0]["source_instance"] = self.instance
        variables = {
            "ansible_python_interpreter": sys.executable,
            "redis_become": False,
            "redis_common_install": False,
            "redis_backup_repositories": [{"name": "local", "type": "posix", "path": str(self.repository)}],
            "redis_backup_recipients": [recipient],
            "redis_restore_identities": [str(self.home / "identity.txt")],
            **(more or {}),
        }
        inventory = {"redis": {"hosts": hosts, "vars": variables}}
        path = self.home / "inventory.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(inventory, indent=2) + "\n")

    def play(self, playbook: str, *arguments: str) -> None:
        """Run a playbook as a user would."""
        command = ["ansible-playbook", "-i", str(self.home / "inventory.json"), f"playbooks/{playbook}.yml", *arguments]
        print("$ " + " ".join(command), flush=True)
        environment = {
            **os.environ,
            "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
            "ANSIBLE_LOCALHOST_WARNING": "false",
        }
        done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
        if done.returncode:
            raise SystemExit(f"the playbook {playbook}.yml ended with {done.returncode}")

    def state(self, server: DemoServer) -> dict[str, Any]:
        """What must be the same before and after: the digest of the data set, functions, ACL users."""
        with Server(server.login()) as connection:
            found, keys = digest(connection)
        client = server.client()
        with contextlib.suppress(redis.exceptions.ResponseError):
            functions = sorted(str(library) for library in client.execute_command("FUNCTION", "LIST"))
            return {"digest": found, "keys": keys, "functions": functions, "users": sorted(client.acl_list())}
        return {"digest": found, "keys": keys, "functions": [], "users": sorted(client.acl_list())}


def stop_leftovers(home: Path) -> None:
    """End the servers of an earlier demo that was killed before it could."""
    for pid, place in working_places():
        if place.is_relative_to(home):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
