# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of the module: which AOF is meant, whether a server uses it, and what is done with it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

from .._errors import AofError, ProgramError
from .._server.connection import Login, LoginError, Server
from .._server.instance import Instance, Place, find_instance
from .._server.occupied import require_stopped, users_of
from .._server.paths import Paths
from .._server.programs import program_version, server_program
from .._times import now, to_iso
from .check import AofReport, check_pinned, check_set
from .cut import (
    alone_with,
    build,
    built_set,
    cut_in_place,
    is_built,
    keep_original,
    replace_manifest,
    require_buildable,
    require_changeable,
    require_room_to_cut,
)
from .fix import mend_manifest, plan_fix, require_small, what_is_lost
from .manifest import AofManifest, ManifestError, parse_manifest
from .opinion import ask
from .parts import MANIFEST_SUFFIX, AofSet, manifest_data, open_set, set_of
from .pin import pin
from .request import AofDone, AofRequest
from .rewrite import require_aof_on, rewrite_aof
from .truncate import Truncation, plan_truncation, whole_plan

_UNTOUCHED = "Nothing was changed"


@dataclass(frozen=True)
class Target:
    """The AOF at `path`; `own` if it is the instance's. `program` is empty when no server's program was found."""

    instance: Instance
    path: str
    own: bool
    program: str

    @property
    def title(self) -> str:
        """For messages."""
        return f"{self.path} of {self.instance.title}" if self.own else self.path

    def check(self, aof_set: AofSet, *, live: bool = False) -> AofReport:
        """The verdict on a set, as the server that is to load it would give it."""
        modern = True
        with contextlib.suppress(ProgramError):
            modern = not self.program or program_version(self.program)[1] >= (7, 0)
        return check_set(aof_set, self.program, live=live, annotations=modern)


def find_place(login: Login, place: Place, request: AofRequest) -> Instance:
    """The instance; for a given path one that is down, or refuses us, will do. Raises LoginError and ServerError."""
    try:
        return find_instance(login, place, may_be_down=request.state != "rewritten")
    except LoginError as error:
        if not request.path or request.state == "rewritten":
            raise
        return Instance(place, Server(login), "refused", None, Paths(), why=error.what)


def run_aof(instance: Instance, request: AofRequest) -> AofDone:
    """Do what is asked. Raises RedisBackupError and OSError."""
    if request.state == "rewritten":
        return _rewritten(instance, request)
    path, dest = (os.path.abspath(name) if name else "" for name in (request.path, request.dest))
    request = replace(request, path=path, dest=dest)
    target = find_target(instance, path)
    steps = {"checked": _checked, "fixed": _fixed, "truncated": _truncated}
    return steps[request.state](target, request)


def find_target(instance: Instance, path: str) -> Target:
    """Which AOF is meant. Raises AofError when the instance's own is, and there is none."""
    own = _own_path(instance)
    found = _located(path) if path else own
    if not found:
        raise AofError(
            f"no AOF of {instance.title} was found" + (f" in {instance.paths.dir}" if instance.paths.dir else ""),
            untouched=_UNTOUCHED,
            hint="Give path, or config_file, or data_dir; a server with appendonly no has none",
        )
    is_own = bool(own) and os.path.realpath(found) == os.path.realpath(own)
    program = ""
    with contextlib.suppress(ProgramError):
        given, service = instance.place.executable or None, instance.place.service or None
        program = instance.program() if is_own or not path else server_program(given, None, service)
    return Target(instance, found, is_own, program)


def _own_path(instance: Instance) -> str:
    """The manifest or the single file of the instance, as it would look for them; empty when there is none."""
    paths = instance.paths
    if not paths.dir:
        return ""
    multi = True
    with contextlib.suppress(ProgramError):
        multi = instance.version()[1] >= (7, 0)
    wanted = [paths.manifest, paths.aof_file] if multi else [paths.aof_file]
    return next((path for path in wanted if os.path.exists(path)), "")


def _located(path: str) -> str:
    """The manifest in a directory; any other path itself. Raises AofError."""
    if not os.path.isdir(path):
        return path
    names = sorted(name for name in os.listdir(path) if name.endswith(MANIFEST_SUFFIX) and not name.startswith("temp-"))
    return os.path.join(path, names[0]) if len(names) == 1 else path


