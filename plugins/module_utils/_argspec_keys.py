# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that say which keys to export and where to, and how they become the library's values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._argspec import state_of
from ._argspec_repository import packing_of, stores_of
from ._errors import RedisBackupError
from ._keys.export import Wanted
from ._keys.formats import FORMATS
from ._keys.nodes import GIVEN, READ_FROM
from ._keys.reading import Selection
from ._keys.to_repository import ExportRequest, check_export
from ._server.connection import Login


def export_spec() -> dict[str, Any]:
    """The options of an export but for where it goes."""
    return {
        "patterns": {"type": "list", "elements": "str", "default": ["*"]},
        "allow_unmatched": {"type": "bool", "default": False},
        "db": {"type": "list", "elements": "int"},
        "types": {"type": "list", "elements": "str", "default": []},
        "format": {"type": "str", "choices": list(FORMATS), "default": FORMATS[0]},
        "read_from": {"type": "str", "choices": list(READ_FROM), "default": GIVEN},
        "keys_per_second": {"type": "int", "no_log": False},
    }


def stored_spec() -> dict[str, Any]:
    """The options of an export that goes into repositories."""
    return {
        "name": {"type": "str", "default": "keys"},
        "repositories_min": {"type": "int"},
        "max_age": {"type": "int"},
        "annotations": {"type": "dict", "default": {}},
        "adopt": {"type": "bool", "default": False},
    }


def export_request_of(params: Mapping[str, Any]) -> ExportRequest:
    """How an export goes into repositories. Raises RedisBackupError."""
    request = ExportRequest(
        stores=stores_of(params),
        state=state_of(params),
        packing=packing_of(params),
        max_age=params["max_age"],
        max_ages={each["name"]: each["max_age"] for each in params["repositories"] if each["max_age"] is not None},
        annotations=params["annotations"],
        adopt=params["adopt"],
        repositories_min=params["repositories_min"],
        name=params["name"],
        patterns=tuple(params["patterns"]),
    )
    check_export(request)
    return request


def wanted_of(params: Mapping[str, Any], login: Login) -> Wanted:
    """What to export. Raises RedisBackupError."""
    databases, rate = params["db"], params["keys_per_second"]
    problem = ""
    if not params["patterns"]:
        problem = "patterns is empty: no key would be exported"
    elif databases is not None and (not databases or min(databases) < 0):
        problem = "db must name at least one database, by a number from 0"
    elif rate is not None and rate < 1:
        problem = "keys_per_second must be 1 or more"
    if problem:
        untouched = "Nothing was exported; the server is as it was"
        raise RedisBackupError(problem, untouched=untouched, hint="Correct it, or leave it out")
    selection = Selection(
        patterns=tuple(pattern.encode("utf-8", "surrogateescape") for pattern in params["patterns"]),
        databases=None if databases is None else frozenset(databases),
        types=frozenset(params["types"]),
        keys_per_second=rate,
    )
    return Wanted(login, selection, params["format"], params["read_from"], params["allow_unmatched"])
