# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets taken out of configuration that is stored unencrypted, or shown. Pure.

Lines end at a newline and nowhere else: a password may hold what Python takes for a line's end. Where a line cannot be
read as Redis reads it, all of it goes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .quoting import quote_arg, split_args

_SECRET = {"requirepass", "masterauth", "primaryauth", "tls-key-file-pass", "tls-client-key-file-pass"}
_SENTINEL_SECRET = {"auth-pass", "sentinel-pass"}
_NOTE = "# left out of this unencrypted backup: "
HIDDEN = "# not shown: "
# In a comment a secret word with anything behind it, or a user with a password or its hash, may be an old secret.
_IN_COMMENT = re.compile(
    rf"({'|'.join(sorted((*_SECRET, *_SENTINEL_SECRET)))})\W*\s\s*\S|\buser\b.*[\s\"'][><#!]\S", re.IGNORECASE
)


def redact_conf(text: str, note: str = _NOTE) -> str:
    """redis.conf without passwords, and what may be one; `note` tells why. Other lines stay as they are."""
    redacted = "".join(_line(line) for line in _lines(text.removeprefix("\ufeff")))
    return redacted if note == _NOTE else redacted.replace(_NOTE, note)


def redact_acl(text: str) -> str:
    """An ACL file whose users keep their rules and lose their passwords: they cannot log in until given new ones."""
    return "".join(_acl_line(line) for line in _lines(text.removeprefix("\ufeff")))


def _lines(text: str) -> list[str]:
    return re.split(r"(?<=\n)", text)


def _comment(line: str) -> str:
    return f"{_NOTE}a comment\n" if _IN_COMMENT.search(line) else line


def _line(line: str) -> str:
    if line.lstrip().startswith("#"):
        return _comment(line)
    try:
        words = split_args(line)
        readable = True
    except ValueError:  # Redis refuses such a line; Valkey takes some of them
        words = line.replace('"', "").replace("'", "").split()
        readable = False
    if not words:
        return line
    name = words[0].lower()
    secret = next((known for known in _SECRET if name.startswith(known)), "")
    if secret:
        return f"{_NOTE}{secret}\n"
    if name == "sentinel" and len(words) > 1 and words[1].lower() in _SENTINEL_SECRET:
        return f"{_NOTE}{name} {words[1]}\n"
    if name == "rename-command":  # the new name is a secret by intent
        return f"{_NOTE}{name}\n"
    if name == "loadmodule" and len(words) > 2:
        return f"{name} {quote_arg(words[1])}\n" if readable else f"{_NOTE}{name}\n"
    if name == "user":
        return _user_line([*map(quote_arg, words)], words) if readable else f"{_NOTE}{name}\n"
    return line


def _acl_line(line: str) -> str:
    """A line of an ACL file: words stand between single blanks, quotes mean nothing. In doubt all of it goes."""
    words = [word for word in line.strip(" \t\r\n").split(" ") if word]
    if not words:
        return line
    if words[0].startswith("#"):
        return _comment(line)
    kept = _user_line(words, words)
    doubtful = any(char.isspace() and char != " " for char in kept.rstrip("\n"))
    return f"{_NOTE}a user\n" if doubtful else kept


def _user_line(written: Sequence[str], words: Sequence[str]) -> str:
    """The rules of a user without passwords and their hashes."""
    kept = (w for w, word in zip(written, words) if word.lstrip("\"'")[:1] not in (">", "<", "#", "!"))
    return " ".join(kept) + "\n"
