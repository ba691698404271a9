# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options for repositories that modules share, and how they become the library's values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._errors import RedisBackupError
from ._repository.open import open_store
from ._repository.pipeline import Packing
from ._repository.retention import Policy, policy_of
from ._repository.store import Store


def repository_options() -> dict[str, Any]:
    """The options of one repository (doc fragment `repository`)."""
    return {
        "name": {"type": "str", "required": True},
        "type": {"type": "str", "choices": ["posix", "s3", "rclone"], "default": "posix"},
        "path": {"type": "path"},
        "create": {"type": "bool", "default": False},
        "remote": {"type": "str"},
        "config_file": {"type": "path"},
        "bucket": {"type": "str"},
        "prefix": {"type": "str", "default": ""},
        "endpoint_url": {"type": "str"},
        "region": {"type": "str"},
        "access_key": {"type": "str", "no_log": True},
        "secret_key": {"type": "str", "no_log": True},
        "ca_certs": {"type": "path"},
        "validate_certs": {"type": "bool", "default": True},
        "path_style": {"type": "bool"},
        "storage_class": {"type": "str"},
        "server_side_encryption": {"type": "str", "choices": ["AES256", "aws:kms"]},
        "kms_key_id": {"type": "str", "no_log": False},
        "max_age": {"type": "int"},
        "keep": {"type": "dict", "options": keep_options()},
        "object_lock": {
            "type": "dict",
            "options": {
                "mode": {"type": "str", "choices": ["GOVERNANCE", "COMPLIANCE"], "required": True},
                "days": {"type": "int", "required": True},
            },
        },
    }


def keep_options() -> dict[str, Any]:
    """The rules of retention."""
    counts = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
    return {**{name: {"type": "int"} for name in counts}, "within": {"type": "float"}}


REPOSITORY_NEEDS = [("type", "posix", ["path"]), ("type", "s3", ["bucket"]), ("type", "rclone", ["remote"])]
"""Which options each type of repository must have."""


def repositories_spec(*, required: bool = True) -> dict[str, Any]:
    """The option `repositories`."""
    return {
        "repositories": {
            "type": "list",
            "elements": "dict",
            "required": required,
            "options": repository_options(),
            "required_if": REPOSITORY_NEEDS,
        }
    }


def source_and_destination_spec() -> dict[str, Any]:
    """The options `source` and `destination` (doc fragment `repository.copy`)."""
    one = {"type": "dict", "required": True, "options": repository_options(), "required_if": REPOSITORY_NEEDS}
    return {"source": one, "destination": one}


def stores_of(params: Mapping[str, Any]) -> tuple[Store, ...]:
    """The stores of the option `repositories`. Raises RedisBackupError when two carry one name."""
    entries = params["repositories"] or []
    names = [entry["name"] for entry in entries]
    if not names or len(set(names)) != len(names):
        raise RedisBackupError(
            "repositories must name at least one repository, and each name once", untouched="Nothing was changed"
        )
    return tuple(open_store(entry) for entry in entries)


def policies_of(params: Mapping[str, Any]) -> dict[str, Policy]:
    """The retention of each repository by its name: its own rules, else those of the option `keep`."""
    common, minimum = params["keep"] or {}, params["minimum_verified"]
    return {entry["name"]: policy_of(entry["keep"] or common, minimum) for entry in params["repositories"]}


def set_option() -> dict[str, Any]:
    """Which part of a cluster's set a backup is."""
    return {
        "type": "dict",
        "options": {
            "id": {"type": "str", "required": True},
            "shards": {"type": "int", "required": True},
            "shard": {"type": "str", "required": True},
            "slots": {"type": "list", "elements": "list", "required": True},
        },
    }


def packing_spec() -> dict[str, Any]:
    """The options `encryption` and `compression` (doc fragment `repository.packing`)."""
    recipients = {"type": "list", "elements": "str", "required": True}
    return {
        "encryption": {"type": "dict", "options": {"recipients": recipients}},
        "compression": {
            "type": "dict",
            "default": {},
            "options": {"level": {"type": "int", "default": 1}},
            "apply_defaults": True,
        },
    }


def packing_of(params: Mapping[str, Any]) -> Packing:
    """How artefacts are stored."""
    recipients = (params["encryption"] or {}).get("recipients") or []
    return Packing(level=params["compression"]["level"], recipients=tuple(recipients))
