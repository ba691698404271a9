# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A chain of the archive laid out as an AOF that ends where it was asked to, in one reading of what is needed of it."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

from .._aof.manifest import BASE, INCREMENT, AofFile, AofManifest
from .._aof.packed import Placement, SetError, opener_in, place_set
from .._aof.parts import begins_with_rdb, read_into
from .._aof.resp import Reader, Watch
from .._archive.coverage import Chain, Epoch
from .._archive.frame import Segment
from .._archive.segments import read_segment
from .._archive.sparse import Archived
from .._errors import DamagedError, IncompatibleError, RestoreError
from .._repository.layout import ArchiveName, archived_path
from .._snapshot.checker import check_file
from .point_cut import Decision, Follower, Position, clock_bound, reached
from .point_plan import WRITE_DELAY, Point

_UNTOUCHED = "The live data was not touched"
_AT_ONCE = 8
_AHEAD = 64 * 1024 * 1024  # bytes that are read ahead at most, beside the object that is being written
_BEGIN = Position(0, 0)


@dataclass(frozen=True)
class Target:
    """Where a server looks for its AOF: below `root`, under its own `names` for the directory and the file.

    `program` is the server's, of `version`, `title` its name in words.
    """

    root: str
    names: tuple[str, str]
    program: str
    version: tuple[int, ...]
    title: str

    def place(self, manifest: AofManifest | None, member: str) -> Placement:
        """Where the files go. Raises IncompatibleError where this server cannot load them."""
        try:
            return place_set(manifest, member, self.version, *self.names)
        except SetError as error:
            raise IncompatibleError(
                f"{self.title} cannot load what was archived: {error}",
                untouched=_UNTOUCHED,
                hint="Restore into a server of the version that was archived, or newer",
            ) from None


def read_ahead(archived: Archived, names: Sequence[ArchiveName]) -> Iterator[tuple[Segment, bytes]]:
    """Objects in their order, several at once and only so many ahead. Raises DamagedError for one that is damaged.

    A gap is told behind what lies before it.
    """
    ends = [each.offset for each in names[1:]]
    sizes = [max(end - name.offset, 0) for name, end in zip(names, ends)] + [0]
    waiting: deque[tuple[Future[tuple[Segment, bytes]], int]] = deque()
    held = given = 0
    with ThreadPoolExecutor(_AT_ONCE) as workers:
        try:
            for number in range(len(names)):
                while given < len(names) and (
                    not waiting or (len(waiting) < 2 * _AT_ONCE and held + sizes[given] <= _AHEAD)
                ):
                    waiting.append((workers.submit(_read, archived, names[given]), sizes[given]))
                    held += sizes[given]
                    given += 1
                future, size = waiting.popleft()
                found = future.result()
                held -= size
                yield found
                _require_next(archived, names, number, found[0])
        finally:
            for future, _size in waiting:
                future.cancel()


def _read(archived: Archived, name: ArchiveName) -> tuple[Segment, bytes]:
    return read_segment(archived.store, archived.instance, name, archived.identities)


def _require_next(archived: Archived, names: Sequence[ArchiveName], number: int, segment: Segment) -> None:
    """Raise DamagedError where an object does not reach up to the next one: something between was lost."""
    if number + 1 < len(names) and segment.end != names[number + 1].offset:
        where = archived.store.where(archived_path(archived.instance, names[number]))
        raise DamagedError(
            f"the archive has a gap behind {where}: it ends at byte {segment.end} of {segment.file}, and the next "
            f"object begins at {names[number + 1].offset}",
            untouched=_UNTOUCHED,
            hint="A moment before that, or behind the next base, can be recovered",
        )


def needed_bytes(archived: Archived, epochs: Sequence[Epoch], point: Point) -> int:
    """How many bytes of the AOF the moment takes at most."""
    total = (epochs[0].base[0].total or 0) if epochs[0].base and not epochs[0].single else 0
    for epoch in epochs:
        total += epoch.reach if point.second is None else archived.end_of(epoch, point.end + WRITE_DELAY + 1)
    return total


def lay_chain(
    archived: Archived, chain: Chain, epochs: Sequence[Epoch], point: Point, target: Target
) -> tuple[Decision, list[str]]:
    """Write these `epochs` of a chain as an AOF that ends at the point; (where, the paths of its files).

    Raises RedisBackupError for what cannot be read, or holds the moment twice.
    """
    if epochs[0].single:
        return _lay_single(archived, chain, point, target)
    return _lay_multi(archived, chain, epochs, point, target)


