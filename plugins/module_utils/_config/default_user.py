# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The password of the user `default`, which redis.conf may say twice. Pure.

CONFIG REWRITE (Sentinel's too) adds a line `user default ...` with its hash, or with nopass. At a start that line beats
requirepass, so a new requirepass alone would be forgotten, or would leave the server open.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from .._errors import ConfigError
from .conf_file import ConfFile, Line, split_lines
from .quoting import ENCODING, ERRORS, quote_arg

_WHOLE = ("nopass", "resetpass", "reset")


def is_default(words: Sequence[str]) -> bool:
    """Whether the words behind `user` are of the user default."""
    return list(words[:1]) == ["default"]


def agrees(words: Sequence[str], password: str) -> bool:
    """Whether a line with these words behind `user` lets in with this password (empty: without) and no other."""
    given = [word for word in words[1:] if _is_password(word) and word not in ("reset", "resetpass")]
    return [_rule_of(word[1:]) if word.startswith(">") else word for word in given] == [_rule_of(password)]


def line_of(file: ConfFile) -> tuple[ConfFile, int, Line] | None:
    """The line of the user default: its file, its index, and itself."""
    return next((each for each in file.walk() if each[2].name == "user" and is_default(each[2].args)), None)


def set_password(file: ConfFile, password: str) -> None:
    """Give the user default this password (empty: none), where the file has a line of it.

    Raises ConfigError for one in an include.
    """
    found = line_of(file)
    if found is None or agrees(found[2].args, password):
        return
    owner, index, line = found
    if owner is not file:
        raise ConfigError(
            f"{owner.path}, line {index + 1}: this include of {file.path} has a user default, which beats requirepass",
            untouched="Nothing was changed",
            hint="Take the line out of the include, or requirepass out of settings",
        )
    at = next((n for n, word in enumerate(line.args) if n and _is_password(word)), len(line.args))
    words = list(line.args[:at])
    words += [_rule_of(password), *(word for word in line.args[at:] if not _is_password(word))]
    end = line.raw[len(line.raw.rstrip("\r\n")) :]
    (file.lines[index],) = split_lines(f"user {' '.join(map(quote_arg, words))}{end}")


def _is_password(word: str) -> bool:
    return word[:1] in (">", "#", "<", "!") or word.lower() in _WHOLE


def _rule_of(password: str) -> str:
    return f"#{hashlib.sha256(password.encode(ENCODING, ERRORS)).hexdigest()}" if password else "nopass"
