# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a live restore works: a folder of this host's own, in the place of a data directory that is out of reach.

All that a restore of files does before its swap is the same: fetch, SHA-256, decrypt, check, convert, a moment out of
the archive. So the target is shown to those steps as an instance that lies in that folder and loads a dump file.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace

from .._errors import ProgramError
from .._files import make_dirs
from .._repository.identity import require_name
from .._server.compatibility import title_of
from .._server.facts import Facts
from .._server.instance import Instance
from .._server.paths import Paths
from .._server.programs import program_version

DUMP = "dump.rdb"
FOLDER = "live"
_NAMES = ("redis-server", "valkey-server")


def seat_path(state_dir: str, instance: str) -> str:
    """The folder of an instance's live restores."""
    return os.path.join(state_dir, FOLDER, instance)


@contextlib.contextmanager
def seat_of(instance: Instance, state_dir: str, *, check_mode: bool) -> Iterator[Instance]:
    """The instance as the steps of a restore shall see it. Check mode works in a folder that goes again."""
    require_name(instance.name)
    meant = path = seat_path(state_dir, instance.name)
    with contextlib.ExitStack() as stack:
        if not os.path.isdir(path):
            if check_mode:
                path = tempfile.mkdtemp(prefix="redis_backup-")
                stack.callback(shutil.rmtree, path, ignore_errors=True)
            else:
                make_dirs(path)
        config = {**instance.config, "appendonly": "no", "dir": path, "dbfilename": DUMP}
        facts = instance.facts
        if facts is not None and os.geteuid() != 0:
            # Its process tells to whom files would have to be given: here they stay ours.
            facts = Facts({**facts.info, "process_id": "0"})
        yield replace(
            instance,
            place=replace(instance.place, config_file="", data_dir=meant, service=""),
            facts=facts,
            paths=Paths(dir=path, dbfilename=DUMP),
            config=config,
            next_start={},
            command=(),
        )


def with_program(seat: Instance, real: Instance) -> Instance:
    """The same with the path of a program of the target's own version on this host. Raises ProgramError without one."""
    flavour, version = real.version()
    return replace(seat, place=replace(seat.place, executable=local_program(real, flavour, version)))


def local_program(instance: Instance, flavour: str, version: tuple[int, ...]) -> str:
    """A server program on this host that loads what the target loads: of its flavour, and its first two numbers.

    What INFO names is a path on the target's host, which may be another. Raises ProgramError.
    """
    given = instance.place.executable
    told = instance.facts.info.get("executable", "") if instance.facts is not None else ""
    candidates = [given] if given else [told, *(shutil.which(name) or "" for name in _NAMES)]
    seen = []
    for path in candidates:
        if not (os.path.isabs(path) and os.access(path, os.X_OK)):
            continue
        with contextlib.suppress(ProgramError, OSError):
            found = program_version(path)
            if found[0] == flavour and found[1][:2] == version[:2]:
                return path
            seen.append(f"{path} is {title_of(*found)}")
    wanted = title_of(flavour, version)
    raise ProgramError(
        f"no program of {wanted} is on this host{f' ({chr(44).join(seen)})' if seen else ''}: the backup could not be "
        f"proven to load there before {instance.title} gets it",
        untouched="Nothing was changed",
        hint="Name one of that version with executable; it need not be installed",
    )
