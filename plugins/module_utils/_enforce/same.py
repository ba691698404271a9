# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether things are as wished, as far as that needs no server to say. Pure."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from .._config.default_user import agrees, line_of
from .._config.values import Words, lines_of, same_value, text_of
from .situation import Situation
from .wish import Request, Wish


def surely_done(request: Request, situation: Situation) -> bool:
    """Whether everything is as wished, without a doubt that only a server could settle."""
    return all(_surely_done(wish, request, situation) for wish in request.wishes)


def _surely_done(wish: Wish, request: Request, situation: Situation) -> bool:
    if wish.lines is None:
        return False
    known = not (situation.running and situation.config_allowed and wish.readable) or wish.name in situation.live
    if not known and wish.name in request.skip_unknown:
        return True
    if request.to_file and not (file_is(wish, situation, "", None) and default_user_agrees(wish, request, situation)):
        return False
    if not (wish.readable and situation.running and situation.config_allowed):
        return request.to_file and wish.readable
    present = situation.live_lines(wish.name)
    return present is not None and equal(wish.name, wish.lines, present)


def equal(name: str, mine: Sequence[Words], theirs: Sequence[Words]) -> bool:
    if name == "dir":
        return os.path.realpath(mine[0][0]) == os.path.realpath(theirs[0][0])
    return same_value(name, mine, theirs)


def file_is(
    wish: Wish, situation: Situation, default: str, means: Callable[[str, str], str | None] | None
) -> bool:
    """Whether redis.conf gives the wish. `means` asks a server what a text means, for notations that differ.

    Where an include sets a directive that is to have its default, redis.conf has to say the default behind it.
    """
    lines = situation.file_lines(wish.name)
    if lines is None or (wish.lines is None and not situation.in_include(wish.name)):
        return lines is wish.lines
    wanted = lines_of(wish.name, default) if wish.lines is None else wish.lines
    if equal(wish.name, wanted, lines):
        return True
    if means is None or not wish.readable or lines == [[]]:
        return False
    mine = means(wish.name, text_of(wanted))
    return mine is not None and mine == means(wish.name, situation.file_text(wish.name) or "")


def default_user_agrees(wish: Wish, request: Request, situation: Situation) -> bool:
    """Whether a line of the user default, unless `user` is wished for too, has the password of the wish requirepass."""
    if wish.name != "requirepass" or situation.file is None or any(each.name == "user" for each in request.wishes):
        return True
    found = line_of(situation.file)
    return found is None or agrees(found[2].args, wish.text or "")


def conflicting_arguments(argv_settings: Mapping[str, str], wishes: tuple[Wish, ...]) -> str:
    """The first wish that the service's command line sets, and so beats redis.conf; empty when none."""
    for wish in wishes:
        for name in wish.names:
            said = argv_settings.get(name)
            if said is not None and not (wish.lines and same_value(wish.name, wish.lines, lines_of(wish.name, said))):
                return f"--{name} {wish.shown(said)}"
    return ""
