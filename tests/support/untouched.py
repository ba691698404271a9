# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a failure must leave alone, and the paragraph it must say."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from support.modules import ModuleFailed, run_module

# Lock files and the empty folders they lie in: what a refused task may leave.
_TRACES = re.compile(r"(.*/)?\.lock|\.redis_backup(/lock)?")
_SAID_UNTOUCHED = re.compile(
    r"nothing was (changed|deleted|removed)|not touched|as (it|they) (was|were)|no backup was made|stays", re.IGNORECASE
)


def tree(root: Path) -> dict[str, str]:
    """Every file below `root` by its relative path: type, mode, owner and a hash of the content."""
    found = {}
    for folder, subfolders, names in os.walk(root):
        for name in [*subfolders, *names]:
            path = Path(folder, name)
            relative = str(path.relative_to(root))
            if _TRACES.fullmatch(relative):
                continue
            stat = path.lstat()
            content = ""
            if path.is_symlink():
                content = os.readlink(path)
            elif path.is_file():
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            found[relative] = f"{stat.st_mode:o} {stat.st_uid}:{stat.st_gid} {content}"
    return found


@contextlib.contextmanager
def untouched(*roots: Path) -> Iterator[None]:
    """Assert that the files below `roots` are the same, byte by byte, behind the block as before it."""
    before = {root: tree(root) for root in roots}
    yield
    for root in roots:
        after = tree(root)
        differing = {name for name in before[root].keys() | after.keys() if before[root].get(name) != after.get(name)}
        assert not differing, f"{root}: {sorted(differing)} are not as they were"


def assert_told(words: str, *needles: str) -> None:
    """Assert that an error is one paragraph that says what is untouched, with all of `needles` (case is no matter)."""
    assert "\n" not in words, f"more than one paragraph: {words!r}"
    assert "Traceback" not in words, words
    assert words.endswith((".", "!", "?")), f"no whole sentence: {words!r}"
    assert _SAID_UNTOUCHED.search(words), f"does not say what is untouched: {words!r}"
    missing = [needle for needle in needles if needle.lower() not in words.lower()]
    assert not missing, f"{missing} not in {words!r}"


def refused(name: str, params: Mapping[str, Any], *needles: str, **options: Any) -> ModuleFailed:
    """Run a module that must fail, and must tell so in a paragraph with all of `needles`. Returns the failure."""
    with pytest.raises(ModuleFailed) as caught:
        run_module(name, params, **options)
    failure = caught.value
    assert "exception" not in failure.result, failure.result
    assert "module_stderr" not in failure.result, failure.result.get("module_stderr")
    assert_told(failure.msg, *needles)
    return failure
