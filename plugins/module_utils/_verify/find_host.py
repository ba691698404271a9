# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program and user for throw-away servers, found when first asked for: level `stored` needs neither."""

from __future__ import annotations

import contextlib
import os

from .._server.connection import Login, LoginError
from .._server.instance import Instance, Place, find_instance
from .._server.process import is_local, process_user, unit_user
from .._server.programs import server_program
from .request import Host


class HostFinder:
    """Asks the instance once, which may be down or on another host; then there is the program given, or one on PATH."""

    def __init__(self, login: Login, place: Place) -> None:
        self._login = login
        self._place = place
        self._found: Host | None = None

    def __call__(self) -> Host:
        """Raises ProgramError where there is no program, LoginError where a server refuses us and no program is given.
        """
        if self._found is None:
            self._found = self._find()
        return self._found

    def _find(self) -> Host:
        try:
            instance = find_instance(self._login, self._place, may_be_down=True)
        except LoginError:
            if not self._place.executable:
                raise
            return Host(server_program(self._place.executable, None, None), unit_user(self._place.service))
        with contextlib.closing(instance.server):
            return Host(instance.program(), _user(instance))


def _user(instance: Instance) -> tuple[int, int] | None:
    """The user of the server's process, else of its unit, else of its data directory."""
    if instance.facts is not None and is_local(instance.facts, instance.paths.dir):
        found = process_user(instance.facts.number("process_id"))
        if found is not None:
            return found
    found = unit_user(instance.place.service)
    if found is None and instance.paths.dir:
        with contextlib.suppress(OSError):
            there = os.stat(instance.paths.dir)
            found = there.st_uid, there.st_gid
    return found
