# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that is decided and proven before a change: what the server says to the wishes, the plan, the new file."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .._config.conf_file import ConfFile, load_file
from .._config.default_user import agrees, is_default, set_password
from .._config.edit import set_directive
from .._config.effective import effective_lines
from .._config.quoting import ENCODING, ERRORS
from .._config.values import Words, lines_of, normal_bool, text_of
from .._errors import ConfigError, ProgramError
from .._preflight.folders import user_with, why_not_writable
from .._server.connection import Server
from .._server.instance import Instance
from .._server.paths import NAMES, Paths, resolve_paths
from .._server.process import is_local, process_user, unit_user
from .conf_write import require_writable
from .guards import guard, guard_modules, guard_renames, guard_switch, renamed_now
from .judge import NOT_PROVEN, Unknown, Verdict, judge_wish, meaning
from .openable import require_openable
from .places import moved_by, require_own_aof, require_vacant, strays
from .plan import RELOCATING, Plan, aof_after_run, make_plan
from .ports import require_addresses, require_bindable
from .proof import judge_server, proven
from .relocate import Carry, carried_before, plan_carry, require_room, require_still
from .situation import Situation
from .wish import Request, Wish

User = tuple[int, int]


@dataclass(frozen=True)
class Prepared:
    """What is to be done. `edited` is the proven redis.conf, None where it stays; `carries` the files to copy first.

    `strays` are the directives by which the next start will look for data elsewhere than the server that runs.
    `no_start` says why a restart that is due would fail: redis.conf was broken by other hands.
    """

    plan: Plan
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    edited: ConfFile | None = None
    carries: tuple[Carry, ...] = ()
    strays: tuple[str, ...] = ()
    no_start: str = ""


def prepare(instance: Instance, request: Request, situation: Situation, journal: str) -> Prepared:
    """Judge the wishes, plan, and prove the new redis.conf. Changes nothing.

    `journal` names the copies of an earlier run that did not end. Raises ConfigError for what is refused.
    """
    program = _program(instance, request)
    user = _server_user(instance, situation)
    if program is None:
        verdicts = {wish.name: _unjudged(wish, situation) for wish in request.wishes if wish.readable}
        guard(request, situation, verdicts)
        return Prepared(make_plan(request, situation, verdicts, lambda _name, _text: None), verdicts)
    bind = next((wish.text for wish in request.wishes if wish.name == "bind"), None)
    if bind and situation.local:
        require_addresses(bind)
    modules = [line for _file, _i, line in situation.file.walk() if line.name == "loadmodule"] if situation.file else []
    with judge_server(program, user, situation.version, modules) as asked:
        verdicts = _judged(asked, request, situation)
        guard(request, situation, verdicts)
        _require_dir(instance, request, situation, user)
        _require_acl(instance, request, situation)
        plan = make_plan(request, situation, verdicts, _asking(asked))
        _require_loadable(asked, situation, plan, aof_after_run(situation, verdicts))
    edited = _edited(request, situation, plan, verdicts)
    astray = _astray(instance, situation, plan, edited, journal)
    if request.to_file:
        guard_switch(situation, plan.aof, astray)
    if plan.aof == "on" and situation.local and situation.facts:
        require_own_aof(situation.title, instance.paths, situation.facts.number("process_id"))
    if edited is None:
        no_start = _why_no_start(situation.file, program, user) if plan.reasons and situation.file else ""
        return Prepared(plan, verdicts, strays=astray, no_start=no_start)
    require_writable(edited.path)
    require_openable(edited, plan.edits, instance.paths, situation)
    _prove(edited, program, user, plan, verdicts)
    carries: list[Carry] = []
    if not situation.running:
        require_bindable(edited, situation.version)
        carries = _carries(instance, situation, plan, edited, journal)
    return Prepared(plan, verdicts, edited, tuple(carries), astray)


