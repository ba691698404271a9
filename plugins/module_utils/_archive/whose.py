# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose archive it is: the UUID of the server in the repository, and on the host that archives.

The agent is not root. It cannot read what backups remember on the host, nor perhaps what they wrote in the repository,
so the archive carries the UUID in places of its own. They agree with those of the backups wherever both can be read.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from typing import Callable

from .._errors import DamagedError, NotFoundError, RedisBackupError, RepositoryError
from .._repository.identity import HostState, stored_identity, write_identity
from .._repository.layout import IDENTITY, archive_path
from .._repository.parse import parse_json
from .._repository.store import Store


def known_here(host: HostState, instance: str) -> str | None:
    """The UUID that backups on this host use; empty when there is none yet, None when we may not read it."""
    try:
        return host.read(instance)
    except RepositoryError:
        return None


def agree_archive(
    store: Store,
    instance: str,
    mine: str | None,
    remember: Callable[[str], None],
    *,
    adopt: bool,
    proven: bool = False,
) -> tuple[str, bool]:
    """The UUID under which `instance` is archived, and whether the repository has an archive of it already.

    `mine` is what this host knows; None where it may not look. `proven`: the data directory holds links that only the
    writer of this archive can have made. `remember` keeps the UUID on the host, before the repository learns of it.
    Raises RepositoryError where the repository knows the name as another server, unless `adopt`.
    """
    archived = _archived_identity(store, instance)
    backed_up = ""
    if not archived or adopt:
        try:
            backed_up = stored_identity(store, instance)
        except RepositoryError as error:
            if not _is_forbidden(error):
                raise
    other = next((found for found in (archived, backed_up) if found and found != mine), "")
    unknown = mine is None and not archived
    if other and not (adopt or proven or unknown):
        raise RepositoryError(
            f"{store.where()} keeps data of another server under the name {instance} (its UUID is {other}, "
            f"{f'this host has {mine}' if mine else 'this host has none'})",
            untouched="Nothing was changed",
            hint="If this server really continues that history (a replaced host), run once with adopt: true; if it is "
            "another server, give it another instance name",
        )
    identity = other or mine or str(uuid.uuid4())
    remember(identity)
    if archived != identity:
        document = {"instance": instance, "uuid": identity}
        store.write(f"{archive_path(instance)}/{IDENTITY}", json.dumps(document, indent=2).encode() + b"\n")
    with contextlib.suppress(RedisBackupError):  # backups make it themselves where we may not
        if not backed_up and not archived:
            write_identity(store, instance, identity)
    return identity, bool(archived)


def still_known(store: Store, instance: str) -> None:
    """Raise RepositoryError when the repository has no archive of the instance: it had when we began."""
    if not _archived_identity(store, instance):
        raise RepositoryError(
            f"{store.where()} holds no archive of {instance} any more",
            untouched="Nothing was archived",
            hint="Mount the share again; if it was emptied on purpose, restart the agent: a new archive begins then",
        )


def tell_backups(host: HostState, instance: str, identity: str) -> None:
    """Let the backups of this host use the same UUID, where we may write what they remember."""
    with contextlib.suppress(RedisBackupError):
        if host.read(instance) != identity:
            host.write(instance, identity)


def _is_forbidden(error: RepositoryError) -> bool:
    return not isinstance(error, DamagedError) and "ermission denied" in error.what


def _archived_identity(store: Store, instance: str) -> str:
    path = f"{archive_path(instance)}/{IDENTITY}"
    try:
        return str(parse_json(store.read(path))["uuid"])
    except NotFoundError:
        return ""
    except (ValueError, KeyError, TypeError):
        raise DamagedError(
            f"{store.where(path)} is damaged",
            untouched="Nothing was changed",
            hint="Put back its text {\"instance\": …, \"uuid\": …}; the UUID also stands in instance.json above it",
        ) from None
