# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON that anybody may have written gives a document or a ValueError."""

from __future__ import annotations

import json

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.parse import parse_json
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize("depth", [101, 500, 100_000])
@pytest.mark.parametrize("pair", ["[]", '{"a":}'])
def test_nested_without_an_end(depth: int, pair: str) -> None:
    """Whole or cut short: neither reading it nor writing it anew may end in a RecursionError."""
    before, after = pair[:-1], pair[-1]
    for raw in (before * depth + "1" + after * depth, before * depth):
        with pytest.raises(ValueError):
            parse_json(raw.encode())


def test_what_is_deep_enough_for_anything() -> None:
    assert parse_json(b"[" * 99 + b"]" * 99)
    wide = {str(number): [{"a": [number]}] for number in range(1000)}
    assert parse_json(json.dumps(wide).encode()) == wide


@given(st.binary(max_size=50))
def test_any_bytes(raw: bytes) -> None:
    try:
        expected = json.loads(raw)
    except ValueError:
        with pytest.raises(ValueError):
            parse_json(raw)
    else:
        assert repr(parse_json(raw)) == repr(expected)
