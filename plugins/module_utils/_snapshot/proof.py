# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is this RDB the snapshot we asked for, and whole? Pure decisions over what was seen."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .._server.facts import Facts

# An RDB is dated by time(), which stands still between two ticks of the kernel: so much may it lag behind INFO's clock.
_TICK = 0.1


@dataclass(frozen=True)
class CheckReport:
    """What redis-check-rdb said. `end_offset` is how many bytes it read as RDB; -1 where it did not say."""

    ok: bool
    keys: int = 0
    expires: int = 0
    expired: int = 0
    end_offset: int = -1
    words: str = ""


def parse_check_output(text: str, returncode: int) -> CheckReport:
    """The verdict and counts in the output of redis-check-rdb (any flavour and version from 6.2 on)."""
    counts = {name: int(n) for n, name in re.findall(r"\[info\] (\d+) (keys read|expires|already expired)", text)}
    looks_ok = re.search(r"\[offset (\d+)\] \\o/ RDB looks OK", text)
    bad = [
        line.strip("- ").strip()
        for line in re.sub(r"(?m)^\[(?:offset \d+|additional info)\] ", "", text).splitlines()
        if line.strip() and not re.match(r"Checking RDB|AUX FIELD|Selecting DB|\[info\]|\d+:M |MODULE AUX", line)
    ]
    return CheckReport(
        ok=returncode == 0 and looks_ok is not None,
        keys=counts.get("keys read", 0),
        expires=counts.get("expires", 0),
        expired=counts.get("already expired", 0),
        end_offset=int(looks_ok.group(1)) if looks_ok else -1,
        words="; ".join(bad[:4]) or "no words",
    )


@dataclass(frozen=True)
class KeyWindow:
    """How many keys a snapshot may hold: the server's count before and after the fork, and the room between.

    `changes` bounds how many keys came or went between the two looks; None when the server reset its counter.
    """

    before: int
    after: int
    changes: int | None

    @property
    def exact(self) -> bool:
        """Nothing happened around the fork: the count is known."""
        return self.before == self.after and self.changes == 0

    def allows(self, keys: int) -> bool:
        """Whether a file with `keys` keys can be the data set of the fork."""
        if self.changes is None:
            return True
        low, high = sorted((self.before, self.after))
        return low - self.changes <= keys <= high + self.changes


def key_window(before: Facts, after: Facts) -> KeyWindow:
    """The window between two looks at a server.

    Every change counts in rdb_changes_since_last_save (FLUSHALL by the number of its keys); expiry and eviction are
    counted apart. A save in between resets the first counter: then nothing can be said.
    """
    same_save = all(before.number(n) == after.number(n) for n in ("rdb_last_save_time",)) and (
        before.info.get("run_id") == after.info.get("run_id")
    )
    dirty = after.number("rdb_changes_since_last_save") - before.number("rdb_changes_since_last_save")
    if not same_save or dirty < 0:
        return KeyWindow(before.keys, after.keys, None)
    gone = sum(after.number(n) - before.number(n) for n in ("expired_keys", "evicted_keys"))
    return KeyWindow(before.keys, after.keys, dirty + max(gone, 0))


def why_unproven(
    *, report: CheckReport, size: int, ctime: int, asked_at: float, window: KeyWindow | None
) -> str | None:
    """The reason why an RDB is not the proven snapshot that was asked for at `asked_at` (server time); None when it is.

    `size` is the file's size in bytes, `ctime` its AUX field, `window` the key counts around the fork when known.
    """
    if not report.ok:
        return f"redis-check-rdb refuses it: {report.words}"
    if report.end_offset >= 0 and report.end_offset != size:
        return f"it is {size} bytes long, but the RDB in it ends at byte {report.end_offset}"
    if ctime and ctime < int(asked_at - _TICK):
        return f"it was made at {ctime}, before it was asked for at {int(asked_at)} (UTC seconds)"
    if window is not None and not window.allows(report.keys):
        return (
            f"it holds {report.keys} keys, but the server held {window.before} before and {window.after} after the "
            f"fork, with {window.changes} changes between"
        )
    return None
