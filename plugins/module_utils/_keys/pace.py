# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast keys are read."""

from __future__ import annotations

import time

PAGE = 1000
"""Keys that are asked for at once."""

_SLICES_A_SECOND = 10


class Pace:
    """Holds readers back to so many keys a second."""

    def __init__(self, keys_per_second: int | None) -> None:
        self.rate = keys_per_second
        self._begun = time.monotonic()
        self._keys = 0

    @property
    def most(self) -> int:
        """Keys that may be asked for at once, so that the server's load is even."""
        return PAGE if self.rate is None else max(1, min(PAGE, self.rate // _SLICES_A_SECOND))

    def wait_for(self, keys: int) -> None:
        """Wait until these keys may be asked for, then count them."""
        if self.rate is not None:
            ahead = self._begun + self._keys / self.rate - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
            self._keys += keys
