# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server that has loaded a backup must hold. Pure.

A primary drops keys past their time while it loads, and goes on doing so. What carries no expiry time must all be
there; what carries one may be gone, and nothing may be there that the backup does not hold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._server.facts import Facts

_HASHES = re.compile(r"Done loading RDB, keys loaded: \d+, keys expired: \d+, all fields expired hashes: (\d+)")
_EMPTY = re.compile(r"empty keys skipped: (\d+)")


@dataclass(frozen=True)
class Loaded:
    """A server that has loaded: one INFO, and the words it logged."""

    facts: Facts
    words: str = ""

    @property
    def dropped_hashes(self) -> int:
        """Hashes that were not loaded because all their fields had expired, as the log says (Valkey 9)."""
        found = _HASHES.findall(self.words)
        return int(found[-1]) if found else 0

    @property
    def vanished_fields(self) -> int:
        """How many fields of hashes expired: no more hashes than that can have gone with them."""
        names = ("expired_subkeys", "expired_fields")
        return self.dropped_hashes + sum(self.facts.number(name) for name in names)

    @property
    def fields_expire(self) -> bool:
        """Whether some hash has, or had, fields with an expiry time."""
        return bool(self.vanished_fields or self.facts.hashes_with_field_ttls)


def count_problems(keys: Mapping[str, Any], loaded: Loaded) -> list[str]:
    """What the counts of a loaded server say against a manifest's `keys`, in words; empty when they agree."""
    problems = []
    info = loaded.facts.info
    total, expires = int(keys["total"]), int(keys["expires"])
    unsure = int(keys.get("room") or 0)  # an AOF is counted while it is written
    if "rdb_last_load_keys_loaded" in info and "room" not in keys:
        read = loaded.facts.number("rdb_last_load_keys_loaded") + loaded.facts.number("rdb_last_load_keys_expired")
        if not total - loaded.dropped_hashes <= read <= total:
            problems.append(f"a server loaded {read} keys (expired ones counted), its manifest says {total}")
    empty = _EMPTY.search(loaded.words)
    if empty:
        problems.append(f"a server skipped {empty.group(1)} empty keys in it")
    served = loaded.facts.keyspace
    everything = {name: sum(db[name] for db in served.values()) for name in ("keys", "expires")}
    why = _why_not(everything, {"keys": total, "expires": expires}, loaded.vanished_fields, unsure)
    if why:
        problems.append(f"loaded in a server, it holds {why}")
    if keys.get("databases_exact"):
        wanted = keys.get("databases") or {}
        nothing = {"keys": 0, "expires": 0}
        for name in sorted(set(wanted) | set(served)):
            why = _why_not(served.get(name, nothing), wanted.get(name, nothing), loaded.vanished_fields)
            if why:
                problems.append(f"loaded in a server, {name} holds {why}")
    return problems


def _why_not(found: Mapping[str, int], wanted: Mapping[str, int], room: int, unsure: int = 0) -> str | None:
    """Why these keys are not those, `room` hashes with expired fields aside; None when they can be.

    The number that is wanted may be wrong by `unsure`.
    """
    lasting, due = found["keys"] - found["expires"], wanted["keys"] - wanted["expires"]
    if not due - room - unsure <= lasting <= due + unsure:
        return f"{lasting} keys without an expiry time, its manifest says {due}"
    if found["expires"] > wanted["expires"] + unsure:
        return f"{found['expires']} keys with an expiry time, its manifest says {wanted['expires']}"
    return None


def functions_problem(manifest: Mapping[str, Any], functions: int) -> str | None:
    """What the number of functions that a server loaded says against a manifest; None when it agrees, or cannot tell.

    Loading a function counts as a change: where there was none around the fork, that number is the snapshot's.
    """
    wanted = manifest["server"].get("functions")
    if not isinstance(wanted, int) or not manifest["keys"].get("databases_exact") or wanted == functions:
        return None
    return f"a server loaded {functions} functions, its manifest says {wanted}"


def digest_problem(
    records: Sequence[Mapping[str, Any]], digest: str, keys: int, server: Mapping[str, str]
) -> str | None:
    """What an earlier record says against the digest of the same stored bytes; None when it agrees, or cannot tell.

    Records are given oldest first. Those of another server's version do not count. Where as many keys were found, no
    key can have expired in between, so that the digests must be equal.
    """
    for record in reversed(records):
        same = record.get("server") == dict(server) and record.get("keys") == keys and record.get("digest")
        if record.get("level") == "restore" and record.get("ok") is True and same:
            if record["digest"] == digest:
                return None
            return (
                f"it loads into other data than on {record.get('time')}: the digest was {record['digest']}, "
                f"and is {digest}"
            )
    return None
