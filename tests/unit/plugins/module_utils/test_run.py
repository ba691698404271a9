# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""External programs."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import ProgramError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._run import (
    environment,
    find_program,
    last_words,
    run,
)


def test_missing_programs_name_their_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match=r"no-such-program is not installed.*Install the package") as caught:
        find_program("no-such-program")
    assert caught.value.details == {"missing_program": "no-such-program"}
    assert find_program("sh").startswith("/")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_program("sh").startswith("/")  # a poor PATH (cron, sudo) hides nothing


def test_the_environment_carries_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_BACKUP_LOGIN_PASSWORD", "s3cret")
    monkeypatch.setenv("REDISCLI_AUTH", "s3cret")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    found = environment({"MORE": "1"})
    assert "s3cret" not in found.values()
    assert (found["LC_ALL"], found["MORE"]) == ("C", "1")
    assert b"s3cret" not in run(["env"]).stdout


def test_run(tmp_path: Path) -> None:
    done = run(["sh", "-c", "cat; echo err >&2; pwd"], data=b"in\n", cwd=str(tmp_path))
    assert done.stdout == f"in\nerr\n{tmp_path}\n".encode()
    assert run(["cat"]).stdout == b""  # no terminal, no waiting
    named = run(["another-name", "-c", "echo $0"], executable="/bin/sh")
    assert named.stdout == b"another-name\n"


def test_failures_are_told() -> None:
    with pytest.raises(ProgramError, match=r"^sh -c ended with 3: one \| two\.$"):
        run(["sh", "-c", "echo one; echo; echo two; exit 3"])
    assert run(["sh", "-c", "exit 3"], check=False).returncode == 3
    with pytest.raises(ProgramError, match=r"did not end within 0.1 s and was stopped"):
        run(["sleep", "60"], timeout=0.1)
    with pytest.raises(ProgramError, match="/nonexistent cannot be started: No such file or directory"):
        run(["/nonexistent"])


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (b"", "it said nothing"),
        (b" \n\n", "it said nothing"),
        (b"a\nb\nc\nd\ne\n", "b | c | d | e"),
        (b"\xff", "\ufffd"),
        (b"x" * 500, "x" * 400),
    ],
)
def test_last_words(output: bytes, words: str) -> None:
    assert last_words(output) == words
