# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that modules share, and how they become the library's values. Defaults live here alone."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Iterator, Mapping
from typing import Any, Callable

from ._errors import RedisBackupError
from ._repository.identity import HostState
from ._server.connection import Login
from ._server.instance import Place, default_name

PASSWORD_VARIABLE = "REDIS_BACKUP_LOGIN_PASSWORD"
STATE_DIR = "/var/lib/redis_backup"


def merged(*specs: Mapping[str, Any]) -> dict[str, Any]:
    """Several argument specs as one."""
    return {name: option for spec in specs for name, option in spec.items()}


def connection_spec(env_fallback: Callable[..., Any]) -> dict[str, Any]:
    """The options of the doc fragment `connection`, which every module takes."""
    return {
        "login_host": {"type": "str", "default": "127.0.0.1"},
        "login_port": {"type": "int", "default": 6379},
        "login_unix_socket": {"type": "path"},
        "login_user": {"type": "str"},
        "login_password": {"type": "str", "no_log": True, "fallback": (env_fallback, [PASSWORD_VARIABLE])},
        "tls": {"type": "bool", "default": False},
        "validate_certs": {"type": "bool", "default": True},
        "ca_certs": {"type": "path"},
        "client_cert_file": {"type": "path"},
        "client_key_file": {"type": "path"},
        "command_map": {"type": "dict", "default": {}},
        "connect_timeout": {"type": "float", "default": 5.0},
        "instance": {"type": "str"},
        "config_file": {"type": "path"},
        "data_dir": {"type": "path"},
        "executable": {"type": "path"},
        "service": {"type": "str"},
        "state_dir": {"type": "path", "default": STATE_DIR},
    }


def login_of(params: Mapping[str, Any]) -> Login:
    """How to reach the server."""
    return Login(
        host=params["login_host"],
        port=params["login_port"],
        unix_socket=params["login_unix_socket"],
        user=params["login_user"],
        password=params["login_password"],
        tls=params["tls"],
        validate_certs=params["validate_certs"],
        ca_certs=params["ca_certs"],
        client_cert_file=params["client_cert_file"],
        client_key_file=params["client_key_file"],
        command_map={str(k).lower(): str(v) for k, v in params["command_map"].items()},
        connect_timeout=params["connect_timeout"],
    )


def name_of(params: Mapping[str, Any]) -> str:
    """The instance's name."""
    return params["instance"] or default_name(socket.gethostname(), login_of(params))


def place_of(params: Mapping[str, Any]) -> Place:
    """What the user told about the instance."""
    return Place(
        name=name_of(params),
        config_file=params["config_file"] or "",
        data_dir=os.path.normpath(params["data_dir"]) if params["data_dir"] else "",
        executable=params["executable"] or "",
        service=params["service"] or "",
    )


def state_of(params: Mapping[str, Any]) -> HostState:
    """The host's memory of its instances."""
    return HostState(params["state_dir"])


@contextlib.contextmanager
def told(fail: Callable[..., Any], name: str = "", untouched: str = "") -> Iterator[None]:
    """Hand foreseen errors to `fail` (a module's fail_json) as one paragraph: no traceback reaches an operator.

    The paragraph names the instance `name`, and says what is `untouched` where the error does not know.
    """
    try:
        yield
    except RedisBackupError as error:
        fail(msg=error.paragraph(name, untouched), **error.details)
    except OSError as error:
        what = f"{error.filename or 'the system'}: {error.strerror or error}"
        fail(msg=RedisBackupError(what, hint="Mend this, then run again; it is safe").paragraph(name, untouched))


def readable(result: Any) -> Any:
    """A result in which bytes that are not UTF-8 (Python's surrogates) are written as backslash escapes."""
    if isinstance(result, str):
        return re.sub("[\ud800-\udfff]", lambda found: _escaped(ord(found[0])), result)
    if isinstance(result, dict):
        return {readable(name): readable(value) for name, value in result.items()}
    return [readable(each) for each in result] if isinstance(result, (list, tuple)) else result


def _escaped(code: int) -> str:
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"
