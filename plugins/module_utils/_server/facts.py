# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What INFO says about a server, as one value. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


def parse_version(text: str) -> tuple[int, ...]:
    """`7.0.15` as (7, 0, 15); words after the numbers (`-rc1`) are dropped. Unreadable gives ()."""
    match = re.match(r"\d+(?:\.\d+)*", text.strip())
    return tuple(int(part) for part in match.group().split(".")) if match else ()


def parse_keyspace(info: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """Keys and expires of each database that holds any: `{"db0": {"keys": 2, "expires": 1}}`."""
    found: dict[str, dict[str, int]] = {}
    for name, value in info.items():
        if re.fullmatch(r"db\d+", name):
            fields = dict(part.split("=", 1) for part in value.split(",") if "=" in part)
            found[name] = {"keys": int(fields.get("keys", 0)), "expires": int(fields.get("expires", 0))}
    return found


def parse_modules(info: Mapping[str, str]) -> list[dict[str, str]]:
    """The loaded modules: `[{"name": "search", "ver": "20811"}]`."""
    found = []
    for line in info.get("module", "").splitlines():
        fields = dict(part.split("=", 1) for part in line.split(",") if "=" in part)
        if "name" in fields:
            found.append({"name": fields["name"], "ver": fields.get("ver", "")})
    return found


@dataclass(frozen=True)
class Facts:
    """The state of a server at one INFO. Sizes are bytes, times UTC seconds."""

    info: Mapping[str, str]

    @property
    def flavour(self) -> str:
        """`valkey` or `redis` (Valkey calls itself redis_version 7.2.4)."""
        valkey = "valkey_version" in self.info or self.info.get("server_name") == "valkey"
        return "valkey" if valkey else "redis"

    @property
    def version_text(self) -> str:
        """The flavour's own version."""
        return self.info.get("valkey_version") or self.info.get("redis_version", "")

    @property
    def version(self) -> tuple[int, ...]:
        """The flavour's own version, to compare."""
        return parse_version(self.version_text)

    @property
    def mode(self) -> str:
        """`standalone`, `cluster` or `sentinel` (Valkey 8 renamed the field)."""
        return self.info.get("redis_mode") or self.info.get("server_mode") or "standalone"

    @property
    def role(self) -> str:
        """`primary` or `replica`."""
        return "replica" if self.info.get("role") == "slave" else "primary"

    @property
    def loading(self) -> bool:
        return self.info.get("loading", "0") != "0" or self.info.get("async_loading", "0") != "0"

    @property
    def syncing(self) -> bool:
        """A replica that is receiving its primary's data set: what it holds is not whole."""
        return self.info.get("master_sync_in_progress", "0") != "0"

    @property
    def link_up(self) -> bool:
        """True for a primary, and for a replica whose link to its primary works."""
        return self.role == "primary" or self.info.get("master_link_status") == "up"

    @property
    def keyspace(self) -> dict[str, dict[str, int]]:
        return parse_keyspace(self.info)

    @property
    def keys(self) -> int:
        """Keys in all databases, those past their time and not yet removed included."""
        return sum(db["keys"] for db in self.keyspace.values())

    @property
    def hashes_with_field_ttls(self) -> int:
        """Hashes with fields that expire, in all databases; Redis and Valkey name their counts differently."""
        lines = [value for name, value in self.info.items() if re.fullmatch(r"db\d+", name)]
        counts = re.findall(r"(?:^|,)(?:subexpiry|keys_with_volatile_items)=(\d+)", "\n".join(lines), re.MULTILINE)
        return sum(int(count) for count in counts)

    def number(self, name: str, default: int = 0) -> int:
        """An INFO field as a whole number."""
        try:
            return int(self.info.get(name, default))
        except ValueError:
            return default

    def flag_ok(self, name: str) -> bool:
        """A status field that is `ok` (or absent)."""
        return self.info.get(name, "ok") == "ok"

    def persistence(self) -> dict[str, Any]:
        """The persistence section in words that outlive versions."""
        return {
            "aof_enabled": self.info.get("aof_enabled") == "1",
            "aof_rewrite_in_progress": self.info.get("aof_rewrite_in_progress") == "1",
            "aof_last_write_ok": self.flag_ok("aof_last_write_status"),
            "aof_last_rewrite_ok": self.flag_ok("aof_last_bgrewrite_status"),
            "aof_current_size": self.number("aof_current_size"),
            "rdb_bgsave_in_progress": self.info.get("rdb_bgsave_in_progress") == "1",
            "rdb_last_bgsave_ok": self.flag_ok("rdb_last_bgsave_status"),
            "rdb_last_save_time": self.number("rdb_last_save_time"),
            "rdb_changes_since_last_save": self.number("rdb_changes_since_last_save"),
            "loading": self.loading,
        }
