# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an AOF is cut for a second, and which seconds are refused."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.cut import build, cut_in_place, is_built
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.parts import open_set
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.request import parse_second
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.resp import encode
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.truncate import (
    plan_truncation,
    whole_plan,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import AofError
from hypothesis import given
from hypothesis import strategies as st

LINES = b"file a.1.base.aof seq 1 type b\nfile a.1.incr.aof seq 1 type i\nfile a.2.incr.aof seq 2 type i\n"
BLOCKS = st.tuples(st.integers(0, 3), st.integers(1, 3), st.booleans())
MULTI, EXEC = encode([b"MULTI"]), encode([b"EXEC"])


def put(n: int) -> bytes:
    return encode([b"SET", b"key", b"%d\r\n#TS:1\r\n" % n])


def stamp(second: int) -> bytes:
    return b"#TS:%d\r\n" % second


@pytest.fixture
def aof(tmp_path: Path) -> Path:
    folder = tmp_path / "aof"
    folder.mkdir()
    (folder / "a.manifest").write_bytes(LINES.replace(b"seq 2 type i", b"seq 2 type i startoffset 5 endoffset 9"))
    (folder / "a.1.base.aof").write_bytes(stamp(100) + put(0))
    (folder / "a.1.incr.aof").write_bytes(put(1) + stamp(110) + put(2) + stamp(120) + put(3))
    (folder / "a.2.incr.aof").write_bytes(put(4) + stamp(130) + put(5) + MULTI + stamp(140) + put(6) + EXEC + put(7))
    return folder


def kept(folder: Path) -> bytes:
    """All bytes that a server would load."""
    return b"".join(Path(part.path).read_bytes() for part in open_set(str(folder)).parts)


@pytest.mark.parametrize(
    ("second", "last", "files"),
    [(110, 2, 2), (119, 2, 2), (120, 4, 3), (129, 4, 3), (130, 5, 3), (139, 5, 3)],
)
def test_it_is_cut_behind_the_second(aof: Path, second: int, last: int, files: int) -> None:
    before = {path.name: path.read_bytes() for path in aof.iterdir()}
    aof_set = open_set(str(aof))
    found = plan_truncation(aof_set, "", second)
    assert found is not None
    dest = aof.parent / "dest"
    assert not is_built(found.plan, str(dest))
    build(aof_set, found.plan, str(dest))
    assert is_built(found.plan, str(dest))
    assert {path.name: path.read_bytes() for path in aof.iterdir()} == before
    cut_in_place(aof_set, found.plan, originals=False, seconds=0)
    assert kept(dest) == kept(aof)
    assert put(last) in kept(aof) and put(last + 1) not in kept(aof) and MULTI not in kept(aof)
    assert len(open_set(str(aof)).parts) == files
    assert sum(map(len, before.values())) - len(before["a.manifest"]) == found.bytes + len(kept(aof))
    assert plan_truncation(open_set(str(aof)), "", second) is None
    manifest = open_set(str(aof)).manifest
    assert manifest is not None and all(file.endoffset is None for file in manifest.files)


@pytest.mark.parametrize("second", [140, 141, 10**9])
def test_there_is_nothing_to_cut_behind_the_last(aof: Path, second: int) -> None:
    assert plan_truncation(open_set(str(aof)), "", second) is None


def test_a_second_before_the_base_is_refused(aof: Path) -> None:
    with pytest.raises(AofError, match=r"its base was made at 1970-01-01T00:01:40Z.*00:01:40Z to 1970-01-01T00:02:20Z"):
        plan_truncation(open_set(str(aof)), "", 99)


def test_commands_of_unknown_seconds_are_not_guessed(aof: Path) -> None:
    (aof / "a.1.base.aof").write_bytes(put(0))
    with pytest.raises(AofError, match="carry no time"):
        plan_truncation(open_set(str(aof)), "", 105)
    assert plan_truncation(open_set(str(aof)), "", 110) is not None


def test_a_set_without_a_base_begins_with_its_first_timestamp(aof: Path) -> None:
    (aof / "a.manifest").write_bytes(LINES.split(b"\n", 1)[1])
    (aof / "a.1.incr.aof").write_bytes(stamp(100) + put(1) + stamp(110) + put(2))
    (aof / "a.2.incr.aof").write_bytes(b"")
    found = plan_truncation(open_set(str(aof)), "", 100)
    assert found is not None and not found.plan.tail
    cut_in_place(open_set(str(aof)), found.plan, originals=True, seconds=0)
    assert kept(aof) == stamp(100) + put(1)
    with pytest.raises(AofError, match=r"it begins at 1970-01-01T00:01:40Z"):
        plan_truncation(open_set(str(aof)), "", 99)


def test_without_timestamps_it_is_refused(aof: Path) -> None:
    for path in aof.glob("*.aof"):
        path.write_bytes(put(1))
    with pytest.raises(AofError, match="carries no timestamps"):
        plan_truncation(open_set(str(aof)), "", 110)


def test_damage_counts_before_the_cut_alone(aof: Path) -> None:
    path = aof / "a.2.incr.aof"
    path.write_bytes(path.read_bytes() + b"junk")
    assert plan_truncation(open_set(str(aof)), "", 130) is not None
    with pytest.raises(AofError, match=r"a\.2\.incr\.aof is damaged"):
        plan_truncation(open_set(str(aof)), "", 150)
    path = aof / "a.1.incr.aof"
    path.write_bytes(path.read_bytes() + b"junk")
    with pytest.raises(AofError, match=r"a\.1\.incr\.aof is damaged"):
        plan_truncation(open_set(str(aof)), "", 130)


def test_a_clock_that_went_backwards_is_refused_where_it_matters(aof: Path) -> None:
    path = aof / "a.2.incr.aof"
    path.write_bytes(path.read_bytes() + stamp(125) + put(8))
    for second in (120, 125, 139):
        with pytest.raises(AofError, match="went backwards"):
            plan_truncation(open_set(str(aof)), "", second)
    assert plan_truncation(open_set(str(aof)), "", 140) is None


def test_a_torn_end_is_left_out_of_a_copy(aof: Path) -> None:
    path = aof / "a.2.incr.aof"
    whole = path.read_bytes()
    path.write_bytes(whole + MULTI + put(1) + b"*")
    build(open_set(str(aof)), whole_plan(open_set(str(aof)), ""), str(aof.parent / "dest"))
    assert (aof.parent / "dest" / path.name).read_bytes() == whole


def test_a_new_directory_that_holds_something_else_is_refused(aof: Path) -> None:
    plan = whole_plan(open_set(str(aof)), "")
    (aof.parent / "dest").mkdir()
    assert not is_built(plan, str(aof.parent / "dest"))
    (aof.parent / "dest" / "x").write_text("x")
    with pytest.raises(AofError, match="holds something else"):
        is_built(plan, str(aof.parent / "dest"))


@pytest.mark.parametrize(
    ("text", "second"),
    [("1795391501", 1795391501), ("2026-11-22T23:51:41Z", 1795391501), ("2026-11-23 00:51:41.9+01:00", 1795391501)],
)
def test_seconds_are_read(text: str, second: int) -> None:
    assert parse_second(text) == second


@pytest.mark.parametrize("text", ["2026-11-22 23:51:41", "yesterday", "", "-5", "17953915010000"])
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(AofError, match="to_timestamp"):
        parse_second(text)


@given(
    st.lists(st.lists(BLOCKS, max_size=6), min_size=1, max_size=4),
    st.integers(-1, 40),
)
def test_exactly_the_writes_up_to_the_second_stay(parts: list[list[tuple[int, int, bool]]], second: int) -> None:
    """Any writes in any number of files: `second` passes later, so many writes, in a transaction or not."""
    now = number = 0
    model: list[tuple[int, bytes]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = [b"file b seq 1 type b\n"]
        (folder / "b").write_bytes(stamp(0))
        stamped = 0
        for place, blocks in enumerate(parts, 1):
            data = b""
            for later, writes, transaction in blocks:
                now += later
                block = b"".join(put(number + n) for n in range(writes))
                number += writes
                block = MULTI + block + EXEC if transaction else block
                if now > stamped:
                    data, stamped = data + stamp(now), now
                data += block
                model.append((now, block))
            (folder / f"i{place}").write_bytes(data)
            lines.append(b"file i%d seq %d type i\n" % (place, place))
        (folder / "a.manifest").write_bytes(b"".join(lines))
        wanted = b"".join(block for at, block in model if at <= second)
        if second < 0:
            with pytest.raises(AofError):
                plan_truncation(open_set(name), "", second)
            return
        found = plan_truncation(open_set(name), "", second)
        assert (found is None) == all(at <= second for at, _block in model)
        if found is not None:
            cut_in_place(open_set(name), found.plan, originals=False, seconds=0)
            assert found.commands > 0
        left = kept(folder)
        for at in range(now + 1):  # a look-alike goes from both
            left, wanted = left.replace(stamp(at), b""), wanted.replace(stamp(at), b"")
        assert left == wanted
