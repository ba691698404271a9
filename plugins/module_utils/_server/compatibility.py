# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does a server load a backup, could a conversion help, and what would it lose? Pure.

Asked before a byte moves. `versions` has the table of formats; here modules, databases, functions and hash fields that
expire are looked at as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .facts import parse_version
from .versions import RdbFormat, why_not_loadable

LOADS = "loads"
LOADS_WITH_LOSS = "loads with loss"
REFUSES = "refuses"
FIELD_TTLS = "hash_field_ttls"
FUNCTIONS = "functions"
DROPPABLE = (FIELD_TTLS, FUNCTIONS)

# They come with the server's own program: `lua` (Valkey 9.1) has no data, `vectorset` (Redis 8) has where it is used.
_WITHOUT_DATA = frozenset({"lua"})
_DEFAULT_DATABASES = 16


def knows_field_ttls(flavour: str, version: tuple[int, ...]) -> bool:
    """Whether the fields of a hash can expire there."""
    return version >= ((9, 0) if flavour == "valkey" else (7, 4))


def knows_functions(version: tuple[int, ...]) -> bool:
    """Whether there are functions: in Redis from 7.0 on, in every Valkey."""
    return version >= (7, 0)


def title_of(flavour: str, version: tuple[int, ...]) -> str:
    """`Redis 7.0.15`."""
    return f"{flavour.capitalize()} {'.'.join(map(str, version))}"


@dataclass(frozen=True)
class Made:
    """What a backup was made of. None where its manifest, of an older version of the collection, does not tell."""

    flavour: str
    version: tuple[int, ...]
    format: RdbFormat
    modules: tuple[str, ...] = ()
    functions: int | None = None
    field_ttls: int | None = None
    databases: int = 1

    @property
    def title(self) -> str:
        return title_of(self.flavour, self.version)


@dataclass(frozen=True)
class Target:
    """The server that shall load it. `modules` and `databases` are None where they are not known."""

    flavour: str
    version: tuple[int, ...]
    modules: tuple[str, ...] | None = None
    databases: int | None = None

    @property
    def title(self) -> str:
        return title_of(self.flavour, self.version)


@dataclass(frozen=True)
class Loss:
    """What the target cannot hold: `name` as `convert_drop` takes it; `certain` when the manifest tells of some."""

    name: str
    words: str
    certain: bool


@dataclass(frozen=True)
class Compatibility:
    """The verdict: `result` is LOADS, LOADS_WITH_LOSS (by a conversion that may drop `losses`) or REFUSES.

    `why` are the reasons why the backup cannot be loaded as it is. `convertible` tells whether a conversion gets rid of
    all of them, and `losses` what it could not carry over: some may turn out not to be in the backup.
    """

    result: str
    why: tuple[str, ...] = ()
    convertible: bool = False
    losses: tuple[Loss, ...] = ()

    @property
    def loads(self) -> bool:
        """Whether the target loads the backup as it is."""
        return not self.why

    @property
    def words(self) -> str:
        """All reasons as one text."""
        return "; ".join(self.why)


def made_of(document: Mapping[str, Any]) -> Made:
    """What a manifest's document tells of its backup."""
    server, keys = document["server"], document["keys"]
    names = [name[2:] for name in keys.get("databases") or {}]
    return Made(
        flavour=server["flavour"],
        version=parse_version(server["version"]),
        format=RdbFormat(server["rdb_magic"], server["rdb_version"]),
        modules=tuple(module["name"] for module in server.get("modules", [])),
        functions=_count(server.get("functions")),
        field_ttls=_count(keys.get("field_ttls")),
        databases=max((int(name) + 1 for name in names if name.isdecimal()), default=1),
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def compatibility(made: Made, target: Target, drop: Sequence[str] | None = None) -> Compatibility:
    """Whether `target` loads what was made, and what a conversion could do.

    `drop` is None where no conversion is wanted, else what it may drop.
    """
    why, lasting = [], []
    refused = why_not_loadable(made.format, target.flavour, target.version)
    if refused:
        why.append(refused)
    lacking = [name for name in made.modules if target.modules is not None and name not in target.modules]
    lacking = [name for name in lacking if name not in _WITHOUT_DATA]
    if lacking:
        why.append(f"the backup was made with the modules {', '.join(lacking)}, which it has not loaded")
    if target.databases is not None and made.databases > target.databases:
        lasting.append(f"the backup has keys in database {made.databases - 1}, it has {target.databases} databases")
    why += lasting
    losses = _losses(made, target) if why else ()
    convertible = bool(why) and not lasting
    if not why:
        return Compatibility(LOADS)
    undropped = [loss for loss in losses if loss.certain and loss.name not in (drop or ())]
    if drop is None or not convertible or undropped:
        return Compatibility(REFUSES, tuple(why), convertible, losses)
    certain = any(loss.certain for loss in losses)
    return Compatibility(LOADS_WITH_LOSS if certain else LOADS, tuple(why), convertible, losses)


def _losses(made: Made, target: Target) -> tuple[Loss, ...]:
    """What the target lacks and the backup has, or may have where its manifest does not tell."""
    found = []
    known = [knows_field_ttls(each.flavour, each.version) for each in (made, target)]
    if known == [True, False] and made.field_ttls != 0:
        many = "hashes" if made.field_ttls is None else f"{made.field_ttls} hashes"
        found.append(Loss(FIELD_TTLS, f"the expiry of fields of {many}", made.field_ttls is not None))
    if knows_functions(made.version) and not knows_functions(target.version) and made.functions != 0:
        many = "functions" if made.functions is None else f"{made.functions} functions"
        found.append(Loss(FUNCTIONS, many, made.functions is not None))
    return tuple(found)


def databases_of(*settings: Mapping[str, str]) -> int:
    """How many databases a server has by the first of these settings that tells; 16 where none does."""
    for known in settings:
        if known.get("databases", "").isdecimal():
            return int(known["databases"])
    return _DEFAULT_DATABASES
