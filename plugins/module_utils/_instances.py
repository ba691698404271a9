# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The instances of a host as its inventory lists them, completed and checked. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from ._errors import RedisBackupError

_CONNECTION = (
    "login_host",
    "login_port",
    "login_unix_socket",
    "login_user",
    "login_password",
    "tls",
    "validate_certs",
    "ca_certs",
    "client_cert_file",
    "client_key_file",
    "command_map",
    "connect_timeout",
    "config_file",
    "data_dir",
    "executable",
    "service",
    "state_dir",
)
_OWN = ("name", "start_command", "stop_command", "tier", "source_instance", "settings", "profile")
_DEFAULT_PORT = 6379


def complete_instances(
    listed: Sequence[Mapping[str, Any]], hostname: str, defaults: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Each instance with what is its own (`name`, `tier`, `settings` ...), and `module_args`.

    `module_args` holds the options that every module takes. `defaults` are given to each instance that does not say
    otherwise. Raises RedisBackupError for unknown keys, and for two instances that share what only one can have: a
    name, an address, a redis.conf, a service.
    """
    completed: list[dict[str, Any]] = []
    arguments_of_all: list[Mapping[str, Any]] = []
    if isinstance(listed, (str, Mapping)) or not all(isinstance(entry, Mapping) for entry in listed):
        raise RedisBackupError(
            f"redis_instances of {hostname} must be a list with a mapping for each instance",
            hint="Write for example redis_instances: [{login_port: 6379, service: redis-server}]",
        )
    for entry in listed:
        known = {**(defaults or {}), **entry}
        unknown = sorted(set(known) - set(_CONNECTION) - set(_OWN))
        if unknown:
            raise RedisBackupError(
                f"redis_instances of {hostname}: unknown {', '.join(unknown)}",
                hint=f"Known are {', '.join(sorted((*_OWN, *_CONNECTION)))}",
            )
        port = known.get("login_port", _DEFAULT_PORT)
        name = known.get("name") or f"{hostname}-{port}"
        arguments = {option: known[option] for option in _CONNECTION if known.get(option) is not None}
        arguments_of_all.append(arguments)
        completed.append(
            {
                "name": name,
                "start_command": known.get("start_command") or "",
                "stop_command": known.get("stop_command") or "",
                "service": known.get("service") or "",
                "tier": known.get("tier") or "standard",
                "source_instance": known.get("source_instance") or "",
                "settings": _settings(known, f"redis_instances of {hostname}: {name}"),
                "profile": known.get("profile") or "",
                "module_args": {**arguments, "instance": name},
            }
        )
    unique = {
        "name": [str(instance["name"]) for instance in completed],
        "address": [_address(known) for known in arguments_of_all],
        "config_file": _paths(arguments_of_all, "config_file"),
        "service": [str(each["service"]).removesuffix(".service") for each in arguments_of_all if each.get("service")],
    }
    for what, seen in unique.items():
        twice = sorted({value for value in seen if seen.count(value) > 1})
        if twice:
            raise RedisBackupError(
                f"redis_instances of {hostname}: two instances have the {what} {', '.join(twice)}",
                hint="Give each instance of a host its own name, login_port, service and config_file",
            )
    return completed


def _settings(known: Mapping[str, Any], title: str) -> dict[str, Any]:
    settings = known.get("settings") or {}
    if not isinstance(settings, Mapping):
        hint = "Write for example settings: {maxmemory: 2gb}"
        raise RedisBackupError(f"{title}: settings must map directives to values", hint=hint)
    return dict(settings)


def _paths(all_arguments: Sequence[Mapping[str, Any]], option: str) -> list[str]:
    return [posixpath.normpath(str(arguments[option])) for arguments in all_arguments if arguments.get(option)]


def _address(arguments: Mapping[str, Any]) -> str:
    if arguments.get("login_unix_socket"):
        return str(arguments["login_unix_socket"])
    return f"{arguments.get('login_host', '127.0.0.1')}:{arguments.get('login_port', _DEFAULT_PORT)}"