def _edited(request: Request, situation: Situation, plan: Plan, verdicts: dict[str, Verdict]) -> ConfFile | None:
    """redis.conf with the wishes; None where it stays."""
    if not plan.edits or situation.file is None:
        return None
    edited = load_file(situation.file.path)
    for wish in plan.edits:
        default = lines_of(wish.name, verdicts[wish.name].default) if wish.lines is None else ()
        set_directive(edited, wish.name, _as_written(wish, verdicts[wish.name]), situation.version, default)
        if wish.name == "requirepass" and not any(each.name == "user" for each in request.wishes):
            set_password(edited, wish.text or "")
    return edited


def _as_written(wish: Wish, verdict: Verdict) -> list[Words] | None:
    """The lines for redis.conf: `True`, as templates make of booleans, is no word of it where a server says yes."""
    said = verdict.canonical or ""
    if wish.text is not None and wish.text != said and normal_bool(wish.text, said) == said:
        return [[said]]
    return wish.lines


def _program(instance: Instance, request: Request) -> str | None:
    """The server's program; None where it is elsewhere and nothing but CONFIG SET is asked for."""
    try:
        return instance.program()
    except ProgramError:
        if request.to_file:
            raise
        return None


def _server_user(instance: Instance, situation: Situation) -> User | None:
    """Whom the server runs as; None when nothing tells."""
    facts = situation.facts
    running = process_user(facts.number("process_id")) if facts and is_local(facts) else None
    found = running or unit_user(instance.place.service)
    if found is None and os.path.isdir(instance.paths.dir):
        there = os.stat(instance.paths.dir)
        found = (there.st_uid, there.st_gid)
    return found


def _asking(asked: Server) -> Callable[[str, str], str | None]:
    return lambda name, text: meaning(asked, name, text)


def _judged(asked: Server, request: Request, situation: Situation) -> dict[str, Verdict]:
    found = {}
    for wish in request.wishes:
        try:
            found[wish.name] = judge_wish(asked, wish, situation.live, situation.protected)
        except Unknown:
            if wish.name not in request.skip_unknown:
                raise
    return found


def _unjudged(wish: Wish, situation: Situation) -> Verdict:
    """A verdict without the server's program at hand: the running value, or the wish as it is written."""
    present = situation.live.get(wish.name)
    if present is None or wish.text is None:
        raise ConfigError(
            f"{situation.title}: {wish.name} "
            + ("is not known to the server" if present is None else "has a default that only its program knows"),
            untouched="Nothing was changed",
            hint="Correct settings; for null, run on a host that has the server's program",
        )
    same = wish.lines is not None and lines_of(wish.name, present) == wish.lines
    return Verdict(present if same else normal_bool(wish.text, present), True, present)


def _require_dir(instance: Instance, request: Request, situation: Situation, user: User | None) -> None:
    """Refuse a data directory that is not there, or where the server could not save."""
    wish = next((wish for wish in request.wishes if wish.name == "dir"), None)
    if wish is None:
        return
    path, why = wish.text or "", ""
    if not os.path.isabs(path):
        why = "must be an absolute path"
    elif situation.local:
        there = dataclasses.replace(instance.paths, dir=path)
        why = why_not_writable(there, user_with(*user) if user else None, "/", "") or ""
    if why:
        raise ConfigError(
            f"settings: dir {path or 'null'} {why}",
            untouched="Nothing was changed",
            hint="Name a directory of the server's user, and make it first",
        )


def _require_acl(instance: Instance, request: Request, situation: Situation) -> None:
    """Refuse a requirepass that the ACL file will beat at the next start."""
    wish = next((wish for wish in request.wishes if wish.name == "requirepass"), None)
    path = instance.paths.aclfile if situation.local else ""
    if wish is None or not path or not os.access(path, os.R_OK):
        return
    with open(path, encoding=ENCODING, errors=ERRORS) as stream:
        users = [line.split()[1:] for line in stream if line.split()[:1] == ["user"]]
    if any(is_default(words) and not agrees(words, wish.text or "") for words in users):
        raise ConfigError(
            f"{path} has a user default with another password, which beats requirepass at the next start",
            untouched="Nothing was changed",
            hint="Change it there (ACL SETUSER, then ACL SAVE), and take requirepass out of settings",
        )


