# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection to one server: raw RESP2 replies, one try, errors in an operator's words.

redis-py carries the transport (TCP, unix socket, TLS, login). Its own defaults are wrong for us: ten silent retries
would send BGSAVE or SHUTDOWN again, and RESP3 changes the shape of replies.
"""

from __future__ import annotations

import contextlib
import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Union

from .._errors import ProgramError, ServerError

Argument = Union[str, bytes, int, float]


@dataclass(frozen=True)
class Login:
    """How to reach and enter a server. Times are seconds."""

    host: str = "127.0.0.1"
    port: int = 6379
    unix_socket: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    validate_certs: bool = True
    ca_certs: str | None = None
    client_cert_file: str | None = None
    client_key_file: str | None = None
    command_map: Mapping[str, str] = field(default_factory=dict)
    connect_timeout: float = 5.0

    @property
    def where(self) -> str:
        """The address, for messages."""
        return self.unix_socket or f"{self.host}:{self.port}"


class ReplyError(ServerError):
    """An error reply of the server. `code` is its first word (ERR, NOPERM, LOADING).

    A server repeats the arguments of a command that it does not know: values and passwords, which are left out.
    """

    def __init__(self, where: str, command: str, message: str) -> None:
        message = message.partition(", with args beginning with")[0]
        self.message = message
        self.code = message.split(" ", 1)[0] if message else "ERR"
        hint = ""
        if self.code == "NOPERM":
            hint = "Allow this command to the login user (the documentation lists minimal ACL rules)"
        elif "unknown command" in message.lower():
            hint = "If the command was renamed in redis.conf, name it in command_map"
        super().__init__(f"the server at {where} refused {command}: {message}", hint=hint)


class UnreachableError(ServerError):
    """Nobody answers at the address: the server is down, hangs, or the network is."""


class LoginError(ServerError):
    """The server answers and does not let us in."""


def _redis() -> Any:
    try:
        import redis.connection
        import redis.exceptions
    except ImportError:
        raise ProgramError(
            f"the Python library redis (redis-py) is missing for the Python that Ansible uses here, {sys.executable}",
            untouched="Nothing was changed",
            hint="Install the package python3-redis (the roles do, but not in check mode), or redis by pip for that "
            "Python; or name the system's Python with ansible_python_interpreter: /usr/bin/python3",
            missing_program="python3-redis",
        ) from None
    return redis


def _accepted(cls: type, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `wanted` that some constructor of `cls` knows: redis-py 4.3 to 8 differ."""
    known: set[str] = set()
    for base in cls.__mro__:
        with contextlib.suppress(TypeError, ValueError):
            parameters = inspect.signature(base.__init__).parameters  # type: ignore[misc]
            known.update(parameters)
            if not any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
                break
    if "driver_info" in known:
        known -= {"lib_name", "lib_version"}  # its deprecated forms
    return {name: value for name, value in wanted.items() if name in known}


def open_connection(login: Login, reply_timeout: float | None = 30.0) -> Any:
    """A connected, logged-in redis-py Connection. Raises UnreachableError and LoginError.

    `reply_timeout` is the longest silence in seconds that a reply may take; None waits for ever.
    """
    redis = _redis()
    wanted: dict[str, Any] = {
        "username": login.user,
        "password": login.password,
        "socket_connect_timeout": login.connect_timeout,
        "socket_timeout": reply_timeout,
        "decode_responses": False,
        "protocol": 2,
        "lib_name": None,
        "lib_version": None,
        "driver_info": None,
        "health_check_interval": 0,
    }
    cls = redis.connection.Connection
    if login.unix_socket:
        cls = redis.connection.UnixDomainSocketConnection
        wanted.update(path=login.unix_socket)
    else:
        wanted.update(host=login.host, port=login.port, socket_keepalive=True)
        if login.tls:
            cls = redis.connection.SSLConnection
            wanted.update(
                ssl_cert_reqs="required" if login.validate_certs else "none",
                ssl_check_hostname=login.validate_certs,
                ssl_ca_certs=login.ca_certs,
                ssl_certfile=login.client_cert_file,
                ssl_keyfile=login.client_key_file,
            )
    connection = cls(**_accepted(cls, wanted))
    try:
        with contextlib.suppress(AttributeError):
            connection.retry._retries = 0
        connection.connect()
    except redis.exceptions.AuthenticationError as error:
        raise _login_error(login, str(error)) from None
    except redis.exceptions.ConnectionError as error:
        text = str(error)
        if any(word in text for word in ("invalid username-password", "WRONGPASS", "invalid password")):
            raise _login_error(login, text) from None
        reason = re.sub(r"^Error -?\d+ connecting to (unix:)?\S+?[:.]? (?=\S)", "", text).rstrip(".")
        raise UnreachableError(
            f"no Redis server answers at {login.where}: {reason}",
            hint="Start the server, or correct login_host, login_port, login_unix_socket or tls",
        ) from None
    except (redis.exceptions.TimeoutError, OSError) as error:
        raise UnreachableError(
            f"the server at {login.where} did not answer within {login.connect_timeout:g} s: {error}",
            hint="Look whether it is overloaded or stopped, or raise connect_timeout",
        ) from None
    except redis.exceptions.ResponseError as error:
        raise _login_error(login, str(error)) from None
    except redis.exceptions.InvalidResponse as error:
        raise _foreign(login, str(error)) from None
    return connection


