# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes.conf of a stopped node put in place, and the previous one back when that is undone.

The previous one is kept in the workspace of restores, `<dir>/.redis_backup/<id>-nodes.conf`, by a journal of its own
beside it: a restore of the same node may be open, and neither may take the other's journal for its own.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import asdict, dataclass

from .._config.quoting import ENCODING, ERRORS
from .._errors import GroupError
from .._files import fsync_dir, locked, read_json, write_atomic, write_json
from .._restore.cluster_node import read_nodes_file
from .._restore.guards import restore_running
from .._restore.journal import Workspace, new_id
from .._restore.ownership import find_ownership
from .._server.instance import Instance
from .._topology.nodes_conf import says_the_same

FORMAT = 1
_MODE = 0o640
_UNTOUCHED = "Nothing was changed"


@dataclass(frozen=True)
class Placed:
    """What was put in place of what. `kept` names the previous file in the workspace, empty where there was none."""

    path: str
    kept: str
    mode: int
    wrote: str


def put_in_place(instance: Instance, text: str, *, check_mode: bool = False) -> list[str]:
    """Have the stopped server start as `text` says. What was there before is kept. Idempotent, also when cut short."""
    path = instance.paths.nodes_file
    found = read_nodes_file(path)
    if found is not None and says_the_same(found, text):
        return []
    if check_mode:
        return [f"would write {path}" + ("" if found is None else ", and keep the previous one")]
    owner = find_ownership(instance)
    workspace = Workspace(instance.paths.dir)
    workspace.prepare()
    with locked(workspace.lock_path, busy=restore_running(instance)):
        standing = _read(workspace, path)
        # What was there before the first of several runs comes back; what came since is kept as well.
        kept, mode = _keep(workspace, path, found, standing)
        journal = standing or Placed(path, kept, mode, "")
        write_json(_journal_path(workspace), {"format": FORMAT, **asdict(Placed(path, journal.kept, mode, text))})
        ids = (owner.uid, owner.gid) if os.geteuid() == 0 else None
        write_atomic(path, text.encode(ENCODING, ERRORS), mode=mode, owner=ids)
    told = f", and kept the previous one as {os.path.join(workspace.root, kept)}" if kept else ""
    return [f"wrote {path}{told}"]


def put_back(instance: Instance, *, check_mode: bool = False) -> list[str]:
    """Put the previous nodes.conf of a stopped server back, if `put_in_place` was not closed. Idempotent."""
    workspace = Workspace(instance.paths.dir)
    path = instance.paths.nodes_file
    if not path or not workspace.exists() or _read(workspace, path) is None:
        return []
    if check_mode:
        return [f"would put the previous {path} back"]
    with locked(workspace.lock_path, busy=restore_running(instance)):
        journal = _read(workspace, path)
        if journal is None:
            raise restore_running(instance)
        _keep(workspace, path, read_nodes_file(path), journal)
        if journal.kept:
            before = _before(workspace, journal)
            if before is None:
                raise GroupError(
                    f"the previous {path}, {os.path.join(workspace.root, journal.kept)}, is gone",
                    untouched=_UNTOUCHED,
                    hint=f"Put it back, or remove {_journal_path(workspace)} to go on with the one that is there",
                )
            owner = find_ownership(instance)
            ids = (owner.uid, owner.gid) if os.geteuid() == 0 else None
            write_atomic(path, before.encode(ENCODING, ERRORS), mode=journal.mode, owner=ids)
        else:
            _unlink(path)
        _unlink(_journal_path(workspace))
    return [f"put the previous {path} back" if journal.kept else f"took {path} away again"]


def close(instance: Instance) -> str:
    """The node serves as it was told: the previous nodes.conf stays for good. Its path, empty when there was none."""
    directory = instance.paths.dir
    workspace = Workspace(directory)
    if not directory or not instance.paths.nodes_file or not workspace.exists():
        return ""
    journal = _read(workspace, instance.paths.nodes_file)
    if journal is None:
        return ""
    _unlink(_journal_path(workspace))
    return os.path.join(workspace.root, journal.kept) if journal.kept else ""


def is_open(instance: Instance) -> bool:
    """Whether a nodes.conf was put in place that may still be undone."""
    directory = instance.paths.dir
    workspace = Workspace(directory)
    path = instance.paths.nodes_file
    return bool(directory and path and workspace.exists() and _read(workspace, path) is not None)


def _keep(workspace: Workspace, path: str, found: str | None, standing: Placed | None) -> tuple[str, int]:
    """Keep what is there now, unless it is known already; its name in the workspace, empty for none, and its mode."""
    if found is None:
        return "", _MODE
    mode = stat.S_IMODE(os.stat(path).st_mode)
    known = [standing.wrote, _before(workspace, standing)] if standing else []
    if any(text is not None and (text == found or says_the_same(text, found)) for text in known):
        return "", mode
    name = f"{new_id()}-nodes.conf"
    write_atomic(os.path.join(workspace.root, name), found.encode(ENCODING, ERRORS))
    return name, mode


def _before(workspace: Workspace, journal: Placed) -> str | None:
    return read_nodes_file(os.path.join(workspace.root, journal.kept)) if journal.kept else None


def _journal_path(workspace: Workspace) -> str:
    return os.path.join(workspace.root, "nodes.json")


def _read(workspace: Workspace, path: str) -> Placed | None:
    """The open journal of the nodes.conf at `path`. Raises GroupError when it cannot be read, or is of another file."""
    where = _journal_path(workspace)
    try:
        document = read_json(where)
        if document.pop("format") != FORMAT:
            raise ValueError("its format is not known to this version")
        journal = Placed(**document)
        if "/" in journal.kept or journal.path != path:
            raise ValueError(f"it is of {journal.path}")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise GroupError(
            f"the journal {where} cannot be read: {error}",
            untouched=_UNTOUCHED,
            hint=f"Look whether {path} is the one that the node needs, then move the journal away",
        ) from None
    return journal


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
        fsync_dir(os.path.dirname(path))
