# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the server's program lies, and the tools it becomes under other names."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Mapping

from .._errors import ProgramError
from .._run import run
from .facts import parse_version

_NAMES = ("redis-server", "valkey-server")


def unit_properties(service: str, *names: str) -> dict[str, str]:
    """Properties of a systemd unit; empty where systemd or the unit is not there."""
    if not shutil.which("systemctl"):
        return {}
    done = run(["systemctl", "show", service, *(f"--property={name}" for name in names)], check=False, timeout=20)
    if done.returncode:
        return {}
    return dict(line.split("=", 1) for line in done.stdout.decode("utf-8", "replace").splitlines() if "=" in line)


def exec_start_argv(exec_start: str) -> list[str]:
    """The command line inside systemd's `{ path=… ; argv[]=… ; … }`. Pure."""
    match = re.search(r"argv\[\]=(.*?) ; ", exec_start)
    if not match:
        return []
    try:
        return shlex.split(match.group(1))
    except ValueError:
        return match.group(1).split()


def server_program(given: str | None, info: Mapping[str, str] | None, service: str | None) -> str:
    """The server's program: as given, as INFO says, as the unit starts it, or from PATH; never from a repository.

    Raises ProgramError when none of them is an executable file on this host.
    """
    tried = []
    if given:
        candidates = [given]
    else:
        candidates = [info["executable"]] if info and info.get("executable") else []
        if service:
            argv = exec_start_argv(unit_properties(service, "ExecStart").get("ExecStart", ""))
            candidates += argv[:1]
        search = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/bin", "/usr/bin", "/usr/sbin"])
        candidates += [found for name in _NAMES for found in [shutil.which(name, path=search)] if found]
    for path in candidates:
        if os.path.isabs(path) and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
        tried.append(path)
    raise ProgramError(
        "no Redis or Valkey server program was found on this host" + (f" (tried {', '.join(tried)})" if tried else ""),
        untouched="Nothing was changed",
        hint="Install the server's package, or name the program with executable",
    )


def program_version(program: str) -> tuple[str, tuple[int, ...]]:
    """Flavour and version that a server program prints of itself, for a server that does not run."""
    text = run([program, "--version"], timeout=20).stdout.decode("utf-8", "replace")
    match = re.search(r"(Redis|Valkey) server v=(\S+)", text)
    if not match:
        raise ProgramError(f"{program} is no Redis or Valkey server: it calls itself {text.strip()[:100]!r}")
    return match.group(1).lower(), parse_version(match.group(2))