def lay_up_to(
    archived: Archived, chain: Chain, epochs: Sequence[Epoch], decision: Decision, target: Target
) -> list[str]:
    """Write these `epochs` of a chain as an AOF that ends at a place that is known; the paths of its files."""
    kept = epochs[: decision.position.file + 1]
    placement, named = _placing(chain, kept, target)
    paths = [_copy_base(archived, chain, target, placement, named[0])]
    for number, epoch in enumerate(kept):
        last = number == decision.position.file
        names = archived.increments(epoch)
        if last:
            names = [name for name in names if name.offset < decision.position.offset]
        paths.append(_write(archived, names, os.path.join(target.root, placement.files[named[1 + number]])))
    return _cut(chain, kept, target, paths, decision.position)


def search_chain(archived: Archived, epochs: Sequence[Epoch], chain: Chain, point: Point) -> Decision:
    """Look for the point's command in the increments of `epochs` without writing them. Not for single files."""
    follower = Follower(point, chain.first, chain.last)
    for epoch in epochs:
        follower.begin(_title(epoch))
        for segment, data in read_ahead(archived, archived.increments(epoch)):
            follower.feed(segment, data)
    return follower.decide()


def _title(epoch: Epoch) -> str:
    return f"{_member(epoch)} ({epoch.name})"


def _member(epoch: Epoch) -> str:
    return epoch.segments[0].file if epoch.segments else ""


def _placing(chain: Chain, epochs: Sequence[Epoch], target: Target) -> tuple[Placement, list[str]]:
    """Where base and increments go, and the names under which the placement knows them. They are numbered anew."""
    base = chain.epochs[0].base[0].file
    files = [AofFile(f"base{os.path.splitext(base)[1]}", 1, BASE)]
    files += [AofFile(f"incr.{number}", number, INCREMENT) for number, _epoch in enumerate(epochs, 1)]
    return target.place(AofManifest(tuple(files)), ""), [each.name for each in files]


def _copy_base(archived: Archived, chain: Chain, target: Target, placement: Placement, named: str) -> str:
    epoch = chain.epochs[0]
    path = _write(archived, archived.base(epoch), os.path.join(target.root, placement.files[named]))
    if os.path.getsize(path) != epoch.base[0].total:
        raise DamagedError(
            f"the base {epoch.base[0].file} of {epoch.name} is not whole",
            untouched=_UNTOUCHED,
            hint="Use an earlier one",
        )
    return path


def _write(archived: Archived, names: Sequence[ArchiveName], path: str) -> str:
    with opener_in("/")(path) as out:
        for _segment, data in read_ahead(archived, names):
            _write_all(out.fileno(), data)
        os.fsync(out.fileno())
    return path


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _lay_multi(
    archived: Archived, chain: Chain, epochs: Sequence[Epoch], point: Point, target: Target
) -> tuple[Decision, list[str]]:
    placement, named = _placing(chain, epochs, target)
    paths = [_copy_base(archived, chain, target, placement, named[0])]
    follower = Follower(point, chain.first, chain.last)
    for epoch, name in zip(epochs, named[1:]):
        path = os.path.join(target.root, placement.files[name])
        follower.begin(_title(epoch))
        names = archived.increments(epoch)
        end = epoch.reach if point.second is None else archived.end_of(epoch, point.end + WRITE_DELAY + 1)
        if end < epoch.reach:  # else all of it counts, and what follows: also an object without bytes, told for its end
            names = [each for each in names if each.offset < end]
        with opener_in("/")(path) as out:
            paths.append(path)
            for segment, data in read_ahead(archived, names):
                follower.feed(segment, data)
                _write_all(out.fileno(), data)
                if follower.enough:
                    break
            os.fsync(out.fileno())
        if follower.enough or end < epoch.reach:
            break
    if point.second is not None and follower.unstamped and _stamped_before(archived, chain):
        follower.assume_stamps()
    decision = follower.decide()
    return decision, _cut(chain, epochs, target, paths, decision.position)


def _stamped_before(archived: Archived, chain: Chain) -> bool:
    """Whether the server annotated seconds in the file before the chain's first: a rewrite begins without one.

    Read up to the first annotation, which stands near its beginning where there are any.
    """
    after = chain.epochs[0].after
    earlier = next((each for each in archived.coverage.epochs if after and each.name == after.epoch), None)
    if earlier is None:
        return False
    reader = Reader()
    for _segment, data in read_ahead(archived, archived.increments(earlier)):
        reader.feed(data)
        if reader.first_stamp is not None:
            return True
    return False


