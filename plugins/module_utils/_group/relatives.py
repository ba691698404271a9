# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that held the same data when it was backed up, and that a run does not see. Pure.

A primary that is down does not tell who its replicas are. They may live, hold newer data than any backup, and copy the
recovered primary as soon as it is back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .._topology.members import Book, Member, members_of


def unseen_relatives(
    relatives: Sequence[Mapping[str, Any]],
    members: Iterable[Mapping[str, Any] | Member],
    name: str,
    outside: Mapping[str, str] | None = None,
    gone: Sequence[str] = (),
) -> list[str]:
    """Words about each relative of the instance `name` that is no member. The filter of this name tells more."""
    known = members_of(members)
    book = Book(known)
    me = next((member for member in known if member.name == name), None)
    found = []
    for each in relatives:
        address = str(each["address"])
        host = (outside or {}).get(address.rpartition(":")[0].strip("[]"), "")
        if address in gone or (host and host in gone) or me is None or book.find_text(address, me) is not None:
            continue
        where = f"{address}, on {host}" if host else address
        found.append(f"{where} ({each['role']} of {name} when {each['label']} was made)")
    return found
