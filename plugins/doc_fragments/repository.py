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
        description:
          - Kind of the repository. V(posix) is a directory on a local disk or a mounted network file system. V(s3) is a bucket
            of Amazon S3 or of a service that speaks its protocol, and needs the Python library boto3 on the host.
        type: str
        choices: [posix, s3]
        default: posix
      path:
        description: Absolute path of the directory. Required for V(posix).
        type: path
      create:
        description:
          - Whether to create a directory or a bucket that is missing, when a backup is written.
          - By default this is an error, so that the mount point of a share that is not mounted is never filled.
        type: bool
        default: false
      bucket:
        description: Name of the bucket. Required for V(s3).
        type: str
      prefix:
        description: The folder of the bucket in which the repository lies.
        type: str
        default: ""
      endpoint_url:
        description: Address of a service other than Amazon's, such as V(https://s3.example.com).
        type: str
      region:
        description: Region of the bucket.
        type: str
      access_key:
        description:
          - Access key. Without keys, boto3 looks in the environment, in C(~/.aws) and for a role.
        type: str
      secret_key:
        description: Secret key.
        type: str
      ca_certs:
        description: File of the certificate authorities to trust.
        type: path
      validate_certs:
        description: Whether the service's certificate must prove valid.
        type: bool
        default: true
      storage_class:
        description: Storage class of new objects, such as V(STANDARD_IA).
        type: str
      object_lock:
        description: Keeps new objects from being deleted by anybody for a time. The bucket must allow it.
        type: dict
        suboptions:
          mode:
            description: V(COMPLIANCE) binds everybody, V(GOVERNANCE) all but those with a special right.
            type: str
            choices: [GOVERNANCE, COMPLIANCE]
            required: true
          days:
            description: For how many days.
            type: int
            required: true
"""


# One text for both: what a repository is stands in one place.
ModuleDocFragment.SINGLE = ModuleDocFragment.DOCUMENTATION.replace(_SEVERAL, _ONE)
