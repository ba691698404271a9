# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An AOF cut at the end of a second: everything with an annotation up to it stays, nothing later.

The plan is pure: which files stay, where the last of them is cut, what the manifest says. A server writes `#TS:` only
when the second changes, so that commands belong to the last annotation before them; those before the first one belong
to the second of the base, or are from the time before timestamps were switched on, which nothing tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .._errors import AofError
from .._times import to_iso
from .check import FileReport, check_set, read_part
from .manifest import AofManifest
from .parts import BASE_AOF, INCREMENT, AofSet, Part

_UNTOUCHED = "Nothing was changed"


@dataclass(frozen=True)
class CutPlan:
    """What stays of a set: `keep`, the last of them cut to `size` bytes if `cuts`, with `tail` behind; `drop` goes.

    `manifest` is the one to write, None for a single file.
    """

    keep: tuple[Part, ...]
    size: int
    cuts: bool
    drop: tuple[Part, ...]
    manifest: AofManifest | None
    tail: bytes = b""


@dataclass(frozen=True)
class Truncation:
    """A cut at a second, and what it takes away."""

    plan: CutPlan
    bytes: int
    commands: int
    seconds: int


def plan_cut(aof_set: AofSet, number: int, offset: int, tail: bytes = b"") -> CutPlan:
    """Cut the file `number` at `offset`, and drop all behind it. Pure.

    An increment of which nothing stays is dropped as well, if something is left before it.
    """
    files = aof_set.parts
    cuts = bool(tail) or not (offset == 0 and number > 0 and files[number].kind == INCREMENT)
    keep = files[: number + 1] if cuts else files[:number]
    manifest = None
    if aof_set.manifest is not None:
        stay = [part.file for part in keep if part.file is not None]
        last = stay[-1] if cuts else None
        known = {*stay, *aof_set.manifest.history}  # which the server is to delete when it starts
        lines = [line for line in aof_set.manifest.files if line in known]
        # The last one ends earlier now.
        manifest = AofManifest(tuple(replace(line, endoffset=None) if line == last else line for line in lines))
    return CutPlan(keep, offset if cuts else -1, cuts, files[len(keep) :], manifest, tail)


def find_cut(files: Sequence[FileReport], second: int) -> tuple[int, int] | None:
    """The file and offset at which a set ends that was read with `until=second`; None when there is nothing to cut.

    Raises AofError when that second cannot be had of it. Pure.
    """
    number = next((n for n, file in enumerate(files) if file.cut is not None), None)
    _require_readable(files, number)
    stamps = [stamp for file in files for stamp in (file.first_stamp, file.last_stamp) if stamp is not None]
    based = files[0].base_time
    if based is None and files[0].kind == BASE_AOF:
        based = files[0].first_stamp
    if not stamps and based is not None and second >= based and not any(file.commands for file in files):
        return None  # all is in the base
    if not stamps:
        raise AofError(
            "this AOF carries no timestamps: no second can be found in it",
            untouched=_UNTOUCHED,
            hint="Switch aof-timestamp-enabled on (7.0 and newer) for the future; use a backup of that time now",
        )
    if based is not None and second < based:
        raise _outside(f"its base was made at {to_iso(based)}, after that", based, max(stamps))
    if number is None:
        return None
    cut = files[number].cut
    if cut is None:
        return None
    if second < stamps[0]:
        # Nothing with a time lies before the cut.
        unstamped = cut.offset > files[number].rdb_bytes or any(file.commands for file in files[:number])
        if unstamped and (based is None or stamps[0] > based + 1):
            raise _outside(
                f"the commands before its first timestamp, {to_iso(stamps[0])}, carry no time (timestamps were "
                "switched on later, or nothing was written for a while)",
                stamps[0],
                max(stamps),
            )
        if based is None:
            raise _outside(f"it begins at {to_iso(stamps[0])}, after that", stamps[0], max(stamps))
    return number, cut.offset


def require_forward(rest: Sequence[FileReport], second: int) -> None:
    """Raise AofError when what is cut away holds something of that second or earlier. Pure.

    `rest` is what lies behind the cut, read by itself.
    """
    newest = second
    for file in rest:
        if file.first_stamp is None:
            continue
        if file.backward or file.first_stamp < newest or file.first_stamp <= second:
            raise AofError(
                f"the clock went backwards in {file.name}: what was written up to {to_iso(second)} lies in two places",
                untouched=_UNTOUCHED,
                hint="Choose a second before or after that, or use a backup",
            )
        newest = file.last_stamp or newest


def plan_truncation(aof_set: AofSet, program: str, second: int) -> Truncation | None:
    """Read a set and plan its cut at the end of `second`; None when there is nothing to cut. Raises AofError."""
    files = check_set(aof_set, program, until=second).files
    if not files:
        raise AofError("its manifest names no files", untouched=_UNTOUCHED)
    found = find_cut(files, second)
    if found is None:
        return None
    number, offset = found
    behind = read_part(aof_set.parts[number], program, start=offset)
    rest = (behind, *files[number + 1 :])
    require_forward(rest, second)
    last_kept = max((f.last_stamp for f in files[:number] if f.last_stamp is not None), default=None)
    last = max((f.last_stamp for f in rest if f.last_stamp is not None), default=second)
    # What stays may carry no timestamp: then it gets one, so that the next run knows the second it ends with.
    stamped = any(file.first_stamp is not None and file.first_stamp <= second for file in files)
    tail = b"" if stamped or not any(file.commands for file in files) else b"#TS:%d\r\n" % second
    return Truncation(
        plan_cut(aof_set, number, offset, tail),
        bytes=behind.size - offset + sum(file.size for file in files[number + 1 :]),
        commands=sum(file.commands for file in rest),
        seconds=last - max(second, last_kept or second),
    )


def whole_plan(aof_set: AofSet, program: str) -> CutPlan:
    """Everything up to the last whole command."""
    last = len(aof_set.parts) - 1
    return plan_cut(aof_set, last, read_part(aof_set.parts[last], program).ok_up_to)


def _require_readable(files: Sequence[FileReport], number: int | None) -> None:
    """Damage behind the cut is cut away; before it, nothing can be relied on."""
    end = len(files) - 1 if number is None else number
    for place, file in enumerate(files[: end + 1]):
        words = file.words()
        cut_before = place == number and file.cut is not None and file.cut.offset <= file.ok_up_to
        if words is None or cut_before:
            continue
        if place == len(files) - 1 and file.torn:
            continue  # its end alone is torn, and nothing is cut there
        if file.torn and file.note:
            continue
        raise AofError(
            f"{file.name} is damaged ({words}), before that second",
            untouched=_UNTOUCHED,
            hint="Look at it with state: checked; repair it first, or restore a backup",
        )


def _outside(why: str, first: int, last: int) -> AofError:
    return AofError(
        f"this AOF cannot be cut there: {why}",
        untouched=_UNTOUCHED,
        hint=f"It covers {to_iso(first)} to {to_iso(last)}; choose a second of these, or an older backup",
    )
