# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Level `restore`: the same reading goes into a throw-away server's directory, and that server loads it."""

from __future__ import annotations

import time

from .._aof.manifest import AofManifest
from .._aof.packed import ENGINE, Opener, Placement, opener_in, place_set
from .._keys.digest import digest
from .._repository.manifest import Manifest, StoredFile
from .._repository.store import Store
from .._server.connection import parse_info
from .._server.facts import Facts
from .._server.memory import available_memory
from .._server.programs import program_version
from .content import check_aof, check_rdb, require_loadable
from .counts import Loaded as Counted
from .counts import count_problems, digest_problem, functions_problem
from .host import require_memory
from .loaded import AOF_DIR, AOF_FILE, DUMP, Bounds, Loaded, built_in_modules, conf_lines, loaded, own_place
from .record import earlier_records
from .request import Finding, Host, VerifyRequest


def load_data(
    request: VerifyRequest, host: Host, store: Store, manifest: Manifest, data: StoredFile, finding: Finding
) -> None:
    """Fetch an RDB or an AOF, checked as at level `content`, load it, and fill `finding`. Raises what that raises.

    Raises RedisBackupError before anything is fetched when this host cannot hold it.
    """
    if manifest.document["server"].get("modules"):
        require_loadable(manifest, host.program, built_in_modules(host))
    bounds = Bounds(request.work_dir, request.memory_limit, request.wait_timeout, request.disk_limit)
    available = available_memory()
    require_memory(manifest, data, bounds.memory, available)
    begun = time.monotonic()
    with own_place(host, bounds, data.size) as place:
        _fetch(request, host, store, manifest, data, finding, opener_in(place.path))
        fetched = time.monotonic()
        databases = manifest.document["keys"].get("databases") or {}
        lines = conf_lines(place, databases, aof=data.kind == ENGINE)
        title = (manifest.label, manifest.instance)
        with loaded(host, place, lines, bounds, available, title) as found, found.telling():
            finding.seconds.update(fetch=fetched - begun, load=time.monotonic() - fetched)
            _ask(found, store, manifest, finding)
            if request.inspect is not None:
                request.inspect(found)


def _fetch(
    request: VerifyRequest,
    host: Host,
    store: Store,
    manifest: Manifest,
    data: StoredFile,
    finding: Finding,
    opener: Opener,
) -> None:
    """Lay the data where a server of the host's program loads it."""
    if data.kind == ENGINE:
        version = program_version(host.program)[1]

        def placing(found: AofManifest | None, member: str) -> Placement:
            return place_set(found, member, version, AOF_DIR, AOF_FILE)

        check_aof(store, manifest, data, host.program, request.identities, placing, opener)
    else:
        with opener(DUMP) as out:
            finding.keys = check_rdb(store, manifest, data, host.program, request.identities, out)


def _ask(found: Loaded, store: Store, manifest: Manifest, finding: Finding) -> None:
    """Count, digest, list functions, and hold it all against the manifest and earlier records."""
    server, facts = found.server, found.facts
    before = Counted(facts, found.words)
    finding.problems += count_problems(manifest.document["keys"], before)
    begun = time.monotonic()
    finding.digest, finding.keys = digest(server)
    finding.seconds["digest"] = time.monotonic() - begun
    if "number_of_functions" in facts.info:
        finding.functions = facts.number("number_of_functions")
        why = functions_problem(manifest.document, finding.functions)
        finding.problems += [why] if why else []
    after = Counted(Facts(parse_info(server.call("INFO"))), before.words)
    finding.server = {"flavour": facts.flavour, "version": facts.version_text}
    if not before.fields_expire and not after.fields_expire:
        records = earlier_records(store, manifest.instance, manifest.label)
        why = digest_problem(records, finding.digest, finding.keys, finding.server)
        finding.problems += [why] if why else []
