# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a drill restores: by turns the newest backup, a random older one, a random second of the history. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NEWEST, OLDER, MOMENT = TURNS = ("newest", "older", "moment")
AUTO, LABEL, EXPORT = "auto", "label", "export"
PICKS = (AUTO, *TURNS)


@dataclass(frozen=True)
class Material:
    """What there is to drill: the label of the newest backup, those of older ones, and the ranges of whole seconds
    that a history of commands gives."""

    newest: str = ""
    older: tuple[str, ...] = ()
    seconds: tuple[tuple[int, int], ...] = ()

    @property
    def possible(self) -> list[str]:
        """The turns that can be taken."""
        there = {NEWEST: bool(self.newest), OLDER: bool(self.older), MOMENT: bool(self.seconds)}
        return [turn for turn in TURNS if there[turn]]


@dataclass(frozen=True)
class Choice:
    """What is drilled: a backup by its `label`, or the state at the end of a `second`."""

    pick: str
    label: str = ""
    second: int | None = None


def choose(
    material: Material, drilled: Sequence[Mapping[str, Any]], seed: int, pick: str = AUTO
) -> Choice | None:
    """What to drill now, after what was `drilled` (records, oldest first); None where there is nothing of that.

    It is the turn of what was drilled longest ago, or never, whatever came of it: a turn that fails each time holds up
    none of the others. Of the older backups, those come first that no drill has found good. The same seed makes the
    same choice.
    """
    turn = _turn(material.possible, drilled) if pick == AUTO else pick
    if turn not in material.possible:
        return None
    if turn == NEWEST:
        return Choice(NEWEST, material.newest)
    chance = random.Random(seed)
    if turn == OLDER:
        good = {record.get("label") for record in drilled if record.get("ok") is True}
        fresh = [label for label in material.older if label not in good]
        return Choice(OLDER, chance.choice(sorted(fresh or material.older)))
    return Choice(MOMENT, second=_second(material.seconds, chance))


def _turn(possible: Sequence[str], drilled: Sequence[Mapping[str, Any]]) -> str:
    last = {str(record.get("pick")): number for number, record in enumerate(drilled)}
    return min(possible, key=lambda turn: last.get(turn, -1), default="")


def _second(ranges: Sequence[tuple[int, int]], chance: random.Random) -> int:
    """One of all seconds, each as likely as any other."""
    number = chance.randrange(sum(last - first + 1 for first, last in ranges))
    for first, last in ranges:
        if number <= last - first:
            return first + number
        number -= last - first + 1
    return ranges[-1][1]


def next_store(names: Sequence[str], drilled: Sequence[Mapping[str, Any]]) -> str:
    """Of the repositories that hold what is drilled, the one that was drilled longest ago, or never."""
    last = {str(record.get("repository")): number for number, record in enumerate(drilled)}
    return min(names, key=lambda name: last.get(name, -1), default="")
