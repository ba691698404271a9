# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server program that loads a backup for its conversion: given, or found on PATH; never taken from a manifest."""

from __future__ import annotations

import os

from .._errors import ProgramError
from .._server.compatibility import Made, title_of
from .._server.programs import program_version
from .._server.versions import why_not_loadable

_NAMES = {"redis": "redis-server", "valkey": "valkey-server"}
_PLACES = ("/usr/local/bin", "/usr/bin", "/usr/sbin")
_UNTOUCHED = "The live data was not touched"


def find_loader(given: str | None, made: Made) -> tuple[str, str]:
    """A program of this host that loads the backup, and its flavour and version in words.

    Raises ProgramError when there is none, or when the given one would refuse the backup.
    """
    hint = (
        f"Put a server program of {made.title} on this host (it need not be installed) and name it with "
        "convert_executable"
    )
    if given and not (os.path.isfile(given) and os.access(given, os.X_OK)):
        raise ProgramError(
            f"convert_executable {given} is no program on this host", untouched=_UNTOUCHED, hint=hint
        )
    refused = []
    for path in [given] if given else _candidates(made.flavour):
        try:
            flavour, version = program_version(path)
        except ProgramError as error:
            refused.append(error.what)
            continue
        why = why_not_loadable(made.format, flavour, version)
        if why is None:
            return path, title_of(flavour, version)
        refused.append(f"{path}: {why}")
    tried = f" ({'; '.join(refused)})" if refused else ""
    raise ProgramError(
        f"the backup of {made.title} can only be converted by a server that loads it, and there is none on this "
        f"host{tried}",
        untouched=_UNTOUCHED,
        hint=hint,
    )


def _candidates(flavour: str) -> list[str]:
    """Server programs on PATH, those of the backup's own flavour first, each file once."""
    folders = [*os.environ.get("PATH", "").split(os.pathsep), *_PLACES]
    names = sorted(_NAMES.values(), key=lambda name: name != _NAMES.get(flavour))
    found: dict[str, str] = {}
    for name in names:
        for folder in folders:
            path = os.path.join(folder, name)
            if os.path.isabs(path) and os.path.isfile(path) and os.access(path, os.X_OK):
                found.setdefault(os.path.realpath(path), path)
    return list(found.values())
