# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup restored into a node of a cluster: only where the node will serve the very slots that the backup has.

Keys of foreign slots are kept by Redis as if they were being imported, and deleted by Valkey from 8.0 on as it loads.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from .._config.quoting import ENCODING, ERRORS
from .._errors import RestoreError
from .._repository.manifest import Manifest
from .._repository.whereabouts import cluster_of
from .._server.cluster import parse_nodes
from .._server.instance import Instance
from .._server.slots import in_words, merged_ranges

_UNTOUCHED = "Nothing was changed"
_IMPORT = "import its keys, which brings each to its node (redis_import; all of a set by redis_restore_import_set)"


def slots_of(manifest: Manifest) -> list[list[int]]:
    """The slots of the shard that a backup is of, as ranges; none where it is of no cluster, or does not tell. Pure."""
    if manifest.set:
        return merged_ranges(manifest.set["slots"])
    cluster = cluster_of(manifest)
    rows = {row["id"]: row for row in cluster.get("nodes", [])}
    mine = rows.get(cluster.get("my_id"), {})
    owner = rows.get(mine.get("primary_id"), mine)
    return merged_ranges(owner.get("slots") or [])


def require_slots(instance: Instance, slots: Sequence[Sequence[int]], label: str) -> None:
    """Raise RestoreError where a node of a cluster shall be restored from what does not tell its slots."""
    if is_node(instance) and not slots:
        raise RestoreError(
            f"{label} does not tell of which slots of a cluster it is, and {instance.title} is a node of a cluster",
            untouched=_UNTOUCHED,
            hint=f"Restore a backup of this shard; or {_IMPORT}",
        )


def is_node(instance: Instance) -> bool:
    """Whether it is a node of a cluster, or will be when it starts."""
    if instance.facts is not None:
        return instance.facts.mode == "cluster"
    return instance.next_start.get("cluster-enabled", "").lower() == "yes"


def require_place(instance: Instance, slots: Sequence[Sequence[int]], label: str) -> None:
    """Raise RestoreError unless nodes.conf says that this node is a primary with exactly the slots of the backup."""
    if not is_node(instance):
        return
    require_slots(instance, slots, label)
    path = instance.paths.nodes_file
    text = read_nodes_file(path) if path else None
    me = next((node for node in parse_nodes((text or "").encode(ENCODING, ERRORS), "") if node.is_myself), None)
    wants = in_words(slots)
    if me is None:
        what, hint = f"has no {path}", "Write it first, with redis_cluster_node and state: placed"
    elif me.is_replica:
        what, hint = f"is a replica by its {path}", "Restore its primary, which it then copies"
    elif merged_ranges(me.slots) != merged_ranges(slots):
        what = f"serves the slots {in_words(me.slots) or 'none'} by its {path}"
        hint = f"Restore a backup of just these slots; or {_IMPORT}"
    else:
        return
    raise RestoreError(
        f"{instance.title} {what}, and {label} holds the keys of the slots {wants}: keys of other slots would be "
        "lost or strayed",
        untouched=_UNTOUCHED,
        hint=hint,
    )


def read_nodes_file(path: str) -> str | None:
    """The text of a nodes.conf; None where there is none. No link is followed: it is the server's user's folder."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with open(fd, encoding=ENCODING, errors=ERRORS, newline="") as stream:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise RestoreError(f"{path} is no file", untouched=_UNTOUCHED, hint="Look who made it, and move it away")
        return stream.read()
