# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The header of archived objects: read back as written, and any changed byte is told."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.frame import (
    LONGEST,
    After,
    FrameError,
    Segment,
    frame_length,
    parse_frame,
)
from hypothesis import given
from hypothesis import strategies as st

SEGMENT = Segment(
    instance="web1-6379",
    uuid="a7a4eeb2-feef-4482-943f-090607dd2e2b",
    epoch="20261123T105828Z-1-1c8b024d",
    file="appendonly.aof.1.incr.aof",
    kind="incr",
    seq=1,
    offset=8029,
    length=15980,
    sha256="0" * 64,
    written=1795431508.5,
    previous="1" * 64,
    lower=1795431507.0,
    clocks=((10000, 1795431507.5, 1795431507.6), (24009, 1795431508.0, 1795431508.1)),
    after=After("20261123T105728Z-0-1c8b024d", "appendonly.aof.0.incr.aof", 7, True),
    gaps=({"from": 1.0, "to": 2.0, "reason": "it was so"},),
    server={"run_id": "2" * 40},
)


def test_read_back_as_written() -> None:
    assert parse_frame(SEGMENT.frame()) == SEGMENT
    assert parse_frame(SEGMENT.frame() + b"the data") == SEGMENT
    assert SEGMENT.end == 24009
    assert frame_length(SEGMENT.frame()[:8]) == len(SEGMENT.frame())


def test_zstd_passes_over_it() -> None:
    data = subprocess.run(["zstd", "-q", "-c"], input=b"the bytes of an AOF", check=True, capture_output=True).stdout
    opened = subprocess.run(["zstd", "-q", "-d", "-c"], input=SEGMENT.frame() + data, check=True, capture_output=True)
    assert opened.stdout == b"the bytes of an AOF"


@given(st.integers(min_value=0, max_value=len(SEGMENT.frame()) - 1), st.integers(min_value=1, max_value=255))
def test_any_changed_byte_is_told(at: int, change: int) -> None:
    frame = bytearray(SEGMENT.frame())
    frame[at] ^= change
    with pytest.raises(FrameError):
        parse_frame(bytes(frame))


@given(st.integers(min_value=0, max_value=len(SEGMENT.frame()) - 1))
def test_a_cut_header_is_told(at: int) -> None:
    with pytest.raises(FrameError):
        parse_frame(SEGMENT.frame()[:at])


@given(st.binary(max_size=200))
def test_anything_else_is_told(data: bytes) -> None:
    with pytest.raises(FrameError):
        parse_frame(data)


@pytest.mark.parametrize(
    "change", [{"offset": -1}, {"length": "many"}, {"kind": "other"}, {"seq": True}, {"time": "noon"}, {"uuid": None}]
)
def test_what_cannot_be_is_told_although_its_hash_is_right(change: dict[str, object]) -> None:
    with pytest.raises(FrameError, match="cannot be"):
        parse_frame(replace(SEGMENT, **change).frame())  # type: ignore[arg-type]


def test_a_long_header_loses_samples_and_stays_small() -> None:
    """The pipe that it is written to holds no more; the newest sample stays."""
    clocks = tuple((number, float(number), float(number)) for number in range(3000))
    gaps = tuple({"from": float(number), "to": None, "reason": "x" * 100} for number in range(20))
    frame = replace(SEGMENT, clocks=clocks, gaps=gaps).frame()
    assert len(frame) <= LONGEST + 8
    assert parse_frame(frame).clocks[-1] == clocks[-1]
