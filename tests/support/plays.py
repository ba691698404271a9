# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a playbook with ansible-playbook, as an operator does, and read its results as data."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.modules import TREE, ansible_environment

COLLECTION_ROOT = TREE / "ansible_collections" / "globalscope" / "redis_backup"
CALLBACKS = Path(__file__).parent / "callback_plugins"

# Where no host says otherwise: this machine, this Python.
LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}


@dataclass(frozen=True)
class TaskResult:
    """What one task did on one host; `status` is ok, failed, ignored, unreachable or skipped."""

    host: str
    task: str
    action: str
    status: str
    result: dict[str, Any]


@dataclass(frozen=True)
class PlayResult:
    """What a run of ansible-playbook did; `stats` has ok, changed, failures, unreachable, skipped ... by host."""

    rc: int
    stdout: str
    stats: dict[str, dict[str, int]] = field(default_factory=dict)
    results: list[TaskResult] = field(default_factory=list)
    custom: dict[str, Any] = field(default_factory=dict)

    @property
    def changed(self) -> int:
        """How many changes were made on all hosts together."""
        return sum(host["changed"] for host in self.stats.values())

    def find(self, words: str, host: str | None = None) -> list[TaskResult]:
        """Results of the tasks whose name or action contains `words`, in order."""
        return [
            found
            for found in self.results
            if (words in found.task or words in found.action) and host in (None, found.host)
        ]

    def last(self, words: str, host: str | None = None) -> dict[str, Any]:
        """The last result, not skipped, of the tasks whose name or action contains `words`."""
        found = [each.result for each in self.find(words, host) if each.status != "skipped"]
        assert found, f"no task with {words!r} ran:\n{self.stdout}"
        return found[-1]

    def ok(self) -> PlayResult:
        """This result, provided that the run ended well; else its output is the failure message."""
        assert self.rc == 0, f"ansible-playbook ended {self.rc}:\n{self.stdout}"
        return self


def playbook_path(name: str) -> Path:
    """The collection's own playbook of that name, as a path in the checkout."""
    return COLLECTION_ROOT / "playbooks" / f"{name.removesuffix('.yml')}.yml"


def ansible_settings(directory: Path) -> dict[str, str]:
    """The environment variables that keep Ansible inside `directory`, whatever this machine's user has set up."""
    (directory / "ansible.cfg").write_text("")
    return {
        "ANSIBLE_CONFIG": f"{directory}/ansible.cfg",
        "ANSIBLE_HOME": f"{directory}/home",
        "ANSIBLE_LOCAL_TEMP": f"{directory}/tmp",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": f"{directory}/cp",
        "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=5s",
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_GATHERING": "explicit",
        "ANSIBLE_NOCOLOR": "1",
    }


def _kill_tree(pid: int) -> None:
    """SIGKILL to a process and its descendants; what has made itself independent (a started server) lives on."""
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], stdout=subprocess.PIPE, text=True, check=False)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    for child in children.stdout.split():
        _kill_tree(int(child))


def run_playbook(
    playbook: str | Path | Sequence[Mapping[str, Any]],
    inventory: Mapping[str, Any],
    extra_vars: Mapping[str, Any] | None = None,
    *,
    check: bool = False,
    diff: bool = False,
    tags: str | None = None,
    limit: str | None = None,
    arguments: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    timeout: float = 600.0,
    kill_after: float | None = None,
) -> PlayResult:
    """Run ansible-playbook, or kill it after so many seconds with all it has started.

    `playbook` is a path, a name like globalscope.redis_backup.backup, or plays as data. `inventory` maps groups to
    what Ansible's YAML inventories hold: `{"redis": {"hosts": {"h1": {"login_port": 6379}}}}`; hosts that do not say
    how to reach them are this machine. No ansible.cfg of this machine counts, and no facts are gathered unasked.
    """
    with tempfile.TemporaryDirectory(prefix="play-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        everything = dict(inventory.get("all", {}))
        everything["vars"] = {**LOCAL, **everything.get("vars", {})}
        (directory / "inventory.json").write_text(json.dumps({**inventory, "all": everything}))
        (directory / "vars.json").write_text(json.dumps(dict(extra_vars or {})))
        if not isinstance(playbook, (str, Path)):
            (directory / "playbook.json").write_text(json.dumps(playbook))
            playbook = directory / "playbook.json"
        command = ["ansible-playbook", "-i", f"{directory}/inventory.json", "-e", f"@{directory}/vars.json"]
        command += [*(["--check"] if check else []), *(["--diff"] if diff else [])]
        command += [*(["--tags", tags] if tags else []), *(["--limit", limit] if limit else [])]
        settings = {
            **ansible_settings(directory),
            "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
            "ANSIBLE_CALLBACKS_ENABLED": "record_results",
            "RECORD_RESULTS_FILE": f"{directory}/results",
        }
        with (directory / "output").open("w+", errors="replace") as output:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig=TERM", *command, *arguments, str(playbook)],
                env=ansible_environment({**settings, **(env or {})}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                rc = process.wait(timeout if kill_after is None else kill_after)
            except subprocess.TimeoutExpired:
                _kill_tree(process.pid)
                rc = process.wait()
                if kill_after is None:
                    raise
            output.seek(0)
            stdout = output.read()
        record = directory / "results"
        written = record.read_text().splitlines(keepends=True) if record.exists() else []
        lines = [json.loads(line) for line in written if line.endswith("\n")]
    last = lines.pop() if lines and "stats" in lines[-1] else {"stats": {}, "custom": {}}
    results = [TaskResult(**line) for line in lines]
    return PlayResult(rc, stdout, last["stats"], results, last["custom"])
