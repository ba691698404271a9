# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an archive covers, from one listing and a few headers of each epoch.

An epoch may have tens of thousands of objects. Their names tell where each begins; so only the first and the last of a
file have to be opened, and those between are taken to reach up to the next one. Whoever reads them finds out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .._errors import DamagedError
from .._repository.archived import Listed, listed
from .._repository.layout import ArchiveName, epoch_time
from .._repository.store import Store
from .._times import from_iso
from .coverage import Coverage, Epoch, coverage
from .frame import Segment
from .segments import read_header, read_headers

Place = tuple[str, str]
"""An epoch and the name of a file in it."""


@dataclass
class Archived:
    """An archive: its objects by their places and offsets, the headers that were read, and what that covers."""

    store: Store
    instance: str
    identities: tuple[str, ...]
    places: dict[Place, list[ArchiveName]]
    stored: Mapping[ArchiveName, int]
    coverage: Coverage
    headers: dict[ArchiveName, Segment] = field(default_factory=dict)
    damaged: dict[ArchiveName, DamagedError] = field(default_factory=dict)

    def header(self, name: ArchiveName) -> Segment:
        """The header of an object; read once. Raises DamagedError."""
        if name not in self.headers:
            self.headers[name] = read_header(self.store, self.instance, name, self.identities)
        return self.headers[name]

    def increments(self, epoch: Epoch) -> list[ArchiveName]:
        """The objects of the file of an epoch that grows, up to the first hole."""
        file = epoch.segments[0].file if epoch.segments else ""
        names = self.places.get((epoch.name, file), [])
        return [name for name in names if name.offset < epoch.reach or not name.offset]

    def base(self, epoch: Epoch) -> list[ArchiveName]:
        """The objects of its base."""
        return self.places.get((epoch.name, epoch.base[0].file), []) if epoch.base else []

    def end_of(self, epoch: Epoch, late: float) -> int:
        """The offset from which on nothing in the epoch's file was written before the time `late`."""
        names = self.increments(epoch)
        low, high = 0, len(names)
        if names:  # most epochs are needed as a whole, or not at all: their ends are known
            last, first = (self._lower(names[number]) for number in (-1, 0))
            if last is None or last < late:
                return epoch.reach
            if first is not None and first >= late:
                return names[0].offset
        while low < high:
            middle = (low + high) // 2
            lower = self._lower(names[middle])
            if lower is not None and lower >= late:
                high = middle
            else:
                low = middle + 1
        return names[low].offset if low < len(names) else epoch.reach

    def _lower(self, name: ArchiveName) -> float | None:
        """Before which time nothing in an object was written; None where nobody knows. Reading it tells of damage."""
        try:
            return self.header(name).lower
        except DamagedError:
            return None

    def newest(self) -> Segment | None:
        """The header of the newest object that was read."""
        return max(self.headers.values(), key=lambda each: each.written, default=None)


def survey_archive(store: Store, instance: str, identities: Sequence[str]) -> Archived | None:
    """Look at the archive of an instance; None when there is none. Raises RepositoryError, ProgramError.

    Damaged headers are holes in what is covered.
    """
    objects = listed(store, instance)
    if not objects:
        return None
    places = _places(objects)
    wanted = [name for names in places.values() for name in (names[0], names[-1])]
    found = Archived(store, instance, tuple(identities), places, {n: each.size for n, each in objects}, coverage([]))
    for name, header in read_headers(store, instance, list(dict.fromkeys(wanted)), identities):
        if isinstance(header, DamagedError):
            found.damaged[name] = header
        else:
            found.headers[name] = header
    segments = [segment for names in places.values() for segment in _sparse(names, found.headers)]
    found.coverage = coverage(segments)
    return found


def _places(objects: Sequence[Listed]) -> dict[Place, list[ArchiveName]]:
    """The objects of each file by offset; of two with one offset (encryption was switched), the newer."""
    found: dict[Place, dict[int, ArchiveName]] = {}
    for name, _each in sorted(objects, key=lambda item: item[1].modified):
        found.setdefault((name.epoch, name.file), {})[name.offset] = name
    return {place: [names[offset] for offset in sorted(names)] for place, names in found.items()}


def _sparse(names: Sequence[ArchiveName], headers: Mapping[ArchiveName, Segment]) -> list[Segment]:
    """Segments for all objects of a file: those whose header was not read reach up to the next one. Pure."""
    first = headers.get(names[0])
    found = []
    for number, name in enumerate(names):
        known = headers.get(name)
        if known is None and first is not None and 0 < number < len(names) - 1:
            known = Segment(
                instance=first.instance,
                uuid=first.uuid,
                epoch=name.epoch,
                file=name.file,
                kind=first.kind,
                seq=first.seq,
                offset=name.offset,
                length=names[number + 1].offset - name.offset,
                sha256="",
                written=from_iso(epoch_time(name.epoch)),
                total=first.total,
            )
        if known is not None:
            found.append(known)
    return found
