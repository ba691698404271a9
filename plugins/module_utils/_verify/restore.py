# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Level `restore`: the same reading goes into a throw-away server's directory, and that server loads it."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

from .._aof.manifest import AofManifest
from .._aof.packed import ENGINE, Opener, Placement, opener_in, place_set
from .._errors import DamagedError, ServerError
from .._keys.digest import digest
from .._repository.manifest import Manifest, StoredFile
from .._repository.store import Store
from .._run import last_words
from .._server.connection import Server, UnreachableError, parse_info
from .._server.facts import Facts, parse_modules
from .._server.memory import available_memory
from .._server.programs import program_version
from .._server.throwaway import ThrowawayFailed, Workplace, throwaway, workplace
from .content import check_aof, check_rdb, require_loadable
from .counts import Loaded, count_problems, digest_problem, functions_problem
from .host import DEFAULT_PLACE, confinement, require_memory, require_place, require_room
from .record import earlier_records
from .request import Finding, Host, VerifyRequest

_DUMP = "dump.rdb"
_DATABASES = 1024
_AOF_DIR, _AOF_FILE = "appendonlydir", "appendonly.aof"  # as every server calls them by itself
_AOF_LINES = ["appendonly yes", "aof-load-truncated no", "auto-aof-rewrite-percentage 0", "appendfsync no"]
_PAUSE = 0.05
# A short read it cannot be: redis-check-rdb has just read all of it.
_OUT_OF_MEMORY = re.compile(
    r"Out Of Memory|Short read or OOM|failed allocating|Cannot allocate memory|Can't allocate", re.IGNORECASE
)
_BLAMES_THE_FILE = re.compile(
    r"Bad file format|Wrong RDB checksum|RDB CRC|Internal error in RDB|[Ee]rror loading"
    r"|reading the (?:append only|RDB base) file|AOF loading aborted|truncated file is not the last"
    r"|Can't handle RDB|Terminating server after rdb file reading failure|Unknown RDB|duplicated key|Corrupt",
)


def built_in_modules(host: Host) -> list[str]:
    """The modules that come with the program (Redis 8, Valkey 9.1): a throw-away server has no others."""
    with workplace(host.user) as place:
        conf = place.write("redis.conf", ("\n".join(place.own_lines) + "\n").encode())
        with throwaway(host.program, place, conf) as server:
            return [module["name"] for module in parse_modules(parse_info(server.call("INFO")))]


def conf_lines(place: Workplace, databases: Mapping[str, Any], *, aof: bool = False) -> list[str]:
    """The redis.conf of a server that loads dump.rdb, or its AOF, and speaks to nobody. Pure.

    With an AOF, it adds one empty file to it.
    """
    numbers = [int(name[2:]) + 1 for name in databases if re.fullmatch(r"db\d+", name)]
    return [
        *place.own_lines,
        'save ""',
        *(_AOF_LINES if aof else ["appendonly no"]),
        f"dbfilename {_DUMP}",
        f"databases {max([_DATABASES, *numbers])}",
        "maxmemory 0",
    ]


def load_data(
    request: VerifyRequest, host: Host, store: Store, manifest: Manifest, data: StoredFile, finding: Finding
) -> None:
    """Fetch an RDB or an AOF, checked as at level `content`, load it, and fill `finding`. Raises what that raises.

    Raises RedisBackupError before anything is fetched when this host cannot hold it.
    """
    if manifest.document["server"].get("modules"):
        require_loadable(manifest, host.program, built_in_modules(host))
    parent = request.work_dir or DEFAULT_PLACE
    available = available_memory()
    require_memory(manifest, data, request.memory_limit, available)
    require_place(parent)
    with workplace(host.user, parent) as place:
        require_room(parent, data)  # asked when what a killed run has left is gone
        _fetch(request, host, store, manifest, data, finding, opener_in(place.path))
        databases = manifest.document["keys"].get("databases") or {}
        lines = conf_lines(place, databases, aof=data.kind == ENGINE)
        conf = place.write("redis.conf", ("\n".join(lines) + "\n").encode())
        limit = request.memory_limit if request.memory_limit is not None else available
        with _told(place, manifest), throwaway(
            host.program, place, conf, cwd=place.path, confine=confinement(limit)
        ) as server:
            info = _wait_loaded(server, request.wait_timeout)
            _ask(server, info, place, store, manifest, finding)


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
            return place_set(found, member, version, _AOF_DIR, _AOF_FILE)

        check_aof(store, manifest, data, host.program, request.identities, placing, opener)
    else:
        with opener(_DUMP) as out:
            finding.keys = check_rdb(store, manifest, data, host.program, request.identities, out)


@contextlib.contextmanager
def _told(place: Workplace, manifest: Manifest) -> Iterator[None]:
    """Tell a server that ended while it loaded by its words: the backup's fault, or the host's."""
    try:
        yield
    except (ThrowawayFailed, UnreachableError) as error:
        words = place.words
        warnings = [line.split("# ", 1)[-1].strip() for line in words.splitlines() if "# " in line]
        said = last_words("\n".join(warnings).encode()) if warnings else ""
        if _BLAMES_THE_FILE.search(words) and not _OUT_OF_MEMORY.search(words):
            raise DamagedError(f"{manifest.label} does not load in a server: {said}") from None
        why = "it had too little memory" if _OUT_OF_MEMORY.search(words) else said or error.what
        raise ServerError(
            f"the throw-away server for {manifest.label} of {manifest.instance} ended by itself: {why}",
            untouched="Nothing was changed",
            hint="Raise memory_limit_mb, or look at this host's memory and its kernel log",
        ) from None


def _wait_loaded(server: Server, timeout: float) -> Facts:
    deadline = time.monotonic() + timeout
    while True:
        facts = Facts(parse_info(server.call("INFO")))
        if not facts.loading:
            return facts
        if time.monotonic() > deadline:
            raise ServerError(
                f"a throw-away server has not loaded within {timeout:g} s",
                untouched="Nothing was changed",
                hint="Raise wait_timeout",
            )
        time.sleep(_PAUSE)


def _ask(
    server: Server, facts: Facts, place: Workplace, store: Store, manifest: Manifest, finding: Finding
) -> None:
    """Count, digest, list functions, and hold it all against the manifest and earlier records."""
    loaded = Loaded(facts, place.words)
    finding.problems += count_problems(manifest.document["keys"], loaded)
    finding.digest, finding.keys = digest(server)
    if "number_of_functions" in facts.info:
        finding.functions = facts.number("number_of_functions")
        why = functions_problem(manifest.document, finding.functions)
        finding.problems += [why] if why else []
    after = Loaded(Facts(parse_info(server.call("INFO"))), loaded.words)
    finding.server = {"flavour": facts.flavour, "version": facts.version_text}
    if not loaded.fields_expire and not after.fields_expire:
        records = earlier_records(store, manifest.instance, manifest.label)
        why = digest_problem(records, finding.digest, finding.keys, finding.server)
        finding.problems += [why] if why else []
