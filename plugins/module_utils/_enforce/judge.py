# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server of the same program says to a value: does it know the directive, what does the value mean to it.

The questions go to a throw-away server, so that nothing that is refused ever reaches the one in service. Some
directives are not even asked there: tls-* crashes builds without TLS, others act on the machine and not on the server.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .._config.values import normal_bool
from .._errors import ConfigError
from .._server.connection import ReplyError, Server
from .wish import Wish

# Changing these in the throw-away server would bind ports, leave its directory, or meet its limits instead of the
# real server's. Their values mean what they say.
_UNASKED = {
    "appendonly": "no",
    "dir": "",
    "maxclients": "10000",
    "oom-score-adj": "no",
    "oom-score-adj-values": "0 200 800",
    "port": "6379",
}
# Those of a throw-away server that are its own, with the default that a server without the line has.
_OWN = {
    "aclfile": "",
    "cluster-config-file": "nodes.conf",
    "cluster-enabled": "no",
    "daemonize": "no",
    "enable-protected-configs": "no",
    "logfile": "",
    "pidfile": "",
    "supervised": "no",
    "syslog-enabled": "no",
    "unixsocket": "",
    "unixsocketperm": "0",
    "replicaof": "",
    "slaveof": "",
}
# Words that only a start reads, in any case; CONFIG GET tells them in lower case.
_LOWER = frozenset(
    {"enable-debug-command", "enable-module-command", "enable-protected-configs", "supervised", "syslog-facility"}
)
_SHOWN = 200  # characters of a value that a message may hold
_SETTABLE = frozenset(_UNASKED) - {"dir"}
NOT_PROVEN = frozenset(_UNASKED) - {"appendonly"} | frozenset(_OWN)  # a proof's server has its own values of these
_PROTECTED = ("dir", "dbfilename")


@dataclass(frozen=True)
class Verdict:
    """What the program says to one wish.

    `canonical` is the value as its CONFIG GET tells it, None where it cannot tell; `settable` whether CONFIG SET can
    change it on a running server; `default` the value without a line.
    """

    canonical: str | None
    settable: bool
    default: str = ""


class Unknown(ConfigError):
    """The program does not know a directive."""


def judge_wish(asked: Server, wish: Wish, live: Mapping[str, str], protected: bool) -> Verdict:
    """The verdict of the throw-away server `asked`.

    `live` is what the server in service answered to CONFIG GET; `protected` whether it keeps `dir` and `dbfilename`
    from being set. Raises ConfigError with the program's words for a value it refuses, Unknown for a directive.
    """
    name = wish.name
    if not wish.readable:
        _judge_users(asked, wish)
        return Verdict(None, False)
    if name.startswith("tls-") or name in _UNASKED or name in _OWN:
        default = _UNASKED.get(name, _OWN.get(name, ""))
        settable = name in _SETTABLE or (name in _PROTECTED and not protected)
        literal = _literal(wish, default, live)
        if name == "appendonly" and literal not in ("yes", "no"):  # any other word would switch it off
            raise _refused(wish, "argument must be 'yes' or 'no'")
        return Verdict(literal, settable, default)
    known = asked.config_get(name)
    if name not in known:
        if name in live:  # of a module that the server in service has loaded
            return Verdict(_literal(wish, live[name], live), True, live[name])
        raise _unknown(asked, name)
    default = known[name]
    if wish.text is None:
        settable = _try(asked, name, default) is None
        return Verdict(default, settable and not (protected and name in _PROTECTED), default)
    refused = _try(asked, name, normal_bool(wish.text, default))
    if refused is None:
        canonical = asked.config_get(name)[name]
        _try(asked, name, default)
        return Verdict(canonical, not (protected and name in _PROTECTED), default)
    if _only_at_start(refused, name):
        return Verdict(_literal(wish, default, live), False, default)
    raise _refused(wish, refused)


def _refused(wish: Wish, words: str) -> ConfigError:
    return ConfigError(
        f"settings: the server refuses {wish.name} {_short(wish.shown(wish.text))!r}: {_reason(words, wish)}",
        untouched="Nothing was changed",
        hint="Correct the value, then run again",
    )


def _judge_users(asked: Server, wish: Wish) -> None:
    """Refuse ACL rules that the program refuses: a start proves all lines but these."""
    for line in wish.lines or () if wish.name == "user" else ():
        try:
            asked.call("ACL", "SETUSER", "redis_backup-asked", "reset", *line[1:])
        except ReplyError as error:
            words = error.message
            for rule in line[1:]:
                words = words.replace(rule, "(hidden)") if rule[:1] in "><#!" else words
            raise ConfigError(
                f"settings: the server refuses the rules of user {line[0] if line else '(none)'}: {words}",
                untouched="Nothing was changed",
                hint="Correct the rules, then run again",
            ) from None


def meaning(asked: Server, name: str, text: str) -> str | None:
    """What CONFIG GET tells after CONFIG SET `name` `text`; None where that is not asked, or refused."""
    if name.startswith("tls-") or name in _UNASKED or name in _OWN:
        return None
    default = asked.config_get(name).get(name)
    if default is None or _try(asked, name, text) is not None:
        return None
    found = asked.config_get(name)[name]
    _try(asked, name, default)
    return found


def _literal(wish: Wish, default: str, live: Mapping[str, str]) -> str:
    if wish.text is None:
        return default
    if wish.name in _LOWER:
        return normal_bool(wish.text, "no").lower()
    if wish.name == "unixsocketperm" and re.fullmatch("[0-7]+", wish.text):
        return f"{int(wish.text, 8):o}"
    return normal_bool(wish.text, live.get(wish.name, default))


def _try(asked: Server, name: str, text: str) -> str | None:
    """None when the server takes the value, else its words."""
    try:
        asked.call("CONFIG", "SET", name, text.encode("utf-8", "surrogateescape"))
    except ReplyError as error:
        return error.message
    return None


def _only_at_start(words: str, name: str) -> bool:
    """Whether the words say that a running server cannot change a directive it knows."""
    return (
        "can't set immutable config" in words
        or "can't set protected config" in words
        or words.endswith(f"Unsupported CONFIG parameter: {name}")
    )


def _reason(words: str, wish: Wish) -> str:
    """The server's words, without its preface and without a secret."""
    words = re.sub(r"^ERR (CONFIG SET failed \(possibly related to argument '[^']*'\) - )?", "", words)
    return words.replace(wish.text, "(hidden)" if wish.secret else _short(wish.text)) if wish.text else words


def _short(text: str | None) -> str:
    """A value as a message may hold it."""
    text = text or ""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"


def _unknown(asked: Server, name: str) -> Unknown:
    names = _all_names(asked)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.75)
    return Unknown(
        f"settings: the server knows no directive {name}",
        untouched="Nothing was changed",
        hint=f"Did you mean {near[0]}?" if near else "Correct the name, or list it in skip_unknown",
    )


def _all_names(asked: Server) -> Sequence[str]:
    reply = asked.call("CONFIG", "GET", "*")
    return [item.decode("utf-8", "replace") for item in reply[::2]]