def _rewritten(instance: Instance, request: AofRequest) -> AofDone:
    require_aof_on(instance)
    if request.check_mode:
        return AofDone(True, [f"would have {instance.title} rewrite its AOF"])
    done = rewrite_aof(instance, request.wait_timeout)
    what = f"into {done.base.name}" if done.base else "; its files are not on this host, so INFO alone tells"
    action = f"had {instance.title} rewrite its AOF {what}: {done.size_before} bytes became {done.size_after}"
    return AofDone(
        True,
        [action],
        rewrite=done.document(),
        before=f"AOF of {done.size_before} bytes\n",
        after=f"AOF of {done.size_after} bytes\n",
    )


# --- checked ---


def _checked(target: Target, request: AofRequest) -> AofDone:
    report, aof_set = _look(target, request)
    document = report.document()
    if request.second_opinion and aof_set is not None and target.program:
        document["second_opinion"] = ask(target.program, aof_set, report)
    return AofDone(False, [f"checked {target.title}: {document['why']}"], document)


def _look(target: Target, request: AofRequest) -> tuple[AofReport, AofSet | None]:
    """The verdict on the AOF, while its server writes it or not."""
    bad = _manifest_report(target.path)
    if bad is not None:
        return bad, None
    facts = target.instance.facts
    if target.own and facts is not None and facts.info.get("aof_enabled") == "1" and not facts.loading:
        with pin(target.instance, request.wait_timeout) as pinned:
            return check_pinned(pinned, target.program), open_set(target.path)
    aof_set = open_set(target.path)
    return target.check(aof_set, live=bool(_users(aof_set))), aof_set


def _manifest_report(path: str) -> AofReport | None:
    """The verdict when the manifest itself is refused."""
    if not path.endswith(MANIFEST_SUFFIX) or not os.path.isfile(path):
        return None
    try:
        parse_manifest(manifest_data(path))
    except ManifestError as error:
        return AofReport((), str(error), os.path.basename(path))
    return None


def _users(aof_set: AofSet) -> list[str]:
    """The processes that write one of the files."""
    return [str(user) for user in users_of(aof_set.directory, [part.name for part in aof_set.parts])]


# --- fixed and truncated ---


@contextlib.contextmanager
def _alone(path: str, request: AofRequest) -> Iterator[None]:
    """No other run changes the AOF meanwhile. Raises AofError when one does."""
    if request.check_mode or not os.path.isdir(os.path.dirname(path)):
        yield
        return
    with alone_with(path):
        yield


def _require_unused(target: Target, aof_set: AofSet, request: AofRequest) -> None:
    """Raise AofError or RestoreError where we may not change the files, or a server may write them or start on them."""
    require_changeable(aof_set)
    if request.check_mode:
        return
    if target.own:
        require_stopped(
            target.instance.server.login, target.instance.paths.dir, target.instance.name, request.stop_wait
        )
    users = _users(aof_set)
    if users:
        raise AofError(
            f"{target.path} is in use: {'; '.join(users[:3])}", untouched=_UNTOUCHED, hint="Stop that server first"
        )


def _fixed(target: Target, request: AofRequest) -> AofDone:
    with _alone(target.path, request):
        return _fix(target, request)


def _fix(target: Target, request: AofRequest) -> AofDone:
    done, seconds = AofDone(), now()
    mended = _mended(target.path)
    aof_set = set_of(mended[0], target.path) if mended else open_set(target.path)
    _require_unused(target, aof_set, request)
    would = "would mend" if request.check_mode else "mended"
    report = target.check(aof_set)
    plan = plan_fix(aof_set, report, drop_later=request.drop_later)
    lost = what_is_lost(aof_set, report, plan) if plan else None
    if lost is not None:
        require_small(lost, request.max_truncate_bytes)
    if plan is not None:
        require_room_to_cut(aof_set, plan, originals=request.keep_original)
    done.before = f"{AofReport((), mended[1], os.path.basename(target.path)).why() if mended else report.why()}\n"
    if mended is not None:
        done.changed = True
        done.actions.append(f"{would} the manifest {target.path}: {mended[1]}")
        if not request.check_mode:
            if request.keep_original:
                done.originals.append(keep_original(target.path, seconds))
            replace_manifest(target.path, mended[0].data())
    if plan is not None and lost is not None:
        bad = report.bad_file
        verb = "would cut" if request.check_mode else "cut"
        done.changed = True
        done.lost = lost.document()
        done.actions.append(f"{verb} {bad} at byte {report.ok_up_to}; lost are {lost.words()}")
        done.actions += [f"{'would drop' if request.check_mode else 'dropped'} {part.name}" for part in plan.drop]
        if not request.check_mode:
            done.originals += cut_in_place(aof_set, plan, originals=request.keep_original, seconds=seconds)
    if done.changed and not request.check_mode:
        report = target.check(open_set(target.path))
        if not report.valid:
            raise AofError(
                f"{target.title} was repaired and is still not good: {report.why()}",
                untouched=f"The originals are kept: {', '.join(done.originals)}" if done.originals else "",
                hint="Restore a backup",
            )
    done.aof = report.document()
    done.after = "nothing wrong\n" if done.changed else done.before
    return done


