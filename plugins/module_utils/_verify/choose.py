# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups and exports are verified now: the named ones, or a share whose turn it is. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .._errors import RedisBackupError
from .._repository.layout import MANIFEST, VERIFICATION, export_name, is_export_label, is_label
from .._repository.records import LEVELS

LATEST = "latest"
_RECORD = re.compile(rf"(\d{{8}}T\d{{6}})(?:\.\d+)?Z-({'|'.join(LEVELS)})\.json")


@dataclass(frozen=True)
class Wish:
    """What is asked for: labels (`latest` is one), or a turn of so many backups, or of so many in a hundred.

    With `exports`, exports of keys take their turn like backups, and the newest of each name is a latest one, too.
    """

    labels: tuple[str, ...] = (LATEST,)
    count: int | None = None
    share: float | None = None
    exports: bool = False

    def __post_init__(self) -> None:
        untouched = "Nothing was changed"
        wrong = [each for each in self.labels if each != LATEST and not (is_label(each) or is_export_label(each))]
        if wrong:
            raise RedisBackupError(f"labels: {', '.join(wrong)} is no label of a backup", untouched=untouched)
        if self.count is not None and self.count < 1:
            raise RedisBackupError(f"count: {self.count} backups cannot be verified, 1 can", untouched=untouched)
        if self.share is not None and not 0 < self.share <= 100:
            raise RedisBackupError(f"share: {self.share:g} is no share, 1 to 100 percent are", untouched=untouched)


@dataclass(frozen=True)
class Copy:
    """One backup or export as one repository holds it, with the names of its verification records."""

    label: str
    records: tuple[str, ...] = field(default=())


def copies_in(names: Iterable[str]) -> list[Copy]:
    """The backups among the files of a repository (`<label>/<name>`), oldest label first.

    One without a manifest is not there yet, or not any more. One whose manifest is damaged is there.
    """
    records: dict[str, list[str]] = {}
    complete = set()
    for name in names:
        label, _slash, rest = name.partition("/")
        if not (is_label(label) or is_export_label(label)):
            continue
        if rest == MANIFEST:
            complete.add(label)
        elif rest.startswith(f"{VERIFICATION}/"):
            records.setdefault(label, []).append(rest[len(VERIFICATION) + 1 :])
    return [Copy(label, tuple(sorted(records.get(label, ())))) for label in sorted(complete)]


def level_for(label: str, level: str) -> str:
    """How far this one is verified: an export of keys is read to its end, and loaded in no server."""
    return "content" if level == "restore" and is_export_label(label) else level


def turn(copy: Copy, level: str, now: str) -> str:
    """Since when a copy waits: its last verification at `level` or higher, whatever came of it, else its making.

    Both are told as in labels (`20261122T235141`), and so is `now`. What is dated in the future (a clock was wrong)
    does not count: else it would wait until then.
    """
    enough = LEVELS[LEVELS.index(level_for(copy.label, level)) :]
    found = [match.groups() for match in map(_RECORD.fullmatch, copy.records) if match]
    times = [time for time, reached in found if reached in enough]
    made = copy.label[: len(now)]
    past = [time for time in times if time <= now]
    return max(past) if past else made if made <= now else ""


def choose(copies: Sequence[Copy], wish: Wish, level: str, now: str) -> list[str]:
    """The labels to verify in one repository, oldest first.

    In rotation, those that wait longest. A new backup queues behind those that wait, so that each gets its turn within
    as many runs as it takes to go through all, however many are added meanwhile.
    """
    turning = [copy for copy in copies if wish.exports or is_label(copy.label)]
    if wish.count is not None or wish.share is not None:
        copies = turning
        number = wish.count if wish.count is not None else math.ceil(len(copies) * (wish.share or 0) / 100)
        waiting = sorted(copies, key=lambda copy: (turn(copy, level, now), bool(copy.records), copy.label))
        return sorted(copy.label for copy in waiting[:number])
    labels = [copy.label for copy in copies]
    chosen = {label for label in wish.labels if label in labels}
    if LATEST in wish.labels:
        for name in {export_name(copy.label) for copy in turning}:
            alike = [copy.label for copy in turning if export_name(copy.label) == name]
            present = [label for label in alike if label[: len(now)] <= now]
            chosen.add(max(present or alike))
    return sorted(chosen)
