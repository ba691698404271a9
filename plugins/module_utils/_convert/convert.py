# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup that the target refuses, rewritten so that it loads, and proven to hold the same.

    RDB ─> throw-away server of the backup's flavour ─> AOF of commands ─> in the target's words
        ─> throw-away server of the target's own program ─> RDB

One server runs at a time. What the target lacks is named, and refused unless it may be dropped. The digests of both
servers must agree; keys that could expire between the two readings are left out of these and proven by their number.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

from .._aof.resp import RespError, encode, read_commands
from .._errors import IncompatibleError
from .._files import PRIVATE_FILE, remove_tree
from .._server.compatibility import FIELD_TTLS, FUNCTIONS, Made, Target, knows_field_ttls, knows_functions
from .._server.connection import ReplyError
from .holder import Holder, holder, new_home, open_plain
from .named import Named
from .portable import Rewriter
from .survey import Survey, persist_fields, survey

DUMP = "dump.rdb"
_AOF = "appendonly.aof"
_BUFFER = 1024 * 1024
_LEAST_DATABASES = 16
_UNTOUCHED = "The live data was not touched"


@dataclass(frozen=True)
class Conversion:
    """What to convert, for whom, and with which programs. `drop` is what may get lost; `user` runs the servers."""

    what: str
    made: Made
    target: Target
    loader: str
    loader_title: str
    program: str
    drop: tuple[str, ...] = ()
    user: tuple[int, int] | None = None

    @property
    def databases(self) -> int:
        return max(self.made.databases, _LEAST_DATABASES)

    @property
    def keeps_field_ttls(self) -> bool:
        """Whether fields of hashes can still expire after the conversion."""
        return all(knows_field_ttls(each.flavour, each.version) for each in (self.made, self.target))

    def refused(self, why: str, hint: str) -> IncompatibleError:
        return IncompatibleError(
            f"{self.what} cannot be converted for {self.target.title}: {why}", untouched=_UNTOUCHED, hint=hint
        )


@dataclass
class Converted:
    """What came of it: the RDB, and what is to be told.

    It may lack `may_lack` of the backup's keys: hashes all of whose fields had expired.
    """

    path: str
    may_lack: int = 0
    notes: list[str] = field(default_factory=list)


def source_home(folder: str) -> str:
    """Where the RDB is to be laid for `convert`, under the name DUMP."""
    return new_home(folder, "source")


