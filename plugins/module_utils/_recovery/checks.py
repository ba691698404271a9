# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is the recovered server what it should be? Data and service, each as one check with what was found and wanted."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .._config.writes import CLOSED, FROZEN, SETTING
from .._keys.digest import digest
from .._server.cluster import parse_nodes
from .._server.connection import ReplyError, Server
from .._server.facts import Facts
from .._server.latency import ping_latency, ping_throughput
from .._server.slots import key_slot

_WAIT_MS = 10_000
_LEFT_OUT = "left out: it is frozen and takes no writes until it is thawed"


@dataclass(frozen=True)
class Check:
    """One answer: `found` and `wanted` in words or numbers."""

    name: str
    ok: bool
    found: Any
    wanted: Any

    def as_result(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Expectation:
    """What is asked for; None and empty ask nothing. `db` is where present and values look. Latency is milliseconds."""

    keys_min: int | None = None
    keys_max: int | None = None
    loaded_keys: int | None = None
    present: tuple[str, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)
    db: int = 0
    digest: str | None = None
    latency_ms_max: float | None = None
    probe: bool = False
    benchmark: bool = False
    replicas: int = 0


def count_checks(facts: Facts, expect: Expectation) -> list[Check]:
    """The checks that INFO alone answers. Pure."""
    checks = []
    keys = facts.keys
    if expect.keys_min is not None:
        checks.append(Check("keys_min", keys >= expect.keys_min, keys, f"at least {expect.keys_min}"))
    if expect.keys_max is not None:
        checks.append(Check("keys_max", keys <= expect.keys_max, keys, f"at most {expect.keys_max}"))
    if expect.loaded_keys is not None and "rdb_last_load_keys_loaded" in facts.info:
        loaded = facts.number("rdb_last_load_keys_loaded") + facts.number("rdb_last_load_keys_expired")
        checks.append(Check("loaded_keys", loaded == expect.loaded_keys, loaded, expect.loaded_keys))
    if expect.loaded_keys is not None:
        evicted = facts.number("evicted_keys")
        checks.append(Check("evicted_keys", evicted == 0, evicted, "none: maxmemory must hold the data set"))
    return checks


def run_checks(server: Server, facts: Facts, expect: Expectation, *, check_mode: bool = False) -> list[Check]:
    """All checks that are asked for. The probe and the benchmark are left out in check mode. Raises ServerError."""
    checks = count_checks(facts, expect)
    if expect.present or expect.values:
        if expect.db:
            server.call("SELECT", expect.db)
        checks += _key_checks(server, expect)
        if expect.db:
            server.call("SELECT", 0)
    if expect.digest is not None:
        found, _count = digest(server)
        checks.append(Check("digest", found == expect.digest.lower(), found, expect.digest.lower()))
    if expect.probe and not check_mode:
        checks.append(probe(server, facts))
    if expect.replicas and not check_mode:
        checks.append(reaches(server, facts, expect.replicas))
    if expect.latency_ms_max is not None:
        found_ms = ping_latency(server)["p99"]
        bound = expect.latency_ms_max
        checks.append(Check("latency_ms", found_ms <= bound, found_ms, f"at most {bound:g} (99 % of PINGs)"))
    if expect.benchmark and not check_mode:
        rate = ping_throughput(server)
        checks.append(Check("pings_per_second", rate > 0, rate, "measured"))
    return checks


def _key_checks(server: Server, expect: Expectation) -> list[Check]:
    checks = []
    replies = server.pipeline([("EXISTS", key) for key in expect.present])
    for key, reply in zip(expect.present, replies):
        if isinstance(reply, ReplyError):
            raise reply
        checks.append(Check(f"present {key}", reply == 1, "present" if reply == 1 else "missing", "present"))
    values = dict(expect.values)
    for key, reply in zip(values, server.pipeline([("GET", key) for key in values])):
        if isinstance(reply, ReplyError):
            found: Any = reply.message
        else:
            found = None if reply is None else reply.decode("utf-8", "replace")
        checks.append(Check(f"value {key}", found == str(values[key]), found, str(values[key])))
    return checks


def probe(server: Server, facts: Facts) -> Check:
    """Write, read and delete a key of our own; where writes are closed by us, they open for this pipeline only.

    A server runs the commands of one packet without another client's between them.
    """
    wanted = "written, read, deleted"
    if facts.role == "replica":
        return Check("probe", True, "left out: a replica takes no writes", wanted)
    key, value = probe_key(server, facts), secrets.token_hex(8)
    if not key:
        return Check("probe", True, "left out: it serves no slots of its cluster", wanted)
    commands: list[tuple[Any, ...]] = [("SET", key, value, "PX", 60000), ("GET", key), ("DEL", key)]
    demanded = server.config_get_if_allowed(SETTING).get(SETTING)
    if demanded == str(FROZEN):
        return Check("probe", True, _LEFT_OUT, wanted)
    closed = demanded == str(CLOSED)
    if closed:
        commands = [("CONFIG", "SET", SETTING, 0), *commands, ("CONFIG", "SET", SETTING, CLOSED)]
    replies = server.pipeline(commands)
    if closed:
        replies = replies[1:-1]
    refused = next((r for r in replies if isinstance(r, ReplyError)), None)
    if refused is not None:
        return Check("probe", False, _in_words(refused), wanted)
    good = replies == [b"OK", value.encode(), 1]
    return Check("probe", good, wanted if good else "another value came back", wanted)


def probe_key(server: Server, facts: Facts) -> str:
    """A key of our own that nobody else has; in a cluster one of the node's own slots, empty where it has none."""
    if facts.mode != "cluster":
        return f"redis_backup:probe:{secrets.token_hex(8)}"
    nodes = parse_nodes(server.call("CLUSTER", "NODES"), server.login.host)
    ranges = [each for node in nodes if node.is_myself for each in node.slots]
    while ranges:
        key = f"redis_backup:probe:{secrets.token_hex(8)}"
        slot = key_slot(key.encode())
        if any(first <= slot <= last for first, last in ranges):
            return key
    return ""


def _in_words(refused: ReplyError) -> str:
    if refused.code == "CLUSTERDOWN":
        return f"{refused.message}: its cluster is not whole, a shard is down or slots belong to nobody"
    return refused.message


def reaches(server: Server, facts: Facts, replicas: int) -> Check:
    """Whether a write to this primary reaches so many replicas: they say so themselves (WAIT)."""
    key = probe_key(server, facts)
    wanted = f"{replicas} replicas acknowledge a write"
    if not key:
        return Check("replicas", False, "it serves no slots of its cluster", wanted)
    if server.config_get_if_allowed(SETTING).get(SETTING) == str(FROZEN):
        return Check("replicas", True, _LEFT_OUT, wanted)
    replies = server.pipeline(
        [("SET", key, "1", "PX", 60000), ("WAIT", replicas, _WAIT_MS), ("DEL", key), ("WAIT", replicas, _WAIT_MS)]
    )
    refused = next((r for r in replies if isinstance(r, ReplyError)), None)
    if refused is not None:
        return Check("replicas", False, _in_words(refused), wanted)
    count = min(int(replies[1]), int(replies[3]))
    return Check("replicas", count >= replicas, f"{count} did", wanted)


def expectation_of(params: Mapping[str, Any]) -> Expectation:
    """The options of redis_check as one value."""
    expect = params["expect"]
    return Expectation(
        keys_min=expect["keys_min"],
        keys_max=expect["keys_max"],
        loaded_keys=expect["loaded_keys"],
        present=tuple(expect["present"]),
        values=dict(expect["values"]),
        db=expect["db"],
        digest=expect["digest"],
        latency_ms_max=params["latency_ms_max"],
        probe=params["probe"],
        benchmark=params["benchmark"],
        replicas=params["replicas"],
    )
