# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine `aof`: the server's AOF as it stands, pinned, read once, proven and stored while writes go on."""

from __future__ import annotations

from typing import Any

from .._aof.packed import ENGINE, SetError, SetFound, TornError, kind_words, packed_chunks
from .._aof.pin import PinnedSet, count_document, pin
from .._errors import RepositoryError, SnapshotError
from .._repository.manifest import StoredFile
from .._repository.store import Store
from .._server.compatibility import databases_of
from .._server.facts import Facts
from .._server.instance import Instance
from .._server.versions import RdbFormat, format_of
from .._times import to_iso
from .artefact import Taken, store_artefact
from .request import BackupRequest

CONTENT = "appendonlydir.tar"


def store_aof(
    instance: Instance,
    program: str,
    folder: str,
    stores: dict[str, Store],
    failed: dict[str, RepositoryError],
    request: BackupRequest,
    notes: list[str],
) -> Taken:
    """Pin the AOF, store it, and tell what it holds. Raises SnapshotError when it is not good."""
    with pin(instance, request.wait_timeout) as pinned:
        sizes = {file.name: file.size for file in pinned.files}
        try:
            file, found = _store(pinned, sizes, program, folder, stores, failed, request)
        except TornError as torn:
            # Rare: we came while the server wrote. What it had begun is left out.
            last = pinned.files[-1].name
            notes.append(f"left the last {sizes[last] - torn.whole} bytes of {last} out: they are no whole command")
            sizes[last] = torn.whole
            file, found = _store(pinned, sizes, program, folder, stores, failed, request)
    notes.append(f"read the AOF: {len(found.files)} files, {found.commands} commands")
    facts = pinned.after
    return Taken(
        file=file,
        method=ENGINE,
        snapshot_time=pinned.taken_at,
        format=_format(facts, found),
        replid=facts.info.get("master_replid", ""),
        repl_offset=None,
        keys=count_document(pinned),
        checks=_checks(pinned, found),
        more={ENGINE: {**_document(pinned, found), "databases": databases_of(instance.config, instance.next_start)}},
    )


def _store(
    pinned: PinnedSet,
    sizes: dict[str, int],
    program: str,
    folder: str,
    stores: dict[str, Store],
    failed: dict[str, RepositoryError],
    request: BackupRequest,
) -> tuple[StoredFile, SetFound]:
    found = SetFound()
    try:
        chunks = packed_chunks(pinned, sizes, program, found)
        return store_artefact(chunks, CONTENT, ENGINE, folder, stores, failed, request.packing, threads=0), found
    except SetError as error:
        raise SnapshotError(
            f"the AOF {pinned.title} is not good: {error}",
            untouched="No backup was made; the earlier ones and the server are as they were",
            hint="Make an RDB backup of the running server (engine: rdb); BGREWRITEAOF then replaces the damaged files",
        ) from None


def _format(facts: Facts, found: SetFound) -> RdbFormat:
    """What a server must know to load it: the commands are of this server's version, whoever wrote the RDB in it."""
    own = format_of(facts.flavour, facts.version)
    there = [each.header.format for each in found.files.values() if each.header is not None]
    return max([own, *there], key=lambda each: each.version)


def _checks(pinned: PinnedSet, found: SetFound) -> list[dict[str, Any]]:
    window = pinned.window
    reports = [each.report for each in found.files.values() if each.report is not None]
    checks: list[dict[str, Any]] = [
        {"name": "redis-check-rdb", "ok": True, "found": f"{report.keys} keys read"} for report in reports
    ]
    return [
        *checks,
        {"name": "commands", "ok": True, "found": f"{found.commands} whole commands"},
        {
            "name": "key count around the pin",
            "ok": True,
            "found": f"{window.before} keys before, {window.after} after, {window.changes} changes between",
        },
    ]


def _document(pinned: PinnedSet, found: SetFound) -> dict[str, Any]:
    """What the manifest tells of the AOF itself. Times are ISO 8601, None without annotations."""
    bases = [each.header.ctime for each in found.files.values() if each.header is not None and each.header.ctime]
    first, last = found.first_stamp, found.last_stamp
    return {
        "layout": pinned.layout,
        "appenddirname": pinned.paths.appenddirname,
        "appendfilename": pinned.paths.appendfilename,
        "files": [
            {
                "name": name,
                "kind": kind_words(pinned.manifest, name),
                "size": each.size,
                "commands": each.commands,
                "rdb_bytes": each.report.end_offset if each.report is not None else 0,
            }
            for name, each in found.files.items()
        ],
        "commands": found.commands,
        "base_time": to_iso(bases[0]) if bases else None,
        "first_timestamp": to_iso(first) if first is not None else None,
        "last_timestamp": to_iso(last) if last is not None else None,
    }
