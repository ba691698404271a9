# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of an import, wherever its keys come from, and what its module returns. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._errors import RedisBackupError
from .._repository.layout import is_export_label
from .._server.connection import Login
from .._times import from_iso
from .entry import TYPED_KINDS
from .formats import FORMATS
from .importing import Imported, ImportRequest
from .plan import CONFLICTS, TTL_POLICIES, Rules


def import_spec() -> dict[str, Any]:
    """The options of redis_import beside those that name the source."""
    return {
        "format": {"type": "str", "choices": list(FORMATS)},
        "identities": {"type": "list", "elements": "path", "default": []},
        "patterns": {"type": "list", "elements": "str", "default": []},
        "allow_unmatched": {"type": "bool", "default": False},
        "types": {"type": "list", "elements": "str", "choices": list(TYPED_KINDS), "default": []},
        "db": {"type": "list", "elements": "int", "default": []},
        "into_db": {"type": "int"},
        "rename": {
            "type": "dict",
            "options": {"from": {"type": "str", "default": ""}, "to": {"type": "str", "required": True}},
        },
        "on_conflict": {"type": "str", "choices": list(CONFLICTS), "default": "fail"},
        "ttl_policy": {"type": "str", "choices": list(TTL_POLICIES), "default": "keep"},
        "shift_from": {"type": "str"},
        "validate": {"type": "bool", "default": True},
        "keys_per_second": {"type": "float", "no_log": False},
    }


def backup_spec() -> dict[str, Any]:
    """The options that say which backup, or moment, keys are taken out of, and within what."""
    return {
        "source_instance": {"type": "str"},
        "label": {"type": "str"},
        "at": {"type": "str"},
        "before_command": {"type": "str"},
        "work_dir": {"type": "path"},
        "memory_limit_mb": {"type": "int"},
        "wait_timeout": {"type": "int", "default": 3600},
    }


def means_backup(params: Mapping[str, Any]) -> bool:
    """Whether the options name a backup: what lies in a repository and is not said to be an export of keys."""
    export = params.get("name") or (params["label"] and is_export_label(params["label"]))
    return bool(params["repository"]) and not export


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def request_of(params: Mapping[str, Any], login: Login) -> ImportRequest:
    """What the options ask for. Raises RedisBackupError."""
    rename, moment, limit = params["rename"], params["shift_from"], params["keys_per_second"]
    wrong = ""
    if any(number < 0 for number in [*params["db"], params["into_db"] or 0]):
        wrong = "db and into_db must not be negative"
    elif limit is not None and not 0 < limit < float("inf"):
        wrong = "keys_per_second must be more than 0, and finite"
    elif "" in params["patterns"]:
        wrong = "a pattern is empty: such a key is hardly meant"
    shift_from = None
    if moment:
        try:
            shift_from = from_iso(moment)
        except ValueError as error:
            wrong = f"shift_from: {error}"
    if wrong:
        raise RedisBackupError(wrong, untouched="Nothing was changed")
    return ImportRequest(
        login=login,
        state_dir=params["state_dir"],
        rules=Rules(
            on_conflict=params["on_conflict"],
            ttl_policy=params["ttl_policy"],
            types=frozenset(params["types"]),
            databases=frozenset(params["db"]),
            into_db=params["into_db"],
            rename=(_bytes(rename["from"]), _bytes(rename["to"])) if rename else None,
        ),
        patterns=tuple(map(_bytes, params["patterns"])),
        validate=params["validate"],
        keys_per_second=limit,
        shift_from=shift_from,
        allow_unmatched=params["allow_unmatched"],
    )


def result_of(done: Imported) -> dict[str, Any]:
    """What the module returns."""
    counts = done.counts
    created = counts.imported - counts.replaced
    after = {"created": created, "replaced": counts.replaced}
    return {
        "changed": done.changed,
        "actions": done.actions,
        "diff": {"before": "", "after": "".join(f"{count} keys {word}\n" for word, count in after.items() if count)},
        "imported": counts.imported,
        "replaced": counts.replaced,
        "skipped_count": counts.skipped,
        "expired": counts.expired,
        "dropped": counts.dropped,
        "unmatched": counts.unmatched,
        "repeated": counts.repeated,
        "failed_keys": done.bad.named,
        "failed_count": done.bad.count,
        "keys_per_second": done.keys_per_second,
        "duration_s": done.duration,
        "resumed": done.resumed,
    }
