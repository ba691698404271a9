# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small things a test needs from the machine: a file system that can be full, an age key pair."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

MOUNTS = "redis-backup-tmpfs-"


@dataclass(frozen=True)
class AgeKey:
    """An age identity file (secret) and its recipient (public)."""

    identity: Path
    recipient: str


def make_age_key(path: Path) -> AgeKey:
    """Write a new identity to `path`, for its owner alone. Skips the test where age is not installed."""
    try:
        subprocess.run(["age-keygen", "-o", path], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("encryption needs the package age")
    found = re.search(r"^# public key: (age1\w+)$", path.read_text(), re.MULTILINE)
    assert found, f"{path} states no public key"
    return AgeKey(path, found[1])


def make_ssh_key(path: Path) -> AgeKey:
    """Write a new SSH key to `path`: age takes those too. Skips the test where no ssh-keygen is installed."""
    try:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("an SSH key needs the package openssh-client")
    return AgeKey(path, " ".join(path.with_name(f"{path.name}.pub").read_text().split()[:2]))


@contextlib.contextmanager
def tmpfs(size: str) -> Iterator[Path]:
    """Mount a new file system of that size (`2M`). Skips the test where mounting is not permitted."""
    _unmount_stale()
    place = Path(tempfile.mkdtemp(prefix=f"{MOUNTS}{os.getpid()}-"))
    try:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", str(place)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"a small file system needs the right to mount: {done.stderr.strip()}")
        try:
            yield place
        finally:
            subprocess.run(["umount", "--lazy", place], check=True)
    finally:
        place.rmdir()


def _unmount_stale() -> None:
    """Take away what a killed run has left mounted."""
    for place in Path(tempfile.gettempdir()).glob(f"{MOUNTS}*"):
        owner = place.name.removeprefix(MOUNTS).partition("-")[0]
        if not Path("/proc", owner).exists():
            subprocess.run(["umount", "--lazy", place], check=False, capture_output=True)
            with contextlib.suppress(OSError):
                place.rmdir()
