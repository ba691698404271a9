# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold before a restore touches anything: the right directory, a server that can load it, room, a key."""

from __future__ import annotations

import os
from collections.abc import Sequence

from .._config.conf_file import load
from .._errors import IncompatibleError, ProgramError, RestoreError
from .._files import free_bytes, make_dirs
from .._repository.manifest import Manifest, StoredFile
from .._server.compatibility import Compatibility, Target, compatibility, databases_of, made_of
from .._server.connection import ReplyError
from .._server.facts import parse_modules
from .._server.instance import Instance
from .._server.process import unit_user
from .._server.topology import count_watching
from .data_dir import why_no_data_dir
from .journal import SWAPPED, Journal, Workspace
from .layout import DataLayout
from .request import Options

_MARGIN = 16 * 1024 * 1024
_UNTOUCHED = "The live data was not touched"


def restore_running(instance: Instance) -> RestoreError:
    """The refusal while another task holds the workspace."""
    return RestoreError(
        f"another restore of {instance.title} is running on this host",
        untouched="Nothing was changed",
        hint="Wait until it has ended, then run again",
    )


def require_data_dir(instance: Instance, *, create: bool = False) -> str:
    """The instance's data directory, made when only its last part is missing. Raises RestoreError when it is none."""
    directory = instance.paths.dir
    if not directory or not os.path.isabs(directory):
        raise RestoreError(
            f"the data directory of {instance.title} is not known: {instance.why or 'the server does not tell it'}",
            untouched="Nothing was changed",
            hint="Give data_dir, or config_file, or service",
        )
    if not os.path.isdir(directory):
        parent = os.path.dirname(directory)
        if os.path.lexists(directory) or not os.path.isdir(parent):
            raise RestoreError(
                f"the data directory {directory} of {instance.title} is no directory, or its parent is missing",
                untouched="Nothing was changed",
                hint="Mount or create it, owned by the server's user",
            )
        if create:
            _make_data_dir(instance, directory)
        return directory
    why = why_no_data_dir(os.listdir(directory), instance.paths)
    if why:
        raise RestoreError(
            f"{directory} is no Redis data directory: {why}",
            untouched="Nothing was changed",
            hint="Correct data_dir, or move the foreign files away",
        )
    return directory


def require_settled(instance: Instance) -> None:
    """Raise RestoreError while a restore is swapped in and not proven: a backup of it would pass for a good one."""
    directory = instance.paths.dir
    if not directory or not os.path.isdir(directory) or not os.access(directory, os.R_OK | os.X_OK):
        return
    workspace = Workspace(directory)
    if not os.access(workspace.root, os.R_OK | os.X_OK):
        return  # none was made, or it is another user's, who alone restores here
    journal = workspace.current()
    if journal is not None and journal.instance == instance.name and journal.state in SWAPPED:
        raise RestoreError(
            f"the restore {journal.id} of {instance.title} is {journal.state}: its data is not proven yet",
            untouched="No backup was made; the earlier ones are as they were",
            hint="Commit it or roll it back first, by running the restore or the recovery again",
        )


def require_own(instance: Instance, journal: Journal) -> None:
    """Raise RestoreError when the open restore belongs to another instance that shares the data directory."""
    if journal.instance != instance.name:
        raise RestoreError(
            f"the open restore {journal.id} in {instance.paths.dir} belongs to {journal.instance}, not {instance.name}",
            untouched="Nothing was changed",
            hint="Name that instance; two instances should not share one data directory",
        )


def require_startup_agrees(instance: Instance) -> None:
    """Raise RestoreError when the next start would read other places than the running server uses.

    CONFIG SET dir or dbfilename without CONFIG REWRITE does that: a restore would be laid where nobody looks.
    """
    then, now = instance.next_start, instance.config
    for name in ("dir", "dbfilename", "appendfilename", "appenddirname"):
        wanted, used = then.get(name, ""), now.get(name, "")
        if name == "dir" and not os.path.isabs(wanted):
            continue
        if wanted and used and os.path.realpath(wanted) != os.path.realpath(used):
            raise RestoreError(
                f"{instance.title} uses {name} {used}, but would start again with {wanted}, as redis.conf says",
                untouched="Nothing was changed",
                hint="Make both agree (CONFIG REWRITE, or CONFIG SET), then run again",
            )


def require_openable(instance: Instance) -> None:
    """Raise RestoreError when writes that are closed for a restore could not be opened again without a restart."""
    login = instance.server.login
    if instance.facts is not None:
        shut = not instance.config
    else:
        path = instance.paths.config_file
        renamed = load(path).all("rename-command") if path and os.path.exists(path) else []
        gone = any(words[:1] and words[0].lower() == "config" for words in renamed)
        shut = gone and "config" not in login.command_map
    if shut:
        raise RestoreError(
            f"{instance.title} does not let us use CONFIG: writes closed for the restore could not be opened again",
            untouched="Nothing was changed",
            hint="Name a renamed CONFIG in command_map, allow it to the login user, or do without close_writes",
        )


