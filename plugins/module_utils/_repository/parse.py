# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON that a repository holds: others may have written it. Pure."""

from __future__ import annotations

import json
from typing import Any


def parse_json(raw: bytes) -> Any:
    """The document in `raw`. Raises ValueError for what is none, also for one that is nested without an end."""
    try:
        return json.loads(raw)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