def _foreign(login: Login, words: str) -> UnreachableError:
    return UnreachableError(
        f"what answers at {login.where} is no Redis server: {words}",
        hint="Correct login_host, login_port or tls",
    )


def _login_error(login: Login, words: str) -> LoginError:
    return LoginError(
        f"the server at {login.where} refused the login of user {login.user or 'default'}: {words}",
        untouched="Nothing was changed",
        hint="Correct login_user and login_password (or the environment variable REDIS_BACKUP_LOGIN_PASSWORD)",
    )


class Server:
    """Commands to one server over one connection, opened at the first use and again after `close`."""

    def __init__(self, login: Login, reply_timeout: float | None = 30.0) -> None:
        self.login = login
        self.reply_timeout = reply_timeout
        self._connection: Any = None

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_unused: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; a later call opens a new one."""
        if self._connection is not None:
            self._connection.disconnect()
            self._connection = None

    def local_address(self) -> str:
        """This end's address of the connection to the server; of a unix socket, this host's own."""
        if self.login.unix_socket:
            return "127.0.0.1"
        self.call("PING")
        found: str = self._connection._sock.getsockname()[0]  # redis-py offers no other way to it
        return found

    def call(self, *command: Argument) -> Any:
        """The reply to one command: bytes, int, None or a list of them. Raises ReplyError, UnreachableError."""
        (reply,) = self.pipeline([command])
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    def pipeline(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        """The replies to several commands, sent in one round trip. A refused command's reply is its ReplyError."""
        redis = _redis()
        if self._connection is None:
            self._connection = open_connection(self.login, self.reply_timeout)
        connection = self._connection
        replies: list[Any] = []
        try:
            connection.send_packed_command(connection.pack_commands([self._mapped(c) for c in commands]))
            for number, command in enumerate(commands):
                try:
                    replies.append(connection.read_response())
                except (redis.exceptions.BusyLoadingError, redis.exceptions.AuthenticationError) as error:
                    # Replies, though redis-py takes them for broken connections, and hangs up.
                    replies += [self._refused(left, error) for left in commands[number:]]
                    self.close()
                    break
                except redis.exceptions.ResponseError as error:
                    replies.append(self._refused(command, error))
        except redis.exceptions.InvalidResponse as error:
            self.close()
            raise _foreign(self.login, str(error)) from None
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError) as error:
            self.close()
            raise UnreachableError(
                f"the server at {self.login.where} did not answer {_name(commands[len(replies)])}: {error}",
                hint="Look at its log; it may have stopped, or be blocked by a long command",
            ) from None
        return replies

    def _mapped(self, command: Sequence[Argument]) -> Sequence[Argument]:
        first = str(command[0])
        return (self.login.command_map.get(first.lower(), first), *command[1:])

    def _refused(self, command: Sequence[Argument], error: Exception) -> ReplyError:
        return ReplyError(self.login.where, _name(command), _with_code(error))

    def info(self) -> dict[str, str]:
        """INFO's default sections, flat. Repeated names (module) are joined by newlines."""
        return parse_info(self.call("INFO"))

    def config_get(self, *names: str) -> dict[str, str]:
        """The values of those directives that the server knows, in one round trip (6.2 takes one name a call)."""
        found: dict[str, str] = {}
        for reply in self.pipeline([("CONFIG", "GET", name) for name in names]):
            if isinstance(reply, ReplyError):
                raise reply
            texts = [item.decode("utf-8", "surrogateescape") for item in reply]
            found.update(zip(texts[::2], texts[1::2]))
        return found

    def config_get_if_allowed(self, *names: str) -> dict[str, str]:
        """As config_get, but empty where CONFIG is forbidden, renamed or absent (ACL, managed services)."""
        try:
            return self.config_get(*names)
        except ReplyError:
            return {}


def _name(command: Sequence[Argument]) -> str:
    """The command and, for containers such as CONFIG GET, its subcommand and name; never a value (secrets)."""
    words = [str(word) for word in command]
    shown = 3 if words[0].upper() == "CONFIG" else 2 if words[0].upper() in ("ACL", "CLIENT", "CLUSTER") else 1
    return " ".join(words[:shown])


def _with_code(error: Exception) -> str:
    """The server's whole error line: redis-py cuts the code of those it has a class for."""
    text = str(error)
    codes = {
        "NoPermissionError": "NOPERM",
        "BusyLoadingError": "LOADING",
        "ReadOnlyError": "READONLY",
        "ExecAbortError": "EXECABORT",
        "OutOfMemoryError": "OOM",
        "AuthenticationError": "NOAUTH",
        "NoScriptError": "NOSCRIPT",
        "ClusterDownError": "CLUSTERDOWN",
        "ClusterCrossSlotError": "CROSSSLOT",
        "MasterDownError": "MASTERDOWN",
        "MovedError": "MOVED",
        "AskError": "ASK",
        "TryAgainError": "TRYAGAIN",
    }
    code = codes.get(type(error).__name__)
    if code and not text.startswith(code):
        return f"{code} {text}"
    return text


def parse_info(reply: bytes) -> dict[str, str]:
    """INFO's lines as a dict of strings."""
    found: dict[str, str] = {}
    for line in reply.decode("utf-8", "replace").split("\n"):
        line = line.rstrip("\r")
        if line.startswith("#") or ":" not in line:
            continue
        name, value = line.split(":", 1)
        found[name] = f"{found[name]}\n{value}" if name in found else value
    return found
