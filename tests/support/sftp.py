# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real SFTP service: the distribution's sshd as a process of its own on a free port, and rclone's view of it."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

from support.checkout import CACHE
from support.servers import ServerFailed, free_port
from support.waiting import wait_for

UNPACKED = CACHE / "servers" / "openssh"  # where ./dev test unpacks what is not installed


class SftpMissing(Exception):
    """There is no sshd on this machine, or no rclone."""


def _sshd() -> Path:
    for path in (Path("/usr/sbin/sshd"), UNPACKED / "usr/sbin/sshd"):
        if os.access(path, os.X_OK):
            return path
    raise SftpMissing("no sshd here: ./dev test brings it")


class SftpServer:
    """The service. It runs as a user without rights (nobody, where the tests run as root) and dies with the test run.

    `files` is a folder of that user. `conf` is an rclone.conf that knows it as `store`.
    """

    def __init__(self, directory: Path) -> None:
        self._program = _sshd()
        if shutil.which("rclone") is None:
            raise SftpMissing("no rclone here: ./dev test brings it")
        self.directory = directory
        self.files = directory / "files"
        self.conf = directory / "rclone.conf"
        self.port = free_port()
        self.user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.getuid())
        self._process: subprocess.Popen[bytes] | None = None
        self._make_files()

    def own(self, path: Path, mode: int = 0o755) -> Path:
        """Give a file or folder to the service's user."""
        path.chmod(mode)
        if os.geteuid() == 0:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)
        return path

    def _make_files(self) -> None:
        self.directory.chmod(0o755)
        for name in ("host", "user", "wrong"):
            made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.directory / name)]
            subprocess.run(made, check=True, stdin=subprocess.DEVNULL, capture_output=True)
        self.own(self.directory / "host", 0o600)
        self.files.mkdir()
        self.own(self.files)
        settings = {
            "Port": self.port,
            "ListenAddress": "127.0.0.1",
            "HostKey": self.directory / "host",
            "AuthorizedKeysFile": self.directory / "user.pub",
            "PidFile": "none",
            "UsePAM": "no",
            "StrictModes": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "MaxStartups": 100,
            "Subsystem": "sftp internal-sftp",
            "ForceCommand": "internal-sftp",
        }
        text = "".join(f"{name} {value}\n" for name, value in settings.items())
        (self.directory / "sshd_config").write_text(text)
        host_key = " ".join((self.directory / "host.pub").read_text().split()[:2])
        (self.directory / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {host_key}\n")
        wrong_key = " ".join((self.directory / "wrong.pub").read_text().split()[:2])
        (self.directory / "known_wrong").write_text(f"[127.0.0.1]:{self.port} {wrong_key}\n")
        self.conf.write_text(self.section("store"))
        self.conf.chmod(0o600)

    def section(self, name: str, **more: str) -> str:
        """A remote of rclone.conf that is this service; `more` replaces options."""
        options = {
            "type": "sftp",
            "host": "127.0.0.1",
            "port": str(self.port),
            "user": self.user.pw_name,
            "key_file": str(self.directory / "user"),
            "known_hosts_file": str(self.directory / "known_hosts"),
            **more,
        }
        return f"[{name}]\n" + "".join(f"{option} = {value}\n" for option, value in options.items())

    def entry(self, path: str | Path = "repository", **more: object) -> dict[str, object]:
        """The repository in that folder of `files`, as a module is told of it."""
        place = {"remote": "store", "path": str(self.files / path), "config_file": str(self.conf), "create": True}
        return {"name": "sftp", "type": "rclone", **place, **more}

    # --- starting and ending ---

    def start(self, timeout: float = 20.0) -> SftpServer:
        """Start it and return when it answers. Raises ServerFailed."""
        user = [f"--reuid={self.user.pw_uid}", f"--regid={self.user.pw_gid}", "--groups=shadow"]  # else it is "locked"
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("setpriv", *(user if os.geteuid() == 0 else []), "--pdeathsig=KILL"),
                    *(self._program, "-D", "-e", "-f", self.directory / "sshd_config"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(map(str, self._libraries()))},
                start_new_session=True,
            )
        wait_for(self._serving, "sshd to serve", timeout, 0.1)
        return self

    def _libraries(self) -> list[Path]:
        inside = UNPACKED in self._program.parents
        return [path for path in UNPACKED.glob("*/lib/*-linux-gnu*") if path.is_dir()] if inside else []

    def _serving(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise ServerFailed(f"sshd ended {self._process.returncode}:\n{self.tail()}")
        command = ["rclone", "--config", self.conf, "--low-level-retries", "1", "lsf", f"store:{self.files}"]
        shell = {**os.environ, "RCLONE_SFTP_SHELL_TYPE": "none"}
        done = subprocess.run(command, check=False, capture_output=True, env=shell, timeout=30)
        return done.returncode == 0

    def kill(self) -> None:
        """End it with all its connections, as by a power cut of its host."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Let it stand still: the kernel still takes connections."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def wait_idle(self) -> None:
        """Until it has done what clients asked that are gone."""
        process = self._process
        wait_for(lambda: process is None or not _children(process.pid), "the connections to end")

    def _signal(self, number: signal.Signals) -> None:
        """To the service and the process of each connection."""
        pids = [self._process.pid] if self._process else []
        for pid in pids:  # grows while it is read
            pids += _children(pid)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def tail(self, lines: int = 20) -> str:
        """The end of its log."""
        log = self.directory / "log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""


def _children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                if int(parent) == pid:
                    found.append(int(entry.name))
    return found
