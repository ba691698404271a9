# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a restore into a running server: staged, active, rolled back, committed. Each may be repeated."""

from __future__ import annotations

import os
from dataclasses import replace

from .._errors import IncompatibleError, RedisBackupError, RestoreError
from .._files import locked, remove_tree
from .._restore.commit import continue_history
from .._restore.ending import to_close, to_undo
from .._restore.guards import require_own, restore_running
from .._restore.journal import Journal, Workspace
from .._restore.point import stage_point
from .._restore.request import Options, Outcome, Selection
from .._restore.results import result_of
from .._restore.stage import with_live
from .._restore.swap import require_same
from .._server.compatibility import databases_of
from .._server.instance import Instance
from . import exchange
from .exchange import PREVIOUS, RESTORED, Target
from .guards import require_live, require_memory, why_not_live
from .proof import prove
from .request import LiveOptions
from .seat import DUMP, with_program
from .settings import PLAYING

CUT_SHORT = ("activating", "rolling_back", "committing")


def live_step(
    state: str, real: Instance, seat: Instance, selection: Selection | None, options: Options, live: LiveOptions
) -> Outcome:
    """Do what `state` asks for, and tell the difference it makes. Raises RedisBackupError."""
    before = _line(seat)
    if state == "staged":
        if selection is None:
            raise RestoreError("state: staged needs a repository", untouched="Nothing was changed")
        outcome = _stage(real, seat, selection, options, live)
    elif state == "active":
        outcome = _activate(real, seat, selection, options, live)
    elif state == "rolled_back":
        outcome = _roll_back(real, seat, options, live)
    else:
        outcome = _commit(real, seat, options, live)
    after = before
    if outcome.changed:
        after = f"{state}\n" if options.check_mode else _line(seat)
    outcome.diff = {"before": before, "after": after}
    outcome.actions = [words.replace(seat.paths.dir, seat.place.data_dir) for words in outcome.actions]
    return outcome


def _line(seat: Instance) -> str:
    newest = next(iter(Workspace(seat.paths.dir).journals()), None)
    return f"{newest.label}: {newest.state}\n" if newest else "no restore\n"


def _target(
    real: Instance, seat: Instance, workspace: Workspace, journal: Journal, options: Options, live: LiveOptions
) -> Target:
    return Target(real, seat, workspace, journal, live, options.wait)


def _result(seat: Instance, workspace: Workspace, journal: Journal) -> dict[str, object]:
    return with_live(result_of(workspace, journal), seat)


def _data(workspace: Workspace, journal: Journal) -> str:
    return os.path.join(workspace.staged(journal), DUMP)


def _stage(real: Instance, seat: Instance, selection: Selection, options: Options, live: LiveOptions) -> Outcome:
    workspace = Workspace(seat.paths.dir)
    told: list[str] = []
    plain = replace(options, server_files="none", close_writes=False)
    open_now = workspace.current()
    if open_now is not None and open_now.state in CUT_SHORT:
        if options.check_mode:
            would = f"would bring the restore {open_now.id}, which was cut short, to its end first"
            return Outcome(True, [would], result_of(workspace, open_now))
        if open_now.state == "committing":
            told += _commit(real, seat, options, live).actions
        elif open_now.state == "activating":
            _let_go(real, seat, workspace, open_now, options, live)
            standing = stage_point(with_program(seat, real), selection, replace(plain, check_mode=True))
            if not standing.changed:
                return standing
        if open_now.state != "committing":
            told += _roll_back(real, seat, options, live).actions
        _target(real, seat, workspace, open_now, options, live).look()
    require_live(real, live)
    seat = with_program(seat, real)
    outcome = stage_point(seat, selection, plain)
    outcome.actions[:0] = told
    outcome.changed = outcome.changed or bool(told)
    journal = workspace.current()
    if options.check_mode or journal is None or journal.state != "staged" or outcome.restore is None:
        return outcome
    if not journal.live:
        with locked(workspace.lock_path, busy=restore_running(real)):
            outcome.actions += _prove(real, seat, workspace, journal)
        outcome.changed = True
        outcome.restore = _result(seat, workspace, journal)
    return outcome


def _let_go(
    real: Instance, seat: Instance, workspace: Workspace, journal: Journal, options: Options, live: LiveOptions
) -> None:
    """Make the server of an exchange that was cut short a primary again, whatever it holds; it is looked at anew."""
    with locked(workspace.lock_path, busy=restore_running(real)):
        target = _target(real, seat, workspace, journal, options, live)
        exchange.require_alive(target)
        exchange.release(target)
        target.look()


