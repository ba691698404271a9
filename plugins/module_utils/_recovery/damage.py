# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with an instance, and what its backups are worth: decisions over what was seen. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from .._errors import RecoveryError
from .._repository.manifest import Manifest
from .._times import to_iso
from .remains import DataFile

_CLOCK_SKEW = 60.0


@dataclass(frozen=True)
class Damage:
    """One thing that is wrong: `kind` is down, empty or shrunk; `says` tells it in words."""

    kind: str
    says: str


def find_damage(
    *,
    state: str,
    why: str,
    keys: int | None,
    files: list[DataFile] | None,
    manifest: Manifest | None,
    shrink_ratio: float,
    unfinished: str = "",
) -> list[Damage]:
    """What is wrong with an instance, by what it says and by its newest backup. Pure.

    `unfinished` tells of a restore that was cut short, in words. How many keys a server has while it still loads says
    nothing.
    """
    found = [Damage("unfinished", unfinished)] if unfinished else []
    if state == "down":
        if files is None:
            left = "what is left is not known, since its data directory is not (give config_file, data_dir or service)"
        else:
            size = sum(f.size for f in files)
            left = f"data files with {size} bytes are left" if files else "no data is left"
        found.append(Damage("down", f"the server is down ({why}); {left}"))
    elif state != "loading" and keys is not None and manifest is not None and manifest.keys > 0:
        lasting = manifest.keys - manifest.expires
        if keys == 0 and lasting > 0:
            held = f"its backup {manifest.label} holds {manifest.keys}"
            found.append(Damage("empty", f"the server holds no keys, {held}"))
        elif keys < lasting * shrink_ratio:
            found.append(
                Damage(
                    "shrunk",
                    f"the server holds {keys} keys, less than {shrink_ratio:g} of the {lasting} lasting keys in its "
                    f"backup {manifest.label}",
                )
            )
    return found


def holds_data(*, state: str, keys: int | None, files: list[DataFile] | None) -> bool:
    """Whether a recovery would put aside anything that may still be worth something; true where nobody knows."""
    if state == "loading" or files is None:
        return True
    if state != "down":
        return bool(keys)
    return any(not f.blank for f in files)


def failure_time(
    *,
    given: float | None,
    own: bool,
    state: str,
    unit_exit: float | None,
    files: list[DataFile],
    started: float | None,
    dir_changed: float | None,
    snapshot: float | None,
    present: float,
) -> tuple[float, str]:
    """When the instance failed (UTC seconds), and what says so. Pure.

    `own` is false for another host's instance; `snapshot` is the moment whose data the backup holds. Raises
    RecoveryError for a given time that lies in the future.
    """
    if given is not None and given > present + _CLOCK_SKEW:
        raise RecoveryError(
            f"failed_at {to_iso(given)} lies in the future: it is {to_iso(present)}", untouched="Nothing was changed"
        )
    if given is not None:
        return given, "given"
    if not own:
        return present, "this assessment; this host cannot know when the other one failed"
    if state == "down" and unit_exit is not None:
        return unit_exit, "the unit's exit"
    if state == "down" and files:
        return max(f.mtime for f in files), "the newest data file"
    if state == "down" and dir_changed is not None:
        return dir_changed, "the last change of the data directory, which is empty"
    # A server that was emptied while it ran started long before: then nothing tells, and no write may be called safe.
    if state != "down" and started is not None and (snapshot is None or started > snapshot):
        return started, "the server's last start"
    return present, "this assessment (nothing on the host tells more)"
