# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a repository lies for rclone: a remote, and a path in it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .._errors import RepositoryError

_UNTOUCHED = "Nothing was changed"
_NAME = re.compile(r"[\w.+@][\w.+@ -]*")
_OPTION = re.compile(r"(\w+)=")
_SECRET = re.compile(
    r"(?:.*_)?(?:pass|password\d?|passphrase|secret|token|credentials|pem|headers)(?:_.*)?"
    r"|key|(?:.*_)?(?:sas_url|api_key|customer_key|private_key|access_grant|connection_string)"
)
_NO_SECRET = re.compile(r"ask_password|(?:token|auth)_url|.*_(?:command|file|agent)")
_USER_INFO = re.compile(r"//[^/@:\s]*:[^/@\s]+@")


@dataclass(frozen=True)
class RclonePlace:
    """`remote` ends with a colon, `root` is a folder in it; `config_file` is rclone's own where none is given."""

    remote: str
    root: str = ""
    config_file: str | None = None

    def full(self, path: str = "") -> str:
        """A path of the repository as rclone wants it. Raises RepositoryError for one that leads out of it."""
        parts = [part for part in path.split("/") if part]
        if ".." in parts:
            raise RepositoryError(f"{path!r} leads out of {self.remote}{self.root}", untouched=_UNTOUCHED)
        if not parts:
            return self.remote + self.root
        return self.remote + (self.root.rstrip("/") + "/" if self.root else "") + "/".join(parts)


def make_place(name: str, remote: str, path: str, config_file: str | None) -> RclonePlace:
    """The place that a repository's options name. Raises RepositoryError for what cannot be one, or holds a secret."""
    text = remote.strip()
    options = [option.lower() for option in _OPTION.findall(text)]
    bad = [option for option in options if _SECRET.fullmatch(option) and not _NO_SECRET.fullmatch(option)]
    if bad or _USER_INFO.search(text):
        kind = text.lstrip(":").partition(",")[0]
        raise RepositoryError(
            f"repository {name}: its remote holds a secret ({', '.join(bad) or 'in an address'}), which every user of "
            "the host could read on rclone's command line",
            untouched=_UNTOUCHED,
            hint=f"Keep it in rclone.conf (config_file), or in the environment: RCLONE_CONFIG_<REMOTE>_PASS, "
            f"or RCLONE_{kind.upper()}_PASS",
        )
    if not text.endswith(":"):
        text += ":"
    colon = _first_colon(text)
    if not _NAME.fullmatch(re.split("[,:]", text.removeprefix(":"))[0]) or "\n" in text:
        raise RepositoryError(
            f"repository {name}: remote {remote!r} is neither the name of a remote nor a connection string",
            untouched=_UNTOUCHED,
            hint="Give a name that rclone listremotes shows, or a string like ':sftp,host=nas.example.com,user=redis:'",
        )
    if colon != len(text) - 1:
        raise RepositoryError(
            f"repository {name}: remote {remote!r} goes on behind its colon",
            untouched=_UNTOUCHED,
            hint="Give the folder in path, and quote values that hold a colon",
        )
    if ".." in path.split("/"):
        raise RepositoryError(f"repository {name}: path {path!r} holds ..", untouched=_UNTOUCHED)
    return RclonePlace(text, path.rstrip("/") or path[:1], config_file)


def _first_colon(text: str) -> int:
    """The place of the colon that ends a remote: not the first character, and not in quotes."""
    quote = ""
    for number, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter == ":" and number:
            return number
    return -1
