# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets taken out of configuration that is stored unencrypted. Pure."""

from __future__ import annotations

from .._config.conf_file import split_args

_SECRET = {"requirepass", "masterauth", "primaryauth", "tls-key-file-pass", "tls-client-key-file-pass"}
_SENTINEL_SECRET = {"auth-pass", "sentinel-pass"}
_NOTE = "# left out of this unencrypted backup: "


def redact_conf(text: str) -> str:
    """redis.conf without passwords; other lines stay as they are."""
    return "".join(_line(line) for line in text.splitlines(keepends=True))


def redact_acl(text: str) -> str:
    """An ACL file whose users keep their rules and lose their passwords: they cannot log in until given new ones."""
    return "".join(_user_line(line) for line in text.splitlines(keepends=True))


def _line(line: str) -> str:
    try:
        words = split_args(line)
    except ValueError:
        words = line.split()
    if not words or words[0].startswith("#"):
        return line
    name = words[0].lower()
    if name in _SECRET:
        return f"{_NOTE}{name}\n"
    if name == "sentinel" and len(words) > 1 and words[1].lower() in _SENTINEL_SECRET:
        return f"{_NOTE}{name} {words[1]}\n"
    return _user_line(line) if name == "user" else line


def _user_line(line: str) -> str:
    words = line.split()
    if not words or words[0].lower() != "user":
        return line
    kept = [word for word in words if not (word[0] in "><" or (word[0] in "#!" and len(word) == 65))]
    return " ".join(kept) + "\n"
