# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fence: while data is swapped, nothing may start the server, not even systemd after a reboot.

A file in the workspace says that a swap is going on. A drop-in makes the unit depend on its absence; where the user
starts the server by a command of his own, the roles look at the file first.
"""

from __future__ import annotations

import contextlib
import os
import shutil

from .._files import fsync_dir, write_atomic
from .._run import run
from .journal import Workspace

_DROP_IN = "50-redis_backup-restore.conf"
UNIT_ROOT = "/etc/systemd/system"


def drop_in_text(fence: str) -> str:
    """A condition that holds while there is no fence. Pure."""
    escaped = fence.replace("%", "%%")
    return (
        "# Put here by globalscope.redis_backup while data is swapped; the same restore takes it away.\n"
        f"[Unit]\nConditionPathExists=!{escaped}\n"
    )


def unit_name(service: str) -> str:
    """A unit's full name. Pure."""
    return service if service.endswith(".service") else f"{service}.service"


def drop_in_path(service: str, root: str = UNIT_ROOT) -> str:
    return os.path.join(root, f"{unit_name(service)}.d", _DROP_IN)


def fence_is_up(workspace: Workspace, service: str) -> bool:
    """Whether any part of the fence stands."""
    return os.path.exists(workspace.fence) or (bool(service) and os.path.exists(drop_in_path(service)))


def raise_fence(workspace: Workspace, service: str) -> None:
    """Put the fence up. Safe to repeat."""
    if service and shutil.which("systemctl"):
        path = drop_in_path(service)
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        write_atomic(path, drop_in_text(workspace.fence).encode(), mode=0o644)
        run(["systemctl", "daemon-reload"])
    write_atomic(workspace.fence, b"data is being swapped\n")


def lower_fence(workspace: Workspace, service: str) -> None:
    """Take the fence down. Safe to repeat."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(workspace.fence)
        fsync_dir(workspace.root)
    if service and shutil.which("systemctl"):
        path = drop_in_path(service)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
            with contextlib.suppress(OSError):
                os.rmdir(os.path.dirname(path))
            run(["systemctl", "daemon-reload"])
