# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The history of drills, as it lies in a repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository import drills
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.posix import PosixStore

SECOND = "2026-11-24T05:37:46Z"


def record(label: str, time: str = SECOND) -> dict[str, Any]:
    return {"instance": "shop", "time": time, "pick": "newest", "label": label, "ok": True}


def test_two_in_one_second_stay_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of one second end in chance, so that they do not tell which was the later."""
    chance = iter(["c" * 8, "a" * 8, "b" * 8, "0" * 8])
    monkeypatch.setattr(drills.secrets, "token_hex", lambda _size: next(chance))
    moments = iter([5.001, 5.002, 5.003, 1.0])
    monkeypatch.setattr(drills.time, "time_ns", lambda: int(next(moments) * 1e9))
    store = PosixStore("shelf", str(tmp_path))
    for label in ("one", "two", "three"):
        drills.write_drill(store, "shop", record(label))
    drills.write_drill(store, "shop", record("later", "2026-11-24T05:37:47Z"))  # by a clock that was put back
    assert [each["label"] for each in drills.list_drills([store], "shop")] == ["one", "two", "three", "later"]


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"format": 2}', b'{"format": 1, "time": 3}', b"\xff"])
def test_what_is_no_record_is_passed_over(tmp_path: Path, raw: bytes) -> None:
    store = PosixStore("shelf", str(tmp_path))
    path = drills.write_drill(store, "shop", record("one"))
    (tmp_path / path).with_name("20261124T000000Z-newest-00000000.json").write_bytes(raw)
    assert [each["label"] for each in drills.list_drills([store], "shop")] == ["one"]


@pytest.mark.parametrize("written", [None, "now", [], 1.5])
def test_a_record_of_another_maker(tmp_path: Path, written: Any) -> None:
    """Without the instant of its writing, or with what is none, it counts by its second."""
    store = PosixStore("shelf", str(tmp_path))
    path = drills.write_drill(store, "shop", record("one"))
    text = (tmp_path / path).read_text("utf-8")
    line = next(each for each in text.splitlines() if "written_ms" in each)
    (tmp_path / path).write_text(text.replace(line, f'  "written_ms": {json.dumps(written)}'), "utf-8")
    assert [each["label"] for each in drills.list_drills([store], "shop")] == ["one"]
