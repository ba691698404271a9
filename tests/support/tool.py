# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a checking tool as a test: its own output is the failure message."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from support.checkout import CACHE


def run_tool(
    command: Sequence[str | Path],
    cwd: Path,
    *,
    environment: Mapping[str, str] | None = None,
    timeout: int = 900,
    stumbles: str = "",
) -> str:
    """Run the command in cwd and return its output; the test fails with that output when the tool objects.

    Tools that ask git are kept from finding the checkout around the cache: it would tell them to ignore everything.
    A tool whose complaint holds `stumbles`, a known fault of its own, is run again.
    """
    done = subprocess.run(
        command,
        cwd=cwd,
        env={
            **os.environ,
            "GIT_CEILING_DIRECTORIES": str(CACHE),
            "NO_COLOR": "1",
            "PY_COLORS": "0",
            **(environment or {}),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )
    if done.returncode != 0 and stumbles and stumbles in done.stdout:
        return run_tool(command, cwd, environment=environment, timeout=timeout)
    if done.returncode != 0:
        pytest.fail(f"{' '.join(map(str, command))} ended {done.returncode}\n{done.stdout}", pytrace=False)
    return done.stdout
