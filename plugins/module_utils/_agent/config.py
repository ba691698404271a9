# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent is told: one JSON file for one instance. It holds secrets, so nobody else may read or write it."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._errors import ConfigError
from .._files import read_json
from .._repository.open import open_store
from .._repository.pipeline import Packing
from .._repository.store import Store
from .._server.connection import Login
from .._server.instance import Place

_LOGIN = tuple(name for name in Login.__dataclass_fields__)
_PLACE = ("config_file", "data_dir", "executable", "service")


@dataclass(frozen=True)
class AgentConfig:
    """One instance to archive. Times are seconds."""

    instance: str
    login: Login
    place: Place
    store: Store
    packing: Packing
    state_dir: str
    interval: float = 15.0
    spool_bytes: int = 1024**3
    metrics_file: str = ""


def read_config(path: str) -> AgentConfig:
    """The configuration in a file. Raises ConfigError, RepositoryError."""
    try:
        found = os.stat(path)
        document = read_json(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", hint="The role redis_archive writes it") from None
    if found.st_mode & (stat.S_IWGRP | stat.S_IRWXO):
        raise ConfigError(
            f"{path} can be written by its group, or read by everybody, and may hold secrets", hint="chmod 0640 it"
        )
    try:
        return parse_config(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        words = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{path} is not as it should be ({words})", hint="The role redis_archive writes it") from None


def parse_config(document: Mapping[str, Any]) -> AgentConfig:
    """The configuration in a document. Raises KeyError, TypeError, ValueError and RepositoryError."""
    name = str(document["instance"])
    login = {key: value for key, value in document.get("login", {}).items() if key in _LOGIN and value is not None}
    place = {key: str(value) for key, value in document.get("place", {}).items() if key in _PLACE and value}
    encryption = document["encryption"]
    if encryption not in ("age", "none"):
        raise ValueError("encryption must be age or none")
    recipients = tuple(str(each) for each in document.get("recipients", ())) if encryption == "age" else ()
    if encryption == "age" and not recipients:
        raise ValueError("recipients are missing")
    interval = float(document.get("interval", 15))
    if not 0.1 <= interval <= 86400:
        raise ValueError("interval must be from 0.1 to 86400 seconds")
    return AgentConfig(
        instance=name,
        login=Login(**login),
        place=Place(name, **place),
        store=open_store(document["repository"]),
        packing=Packing(int(document.get("compression_level", 1)), recipients),
        state_dir=str(document["state_dir"]),
        interval=interval,
        spool_bytes=int(document.get("spool_bytes", 1024**3)),
        metrics_file=str(document.get("metrics_file") or ""),
    )
