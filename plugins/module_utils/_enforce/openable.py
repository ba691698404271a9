# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server opens at its start and a throw-away server does not: it has a log, a socket and users of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence

from .._config.conf_file import ConfFile
from .._config.effective import effective_lines
from .._config.values import text_of
from .._errors import ConfigError
from .._server.paths import Paths
from .situation import Situation
from .wish import Wish


def require_openable(edited: ConfFile, edits: Sequence[Wish], now: Paths, situation: Situation) -> None:
    """Raise ConfigError when a start with the edited file would end at its ACL file, its log or its unix socket.

    An ACL file that is there `now` is carried over for a server that is down.
    """
    names = {wish.name for wish in edits}

    def said(name: str) -> str:
        text = text_of(effective_lines(edited, name, situation.version) or [])
        return os.path.normpath(os.path.join(now.dir, text)) if text and now.dir else text

    aclfile = said("aclfile")
    if aclfile and {"aclfile", "user"} & names:
        if edited.args_of(["user"]):
            raise _refused(edited, "it has users in redis.conf and an aclfile", "Keep all users in one of the two")
        carried = not situation.running and os.path.isfile(now.aclfile)
        if situation.local and not carried and not os.path.isfile(aclfile):
            raise _refused(edited, f"the aclfile {aclfile} does not exist", "Make it; it may be empty")
    for name in ("unixsocket", "logfile"):
        path = said(name)
        if path and name in names and situation.local and not os.path.isdir(os.path.dirname(path)):
            raise _refused(edited, f"{name}: the directory of {path} does not exist", "Make the directory")


def _refused(edited: ConfFile, why: str, hint: str) -> ConfigError:
    return ConfigError(
        f"the server would not start with {edited.path}: {why}",
        untouched="Nothing was changed",
        hint=f"{hint}, then run again",
    )