def _mended(path: str) -> tuple[AofManifest, str] | None:
    """The manifest that was meant, when the one at `path` has to be mended. Raises AofError when it cannot be."""
    if not path.endswith(MANIFEST_SUFFIX):
        return None
    try:
        return mend_manifest(manifest_data(path))
    except ManifestError as error:
        raise AofError(
            f"the manifest {path} is damaged beyond what has but one meaning: {error}",
            untouched=_UNTOUCHED,
            hint="Write it anew from the files beside it (base, then increments by their numbers), or restore a backup",
        ) from None


def _truncated(target: Target, request: AofRequest) -> AofDone:
    second = request.to_timestamp
    if second is None:
        raise AofError("to_timestamp is missing", untouched=_UNTOUCHED)
    if request.dest:
        aof_set = open_set(target.path)
        return _into_dest(target, request, aof_set, plan_truncation(aof_set, target.program, second))
    with _alone(target.path, request):
        return _cut(target, second, request)


def _cut(target: Target, second: int, request: AofRequest) -> AofDone:
    """Cut the set where it lies."""
    aof_set = open_set(target.path)
    _require_unused(target, aof_set, request)
    found = plan_truncation(aof_set, target.program, second)
    when = to_iso(second)
    last = "nothing later than " + when
    done = AofDone(before=f"{target.path}\n", after=f"{target.path}\n")
    if found is None:
        done.aof = target.check(aof_set).document()
        return done
    plan = found.plan
    require_room_to_cut(aof_set, plan, originals=request.keep_original)
    done.changed, done.lost, done.after = True, _lost(found), f"{target.path}, {last}\n"
    verb = "would cut" if request.check_mode else "cut"
    done.actions = [
        f"{verb} {target.title} behind {when}: {found.bytes} bytes with {found.commands} commands of {found.seconds} s"
    ]
    done.actions += [f"{'would drop' if request.check_mode else 'dropped'} {part.name}" for part in plan.drop]
    if not request.check_mode:
        done.originals = cut_in_place(aof_set, plan, originals=request.keep_original, seconds=now())
        aof_set = open_set(target.path)
    done.aof = target.check(aof_set).document()
    return done


def _into_dest(target: Target, request: AofRequest, aof_set: AofSet, found: Truncation | None) -> AofDone:
    """Make the cut set in a new directory."""
    done = AofDone(before=f"{target.path}\n")
    plan = found.plan if found else whole_plan(aof_set, target.program)
    done.lost = _lost(found) if found else None
    done.changed = not is_built(plan, request.dest)
    done.after = f"{target.path}\n{request.dest}\n"
    if done.changed:
        verb = "would write" if request.check_mode else "wrote"
        cut = f", less {found.bytes} bytes with {found.commands} commands" if found else ", from which nothing is cut"
        done.actions = [f"{verb} {request.dest} from {target.title}{cut}"]
        if request.check_mode:
            require_buildable(plan, request.dest)
        else:
            build(aof_set, plan, request.dest)
    if not request.check_mode or not done.changed:
        done.aof = target.check(built_set(request.dest, plan)).document()
    return done


def _lost(found: Truncation) -> dict[str, int]:
    return {"bytes": found.bytes, "commands": found.commands, "seconds": found.seconds}
