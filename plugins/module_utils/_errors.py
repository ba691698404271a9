# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors an operator may see. Each says what failed, what is untouched and what to do next."""

from __future__ import annotations

from typing import Any


class RedisBackupError(Exception):
    """A failure that was foreseen, told in one paragraph.

    `what` names the failure with its instance and file, `untouched` what the failure did not change,
    `hint` the operator's next step.
    """

    def __init__(self, what: str, *, untouched: str = "", hint: str = "", **details: Any) -> None:
        self.what = what
        self.untouched = untouched
        self.hint = hint
        self.details = details
        super().__init__(self.paragraph())

    def paragraph(self, name: str = "", untouched: str = "") -> str:
        """The whole message as one paragraph.

        `name` and `untouched` are said where the error itself does not: the layers below know neither the instance
        nor the task.
        """
        what = self.what if name in self.what else f"{name}: {self.what}"
        sentences = [what, self.untouched or untouched, self.hint]
        text = " ".join(s if s.endswith((".", "!", "?")) else s + "." for s in sentences if s)
        return " ".join(text.split())


class ServerError(RedisBackupError):
    """The server cannot be reached, refuses us, or is in a state that forbids the step."""


class SnapshotError(RedisBackupError):
    """A snapshot was not taken, or was taken and did not prove good."""


class ProgramError(RedisBackupError):
    """An external program (zstd, age, redis-check-rdb, systemctl) is missing or failed."""


class RepositoryError(RedisBackupError):
    """A repository is missing, not writable, full, locked, or holds something else."""


class DamagedError(RepositoryError):
    """Stored bytes are not the bytes that were written."""


class NotFoundError(RepositoryError):
    """No backup answers the request."""


class IncompatibleError(RedisBackupError):
    """The target server cannot load the backup."""


class RestoreError(RedisBackupError):
    """A restore step is refused or failed."""


class RecoveryError(RedisBackupError):
    """A recovery is asked for what cannot be."""


class ConfigError(RedisBackupError):
    """redis.conf cannot be read or understood."""


class GroupError(RedisBackupError):
    """Servers that hold one data set together, or their Sentinels, are in a state that forbids the step."""


class FreezeError(RedisBackupError):
    """Writes cannot be stopped, or not be resumed."""


class AofError(RedisBackupError):
    """An AOF is missing, damaged, or cannot do what is asked."""