def require_renamable(directory: str, names: Sequence[str]) -> None:
    """Raise RestoreError when a part of the data set is a mount point of its own, which no rename can move aside."""
    for name in names:
        path = os.path.join(directory, name)
        if os.path.isdir(path) and os.path.ismount(path):
            raise RestoreError(
                f"{path} is a mount point of its own and cannot be swapped by a rename",
                untouched="Nothing was changed",
                hint="Mount the data directory as a whole",
            )


def require_restorable_role(instance: Instance, options: Options | None = None) -> None:
    """Raise RestoreError for a node that others would overrule: its restored data would be replaced or deleted."""
    facts = instance.facts
    mode = facts.mode if facts else "cluster" if instance.next_start.get("cluster-enabled") == "yes" else "standalone"
    primary = instance.next_start.get("replicaof", "").strip('"')
    if facts is not None:
        primary = facts.info.get("master_host", "?") if facts.role == "replica" else ""
    what, hint = "", ""
    if mode == "sentinel":
        what, hint = "is a Sentinel", "Restore the primary that it watches"
    elif mode == "cluster":
        if options is not None and options.cluster_node:
            return  # whether it will be the right primary is looked at when the data is swapped in
        what = "is a node of a cluster, where the others have a say"
        hint = "Recover the cluster as a whole with the playbook disaster_recovery"
    elif primary:
        what, hint = f"is a replica of {primary}", "Restore the primary, which it then copies; or detach it first"
    if what:
        raise RestoreError(f"{instance.title} {what}", untouched="Nothing was changed", hint=hint)


def require_unwatched(instance: Instance) -> None:
    """Raise RestoreError while Sentinels watch a running server: they would make another one the primary meanwhile.

    A login that may not ask is no reason to refuse.
    """
    if instance.facts is None or instance.facts.mode != "standalone":
        return
    try:
        watching = count_watching(instance.server)
    except ReplyError:
        return
    if watching:
        raise RestoreError(
            f"{instance.title} is watched by {watching} Sentinels: while it restarts they may make another server the "
            "primary, which this one would then copy, and the restored data would be lost",
            untouched="Nothing was changed",
            hint="Recover the group as a whole with the playbook disaster_recovery; or hold them first, with "
            "redis_sentinel on each, and say so with sentinels_held: true",
        )


def _make_data_dir(instance: Instance, directory: str) -> None:
    wanted = unit_user(instance.place.service)
    parent = os.stat(os.path.dirname(directory))
    uid, gid = wanted or (parent.st_uid, parent.st_gid)
    make_dirs(directory, 0o750)
    if os.geteuid() == 0:
        os.chown(directory, uid, gid)


def target_of(instance: Instance) -> Target:
    """What the instance can load."""
    facts = instance.facts
    modules = tuple(module["name"] for module in parse_modules(facts.info)) if facts else None
    # Without a redis.conf the backup's own may come back, with as many databases as it needs.
    told = bool(instance.config) if facts else os.path.exists(instance.paths.config_file)
    return Target(*instance.version(), modules, databases_of(instance.config, instance.next_start) if told else None)


def require_loadable(instance: Instance, manifest: Manifest, options: Options | None = None) -> Compatibility:
    """Raise IncompatibleError when the target would refuse the backup: asked before a byte moves.

    Where it would load only after a conversion, that has to be asked for.
    """
    options = options or Options()
    found = compatibility(made_of(manifest.document), target_of(instance))
    if found.loads or (options.convert and found.convertible):
        return found
    hint = "Restore into a server of the version that made it, or newer of the same flavour, with the same modules"
    if found.convertible:
        lost = f" (it would lose {', '.join(loss.words for loss in found.losses)})" if found.losses else ""
        hint += f"; or let it be rewritten for this one with convert: true{lost}"
    raise IncompatibleError(
        f"{instance.title} cannot load {manifest.label} of {manifest.instance}: {found.words}",
        untouched=_UNTOUCHED,
        hint=hint,
    )


def check_identities(manifest: Manifest, options: Options) -> None:
    """Raise ProgramError when an encrypted backup has no readable identity to open it."""
    if not manifest.encrypted:
        return
    hint = "Give identities: paths of age identity files on this host, readable for this user only"
    if not options.identities:
        raise ProgramError(f"{manifest.label} is encrypted and no identity is given", untouched=_UNTOUCHED, hint=hint)
    for path in options.identities:
        if not os.access(path, os.R_OK):
            raise ProgramError(
                f"{manifest.label} cannot be opened: the age identity {path} is missing or not readable",
                untouched=_UNTOUCHED,
                hint=hint,
            )


def require_space(directory: str, rdb: StoredFile, layout: DataLayout, more: int = 0) -> None:
    """Raise RestoreError when there is no room for what is staged, and for `more` bytes meanwhile."""
    place = directory if os.path.isdir(directory) else os.path.dirname(directory)
    needed = rdb.size * layout.copies + more + _MARGIN
    free = free_bytes(place)
    if free < needed:
        raise RestoreError(
            f"{place} has {free} bytes left, staging needs {needed} (the current data is kept beside the restored)",
            untouched="Nothing was changed",
            hint="Free or add room there; closed restores below .redis_backup keep previous data that may go",
        )
