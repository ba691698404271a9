# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of one instance: its settings as wishes, refused where they make no sense. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._config.values import REPEATING, SECRETS, Words, lines_of, names_of, text_of
from .._errors import ConfigError

HIDDEN = "(hidden)"
_MAY_BE_SECRET = re.compile("pas|auth|secret|^(user|rename-command|loadmodule)$", re.IGNORECASE)


@dataclass(frozen=True)
class Wish:
    """One directive and the lines that redis.conf is to give it; None: no line, and live the server's default."""

    name: str
    lines: list[Words] | None

    @property
    def text(self) -> str | None:
        """The value as CONFIG SET takes it; None when the default is wished for."""
        return None if self.lines is None else text_of(self.lines)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name of the directive."""
        return names_of(self.name)

    @property
    def secret(self) -> bool:
        """Whether its value must not be shown. Arguments of modules are often passwords."""
        arguments = self.name == "loadmodule" and any(len(line) > 1 for line in self.lines or ())
        return self.name in SECRETS or self.name in ("user", "rename-command") or arguments

    @property
    def readable(self) -> bool:
        """Whether CONFIG GET can tell it."""
        return self.name not in REPEATING or self.name in ("save", "client-output-buffer-limit")

    def shown(self, text: str | None) -> str | None:
        """A value of this directive as it may be shown."""
        several = self.name == "loadmodule" and text and len(text.split()) > 1
        return HIDDEN if (self.secret or several) and text else text


@dataclass(frozen=True)
class Request:
    """A run. `apply` is `both`, `file` or `live`; `wait_timeout` is seconds for a rewrite or a save."""

    wishes: tuple[Wish, ...]
    skip_unknown: frozenset[str] = frozenset()
    apply: str = "both"
    backup: bool = True
    backup_count: int = 5
    allow_eviction: bool = False
    wait_timeout: float = 3600.0
    preflight: bool = False
    diff: bool = False

    @property
    def to_file(self) -> bool:
        return self.apply in ("both", "file")

    @property
    def to_server(self) -> bool:
        return self.apply in ("both", "live")


def wishes_of(settings: Mapping[str, Any]) -> tuple[Wish, ...]:
    """The wishes in the option `settings`. Raises ConfigError for names and values that no redis.conf can hold."""
    if not settings:
        raise ConfigError(
            "settings names no directive", untouched="Nothing was changed", hint="Write settings: {maxmemory: 2gb}"
        )
    wishes: dict[str, Wish] = {}
    for given, value in settings.items():
        name = str(given).strip().lower()
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,99}", name):
            raise _refused(f"{str(given)[:100]!r} is no name of a directive")
        if name == "include":
            raise _refused("include is not a setting: name the directives, and leave the includes as they are")
        if name == "sentinel":
            raise _refused("sentinel is not a setting of a Redis server, but of Sentinel's own configuration")
        twice = next((known for known in wishes if known in names_of(name)), None)
        if twice:
            raise _refused(f"{given} and {twice} are one directive")
        wishes[name] = Wish(name, None if value is None else lines_of(name, value))
    return tuple(wishes.values())


def secrets_of(wishes: Sequence[Wish]) -> frozenset[str]:
    """The words in wishes that must not be shown or logged."""
    found = {wish.text for wish in wishes if wish.secret and wish.text}
    for wish in wishes:
        for line in (wish.lines or ()) if wish.secret else ():
            found |= {word for word in _secret_words(wish.name, line) if len(word) > 3}
    return frozenset(text for text in found if text)


def secrets_in(settings: Any) -> frozenset[str]:
    """What may be a secret in settings as they are given, be they well formed or not, their names misspelt or not.

    A run that fails shows its parameters.
    """
    found: set[str] = set()
    for given, value in settings.items() if isinstance(settings, Mapping) else ():
        name, texts = str(given).strip().lower(), _texts(value)
        if not _MAY_BE_SECRET.search(name):
            continue
        words = [word.strip("\"'") for text in texts for word in text.split()]
        if name == "user":
            texts = [text for text in texts if " " in text] + _secret_words(name, words)
        elif name == "loadmodule":
            texts = [text for text in texts if " " in text] + [word for word in words if not word.startswith("/")]
        found |= {text for text in texts if text and (len(text) > 3 or name in SECRETS)}
    return frozenset(found)


def _texts(value: Any) -> list[str]:
    """A value, or those in a list or a dict."""
    if isinstance(value, (list, Mapping)):
        return [text for each in (value.values() if isinstance(value, Mapping) else value) for text in _texts(each)]
    return [] if value is None or isinstance(value, bool) else [str(value)]


def _secret_words(name: str, line: Words) -> list[str]:
    """The words of a line that are secret in themselves: of a user its passwords and their hashes."""
    if name == "rename-command":
        return line[1:]
    if name == "user":
        return [part for word in line if word[:1] in (">", "<", "#", "!") for part in (word, word[1:])]
    return line


def _refused(why: str) -> ConfigError:
    return ConfigError(f"settings: {why}", untouched="Nothing was changed", hint="Correct settings, then run again")
