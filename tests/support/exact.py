# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each second of a steady writer, recovered from its archive and held against what the writer noted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.segments import read_segment
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.sparse import Archived as Survey
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.sparse import survey_archive
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.archived import listed
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore.point_fetch import Target, lay_chain
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore.point_plan import Point, chains_for
from ansible_collections.globalscope.redis_backup.plugins.module_utils._times import from_iso

from support.archives import INSTANCE, Archived, with_aof
from support.modules import run_module
from support.pace import Pace, last_number, values_after
from support.servers import Build, RedisProcess

MakeServer = Callable[..., RedisProcess]


def status(archived: Archived) -> dict[str, Any]:
    """What the module tells of an archive."""
    found: dict[str, Any] = run_module("redis_aof_archive", {**archived.params, "state": "status"})["archive"]
    return found


def survey_of(archived: Archived) -> Survey:
    """What an archive covers; nothing in it is damaged."""
    found = survey_archive(archived.store, INSTANCE, [str(archived.key.identity)] if archived.key else [])
    assert found is not None and not found.damaged
    return found


def gaps_of(told: dict[str, Any]) -> list[tuple[float, float]]:
    """The gaps that a status tells."""
    return [(from_iso(gap["from"]), from_iso(gap["to"])) for gap in told["gaps"]]


def lay(survey: Survey, build: Build, second: int, root: Path) -> int | None:
    """Lay out the end of a second below `root`; the writes in it as its increments tell, None when they hold none."""
    point = Point(second)
    chain = chains_for(survey.coverage, point)[0]
    target = Target(str(root), ("appendonlydir", "appendonly.aof"), str(build.executable), build.version, "the target")
    decision, paths = lay_chain(survey, chain, chain.epochs, point, target)
    assert decision.precision == 0 and decision.by == "timestamps", (second, decision)
    found = None
    for path in map(Path, paths):
        if ".incr." in path.name:
            found = last_number(path.read_bytes()) or found
    return found


def assert_held(server: RedisProcess, bounds: tuple[int, int], what: str) -> None:
    """A server holds exactly a whole number of writes within the bounds."""
    with server.client() as client:
        keys = client.keys("key:*")
        found = dict(zip(keys, client.mget(keys), strict=True)) if keys else {}
    count = max(int(value[:12]) for value in found.values()) if found else 0
    assert bounds[0] <= count <= bounds[1], f"{what}: {count} writes, not {bounds}"
    assert found == values_after(count), what


def assert_seconds(
    archived: Archived,
    pace: Pace,
    make_server: MakeServer,
    gaps: Sequence[tuple[float, float]],
    every: int,
) -> list[int]:
    """Each second comes back exactly, or lies in one of the gaps. Returns those that come back.

    All are laid out and counted; each so many is loaded by a server, and compared key by key.
    """
    survey, build = survey_of(archived), archived.server.build
    lost = [second for second in pace.seconds if not chains_for(survey.coverage, Point(second))]
    for second in lost:
        assert any(first <= second + 1 and second <= last for first, last in gaps), f"{second} is lost, and in no gap"
    there = [second for second in pace.seconds if second not in lost]
    for number, second in enumerate(there):
        target = make_server(build, conf={**with_aof(build), "aof-load-truncated": "no"}, start=False)
        count = lay(survey, build, second, target.data_dir)
        least, most = pace.at_end_of(second)
        assert count is None or least <= count <= most, f"{second}: {count} writes, not {least} to {most}"
        if count is None or number % every == 0:
            target.start()
            assert_held(target, (least, most), f"second {second}")
        target.destroy()
        _clear(target.data_dir)
    return there


def _clear(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file():
            path.unlink()


def assert_restored(archived: Archived, make_server: MakeServer, seconds: Iterable[int], pace: Pace) -> None:
    """The same by redis_restore, as a role uses it."""
    for second in seconds:
        target = make_server(archived.server.build, conf=with_aof(archived.server.build))
        given = {
            **target.connection,
            "instance": INSTANCE,
            "config_file": str(target.conf_path),
            "state_dir": str(target.directory / "state"),
        }
        identities = [str(archived.key.identity)] if archived.key else []
        source = {"repository": archived.params["repository"], "identities": identities}
        done = run_module("redis_restore", {**given, **source, "state": "staged", "at": f"@{second}"})["restore"]
        assert done["precision_seconds"] == 0, done
        target.stop()
        run_module("redis_restore", {**given, "state": "active"})
        target.start()
        assert_held(target, pace.at_end_of(second), f"second {second}, restored")
        target.destroy()


def ages(archived: Archived, pace: Pace) -> list[float]:
    """The age of the oldest write that a repository in a directory did not have, right before each object came.

    An object is there when it gets its name, which is the last change to its file.
    """
    identities = [str(archived.key.identity)] if archived.key else []
    known: list[tuple[float, int]] = []
    for name, each in listed(archived.store, INSTANCE):
        if ".incr." in name.file:
            _segment, data = read_segment(archived.store, INSTANCE, name, identities)
            known.append(((archived.repository / each.path).stat().st_ctime, last_number(data) or 0))
    found, reached = [], 0
    for moment, number in sorted(known):
        if number > reached:
            found.append(moment - pace.time_of(reached + 1))
            reached = number
    return found
