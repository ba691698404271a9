# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""External programs: found, started with a clean environment, and their failures told in words."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import IO

from ._errors import ProgramError

_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ, unnamed before Python 3.10
_PIPE_BYTES = 1024 * 1024
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PACKAGES = {"zstd": "zstd", "age": "age", "age-keygen": "age"}


def find_program(name: str) -> str:
    """The absolute path of program `name`. Raises ProgramError with the package that brings it."""
    search = os.pathsep.join([os.environ.get("PATH", ""), _PATH])
    found = shutil.which(name, path=search)
    if found is None:
        raise ProgramError(
            f"the program {name} is not installed on this host",
            untouched="Nothing was changed",
            hint=f"Install the package {_PACKAGES.get(name, name)}",
            missing_program=name,
        )
    return found


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for programs: C locale (we read their words), no inherited secrets of ours."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("REDIS_BACKUP_", "REDISCLI_"))}
    kept.update(LC_ALL="C", LANGUAGE="C")
    kept.update(extra or {})
    return kept


def enlarge(pipe: IO[bytes]) -> None:
    """Give a pipe more room, where the system allows: fewer turns between those at its ends."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(pipe.fileno(), _SET_PIPE_SIZE, _PIPE_BYTES)


def last_words(output: bytes, limit: int = 400) -> str:
    """The end of a program's output as one line, for an error message."""
    lines = [line.strip() for line in output.decode("utf-8", "replace").splitlines() if line.strip()]
    text = " | ".join(lines[-4:])
    return text[-limit:] or "it said nothing"


def run(
    argv: Sequence[str],
    *,
    executable: str | None = None,
    data: bytes | None = None,
    timeout: float | None = 60.0,
    check: bool = True,
    cwd: str | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, standard error joined to standard output.

    `executable` runs another file under the name `argv[0]`: a Redis server acts as the check tool of that name.
    Raises ProgramError when it is missing, takes longer than `timeout` seconds or (`check`) ends other than 0.
    """
    try:
        done = subprocess.run(
            list(argv),
            executable=executable,
            input=data,
            stdin=subprocess.DEVNULL if data is None else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            env=environment(),
            cwd=cwd,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ProgramError(f"{argv[0]} did not end within {timeout:g} s and was stopped") from None
    except OSError as error:
        raise ProgramError(f"{executable or argv[0]} cannot be started: {error.strerror}") from None
    if check and done.returncode:
        raise ProgramError(f"{' '.join(argv[:2])} ended with {done.returncode}: {last_words(done.stdout)}")
    return done
