# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a module's options to a drill. Pure."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from typing import Any, Callable

from .._errors import RedisBackupError
from .._recovery.checks import Expectation
from .._repository.store import Store
from .._server.connection import Login
from .._times import from_iso
from .._verify.loaded import Bounds
from .._verify.request import Host
from .limits import Limits
from .request import DrillRequest

_MB = 1024 * 1024


def request_of(
    params: Mapping[str, Any],
    stores: tuple[Store, ...],
    instance: str,
    host: Callable[[], Host],
    live: Login | None,
) -> DrillRequest:
    """What the options ask for. Raises RedisBackupError."""
    memory, disk = (_bytes(params[f"{name}_limit_mb"], name) for name in ("memory", "disk"))
    expect = params["expect"]
    _refuse(params)
    return DrillRequest(
        stores=stores,
        instance=instance,
        host=host,
        seed=params["seed"] if params["seed"] is not None else secrets.randbits(31),
        pick=params["pick"],
        label=params["label"] or "",
        second=_second(params["at"]),
        export=params["export"] or "",
        patterns=tuple(each.encode("utf-8", "surrogateescape") for each in params["patterns"]),
        expect=Expectation(
            keys_min=expect["keys_min"],
            keys_max=expect["keys_max"],
            present=tuple(expect["present"]),
            values=dict(expect["values"]),
            db=expect["db"],
            digest=expect["digest"],
        ),
        identities=tuple(params["identities"]),
        bounds=Bounds(params["work_dir"] or "", memory, params["wait_timeout"], disk),
        limits=Limits(params["cpu_percent"], memory, disk),
        live=live,
        rto_target=params["rto_target_seconds"],
        rpo_target=params["rpo_target_seconds"],
        shrink_ratio=params["shrink_ratio"],
    )


def _refuse(params: Mapping[str, Any]) -> None:
    wrong = ""
    if params["cpu_percent"] < 1:
        wrong = "cpu_percent must be 1 or more"
    elif params["expect"]["digest"] and (not params["label"] or params["patterns"]):
        wrong = "expect.digest is that of one whole backup, and label names none"
    elif "" in params["patterns"]:
        wrong = "a pattern is empty: such a key is hardly meant"
    elif any(target is not None and not 0 < target < math.inf for target in _targets(params)):
        wrong = "targets must be more than 0 seconds, and finite"
    if wrong:
        raise RedisBackupError(wrong, untouched="Nothing was changed")


def _targets(params: Mapping[str, Any]) -> list[Any]:
    return [params[f"{name}_target_seconds"] for name in ("rto", "rpo")]


def _bytes(megabytes: Any, name: str) -> int | None:
    if megabytes is None:
        return None
    if megabytes < 1:
        raise RedisBackupError(f"{name}_limit_mb must be 1 or more", untouched="Nothing was changed")
    return int(megabytes) * _MB


def _second(at: str | None) -> int | None:
    if not at:
        return None
    try:
        return math.floor(from_iso(at))
    except ValueError as error:
        raise RedisBackupError(f"at: {error}", untouched="Nothing was changed") from None
