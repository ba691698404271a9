# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one module of the collection as the module wrapper would, but without ansible-playbook: half a second less."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from support.checkout import CACHE

COLLECTION = "globalscope.redis_backup"
TREE = CACHE / "tree"


class ModuleFailed(AssertionError):
    """The module failed; `result` is what it returned (with its traceback when it crashed)."""

    def __init__(self, name: str, result: dict[str, Any]) -> None:
        super().__init__(f"{name}: {result.get('msg')}\n{result.get('module_stderr', '')}".rstrip())
        self.result = result
        self.msg = str(result.get("msg", ""))


def ansible_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This environment, with the collection found below the checkout's tree and this Python's programs first."""
    found = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "REDIS"))}
    found.update(
        PYTHONPATH=str(TREE),
        ANSIBLE_COLLECTIONS_PATH=str(TREE),
        PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        REDIS_BACKUP_CACHE=str(CACHE),
    )
    found.update(extra or {})
    return found


def start_module(
    name: str,
    params: Mapping[str, Any],
    *,
    check: bool = False,
    diff: bool = False,
    env: Mapping[str, str] | None = None,
    privileges: Sequence[str] = (),
) -> subprocess.Popen[bytes]:
    """Start a module and do not wait: for tests that kill it at some instant.

    It leads a process group of its own, so `os.killpg(process.pid, ...)` reaches the programs it started too. The
    module dies with the test run. `finish` waits for it and reads its result. `privileges` are options of setpriv.
    """
    arguments = {
        **params,
        "_ansible_check_mode": check,
        "_ansible_diff": diff,
        "_ansible_module_name": f"{COLLECTION}.{name}",
        "_ansible_remote_tmp": tempfile.gettempdir(),
        "_ansible_keep_remote_files": False,
    }
    module = f"ansible_collections.{COLLECTION}.plugins.modules.{name}"
    with tempfile.TemporaryFile() as stdin:
        stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
        stdin.seek(0)
        return subprocess.Popen(
            ["setpriv", "--pdeathsig=KILL", *privileges, sys.executable, "-m", module],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ansible_environment(env),
            start_new_session=True,
        )


def finish(process: subprocess.Popen[bytes], name: str = "module", timeout: float = 120.0) -> dict[str, Any]:
    """Wait for a module and return its result. Raises ModuleFailed when it failed, crashed or printed no result."""
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    lines = stdout.decode().strip().splitlines()
    try:
        result: dict[str, Any] = json.loads(lines[-1])
    except (IndexError, ValueError):
        words = stderr.decode(errors="replace")
        last = words.strip().splitlines()[-1:] or ["it said nothing"]
        result = {"failed": True, "msg": f"ended {process.returncode} without a result: {last[0]}"}
        result.update(rc=process.returncode, module_stdout=stdout.decode(errors="replace"), module_stderr=words)
    if result.get("failed") or process.returncode:
        raise ModuleFailed(name, result)
    return result


def run_module(
    name: str,
    params: Mapping[str, Any],
    *,
    check: bool = False,
    diff: bool = False,
    env: Mapping[str, str] | None = None,
    privileges: Sequence[str] = (),
    timeout: float = 120.0,
) -> dict[str, Any]:
    """Run a module to its end and return its result. Raises ModuleFailed."""
    return finish(start_module(name, params, check=check, diff=diff, env=env, privileges=privileges), name, timeout)