def _require_loadable(asked: Server, situation: Situation, plan: Plan, aof_after: bool) -> None:
    """Refuse modules taken out and commands renamed, where the data on disk needs them."""
    for wish in plan.edits:
        if wish.name == "loadmodule":
            guard_modules(situation, wish)
        elif wish.name == "rename-command":
            renamed = renamed_now(situation, wish)
            replies = asked.pipeline([("COMMAND", "INFO", name) for name in renamed]) if renamed else []
            guard_renames(situation, [name for name, reply in zip(renamed, replies) if _writes(reply)], aof_after)


def _writes(reply: Any) -> bool:
    """Whether COMMAND INFO calls a command one that writes."""
    flags = reply[0][2] if isinstance(reply, list) and reply and reply[0] else []
    return any(flag in (b"write", "write") for flag in flags)


def _prove(edited: ConfFile, program: str, user: User | None, plan: Plan, verdicts: dict[str, Verdict]) -> None:
    """Have a server of the same program start with the edited file, and say what it means."""
    with proven(edited, program, user) as server:
        said = server.config_get(*(wish.name for wish in plan.edits if wish.readable))
    for wish in plan.edits:
        verdict = verdicts[wish.name]
        if wish.name in NOT_PROVEN or wish.name.startswith("tls-") or not verdict.settable:
            continue
        if wish.name in said and said[wish.name] != verdict.canonical:
            raise ConfigError(
                f"{edited.path}: a start with the edited file would give {wish.name} "
                f"{wish.shown(said[wish.name])!r} and not {wish.shown(verdict.canonical)!r}",
                untouched="Nothing was changed",
                hint="An include or a line behind it may set it again; set it there",
            )


def _why_no_start(file: ConfFile, program: str, user: User | None) -> str:
    """Why a server would not start with a redis.conf as it is; empty when it would."""
    try:
        with proven(file, program, user):
            return ""
    except ConfigError as error:
        return error.what


def _carries(instance: Instance, situation: Situation, plan: Plan, edited: ConfFile, journal: str) -> list[Carry]:
    """The files that a start with the edited file would miss."""
    if not any(wish.name in RELOCATING for wish in plan.edits):
        return []
    old, new = instance.paths, _paths_after(instance, situation, plan, edited)
    if not os.path.isabs(old.dir):
        raise ConfigError(
            f"{situation.title} is down, and redis.conf does not tell where its data lies, which is to be carried over",
            untouched="Nothing was changed",
            hint="Name data_dir",
        )
    require_still(old)
    found = plan_carry(old, new, (old.aclfile, new.aclfile))
    require_room(found, new.dir, journal)
    return found


def _astray(
    instance: Instance, situation: Situation, plan: Plan, edited: ConfFile | None, journal: str
) -> tuple[str, ...]:
    """By which directives the next start will look for data elsewhere than the server will have it when it runs.

    Raises ConfigError when somebody else's data lies where this server's is to be.
    """
    if not situation.local:
        return ()
    now = instance.paths
    running = moved_by(now, [(change.name, change.new) for change in plan.live])
    after = _paths_after(instance, situation, plan, edited)
    ours = carried_before(journal)
    require_vacant(now, running, ours=ours)
    if any(wish.name in RELOCATING for wish in plan.edits):
        require_vacant(now, after, carried=not situation.running, ours=ours)
    if not situation.running:
        return ()
    said = instance.next_start.get("dir", "")
    edits_dir = any(wish.name == "dir" for wish in plan.edits)
    return strays(running, after if edits_dir else dataclasses.replace(after, dir=said or after.dir))


def _paths_after(instance: Instance, situation: Situation, plan: Plan, edited: ConfFile | None) -> Paths:
    """Where the next start will look for its data."""
    settings = dict(instance.next_start)
    for name in NAMES:
        lines = effective_lines(edited, name, situation.version) if edited else None
        if lines is not None:
            settings[name] = text_of(lines)
        elif any(wish.name == name for wish in plan.edits):
            settings.pop(name, None)
    if not any(wish.name == "dir" for wish in plan.edits):
        settings["dir"] = instance.paths.dir
    return resolve_paths(settings)
