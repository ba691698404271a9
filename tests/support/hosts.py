# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real hosts on this machine: systemd, sshd and Redis, each a systemd-nspawn container with a disk and an address.

A host is systemd-nspawn and what runs below it, in a mount namespace that holds its root (an overlay over the image)
and a process namespace that Linux ends as one: so it dies with the test run, whatever ends that. Hosts reach each other
and this machine by a bridge; they have no route to anywhere else.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import shutil
import signal
import socket
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from support.checkout import CACHE
from support.image import image
from support.waiting import wait_for

BRIDGE = "rbtest0"
NETWORK = "10.231.78"
PROGRAMS = {
    "debootstrap": "debootstrap",
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}
# argv: the host's directory, the image, the machine name, then its cgroups.
SUPERVISOR = f"""
directory=$1 image=$2 name=$3; shift 3
for cgroup; do mkdir -p "$cgroup"; echo 0 >"$cgroup/cgroup.procs"; done
mkdir -p /run/systemd/nspawn
mount -t tmpfs tmpfs /run/systemd/nspawn
mount -t overlay overlay -o "lowerdir=$image,upperdir=$directory/upper,workdir=$directory/work,redirect_dir=on" \
  "$directory/root"
exec env -i PATH="$PATH" SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 SYSTEMD_NSPAWN_TMPFS_TMP=0 systemd-nspawn --boot --quiet \
  --register=no --keep-unit --machine="$name" --directory="$directory/root" --network-bridge={BRIDGE} \
  --resolv-conf=off --timezone=off --link-journal=no --console=pipe
"""


