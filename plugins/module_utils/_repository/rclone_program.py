# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program rclone: its command lines, its environment, its runs.

Secrets never stand on a command line: rclone finds them in rclone.conf or in its environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from typing import Any

from .._errors import ProgramError, RepositoryError
from .._run import environment, find_program
from .rclone_place import RclonePlace
from .rclone_words import explain

SECONDS = 45  # that a short operation may take; a lease is more than twice as long
_LISTING_SECONDS = 1800
_TIMEOUTS = {"--contimeout": "15s", "--timeout": "60s"}
_OPTIONS = (
    "--log-level=ERROR",
    "--ask-password=false",
    "--low-level-retries=3",
    "--retries=3",
    "--buffer-size=0",
    "--stats=0",
    "--use-server-modtime",
)
# What would make rclone pass over files, only pretend, or say things where nobody looks.
_FOREIGN = (
    *("LOG_", "USE_JSON_LOG", "VERBOSE", "QUIET", "PROGRESS", "STATS", "DRY_RUN", "IMMUTABLE", "IGNORE_"),
    *("FILTER", "INCLUDE", "EXCLUDE", "FILES_FROM", "MAX_", "MIN_", "SUFFIX", "BACKUP_DIR", "INTERACTIVE", "RC"),
)
_OURS = {
    "GOGC": "50",
    "RCLONE_S3_UPLOAD_CONCURRENCY": "2",  # of 5 MiB each, where chunk_size is not set
    "RCLONE_AZUREBLOB_UPLOAD_CONCURRENCY": "2",
    # rclone would try the server's shell, write what it finds into rclone.conf, and hash files there once more.
    "RCLONE_SFTP_SHELL_TYPE": "none",
}


def rclone_environment() -> dict[str, str]:
    """The environment of rclone: the operator's own settings of remotes go first."""
    kept = environment()
    for name in [n for n in kept if n.startswith(tuple(f"RCLONE_{word}" for word in _FOREIGN))]:
        del kept[name]
    return {**_OURS, **kept}


def command_line(place: RclonePlace, command: str, *words: str, targets: tuple[str, ...]) -> list[str]:
    """One call of rclone, without the program itself: options first, then full paths."""
    config = [f"--config={place.config_file}"] if place.config_file else []
    timeouts = [f"{option}={value}" for option, value in _TIMEOUTS.items()]
    return [*command.split(), *config, *_OPTIONS, *timeouts, *words, "--", *targets]


class Rclone:
    """rclone, for one place. `where` is the place in words; an error says what is untouched."""

    def __init__(self, name: str, place: RclonePlace, untouched: str) -> None:
        self._name = name
        self._place = place
        self._untouched = untouched

    def argv(self, command: str, *words: str, targets: tuple[str, ...], seconds: int | None = None) -> list[str]:
        """The whole command line. With `seconds` rclone cannot outlive them, even if nobody is left to end it."""
        self._require_config()
        limit = ["timeout", "--foreground", "--signal=KILL", str(seconds)] if seconds else []
        return [*limit, find_program("rclone"), *command_line(self._place, command, *words, targets=targets)]

    def _require_config(self) -> None:
        path = self._place.config_file
        if path and not os.access(path, os.R_OK):
            words = "cannot be read by this user" if os.path.exists(path) else "does not exist"
            raise RepositoryError(
                f"repository {self._name}: config_file {path} {words}",
                untouched=self._untouched,
                hint="Give the path of rclone.conf on this host",
            )

    def start(self, command: str, *words: str, target: str, **pipes: Any) -> subprocess.Popen[bytes]:
        """Start rclone and do not wait."""
        argv = self.argv(command, *words, targets=(target,))
        try:
            return subprocess.Popen(argv, env=rclone_environment(), bufsize=0, **pipes)
        except OSError as error:
            raise ProgramError(f"rclone cannot be started: {error.strerror}", untouched=self._untouched) from None

    def run(
        self, command: str, *words: str, targets: tuple[str, ...], data: bytes | None = None, seconds: int | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run rclone to its end, whatever that is. `data` is given whole: it cannot be cut short by our own end."""
        argv = self.argv(command, *words, targets=targets, seconds=seconds)
        try:
            with contextlib.ExitStack() as opened:
                stdin: Any = subprocess.DEVNULL
                if data is not None:
                    stdin = opened.enter_context(tempfile.TemporaryFile())
                    stdin.write(data)
                    stdin.seek(0)
                return subprocess.run(
                    argv,
                    stdin=stdin,
                    capture_output=True,
                    env=rclone_environment(),
                    timeout=(seconds or _LISTING_SECONDS) + 5,
                    check=False,
                )
        except subprocess.TimeoutExpired:
            words_said = f"rclone {command} did not end in time"
            raise RepositoryError(f"repository {self._name}: {words_said}", untouched=self._untouched) from None
        except OSError as error:
            raise ProgramError(f"rclone cannot be started: {error.strerror}", untouched=self._untouched) from None


def words_of(code: int, complaints: bytes) -> tuple[str, str]:
    """`explain`, of what came out of a pipe."""
    return explain(code, complaints.decode("utf-8", "replace"))


def parse_features(output: bytes) -> dict[str, bool]:
    """What a remote can do, from `rclone backend features`."""
    try:
        found = json.loads(output)["Features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return {name: bool(value) for name, value in found.items()} if isinstance(found, dict) else {}
