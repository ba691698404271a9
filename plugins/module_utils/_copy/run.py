# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copy backups from one repository to another: checked on the way, the manifest last, again without harm."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from .._errors import NotFoundError, RedisBackupError, RepositoryError
from .._repository.identity import require_name, stored_identity, write_identity
from .._repository.layout import MANIFEST, SUMS, folder_of, sums_text
from .._repository.manifest import Manifest, StoredFile, seal
from .._repository.remains import clean
from .._repository.store import Store
from .apart import require_apart
from .files import copy_file, repack_file, repacked_document
from .plan import Shelf, Step, next_step, wanted_labels
from .request import CopyRequest, CopyResult

_THERE = "it is there"


def copy_backups(request: CopyRequest, *, check_mode: bool = False) -> CopyResult:
    """Copy what `request` asks for. What is there already is left alone.

    A backup that cannot be copied fails alone, and leaves nothing at the destination; `failed` of the result names it.
    Raises RedisBackupError when nothing could be tried.
    """
    require_name(request.instance)
    source, destination, instance = request.source, request.destination, request.instance
    result = CopyResult()
    require_apart(source, destination, instance)
    identity = stored_identity(source, instance)
    if not identity:
        raise NotFoundError(f"{source.where()} holds no backups of {instance}", untouched="Nothing was changed")
    shelf = Shelf(source, instance)
    labels = wanted_labels(request, shelf, result.warnings)
    destination.prepare(dry=check_mode)
    known = _agree(request, identity)
    with contextlib.ExitStack() as held:
        if not check_mode:
            word = held.enter_context(destination.lock(instance))
            result.actions += [f"{word} ({destination.where()})"] if word else []
            if known != identity:
                write_identity(destination, instance, identity)
        there = Shelf(destination, instance)
        if not check_mode:
            done, stays = clean(destination, instance, there.remains)
            there.forget_remains()
            result.actions += done
            result.warnings += stays
        before = there.whole
        for label in labels:
            try:
                step = next_step(request, shelf, there, label, result.warnings)
                if check_mode:
                    _tell(request, step, result)
                else:
                    _take(request, step, result)
            except RedisBackupError as error:
                result.failed[label] = error
                if isinstance(error, RepositoryError) and not _answer((source, destination), instance):
                    gone = RepositoryError("it was not tried: a repository does not answer any more")
                    result.failed.update((left, gone) for left in labels if left > label)
                    break
    new = [one["label"] for one in result.copied if one["skipped"] is None]
    if new:
        result.diff = {"before": _lines(before), "after": _lines(sorted({*before, *new}))}
    return result


def _agree(request: CopyRequest, identity: str) -> str:
    """The UUID that the destination knows for the instance: the source's, or none yet. Raises for another one."""
    known = stored_identity(request.destination, request.instance)
    if known and known != identity and not request.adopt:
        raise RepositoryError(
            f"{request.destination.where()} keeps backups of another server under the name {request.instance} (its "
            f"UUID is {known}, that of {request.source.where()} is {identity})",
            untouched="Nothing was changed",
            hint="If both really are one server's history, run once with adopt: true; else copy to another repository",
        )
    return known


def _answer(stores: tuple[Store, ...], instance: str) -> bool:
    """Whether the repositories still answer: else the other labels need not be tried."""
    try:
        for store in stores:
            store.names(instance)
    except RepositoryError:
        return False
    return True


def _tell(request: CopyRequest, step: Step, result: CopyResult) -> None:
    """Check mode: say what would be done."""
    label = step.manifest.label
    ways = {"copy": "would copy", "mend": "would copy again the broken files of"}
    if step.action != "none":
        how = ", packed anew" if step.repacking else ""
        to = f"{request.source.where()} to {request.destination.where()}"
        result.actions.append(f"{ways[step.action]} {label} from {to}{how}")
    elif step.added:
        result.actions.append(f"would add {len(step.added)} records to {label} in {request.destination.where()}")
    result.copied.append(_one(step, step.manifest.files, 0.0))


def _take(request: CopyRequest, step: Step, result: CopyResult) -> None:
    """Take one step."""
    begun = time.monotonic()
    manifest, destination = step.manifest, request.destination
    files = manifest.files
    if step.action == "copy":
        _require_room(destination, manifest)
        try:
            files = _write(request, step)
        except BaseException:
            with contextlib.suppress(RepositoryError):
                destination.assure(manifest.instance)  # else another copier may be writing there by now
                destination.remove(folder_of(manifest.instance, manifest.label))
            raise
        how = ", packed anew" if step.repacking else ""
        result.actions.append(f"copied {manifest.label} from {request.source.where()} to {destination.where()}{how}")
    else:
        for file in manifest.files:
            if file.name in step.files:
                copy_file(request.source, destination, manifest, file)
                result.actions.append(f"copied {file.name} of {manifest.label} again to {destination.where()}")
        if SUMS in step.files:
            _write_sums(destination, manifest, manifest.files)
            result.actions.append(f"wrote {SUMS} of {manifest.label} again to {destination.where()}")
        _add_records(destination, step)
        if step.added:
            result.actions.append(f"added {len(step.added)} records to {manifest.label} in {destination.where()}")
    result.copied.append(_one(step, files, round(time.monotonic() - begun, 3)))


def _write(request: CopyRequest, step: Step) -> list[StoredFile]:
    """Write the copy: the files, what was added to it, and the manifest, without which it does not exist, last."""
    manifest, destination = step.manifest, request.destination
    document, files = manifest.document, manifest.files
    if step.repacking is None:
        for file in files:
            copy_file(request.source, destination, manifest, file)
    else:
        packing, identities = step.repacking.packing(manifest), step.repacking.identities
        files = [repack_file(request.source, destination, manifest, file, packing, identities) for file in files]
        document = repacked_document(manifest, files, packing)
    folder = folder_of(manifest.instance, manifest.label)
    _write_sums(destination, manifest, files)
    _add_records(destination, step)
    destination.write(f"{folder}/{MANIFEST}", seal(document))
    return files


def _write_sums(destination: Store, manifest: Manifest, files: list[StoredFile]) -> None:
    path = f"{folder_of(manifest.instance, manifest.label)}/{SUMS}"
    destination.write(path, sums_text([(f.name, f.sha256) for f in files]).encode())


def _add_records(destination: Store, step: Step) -> None:
    for path, raw in step.added:
        destination.write(path, raw)


def _require_room(destination: Store, manifest: Manifest) -> None:
    free = destination.free_bytes()
    needed = sum(f.stored_size for f in manifest.files)
    if free is not None and free < needed:
        raise RepositoryError(
            f"{destination.where()} has {free} bytes left, {manifest.label} of {manifest.instance} takes {needed}",
            hint="Free or add room there, or prune old backups",
        )


def _one(step: Step, files: list[StoredFile], seconds: float) -> dict[str, Any]:
    """The element of `copied`."""
    return {
        "label": step.manifest.label,
        "size": sum(f.size for f in files),
        "stored_size": sum(f.stored_size for f in files),
        "reencrypted": step.repacking is not None,
        "duration_s": seconds,
        "skipped": _THERE if step.action == "none" else None,
    }


def _lines(labels: list[str]) -> str:
    return "".join(f"{label}\n" for label in labels)
