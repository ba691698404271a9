# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the repositories of one backup (or export) stand: each fails alone, and it goes on in the others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from .._errors import RedisBackupError, RepositoryError
from .._repository.store import Store
from .request import BackupResult

_TO_BE = "that was to be made"


class Standing:
    """The repositories that are still in, and why the others are out. `least` must have the backup in the end.

    Those that rest have a backup that is young enough for them, named in `resting`: they count as if they had this one.
    """

    def __init__(self, stores: Sequence[Store], least: int, title: str, noun: str = "backup") -> None:
        self._stores = list(stores)
        self._least = least
        self._title = title
        self._noun = noun
        self.failed: dict[str, RepositoryError] = {}
        self.resting: dict[str, str] = {}

    @property
    def alive(self) -> list[Store]:
        return [store for store in self._stores if store.name not in self.failed and store.name not in self.resting]

    @property
    def asked(self) -> list[str]:
        """The names of all."""
        return [store.name for store in self._stores]

    @property
    def names(self) -> list[str]:
        """The names of those that are still in."""
        return [store.name for store in self.alive]

    def rest(self, young: Mapping[str, str]) -> None:
        """Pass over repositories that have a backup, by its label, that is young enough for them; never over all."""
        if len(young) < len(self.alive):
            self.resting.update(young)

    def lose(self, store: Store, error: RepositoryError) -> None:
        """Go on without `store`."""
        self.failed.setdefault(store.name, error)

    @contextlib.contextmanager
    def trying(self, store: Store) -> Iterator[None]:
        """A step in one repository: if it fails, that repository is out."""
        try:
            yield
        except RepositoryError as error:
            self.lose(store, error)

    def each(self) -> Iterator[Store]:
        """Those still in, one after the other, to take a step in (with `trying`). Raises when none is left after it."""
        yield from self.alive
        self.require_one()

    def require_one(self) -> None:
        """Raise when no repository is left to go on in."""
        if not self.alive:
            raise self.refusal()

    def refusal(self, label: str = "", *, young: bool = False) -> RedisBackupError:
        """Why the task fails, repository by repository. `young`: none was made, since the others need none yet."""
        if len(self._stores) == 1 and self.failed:
            return next(iter(self.failed.values()))
        reasons = "; ".join(
            f"{error.what} ({error.hint})" if error.hint else error.what for error in self.failed.values()
        )
        backup = f"{f'a new {self._noun}' if young else f'the {self._noun} {label or _TO_BE}'} of {self._title}"
        there, least = [*self.names, *self.resting] if label else [], self._least
        complete = f"It is complete in: {', '.join(there)}" if there else "No repository has it"
        if young:
            complete = f"None was made, as there is one that is young enough in: {', '.join(there)}"
        return RepositoryError(
            f"{backup} failed in {', '.join(self.failed)}: {reasons}",
            untouched=f"{complete}; the earlier {self._noun}s are as they were",
            hint=f"{len(there)} of {len(self._stores)} repositories have {'one' if young else 'it'}, {least} must "
            "(repositories_min)",
            failed_repositories=sorted(self.failed),
            complete_repositories=there,
        )

    def judged(self, result: BackupResult, label: str, *, young: bool = False) -> BackupResult:
        """The result with its failures told, provided that enough repositories have the backup. Raises otherwise."""
        if len(self.alive) + len(self.resting) < self._least:
            raise self.refusal(label, young=young)
        why = {name: str(error) for name, error in sorted(self.failed.items())}
        lacks = f"got no new {self._noun}" if young else f"lacks the {self._noun} {label or _TO_BE}"
        told = [f"repository {name} {lacks} of {self._title}: {why[name]}" for name in why]
        backup = None if result.backup is None else {**result.backup, "failed": why, "passed_over": self.resting}
        return replace(result, backup=backup, warnings=[*told, *result.warnings])
