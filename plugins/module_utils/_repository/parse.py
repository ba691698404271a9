# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON that lies in a repository: anybody may have written it. Pure."""

from __future__ import annotations

import json
from typing import Any

_DEEPEST = 100


def parse_json(raw: bytes) -> Any:
    """The document in `raw`. Raises ValueError for what is none, or is nested deeper than anything can be written."""
    try:
        document = json.loads(raw)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if raw.count(b"[") + raw.count(b"{") > _DEEPEST and _is_deep(document):
        raise ValueError("it is nested too deeply")
    return document


def _is_deep(document: Any) -> bool:
    level = [document]
    for _depth in range(_DEEPEST):
        level = [inner for each in level for inner in _inner(each)]
        if not level:
            return False
    return True


def _inner(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
