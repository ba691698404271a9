# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that name repositories."""

from __future__ import annotations

_SEVERAL = """\
  repositories:
    description: The places that keep the backups.
    type: list
    elements: dict
    required: true
"""
_ONE = """\
  repository:
    description: The repository to restore from. Required for O(state=staged); given later, it must be the staged one.
    type: dict
"""


class ModuleDocFragment:
    """Doc fragments `globalscope.redis_backup.repository` (several) and `globalscope.redis_backup.repository.single`."""

    DOCUMENTATION = r"""
options:
  repositories:
    description: The places that keep the backups.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: A short name for the repository, used in results and messages.
        type: str
        required: true
      type:
        description: Kind of the repository. V(posix) is a directory on a local disk or a mounted network file system.
        type: str
        choices: [posix]
        default: posix
      path:
        description: Absolute path of the directory. Required for V(posix).
        type: path
      create:
        description:
          - Whether to create a directory that is missing, when a backup is written.
          - By default this is an error, so that the mount point of a share that is not mounted is never filled.
        type: bool
        default: false
"""


# One text for both: what a repository is stands in one place.
ModuleDocFragment.SINGLE = ModuleDocFragment.DOCUMENTATION.replace(_SEVERAL, _ONE)
