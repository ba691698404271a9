# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directives and their values: the names that mean one directive, the shapes values have, when two are surely equal.

Only a server knows for sure what two notations mean to it. What is decided here is what every version agrees on, so
that a run without a change need not ask one; see `_enforce/judge.py` for the rest. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Union

from .._errors import ConfigError
from .quoting import split_args

Words = list[str]
Setting = Union[str, int, float, bool, None, list]

# Names of one directive, the present one first (config.c of 6.2, 7.0 and 8.2, and of Valkey 9.1).
_ALIASES = (
    ("replicaof", "slaveof"),
    *(
        (f"replica-{rest}", f"slave-{rest}")
        for rest in (
            "announce-ip",
            "announce-port",
            "ignore-maxmemory",
            "lazy-flush",
            "priority",
            "read-only",
            "serve-stale-data",
        )
    ),
    ("min-replicas-to-write", "min-slaves-to-write"),
    ("min-replicas-max-lag", "min-slaves-max-lag"),
    ("cluster-replica-validity-factor", "cluster-slave-validity-factor"),
    ("cluster-replica-no-failover", "cluster-slave-no-failover"),
    ("hash-max-listpack-entries", "hash-max-ziplist-entries"),
    ("hash-max-listpack-value", "hash-max-ziplist-value"),
    ("zset-max-listpack-entries", "zset-max-ziplist-entries"),
    ("zset-max-listpack-value", "zset-max-ziplist-value"),
    ("list-max-listpack-size", "list-max-ziplist-size"),
    ("busy-reply-threshold", "lua-time-limit"),
    ("masterauth", "primaryauth"),
    ("masteruser", "primaryuser"),
    ("slowlog-log-slower-than", "commandlog-execution-slower-than"),
    ("slowlog-max-len", "commandlog-slow-execution-max-len"),
    ("repl-ping-replica-period", "repl-ping-slave-period"),
    *((f"{rest}-cpulist", f"{rest}_cpulist") for rest in ("server", "bio", "bgsave")),
    ("aof-rewrite-cpulist", "aof_rewrite_cpulist"),
)
_GROUPS = {name: group for group in _ALIASES for name in group}

SECRETS = frozenset({"requirepass", "masterauth", "primaryauth", "tls-key-file-pass", "tls-client-key-file-pass"})
# Each line of these adds to those before.
REPEATING = frozenset({"save", "client-output-buffer-limit", "rename-command", "loadmodule", "user"})
# Several words on one line; for every other directive, a value with blanks in it is one word in quotes.
_WORDS = REPEATING | {
    "bind",
    "latency-tracking-info-percentiles",
    "oom-score-adj-values",
    "replicaof",
    "shutdown-on-sigint",
    "shutdown-on-sigterm",
    "slaveof",
}
_MEMORY = frozenset(
    {
        "active-defrag-ignore-bytes",
        "auto-aof-rewrite-min-size",
        "client-query-buffer-limit",
        "cluster-link-sendbuf-limit",
        "maxmemory",
        "proto-max-bulk-len",
        "repl-backlog-size",
    }
)
_UNITS = {"": 1, "b": 1, "k": 1000, "kb": 1 << 10, "m": 10**6, "mb": 1 << 20, "g": 10**9, "gb": 1 << 30}
# The same on every version (config.c, clientBufferLimitsDefaults).
_LIMITS = {"normal": ("0", "0", "0"), "slave": ("256mb", "64mb", "60"), "pubsub": ("32mb", "8mb", "60")}
_YES_NO = {"yes": "yes", "true": "yes", "no": "no", "false": "no"}


def names_of(name: str) -> tuple[str, ...]:
    """Every name of the directive that `name` means."""
    return _GROUPS.get(name, (name,))


def takes_words(name: str) -> bool:
    """Whether a line of the directive may hold several values; else a server wants exactly one."""
    return name in _WORDS


def lines_of(name: str, value: Any) -> list[Words]:
    """The lines, each a list of words, that give directive `name` the `value` as Ansible hands it over.

    Directives that do not repeat give one line. Raises ConfigError for a shape that no directive can have.
    """
    if isinstance(value, list):
        return _lines_of_list(name, value)
    words = _words(name, value)
    if name == "save":
        return _save_lines(words)
    if name == "client-output-buffer-limit":
        return [words[at : at + 4] for at in range(0, len(words), 4)]
    if name in REPEATING:
        return [words] if words else []
    return [words or [""]]


