# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Sentinel watches, by its replies or by its sentinel.conf. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

Line = Sequence[str]


def fields_of(reply: object) -> dict[str, str]:
    """A flat list of names and values, as SENTINEL answers, as a mapping."""
    words = [_text(word) for word in reply] if isinstance(reply, list) else []
    return dict(zip(words[::2], words[1::2]))


def _text(word: object) -> str:
    return word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word)


def master_names(info: Mapping[str, str]) -> list[str]:
    """The names of the watched primaries in INFO: `master0:name=shop,status=ok,address=...`."""
    found = []
    for field, value in info.items():
        if re.fullmatch(r"master\d+", field):
            name = dict(part.split("=", 1) for part in value.split(",") if "=" in part).get("name")
            found += [name] if name else []
    return found


def master_result(master: object, replicas: object, sentinels: object, quorum_reply: object) -> dict[str, Any] | None:
    """One element of `topology.sentinel.masters` from SENTINEL MASTER, REPLICAS, SENTINELS and CKQUORUM.

    None where it is no longer watched. `quorum_reply` is the text of +OK, or an error.
    """
    fields = fields_of(master)
    if not fields.get("name"):
        return None
    flags = [flag for flag in fields.get("flags", "").split(",") if flag]
    quorum_words = _text(quorum_reply)
    return {
        "name": fields["name"],
        "host": fields.get("ip", ""),
        "port": _number(fields, "port"),
        "ok": flags == ["master"],
        "flags": flags,
        "quorum": _number(fields, "quorum"),
        "quorum_ok": quorum_words.startswith("OK"),
        "quorum_says": quorum_words,
        "num_sentinels": _number(fields, "num-other-sentinels") + 1,
        "num_replicas": _number(fields, "num-slaves"),
        "down_after_ms": _number(fields, "down-after-milliseconds"),
        "failover_timeout_ms": _number(fields, "failover-timeout"),
        "parallel_syncs": _number(fields, "parallel-syncs"),
        "config_epoch": _number(fields, "config-epoch"),
        "last_ok_ping_ms": _number(fields, "last-ok-ping-reply"),
        "replicas": _addresses(replicas),
        "sentinels": _addresses(sentinels),
    }


def _number(fields: Mapping[str, str], name: str) -> int:
    word = fields.get(name, "")
    return int(word) if is_number(word) else 0


def is_number(word: str) -> bool:
    """Digits alone; a superscript is one to Python."""
    return word.isascii() and word.isdigit()


def _addresses(reply: object) -> list[str]:
    each = [fields_of(entry) for entry in reply] if isinstance(reply, list) else []
    return [f"{fields['ip']}:{fields['port']}" for fields in each if fields.get("ip") and fields.get("port")]


def is_sentinel_conf(lines: Sequence[Line]) -> bool:
    """Whether these `sentinel` lines (their arguments) make a server a Sentinel that watches, or has watched."""
    return any(line and line[0].lower() in ("monitor", "myid", "current-epoch") for line in lines)


def my_id_in(lines: Sequence[Line]) -> str:
    """The Sentinel's own id in its sentinel.conf."""
    return next((line[1] for line in lines if len(line) > 1 and line[0].lower() == "myid"), "")


def unseen_master(name: str, host: str, port: int, quorum: int) -> dict[str, Any]:
    """One element of `topology.sentinel.masters` that no Sentinel tells, but something that was written down."""
    return {
        "name": name,
        "host": host,
        "port": port,
        "ok": False,
        "flags": [],
        "quorum": quorum,
        "quorum_ok": False,
        "quorum_says": "",
        "num_sentinels": 1,
        "num_replicas": 0,
        "down_after_ms": 30000,
        "failover_timeout_ms": 180000,
        "parallel_syncs": 1,
        "config_epoch": 0,
        "last_ok_ping_ms": 0,
        "replicas": [],
        "sentinels": [],
    }


def masters_in(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """`topology.sentinel.masters` as sentinel.conf has it, of a Sentinel that is down."""
    found: dict[str, dict[str, Any]] = {}
    for line in lines:
        if len(line) >= 5 and line[0].lower() == "monitor" and is_number(line[3]) and is_number(line[4]):
            found[line[1]] = unseen_master(line[1], line[2], int(line[3]), int(line[4]))
    for line in lines:
        master = found.get(line[1]) if len(line) > 2 else None
        if master is not None:
            _apply(master, line)
    return list(found.values())


_NUMBERS = {
    "down-after-milliseconds": "down_after_ms",
    "failover-timeout": "failover_timeout_ms",
    "parallel-syncs": "parallel_syncs",
    "config-epoch": "config_epoch",
}


def _apply(master: dict[str, Any], line: Line) -> None:
    name = line[0].lower()
    if name in _NUMBERS and is_number(line[2]):
        master[_NUMBERS[name]] = int(line[2])
    elif name in ("known-replica", "known-slave") and len(line) > 3:
        master["replicas"].append(f"{line[2]}:{line[3]}")
        master["num_replicas"] += 1
    elif name == "known-sentinel" and len(line) > 3:
        master["sentinels"].append(f"{line[2]}:{line[3]}")
        master["num_sentinels"] += 1