def _prove(real: Instance, seat: Instance, workspace: Workspace, journal: Journal) -> list[str]:
    """Have what is staged loaded by the server's own version; what that refuses is not kept. The lock is held."""
    what = f"{journal.label} of {journal.source_instance}"
    try:
        user = (journal.owner[0], journal.owner[1]) if journal.owner else (os.geteuid(), os.getegid())
        program = seat.program()
        databases = databases_of(real.config)
        proof = prove(_data(workspace, journal), workspace.folder(journal), program, databases, user, what)
        if proof.keys != journal.keys:
            raise IncompatibleError(
                f"{what} was loaded by {program} into {proof.keys} of its {journal.keys} keys",
                untouched="The live data was not touched",
                hint="Restore into a server of the version that made it, and tell us",
            )
    except BaseException:
        remove_tree(workspace.folder(journal))
        raise
    journal.live = {"memory": proof.memory, "program": program}
    workspace.save(journal)
    return [f"loaded it in a throw-away server of {program}: {proof.keys} keys, {proof.memory} bytes of memory"]


def _to_activate(real: Instance, workspace: Workspace, selection: Selection | None) -> Journal:
    journal = workspace.current()
    newest = next(iter(workspace.journals()), None)
    if journal is None or (newest is not None and newest.state == "staging"):
        raise RestoreError(
            f"nothing is staged for {real.title}",
            untouched="Nothing was changed",
            hint="Run state: staged first, with method: replication",
        )
    require_own(real, journal)
    require_same(real, journal, selection)
    for state, finished in (("committing", "committed"), ("rolling_back", "rolled_back")):
        if journal.state == state:
            raise RestoreError(
                f"the restore {journal.id} of {real.title} is on its way to being {finished}",
                untouched="Nothing was changed",
                hint=f"Finish that with state: {finished}",
            )
    return journal


def _activate(
    real: Instance, seat: Instance, selection: Selection | None, options: Options, live: LiveOptions
) -> Outcome:
    workspace = Workspace(seat.paths.dir)
    journal = workspace.current()
    if options.check_mode and (journal is None or journal.state in ("staged", "activating")):
        if journal is not None and journal.state == "staged":
            require_memory(real, require_live(real, live), int(journal.live.get("memory", 0)), live)
        return Outcome(True, [f"would play the staged data to {real.title}, and keep what it holds"])
    journal = _to_activate(real, workspace, selection)
    if journal.state == "active":
        return Outcome(False, [], _result(seat, workspace, journal))
    with locked(workspace.lock_path, busy=restore_running(real)):
        journal = _to_activate(real, workspace, selection)  # another run may have come first
        if journal.state == "active":
            return Outcome(False, [], _result(seat, workspace, journal))
        seat = with_program(seat, real)
        target = _target(real, seat, workspace, journal, options, live)
        actions: list[str] = []
        if journal.state == "activating":
            exchange.require_alive(target)
        begun = journal.state == "activating" and exchange.holds(target) == (RESTORED, True)
        if not begun:
            actions += _bring_in(target, options)
        actions += exchange.finish(target)
        if exchange.writes_are_ours(target):
            _require_whole(target)
        if not options.close_writes:
            actions += exchange.open_writes(target)
        older = workspace.find(journal.over) if journal.over else None
        if older is not None and older.state == "active":
            workspace.save(older, "superseded")
        journal.writes_closed = options.close_writes
        workspace.save(journal, "active")
    return Outcome(True, actions, _result(seat, workspace, journal))


def _bring_in(target: Target, options: Options) -> list[str]:
    """Keep what the server holds, and play the staged data to it. A failure leaves the old data, and all as it was."""
    real, journal, workspace = target.real, target.journal, target.workspace
    if not journal.live:
        _prove(real, target.seat, workspace, journal)
    again = journal.state == "activating"
    certain = exchange.holds(target)[1]
    if again:
        exchange.release(target)
    target.look()
    facts = require_live(real, target.options)
    require_memory(real, facts, int(journal.live["memory"]), target.options)
    exchange.require_room(target, facts)
    actions: list[str] = []
    try:
        with exchange.ready(target, RESTORED, _data(workspace, journal)) as program:
            workspace.save(journal, "activating")
            closed = again and certain and exchange.writes_are_ours(target)
            exchange.close_writes(target)
            previous = workspace.previous(journal)
            if not (closed and journal.live.get("kept")):
                # Once the server was started anew, it may hold the restored data: what was kept first is not touched.
                folder = previous if certain or not journal.live.get("kept") else _free_name(previous)
                target.lend("lent", dict(PLAYING))
                actions += exchange.keep(target, folder)
                target.note(kept=True)
            actions += exchange.play(target, program)
    except BaseException:
        if journal.state == "activating" and _undo(target):
            journal.live.update(played={}, kept=False)
            workspace.save(journal, "staged")
        raise
    return actions


