# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for a server that has just been started."""

from __future__ import annotations

import time

from .._errors import ServerError
from .connection import Login, UnreachableError
from .instance import Instance, Place, find_instance


def wait_ready(login: Login, place: Place, timeout: float) -> tuple[Instance, float]:
    """The instance as soon as it serves its whole data set, and the seconds that took.

    Raises ServerError when it does not within `timeout` seconds (0: now). A refused login is not waited for.
    """
    begun = time.monotonic()
    pause = 0.02
    while True:
        taken = time.monotonic() - begun
        try:
            found = find_instance(login, place)
            if found.state == "running" or taken > timeout:
                found.require_running()
                return found, round(taken, 3)
            found.server.close()
        except UnreachableError as error:
            if taken > timeout:
                if not timeout:
                    raise
                raise ServerError(
                    f"{place.name} did not serve within {timeout:g} s: {error.what}",
                    hint="Look at the server's log for why it does not start",
                ) from None
        time.sleep(pause)
        pause = min(pause * 1.5, 0.5)