def _lines_of_list(name: str, value: list[Any]) -> list[Words]:
    if name in REPEATING:
        if all(isinstance(element, (int, float)) for element in value):
            value = [value]  # one line as a list of its words: [900, 1]
        lines = [_words(name, element) for element in value]
        if name == "save":
            return _save_lines([word for line in lines for word in line])
        return [line for line in lines if line]
    if name in _WORDS:
        return [[word for element in value for word in _words(name, element)] or [""]]
    if len(value) != 1 or isinstance(value[0], list):
        raise _bad(name, f"takes one value, and a list of {len(value)} was given")
    return [_words(name, value[0])]


def _save_lines(words: Words) -> list[Words]:
    words = [part for word in words for part in word.split()]
    if len(words) % 2:
        raise _bad("save", f"takes pairs of seconds and changes, and {len(words)} words were given")
    return [words[at : at + 2] for at in range(0, len(words), 2)] or [[""]]


def _words(name: str, value: Any) -> Words:
    if isinstance(value, list):
        if not all(isinstance(word, (str, int, float)) for word in value):
            raise _bad(name, "has a list in a list in its value")
        return [_text(name, word) for word in value]
    text = _text(name, value)
    if name not in _WORDS:
        return [text]
    try:
        return split_args(text)
    except ValueError as error:
        raise _bad(name, f"has {error} in its value") from None


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (str, int, float)):
        return str(value)
    raise _bad(name, f"must be text, a number, yes or no, a list or null, and is {type(value).__name__}")


def _bad(name: str, why: str) -> ConfigError:
    return ConfigError(
        f"settings: {name} {why}", untouched="Nothing was changed", hint="Write it as in redis.conf"
    )


def text_of(lines: Sequence[Words]) -> str:
    """The value as CONFIG SET takes it."""
    return " ".join(word for line in lines for word in line)


def memory_bytes(text: str) -> int | None:
    """A size as Redis reads it (memtoull in util.c): `1kb` is 1024, `1k` is 1000. None for anything else."""
    match = re.fullmatch(r"([0-9]+)([kmgKMG]?[bB]?)", text)
    return int(match[1]) * _UNITS[match[2].lower()] if match else None


def same_value(name: str, lines: Sequence[Words], other: Sequence[Words]) -> bool:
    """Whether two values surely mean the same to every server; False where only a server could say."""
    if list(other) == [[]]:
        return False  # what nobody can read (see `effective_lines`)
    if name == "save":
        return _without_blank(lines) == _without_blank(other)
    if name == "client-output-buffer-limit":
        mine, theirs = _limits(lines), _limits(other)
        return mine is not None and mine == theirs
    if list(map(list, lines)) == list(map(list, other)):
        return True
    if name in REPEATING or name in SECRETS:
        return False
    mine_text, theirs_text = text_of(lines), text_of(other)
    if takes_words(name):
        return mine_text == theirs_text
    if name in _MEMORY:
        size = memory_bytes(mine_text)
        return size is not None and size == memory_bytes(theirs_text)
    return normal_bool(mine_text, theirs_text) == theirs_text.lower() and theirs_text.lower() in ("yes", "no")


def all_limits(lines: Sequence[Words]) -> list[Words]:
    """Lines of client-output-buffer-limit that say something of every class, the defaults of the others first."""
    said = {"slave" if line[0].lower() == "replica" else line[0].lower() for line in lines if line}
    return [[role, *limit] for role, limit in _LIMITS.items() if role not in said] + [list(line) for line in lines]


def normal_bool(text: str, present: str) -> str:
    """`true` and `false` as a server writes them, where the value that is there (`present`) is yes or no."""
    return _YES_NO.get(text.lower(), text) if present.lower() in ("yes", "no") else text


def _without_blank(lines: Sequence[Words]) -> list[Words]:
    return [list(line) for line in lines if list(line) not in ([], [""])]


def _limits(lines: Sequence[Words]) -> dict[str, tuple[int | None, ...]] | None:
    found: dict[str, tuple[str, ...]] = dict(_LIMITS)
    words = [word for line in lines for word in line]
    if len(words) % 4:
        return None
    for at in range(0, len(words), 4):
        role = words[at].lower()
        role = "slave" if role == "replica" else role
        if role not in found:
            return None
        found[role] = tuple(words[at + 1 : at + 4])
    sizes = {role: tuple(memory_bytes(word) for word in limit) for role, limit in found.items()}
    return None if any(size is None for limit in sizes.values() for size in limit) else sizes