def _undo(target: Target) -> bool:
    """After a failure: settings and writes as they were, unless the server took the new data; whether all is as before.
    """
    try:
        what, certain = exchange.holds(target)
        if what == RESTORED and certain:
            return False  # all that is missing is its end, which the next run brings
        exchange.put_all_back(target)
    except RedisBackupError:
        return False
    return certain


def _free_name(path: str) -> str:
    number = 2
    while os.path.lexists(f"{path}-{number}"):
        number += 1
    return f"{path}-{number}"


def _require_whole(target: Target) -> None:
    """Raise RestoreError when the server holds more or fewer keys than it may."""
    facts = target.facts()
    most, least = target.journal.keys, target.journal.keys - target.journal.expires
    if not least <= facts.keys <= most:
        raise RestoreError(
            f"{target.title} holds {facts.keys} keys, and the backup {most}, of which {target.journal.expires} expire",
            untouched="Writes are still closed",
            hint="Bring its old data back with state: rolled_back; maxmemory may have evicted keys",
        )


def _roll_back(real: Instance, seat: Instance, options: Options, live: LiveOptions) -> Outcome:
    workspace = Workspace(seat.paths.dir)
    journal, answer = to_undo(real, workspace, options)
    if answer is not None:
        return answer
    with locked(workspace.lock_path, busy=restore_running(real)):
        actions = [f"removed the remains of {name}" for name in workspace.forget_unfinished()]
        journal = workspace.current()
        if journal is None:
            last = next(iter(workspace.journals()), None)
            return Outcome(bool(actions), actions, result_of(workspace, last) if last else None)
        if journal.state == "staged":
            remove_tree(workspace.staged(journal))
            workspace.save(journal, "rolled_back")
            return Outcome(True, [*actions, f"removed the staged {journal.label}"], result_of(workspace, journal))
        target = _target(real, seat, workspace, journal, options, live)
        exchange.require_alive(target)
        workspace.save(journal, "rolling_back")
        if exchange.holds(target) != (PREVIOUS, True):
            actions += _bring_back(target)
            actions += exchange.finish(target)
        actions += exchange.put_all_back(target)
        older = workspace.find(journal.over) if journal.over else None
        if older is not None and older.state == "superseded":
            workspace.save(older, "active")
        remove_tree(workspace.staged(journal))
        workspace.save(journal, "rolled_back")
    return Outcome(True, actions, result_of(workspace, journal))


def _bring_back(target: Target) -> list[str]:
    """Play what the server held before to it; what it holds now is kept as well."""
    workspace, journal = target.workspace, target.journal
    kept = os.path.join(workspace.previous(journal), DUMP)
    if not os.path.exists(kept):
        raise RestoreError(
            f"what {target.title} held before is not in {kept}",
            untouched="Nothing was changed",
            hint="Restore a backup of it",
        )
    target.seat = with_program(target.seat, target.real)
    exchange.release(target)
    facts = target.look()
    why = why_not_live(facts, target.options)
    if why is not None:
        raise RestoreError(f"{target.title} {why[0]}", untouched="Nothing was changed", hint=why[1])
    exchange.require_room(target, facts)
    require_memory(target.real, facts, int(journal.live.get("kept_memory", 0)), target.options)
    with exchange.ready(target, PREVIOUS, kept) as program:
        exchange.close_writes(target)
        target.lend("lent", dict(PLAYING))
        discarded = workspace.discarded(journal)
        actions = exchange.keep(target, _free_name(discarded) if os.path.lexists(discarded) else discarded)
        return actions + exchange.play(target, program)


def _commit(real: Instance, seat: Instance, options: Options, live: LiveOptions) -> Outcome:
    workspace = Workspace(seat.paths.dir)
    journal, answer = to_close(
        real,
        workspace,
        options,
        lambda last: _result(seat, workspace, last),
        kind="live ",
        how=", with method: replication",
    )
    if journal is None:
        return answer or Outcome(False)
    with locked(workspace.lock_path, busy=restore_running(real)):
        now = workspace.find(journal.id)
        if now is None or now.state != journal.state:  # another run came first
            raise restore_running(real)
        target = _target(real, seat, workspace, journal, options, live)
        exchange.require_alive(target)
        # From here on writes may be open: a crash must never lead back to a rollback.
        workspace.save(journal, "committing")
        actions = exchange.open_writes(target)
        actions += continue_history(journal, options)
        workspace.save(journal, "committed")
        remove_tree(workspace.staged(journal))
        actions.append(f"closed the restore {journal.id}; the previous data stays in {workspace.previous(journal)}")
    return Outcome(True, actions, _result(seat, workspace, journal))