class Host:
    """One host. Its disk lives as long as the test session: `power_cut` and `boot` leave it as it is."""

    def __init__(self, lab: Lab, name: str, number: int) -> None:
        self.lab = lab
        self.name = name
        self.address = f"{NETWORK}.{number}"
        self.directory = lab.directory / name
        self._process: subprocess.Popen[bytes] | None = None
        for part in ("upper", "work", "root"):
            (self.directory / part).mkdir(parents=True)
        self._install()

    def __repr__(self) -> str:
        return f"<host {self.name} at {self.address}>"

    def _install(self) -> None:
        """Write what makes this host itself into its disk."""
        settings = ("[Match]", "Name=host0", "[Network]", f"Address={self.address}/24", "LinkLocalAddressing=no")
        network = "\n".join([*settings, "IPv6AcceptRA=no", ""])
        key = self.lab.directory / "host_key"
        files = {
            "etc/hostname": (f"{self.name}\n", 0o644),
            "etc/hosts": (f"127.0.0.1 localhost\n{self.address} {self.name}\n", 0o644),
            "etc/machine-id": (f"{uuid.uuid4().hex}\n", 0o444),
            "etc/systemd/network/10-host0.network": (network, 0o644),
            "etc/ssh/ssh_host_ed25519_key": (key.read_text(), 0o600),
            "etc/ssh/ssh_host_ed25519_key.pub": (key.with_suffix(".pub").read_text(), 0o644),
            "root/.ssh/authorized_keys": ((self.lab.directory / "key.pub").read_text(), 0o600),
        }
        upper = self.directory / "upper"
        for name, (content, mode) in files.items():
            path = upper / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
            path.chmod(mode)
        for name in ("root", "root/.ssh"):
            (upper / name).chmod(0o700)

    # --- power ---

    def power_on(self) -> None:
        """Start booting, and do not wait."""
        assert not self.running, f"{self!r} is running"
        command = ["setpriv", "--pdeathsig=KILL", "unshare", "--mount", "--propagation=private"]
        command += ["--pid", "--fork", "--kill-child", "--mount-proc"]
        command += ["sh", "-ec", SUPERVISOR, "supervisor", str(self.directory), str(self.lab.image), self.name]
        with (self.directory / "console.log").open("ab") as console:
            self._process = subprocess.Popen(
                [*command, *(f"{group}/{self.name}" for group in _cgroups())],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_up(self, timeout: float = 60.0) -> None:
        """Return when the host has booted and lets us in."""

        def answers() -> bool:
            assert self.running, f"{self!r} stopped:\n{self.console()}"
            with socket.socket() as probe:
                probe.settimeout(1)
                return probe.connect_ex((self.address, 22)) == 0

        wait_for(answers, f"{self!r} to answer; its console is {self.directory}/console.log", timeout)
        state = self.run("systemctl is-system-running --wait", check=False, timeout=timeout).stdout.strip()
        failed = "" if state == "running" else self.run("systemctl --failed --no-legend --plain").stdout
        assert state == "running", f"{self!r} is {state}: {failed}"

    def boot(self) -> None:
        """Start the host, and return when it is up."""
        self.power_on()
        self.wait_up()

    def power_cut(self) -> None:
        """End all of the host at once: nothing is saved or told to anybody. The disk keeps what was written.

        What Linux has in its page cache is not lost, as it would be on a machine of its own.
        """
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        _end(self.name)
        _remove_cgroups(self.name)

    @property
    def running(self) -> bool:
        """Whether the host is powered."""
        return self._process is not None and self._process.poll() is None

    def console(self) -> str:
        """The end of what the host printed while booting."""
        return "\n".join((self.directory / "console.log").read_text(errors="replace").splitlines()[-20:])

    # --- network ---

    def cut_network(self) -> None:
        """Pull the cable: packets vanish, nobody is told."""
        _ip("link", "set", f"vb-{self.name}", "down")

    def heal_network(self) -> None:
        """Plug the cable in again."""
        _ip("link", "set", f"vb-{self.name}", "up")

    # --- using it ---

    def run(
        self, command: str, *, check: bool = True, stdin: str | None = None, timeout: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command on the host as root, by ssh."""
        done = subprocess.run(
            ["ssh", *self.lab.ssh_options(), f"root@{self.address}", command],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{command!r} on {self!r} ended {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def write(self, path: str, content: str, mode: str = "0644") -> None:
        """Write a file on the host; its directory is made."""
        quoted = shlex.quote(path)
        self.run(f"mkdir -p $(dirname {quoted}) && cat >{quoted} && chmod {mode} {quoted}", stdin=content)

    @property
    def variables(self) -> dict[str, Any]:
        """How Ansible reaches this host."""
        return {
            "ansible_connection": "ssh",
            "ansible_host": self.address,
            "ansible_user": "root",
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_ssh_common_args": shlex.join(self.lab.ssh_options()),
        }


class Lab:
    """All hosts of a test session, their bridge and their keys."""

    def __init__(self, directory: Path, root: Path) -> None:
        self.directory = directory
        self.image = root
        self.hosts: list[Host] = []
        for name in ("key", "host_key"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(directory / name)]
            subprocess.run(command, check=True)
        public = (directory / "host_key.pub").read_text()
        (directory / "known_hosts").write_text(f"{NETWORK}.* {public}")

    def ssh_options(self) -> list[str]:
        """What ssh needs to reach the hosts, and nothing else, with no setting of this machine's user."""
        options = {
            "UserKnownHostsFile": f"{self.directory}/known_hosts",
            "StrictHostKeyChecking": "yes",
            "IdentitiesOnly": "yes",
            "BatchMode": "yes",
            "ConnectTimeout": "5",
            "LogLevel": "ERROR",
        }
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return ["-F", "none", "-i", f"{self.directory}/key", *words]

    def more(self, count: int) -> list[Host]:
        """New hosts, booted."""
        start = len(self.hosts)
        new = [Host(self, f"h{n + 1}", n + 11) for n in range(start, start + count)]
        self.hosts += new
        for host in new:
            host.power_on()
        for host in new:
            host.wait_up()
        return new

    def first(self, count: int) -> list[Host]:
        """The first hosts, running; those that there are not yet are made."""
        for host in self.hosts[:count]:
            if not host.running:
                host.boot()
        self.more(count - len(self.hosts))
        return self.hosts[:count]

    def inventory(self, *hosts: Host, group: str = "redis", **variables: Any) -> dict[str, Any]:
        """The hosts (all, when none is named) as an inventory for run_playbook, in one group with these variables."""
        members = {host.name: host.variables for host in hosts or self.hosts}
        return {group: {"hosts": members, "vars": variables}}

    def down(self) -> None:
        """End every host."""
        for host in self.hosts:
            host.power_cut()


@contextlib.contextmanager
def lab() -> Iterator[Lab]:
    """A lab without hosts; what it made is gone at the end. Skips the test where this machine cannot have one."""
    missing = _missing()
    if missing:
        pytest.skip(f"real hosts need root and systemd-nspawn: {missing}")
    root = image()
    with _alone():
        directory = CACHE / "hosts"
        _clear(directory)
        directory.mkdir(parents=True)
        _ip("link", "add", BRIDGE, "type", "bridge")
        found: Lab | None = None
        try:
            _ip("addr", "add", f"{NETWORK}.1/24", "dev", BRIDGE)
            _ip("link", "set", BRIDGE, "up")
            found = Lab(directory, root)
            yield found
        finally:
            if found:
                found.down()
            _clear(directory)


def _missing() -> str:
    """What this machine lacks, in words; programs are installed when that is possible."""
    if os.geteuid():
        return "this is not root"
    packages = sorted({package for program, package in PROGRAMS.items() if not shutil.which(program)})
    if packages and shutil.which("apt-get"):
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update", "-q"], ["install", "-yq", "--no-install-recommends", *packages]):
            subprocess.run(["apt-get", *words], env=quiet, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        packages = sorted({package for program, package in PROGRAMS.items() if not shutil.which(program)})
    if packages:
        return f"not installed: {', '.join(packages)}"
    if not _cgroup2():
        return "cgroup v2 is not mounted"
    command = ["unshare", "--mount", "--net", "--pid", "--fork", "--propagation=private", "mount", "-t", "tmpfs"]
    done = subprocess.run([*command, "tmpfs", "/mnt"], capture_output=True, text=True, check=False)
    if done.returncode:
        return f"namespaces are not permitted ({done.stderr.strip()})"
    command = ["ip", "link", "add", f"{BRIDGE}p", "type", "bridge"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return f"bridges are not permitted ({done.stderr.strip()})"
    _ip("link", "del", f"{BRIDGE}p")
    return ""


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One test run with hosts at a time on this machine: they share the bridge. The lock ends with its process."""
    lock: IO[str]
    with Path("/run/redis-backup-test-hosts.lock").open("w") as lock:

        def locked() -> bool:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        wait_for(locked, "another test run with real hosts to end", timeout=900, interval=0.5)
        yield


def _clear(directory: Path) -> None:
    """Take away what this or a killed run made: processes, bridge, cgroups, disks."""
    _end()
    _remove_cgroups()
    for path in [*Path("/sys/class/net", BRIDGE).glob("brif/*"), Path(BRIDGE)]:
        subprocess.run(["ip", "link", "del", path.name], check=False, capture_output=True)
    if directory.exists():
        shutil.rmtree(directory)


def _cgroup2() -> Path | None:
    for line in Path("/proc/mounts").read_text().splitlines():
        _device, place, kind, *_rest = line.split()
        if kind == "cgroup2":
            return Path(place)
    return None


def _cgroups() -> list[Path]:
    """The groups below which each host has one of its own name (systemd's own hierarchy too, on hybrid systems)."""
    unified = _cgroup2()
    assert unified
    hybrid = Path("/sys/fs/cgroup/systemd")
    return [place / BRIDGE for place in (unified, hybrid) if place == unified or hybrid.is_dir()]


def _members(name: str = "") -> set[int]:
    """Process ids of a host, or of all hosts of this and earlier runs."""
    found: set[int] = set()
    for group in _cgroups():
        for path in (group / name).rglob("cgroup.procs"):
            with contextlib.suppress(OSError):
                found.update(int(pid) for pid in path.read_text().split() if pid != "0")
    return found


def _end(name: str = "") -> None:
    """SIGKILL to everything of a host, or of all hosts, until nothing is left."""

    def none_left() -> bool:
        left = _members(name)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    wait_for(none_left, f"the processes of {name or 'all hosts'} to end")


def _remove_cgroups(name: str = "") -> None:
    for group in _cgroups():
        top = group / name
        below = [path for path in top.rglob("*") if path.is_dir()] if top.exists() else []
        for path in [*sorted(below, reverse=True), top]:
            with contextlib.suppress(OSError):
                path.rmdir()


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
