# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing one backup: one reading of one snapshot into every repository, the manifest last."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from .._errors import RepositoryError, SnapshotError
from .._repository.layout import (
    MANIFEST,
    SUMS,
    backup_path,
    sums_text,
)
from .._repository.manifest import Manifest, StoredFile, seal
from .._repository.store import Store
from .._server.facts import Facts, parse_modules
from .._server.instance import Instance
from .._server.latency import ping_latency
from .._server.topology import topology
from .._snapshot.checker import RdbChecker
from .._snapshot.proof import CheckReport, why_unproven
from .._snapshot.rdb_header import HEADER_BYTES, RdbHeader, parse_header
from .._snapshot.source import RdbSource, SnapshotOrigin
from .._times import from_iso, now, to_iso
from .aof import store_aof
from .artefact import Taken, forget, noted, store_artefact
from .cluster_set import SlotWatch
from .request import AOF, BackupRequest, BackupResult
from .server_files import collect
from .snapshots import alone_on_host, open_snapshot
from .standing import Standing
from .turn import free_label


class _HeaderTap:
    """Keeps the first bytes that pass."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: memoryview) -> None:
        if len(self.data) < HEADER_BYTES:
            self.data += bytes(data[: HEADER_BYTES - len(self.data)])


def write_backup(
    instance: Instance,
    facts: Facts,
    identity: str,
    serial: int,
    request: BackupRequest,
    standing: Standing,
    actions: list[str],
) -> BackupResult:
    """Write one backup to the repositories that are still in. One that fails on the way is out, and has nothing of it.

    Raises when none is left, or when the data itself cannot be had.
    """
    begun, started = time.monotonic(), now()
    failed = standing.failed
    label = free_label(standing, instance.name, request.engine)
    folder = backup_path(instance.name, label)
    encrypted = bool(request.packing.recipients)
    notes: list[str] = []
    stores = {store.name: store for store in standing.alive}
    try:
        rate = facts.number("instantaneous_ops_per_sec")
        baseline = {"ping_ms": ping_latency(instance.server), "ops_per_second": rate}
        place = topology(instance)
        program = instance.program()
        watch = SlotWatch(instance, request.part) if request.part else None
        if request.engine == AOF:
            taken = store_aof(instance, program, folder, stores, failed, request, notes)
        else:
            with alone_on_host(instance, request):
                taken = _take_rdb(instance, facts, program, folder, stores, failed, request, notes)
        if watch is not None:
            watch.require_same()
        server, kept, missing = _store_server_files(instance, folder, stores, failed, request)
    except RepositoryError:
        forget(stores, folder)
        standing.require_one()
        raise
    except BaseException:
        forget(stores, folder)
        raise
    files = [taken.file, server]
    document = {
        "label": label,
        "instance": instance.name,
        "uuid": identity,
        "serial": serial,
        "engine": request.engine,
        "source": taken.method,
        "started": to_iso(started),
        "finished": to_iso(now()),
        "duration_s": round(time.monotonic() - begun, 3),
        "snapshot_time": to_iso(taken.snapshot_time),
        "server": _server_document(facts, taken),
        "topology": place,
        "keys": dict(taken.keys),
        "files": [asdict(file) for file in files],
        "server_files": {"kept": kept, "missing": missing, "redacted": not encrypted},
        "compression": {"program": "zstd", "level": request.packing.level},
        "encryption": {"program": "age", "recipients": list(request.packing.recipients)} if encrypted else None,
        "checks": taken.checks,
        "baseline": baseline,
        "annotations": dict(request.annotations),
        **({"set": watch.document()} if watch is not None else {}),
        **taken.more,
    }
    manifest = Manifest(document)
    for name, store in stores.items():
        if name not in failed:
            with noted(failed, name):
                store.write(f"{folder}/{SUMS}", sums_text([(f.name, f.sha256) for f in files]).encode())
                store.write(f"{folder}/{MANIFEST}", seal(document))
    forget({name: store for name, store in stores.items() if name in failed}, folder)
    done = standing.names
    actions += [*notes, *(f"wrote {label} to {stores[name].where()}" for name in done)]
    standing.require_one()
    return BackupResult(True, actions, result_of(manifest, done))


def _take_rdb(
    instance: Instance,
    facts: Facts,
    program: str,
    folder: str,
    stores: dict[str, Store],
    failed: dict[str, RepositoryError],
    request: BackupRequest,
    notes: list[str],
) -> Taken:
    """A new snapshot, stored and proven."""
    with open_snapshot(instance, request.source, request.wait_timeout, notes) as source:
        file, report, header = _store_rdb(source, program, folder, stores, failed, request)
        origin = source.origin
    offset = header.aux.get("repl-offset", "")
    known = origin.repl_offset if origin.repl_offset >= 0 else int(offset) if offset.isdecimal() else None
    return Taken(
        file=file,
        method=origin.method,
        snapshot_time=header.ctime or origin.asked_at,
        format=header.format,
        replid=origin.replid or header.aux.get("repl-id", ""),
        repl_offset=known,
        keys={
            "total": report.keys,
            "expires": report.expires,
            "expired": report.expired,
            "databases": {db: dict(count) for db, count in origin.keyspace.items()},
            "databases_exact": origin.window is not None and origin.window.exact,
            "field_ttls": facts.hashes_with_field_ttls,
        },
        checks=[
            {"name": "redis-check-rdb", "ok": True, "found": f"{report.keys} keys read"},
            {"name": "key count around the fork", "ok": True, "found": _window_words(origin)},
        ],
    )


def _store_rdb(
    source: RdbSource,
    program: str,
    folder: str,
    stores: dict[str, Store],
    failed: dict[str, RepositoryError],
    request: BackupRequest,
) -> tuple[StoredFile, CheckReport, RdbHeader]:
    head = _HeaderTap()
    seen: dict[str, Any] = {}
    with RdbChecker(program) as checker:

        def chunks() -> Iterator[memoryview]:
            for chunk in source.chunks():
                yield chunk
                if checker.broken:
                    return  # its verdict follows; nothing behind it matters

        def proven(size: int) -> None:
            seen["report"] = report = checker.finish()
            origin = source.origin
            what = f"the snapshot of {origin.path or 'the replication stream'}"
            seen["header"] = header = parse_header(head.data, what)
            why = why_unproven(
                report=report, size=size, ctime=header.ctime, asked_at=origin.asked_at, window=origin.window
            )
            if why:
                raise SnapshotError(
                    f"{what} is not good: {why}",
                    untouched="No backup was made; the earlier ones and the server are as they were",
                    hint="Run again; if it stays so, look at the server's memory and disk",
                )

        threads = 0 if source.origin.path else 1  # a stream comes no faster than one thread packs it
        file = store_artefact(
            chunks(),
            "dump.rdb",
            "rdb",
            folder,
            stores,
            failed,
            request.packing,
            taps=(head, checker),
            threads=threads,
            proven=proven,
        )
    return file, seen["report"], seen["header"]


def _store_server_files(
    instance: Instance,
    folder: str,
    stores: dict[str, Store],
    failed: dict[str, RepositoryError],
    request: BackupRequest,
) -> tuple[StoredFile, list[str], list[str]]:
    data, kept, missing = collect(instance, redact=not request.packing.recipients)
    file = store_artefact([memoryview(data)], "server.tar", "server", folder, stores, failed, request.packing)
    return file, kept, missing


def _window_words(origin: SnapshotOrigin) -> str:
    window = origin.window
    if window is None or window.changes is None:
        return "not known: the server was saving meanwhile"
    return f"{window.before} keys before, {window.after} after, {window.changes} changes between"


def _server_document(facts: Facts, taken: Taken) -> dict[str, Any]:
    return {
        "flavour": facts.flavour,
        "version": facts.version_text,
        "rdb_magic": taken.format.magic,
        "rdb_version": taken.format.version,
        "modules": parse_modules(facts.info),
        "functions": facts.number("number_of_functions"),
        "run_id": facts.info.get("run_id", ""),
        "replid": taken.replid,
        "repl_offset": taken.repl_offset,
        "used_memory_bytes": facts.number("used_memory"),
        "maxmemory_policy": facts.info.get("maxmemory_policy", ""),
    }


def result_of(manifest: Manifest, repositories: list[str]) -> dict[str, Any]:
    document = manifest.document
    files = manifest.files
    return {
        "label": manifest.label,
        "instance": manifest.instance,
        "engine": manifest.engine,
        "source": document.get("source"),
        "time": document["snapshot_time"],
        "age_seconds": max(int(now() - from_iso(document["snapshot_time"])), 0),
        "size": sum(f.size for f in files),
        "stored_size": sum(f.stored_size for f in files),
        "files": [asdict(f) for f in files],
        "keys": document["keys"]["total"],
        "duration_s": document["duration_s"],
        "encrypted": manifest.encrypted,
        "verified": False,
        "set": dict(manifest.set) or None,
        "repositories": repositories,
    }
