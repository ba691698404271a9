# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes a backup worthless although every byte of it is as it was written. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._repository.entry import Entry
from .forms import alike


def why_worthless(entry: Entry, doubtful: Mapping[str, str], identity: str) -> list[str]:
    """Why a backup that loads must not be relied on: it is nearly empty, or another server's that carries the name.

    `identity` is the UUID that the repository knows. What a human acknowledged is taken as it is.
    """
    manifest = entry.manifest
    if manifest is None or entry.acknowledged:
        return []
    found = [doubtful[entry.label]] if entry.label in doubtful else []
    if identity and manifest.uuid != identity:
        found.append(
            f"it was made of another server that carries this name: its UUID is {manifest.uuid}, "
            f"the repository knows {identity}"
        )
    return found


def why_foreign(
    forms: Mapping[str, float], label: str, drilled: Sequence[Mapping[str, Any]], acknowledged: Sequence[str] = ()
) -> str:
    """Why what was loaded cannot be this instance's data: its keys look like none of those of the last good drill.

    Empty where they do, or nothing tells. A later one that a human `acknowledged` begins anew.
    """
    if label in acknowledged:
        return ""
    good = [each for each in drilled if each.get("ok") is True and each.get("forms")]
    if not good or good[-1].get("label") == label or any(each > str(good[-1].get("label")) for each in acknowledged):
        return ""
    before: Mapping[str, float] = good[-1]["forms"]
    if alike(forms, before):
        return ""
    what = good[-1].get("label") or good[-1].get("moment")
    return (
        f"it holds another instance's data, as it seems: its keys look like none of those that the drill of "
        f"{good[-1].get('time')} found in {what} (if the application has changed its keys, acknowledge a backup)"
    )
