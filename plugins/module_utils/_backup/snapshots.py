# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which snapshot engine serves a backup, and the snapshot it opens."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from .._errors import SnapshotError
from .._files import locked_in_turn
from .._server.capabilities import why_no_stream
from .._server.connection import ReplyError
from .._server.instance import Instance
from .._snapshot.bgsave import DiskSave, DumpPlace
from .._snapshot.growing import GrowingDump
from .._snapshot.source import RdbSource
from .._snapshot.stream import StreamSource
from .request import BackupRequest


def why_no_file(instance: Instance) -> str | None:
    """The reason why the server's dump file cannot be read on this host; None when it can."""
    if not instance.paths.dir:
        return "its data directory is not known here (CONFIG GET is refused and no config_file is given)"
    if not os.path.isdir(instance.paths.dir):
        return f"its data directory {instance.paths.dir} is not on this host"
    if not os.access(instance.paths.dir, os.R_OK | os.X_OK):
        return f"its data directory {instance.paths.dir} is not readable for this user"
    return None


@contextlib.contextmanager
def alone_on_host(instance: Instance, request: BackupRequest) -> Iterator[None]:
    """One fork at a time on one host: two at once could need twice the memory. The others wait for their turn.

    All that share a state directory are on one host, whatever the inventory calls it. Raises SnapshotError when the
    turn does not come in time.
    """
    busy = SnapshotError(
        f"{instance.title} waited {request.wait_timeout:g} s for other snapshots on this host to end",
        untouched="No backup was made; the earlier ones and the server are as they were",
        hint="Look what they wait for, or raise wait_timeout",
    )
    with locked_in_turn(request.state.lock_path(".snapshot"), busy=busy, patience=request.wait_timeout):
        yield


@contextlib.contextmanager
def open_snapshot(instance: Instance, source: str, wait_timeout: float, notes: list[str]) -> Iterator[RdbSource]:
    """A new snapshot of `instance`: as a stream, else (`auto`) by way of its dump file. `notes` gains what was chosen.

    Raises SnapshotError when the wanted way, or both, are closed, with the reasons.
    """
    facts = instance.require_running()
    no_stream = why_no_stream(facts, instance.config.get("repl-diskless-sync"))
    if source == "stream" and no_stream:
        raise SnapshotError(
            f"{instance.title} cannot stream a snapshot: {no_stream}",
            untouched="Nothing was changed",
            hint="Use source: auto or file, or enable repl-diskless-sync",
        )
    with contextlib.ExitStack() as stack:
        if source in ("auto", "stream") and not no_stream:
            try:
                opened: RdbSource = stack.enter_context(StreamSource(instance.server, wait_timeout))
                notes.append("took the snapshot as a replication stream")
                yield opened
                return
            except ReplyError as refusal:
                if source == "stream":
                    raise
                no_stream = refusal.what
        no_file = why_no_file(instance)
        if no_file:
            raise SnapshotError(
                f"no snapshot of {instance.title} can be had: as a stream, {no_stream or 'not asked for'}; "
                f"as a file, {no_file}",
                untouched="Nothing was changed",
                hint="Allow PSYNC and REPLCONF to the login user, or run on the server's own host",
            )
        if no_stream:
            notes.append(f"took the snapshot by BGSAVE: {no_stream}")
        else:
            notes.append("took the snapshot by BGSAVE")
        place = DumpPlace(instance.paths.dump, instance.paths.logfile)
        yield stack.enter_context(GrowingDump(DiskSave(instance.server, place, wait_timeout=wait_timeout)))