def convert(wanted: Conversion, folder: str, keys: int) -> Converted:
    """Convert the RDB in `folder`, which holds `keys` keys, expired ones included.

    Raises IncompatibleError with the names of keys that the target cannot hold, HolderFailed with a server's words.
    """
    start = time.time_ns() // 1_000_000
    source, target = os.path.join(folder, "source"), new_home(folder, "target")
    with holder(wanted.loader, source, wanted.user, wanted.databases, ["appendonly no"]) as loaded:
        os.unlink(os.path.join(source, DUMP))
        had, dropped = _look(wanted, loaded, start, keys)
        aof = loaded.rewrite()
    rewriter = Rewriter(wanted.target.flavour, wanted.target.version, time.time_ns() // 1_000_000)
    _rewrite(wanted, rewriter, aof, os.path.join(target, _AOF))
    remove_tree(source)
    notes = [f"converted it with {wanted.loader_title} for {wanted.target.title}, and both hold the same"]
    if dropped:
        notes.append(f"dropped the expiry of fields in {dropped.count} hashes: {dropped}")
    if had.dangling:
        notes.append(f"left out pending entries whose messages were deleted, in the streams {had.dangling}")
    known = knows_functions(wanted.target.version)
    if not known:
        notes += _without_functions(wanted, {_library_name(code): "" for code in rewriter.libraries})
    with holder(wanted.program, target, wanted.user, wanted.databases, ["appendonly yes"]) as proving:
        if known and rewriter.libraries:
            notes += _load_functions(wanted, proving, rewriter.libraries)
        has = survey(proving.server, start, field_ttls=wanted.keeps_field_ttls)
        if not had.digest.agrees(has.digest, time.time_ns() // 1_000_000):
            raise wanted.refused(
                f"what it made of the commands of {wanted.loader_title} is not what the backup holds",
                "Restore into a server of the version that made it, and tell us",
            )
        try:
            proving.server.call("SAVE")
        except ReplyError:
            raise proving.failed("could not save the converted data") from None
    return Converted(os.path.join(target, DUMP), rewriter.emptied.count, notes)


def _look(wanted: Conversion, loaded: Holder, start: int, keys: int) -> tuple[Survey, Named]:
    """What the backup holds, and the hashes whose fields do not expire any more. Raises IncompatibleError."""
    facts = loaded.facts()
    if facts.keys != keys:
        raise wanted.refused(
            f"{wanted.loader_title} loaded {facts.keys} of its {keys} keys", "Use another backup, and tell us"
        )
    had = survey(loaded.server, start, field_ttls=wanted.keeps_field_ttls)
    if had.foreign:
        found = "; ".join(f"{named.count} of type {kind}: {named}" for kind, named in had.foreign.items())
        raise wanted.refused(
            f"it holds keys of types that only modules of the server that made it know ({found})",
            "Delete these keys before the backup is made, or restore into a server with these modules",
        )
    dropped = Named()
    if had.field_ttls and not wanted.keeps_field_ttls:
        dropped = had.field_ttls
        if FIELD_TTLS not in wanted.drop:
            raise wanted.refused(
                f"fields of {dropped.count} hashes expire, which that version does not know: {dropped}",
                f"To have these fields for ever instead, give convert_drop: [{FIELD_TTLS}]",
            )
        persist_fields(loaded.server, facts)
        had = survey(loaded.server, start, field_ttls=False)
    return had, dropped


def _rewrite(wanted: Conversion, rewriter: Rewriter, source: str, target: str) -> None:
    """Write the commands of `source` to `target`, in words that the target knows. Raises IncompatibleError."""
    try:
        with open(open_plain(source), "rb", buffering=0) as commands, open(target, "xb", buffering=_BUFFER) as out:
            os.fchmod(out.fileno(), PRIVATE_FILE)
            for command in read_commands(commands):
                instead = rewriter.rewrite(command.words)
                out.write(command.raw if instead is None else b"".join(encode(words) for words in instead))
    except RespError as error:
        raise wanted.refused(
            f"{wanted.loader_title} wrote an AOF that cannot be read: {error}", "Use another version as its loader"
        ) from None
    if rewriter.foreign:
        found = "; ".join(f"{name} for {named.count} keys: {named}" for name, named in rewriter.foreign.items())
        raise wanted.refused(
            f"{wanted.loader_title} writes commands whose meaning elsewhere is not known ({found})",
            "Restore into a server of the version that made it",
        )


def _load_functions(wanted: Conversion, proving: Holder, libraries: list[bytes]) -> list[str]:
    """Load each library of functions into the target's server; what was dropped, in words. Raises IncompatibleError."""
    refused = {}
    # Only now: a replica that may be written to removes what it was told to expire.
    proving.server.call("CONFIG", "SET", "replica-read-only", "no")
    for code in libraries:
        try:
            proving.server.call("FUNCTION", "LOAD", code)
        except ReplyError as error:
            refused[_library_name(code)] = f" ({error.message})"
    proving.server.call("CONFIG", "SET", "replica-read-only", "yes")
    return _without_functions(wanted, refused)


def _without_functions(wanted: Conversion, lost: dict[str, str]) -> list[str]:
    """That these libraries are dropped, in words. Raises IncompatibleError when they must not be."""
    if not lost:
        return []
    names = ", ".join(f"{name}{why}" for name, why in sorted(lost.items()))
    if FUNCTIONS not in wanted.drop:
        raise wanted.refused(
            f"that version cannot hold {len(lost)} of its libraries of functions: {names}",
            f"To do without them, give convert_drop: [{FUNCTIONS}]",
        )
    return [f"dropped {len(lost)} libraries of functions: {names}"]


def _library_name(code: bytes) -> str:
    """The name in the first line of a library's code, `#!lua name=shop`."""
    first = code.split(b"\n", 1)[0].decode("utf-8", "backslashreplace")
    return next((word[5:] for word in first.split() if word.startswith("name=")), first[:60])
