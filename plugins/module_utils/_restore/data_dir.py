# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is this directory one that a Redis server keeps its data in? Pure."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence

from .._server.paths import Paths

WORKSPACE = ".redis_backup"
_HARMLESS = re.compile(
    r"lost\+found|\.snapshot|temp-.*|.*\.(log|pid|sock|socket|conf|acl|tmp|bak|so)(\.\d+)?|nodes.*\.conf|\..*"
)


def data_entries(names: Iterable[str], data_names: Sequence[str]) -> list[str]:
    """Those of the directory's entries that hold a data set, `data_names` telling which may."""
    present = set(names)
    return [name for name in data_names if name in present]


def why_no_data_dir(names: Iterable[str], paths: Paths) -> str | None:
    """The reason why a directory with these entries is no Redis data directory; None when it is one, or is empty."""
    own = (WORKSPACE, os.path.basename(paths.nodes_file))
    present = [name for name in names if name not in own]
    if data_entries(present, paths.data_names()):
        return None
    foreign = sorted(name for name in present if not _HARMLESS.fullmatch(name))
    if foreign:
        shown = ", ".join(foreign[:3]) + (" and more" if len(foreign) > 3 else "")
        return f"it holds {shown} and none of {', '.join(paths.data_names())}"
    return None
