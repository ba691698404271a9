# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that name repositories."""

from __future__ import annotations

import textwrap

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
_FROM = """\
  source:
    description: The repository to copy from. It is only read.
    type: dict
    required: true
"""
_KEYS = """\
  repository:
    description: The repository to take keys from, in place of O(path). It is only read.
    type: dict
"""
_STORED = """\
  repositories:
    description: The repositories to write the export to, in place of O(path).
    type: list
    elements: dict
"""
_ARCHIVED = """\
  repository:
    description: The repository that keeps the archive. Required for O(state=archived).
    type: dict
"""
_TO = """\
  destination:
    description: The repository to copy to.
    type: dict
    required: true
"""


class ModuleDocFragment:
    """Doc fragments `globalscope.redis_backup.repository` (several), `.stored` (several, or none), `.single` (one),
    `.keys` (one, or none), `.archived` (one), `.copy` (two).

    Besides `.keep`, the rules of retention, and `.packing`, how what is stored is compressed and encrypted.
    """

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
            V(rclone) is whatever the program rclone reaches, such as SFTP, SMB, Azure or Google Cloud, and needs that program
            on the host.
        type: str
        choices: [posix, s3, rclone]
        default: posix
      path:
        description:
          - Absolute path of the directory. Required for V(posix).
          - For V(rclone) a folder in the remote, with the bucket or container first where there are such.
        type: path
      create:
        description:
          - Whether to create a directory, a bucket or a folder that is missing, when a backup is written.
          - By default this is an error, so that the mount point of a share that is not mounted is never filled.
        type: bool
        default: false
      remote:
        description:
          - Name of a remote in C(rclone.conf), or a connection string such as V(:sftp,host=backup.example.com,user=redis:).
            Required for V(rclone).
          - A connection string must not hold a secret, since it stands on command lines. Secrets belong into C(rclone.conf),
            or into the environment as C(RCLONE_CONFIG_<REMOTE>_<OPTION>).
        type: str
      config_file:
        description: Path of C(rclone.conf) on the host. Without it, rclone looks where it always does.
        type: path
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
      path_style:
        description:
          - Whether requests name the bucket in the path and not in the host's name. By default they do where C(endpoint_url) is given.
        type: bool
      server_side_encryption:
        description:
          - Encryption at rest by the service, beside the encryption with age that it cannot open. Without it, what the bucket
            is set to.
        type: str
        choices: [AES256, "aws:kms"]
      kms_key_id:
        description: The key for V(aws:kms), when it is not the account's own.
        type: str
      storage_class:
        description: Storage class of new objects, such as V(STANDARD_IA).
        type: str
      max_age:
        description:
          - M(globalscope.redis_backup.redis_backup) passes over this repository while the newest backup in it is at most this many
            seconds old. So one job each hour keeps hourly backups on the spot, daily ones on the network and weekly ones in the
            cloud. M(globalscope.redis_backup.redis_export) does the same with exports of its name.
        type: int
      keep:
        description:
          - The retention of this repository, which M(globalscope.redis_backup.redis_backup_prune) carries out.
          - A backup that no rule keeps is removed. Rules are counted over the backups that there are.
        type: dict
        suboptions:
          last:
            description: Keep so many of the newest backups.
            type: int
          hourly:
            description: Keep the newest backup of each of so many hours that have one.
            type: int
          daily:
            description: The same for days, in UTC.
            type: int
          weekly:
            description: The same for weeks, which begin on Monday.
            type: int
          monthly:
            description: The same for months.
            type: int
          yearly:
            description: The same for years.
            type: int
          within:
            description: Keep all backups made in so many days before the newest one.
            type: float
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

    PACKING = r"""
options:
  encryption:
    description:
      - Encryption with age. Without it, all is stored in the clear; a backup then leaves passwords out of the kept
        configuration.
    type: dict
    suboptions:
      recipients:
        description: Public keys that can open what is stored, as C(age) takes them (age or SSH).
        type: list
        elements: str
        required: true
  compression:
    description: Compression with zstd.
    type: dict
    default: {}
    suboptions:
      level:
        description: Level of zstd, from V(1) (fast) to V(19) (small).
        type: int
        default: 1
"""


# One text for all: what a repository is stands in one place.
ModuleDocFragment.SINGLE = ModuleDocFragment.DOCUMENTATION.replace(_SEVERAL, _ONE)
ModuleDocFragment.KEYS = ModuleDocFragment.DOCUMENTATION.replace(_SEVERAL, _KEYS)
ModuleDocFragment.STORED = ModuleDocFragment.DOCUMENTATION.replace(_SEVERAL, _STORED)
ModuleDocFragment.ARCHIVED = ModuleDocFragment.DOCUMENTATION.replace(_SEVERAL, _ARCHIVED)
_BODY = ModuleDocFragment.DOCUMENTATION.partition(_SEVERAL)[2]
ModuleDocFragment.COPY = f"\noptions:\n{_FROM}{_BODY}{_TO}{_BODY}"

# The rules again, as an option beside the repositories.
_KEEP = ModuleDocFragment.DOCUMENTATION.partition("      keep:\n")[2].partition("      object_lock:\n")[0]
_RULES = textwrap.indent(textwrap.dedent(_KEEP.partition("        type: dict\n")[2]), "    ")
ModuleDocFragment.KEEP = f"""
options:
  keep:
    description: The rules for repositories that have no C(keep) of their own.
    type: dict
{_RULES}"""