def _cut(
    chain: Chain, epochs: Sequence[Epoch], target: Target, paths: Sequence[str], position: Position
) -> list[str]:
    """End the set there: cut the file, remove those behind it, and write the manifest of what stays."""
    count = position.file + 1 if position.offset else position.file
    for path in paths[1 + count :]:
        os.unlink(path)
    kept = list(paths[: 1 + count])
    if position.offset:
        os.truncate(kept[-1], position.offset)
    placement, _named = _placing(chain, epochs[:count], target)
    with opener_in("/")(os.path.join(target.root, placement.manifest)) as out:
        _write_all(out.fileno(), placement.text)
        os.fsync(out.fileno())
    return [*kept, os.path.join(target.root, placement.manifest)]


def _lay_single(archived: Archived, chain: Chain, point: Point, target: Target) -> tuple[Decision, list[str]]:
    """The one file of servers before 7.0: cut by the archive's clocks, then at the last whole command."""
    epoch = chain.epochs[0]
    names = archived.increments(epoch)
    placement = target.place(None, _member(epoch))
    bound: tuple[int, float] | None = None
    end = 0
    path = os.path.join(target.root, next(iter(placement.files.values())))
    with ExitStack() as stack:
        out = stack.enter_context(opener_in("/")(path))
        for segment, data in read_ahead(archived, names):
            if segment.lower is not None and segment.lower >= point.end:
                break
            found = clock_bound(segment, point.end)
            if found is not None:
                bound = (found[0], max(found[1], bound[1] if bound else 0.0))
            _write_all(out.fileno(), data)
            end = segment.end
        os.fsync(out.fileno())
    recovered, precision, by = chain.last, 0.0, "end"
    if point.second is not None:
        if bound is None:
            raise RestoreError(
                f"the archive of {_title(epoch)} has no clocks before the end of that second",
                untouched=_UNTOUCHED,
                hint="Choose a later second",
            )
        if bound[0] < end:
            end, by = bound[0], "clocks"
            recovered, precision = reached(bound[1], point.end)
        else:
            own = epoch.own if epoch.own is not None else chain.first
            recovered, by = min(point.end - 1, own), "clocks"
            precision = round(max(point.end + WRITE_DELAY - own, 0.0), 3)
    whole, found_at = _whole(path, end, point, target, _title(epoch))
    decision = Decision(Position(0, whole), recovered, precision, by)
    if found_at is not None:
        time = _clock_at(archived, names, found_at, chain.first)
        decision = Decision(Position(0, found_at), time, 0.0, by, int(time))
    os.truncate(path, decision.position.offset)
    paths = [path]
    if placement.manifest:
        paths.append(os.path.join(target.root, placement.manifest))
        with opener_in("/")(paths[1]) as out:
            _write_all(out.fileno(), placement.text)
            os.fsync(out.fileno())
    return decision, paths


def _whole(path: str, end: int, point: Point, target: Target, title: str) -> tuple[int, int | None]:
    """Where the last whole command before `end` ends, and where the last one begins that is looked for."""
    watch = Watch(point.command, point.key) if point.command else None
    with open(path, "rb") as stream:
        begins = 0
        if begins_with_rdb(stream):
            report = check_file(target.program, stream.fileno())
            begins = report.end_offset
            if report.ok and begins > end:
                raise RestoreError(
                    f"{title} had not been written as a whole by then",
                    untouched=_UNTOUCHED,
                    hint="Choose a later second",
                )
            if not report.ok or begins < 0:
                raise IncompatibleError(
                    f"{target.title} would not load the RDB with which {title} begins: {report.words}",
                    untouched=_UNTOUCHED,
                    hint="Restore into a server of the version that was archived",
                )
        reader = Reader(begins, watch=watch, annotations=False)
        stream.seek(begins)
        read_into(reader, stream, end - begins)
    if reader.damage is not None:
        raise DamagedError(
            f"{title} holds no command at byte {reader.damage.offset}: {reader.damage.what}",
            untouched=_UNTOUCHED,
            hint="A moment before that can be recovered",
        )
    return reader.whole, watch.last.offset if watch is not None and watch.last is not None else None


def _clock_at(archived: Archived, names: Sequence[ArchiveName], offset: int, first: float) -> float:
    """The time up to which everything is in the file below `offset`, by the clocks."""
    name = max((each for each in names if each.offset <= offset), key=lambda each: each.offset)
    segment = archived.header(name)
    known = [before for size, before, _after in segment.clocks if size <= offset]
    return max([first, *known, *([segment.lower] if segment.lower is not None else [])])
