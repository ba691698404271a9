# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest: what a backup or an export of keys is, written last, sealed against accident. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable, Optional

from .._errors import DamagedError
from .._server.slots import why_no_ranges
from .._server.versions import RdbFormat
from .._times import from_iso
from .layout import ACKNOWLEDGED, MANIFEST, SUMS, VERIFICATION, export_name, is_export_label, is_label
from .parse import parse_json

FORMAT = 1
DATA_KINDS = ("rdb", "aof")
"""The kinds of files that hold the data set."""
EXPORT = "export"
"""The engine of an export of keys."""
KEYS = "keys"
"""The kind of the one file of an export."""
_FORMATS = ("jsonl", "json", "dump")
_LARGEST = 2**63
_SEAL = "sha256"
_PACKING = ("files", "compression", "encryption", "reencrypted", "server_files")
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_OURS = frozenset((MANIFEST, SUMS, ACKNOWLEDGED, VERIFICATION))
_REQUIRED = ("label", "instance", "uuid", "engine", "started", "finished", "snapshot_time", "server", "keys", "files")


def _canonical(document: Mapping[str, Any]) -> bytes:
    unsealed = {name: value for name, value in document.items() if name != _SEAL}
    return json.dumps(unsealed, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def seal(document: Mapping[str, Any]) -> bytes:
    """The manifest's bytes: readable JSON that carries the SHA-256 of its canonical form without that field."""
    sealed = {"format": FORMAT, **document}
    sealed[_SEAL] = hashlib.sha256(_canonical(sealed)).hexdigest()
    return json.dumps(sealed, indent=2, sort_keys=True, ensure_ascii=True).encode() + b"\n"


@dataclass(frozen=True)
class StoredFile:
    """One stored file: `size` bytes of `content` became `stored_size` bytes named `name` with SHA-256 `sha256`."""

    name: str
    content: str
    kind: str
    size: int
    stored_size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """A manifest whose seal was found good."""

    document: Mapping[str, Any]

    @property
    def label(self) -> str:
        return str(self.document["label"])

    @property
    def instance(self) -> str:
        return str(self.document["instance"])

    @property
    def uuid(self) -> str:
        return str(self.document["uuid"])

    @property
    def engine(self) -> str:
        return str(self.document["engine"])

    @property
    def snapshot_time(self) -> float:
        """The moment whose data the backup holds, UTC seconds."""
        return from_iso(self.document["snapshot_time"])

    @property
    def files(self) -> list[StoredFile]:
        return [StoredFile(**entry) for entry in self.document["files"]]

    @property
    def seal(self) -> str:
        """The SHA-256 over all that it says: two copies with one seal are byte for byte the same backup."""
        return str(self.document.get(_SEAL, ""))

    @property
    def identity(self) -> tuple[Any, ...]:
        """What copies of one backup share, also those that are packed or encrypted anew."""
        said = {name: value for name, value in self.document.items() if name not in _PACKING}
        data = (f for f in self.files if f.kind != "server")  # which a copy in the clear keeps without passwords
        return (_canonical(said), *((f.content, f.kind, f.size) for f in data))

    @property
    def serial(self) -> int:
        """Which backup of its instance it is: larger than all before it, whatever clocks said; 0 where unknown."""
        found = self.document.get("serial", 0)
        return found if _is_count(found) else 0

    @property
    def size(self) -> int:
        """Bytes of the data set's files, as a server would read them."""
        return sum(f.size for f in self.files if f.kind != "server")

    @property
    def annotations(self) -> Mapping[str, Any]:
        found = self.document.get("annotations")
        return found if isinstance(found, dict) else {}

    @property
    def aof(self) -> Mapping[str, Any]:
        """What it tells of an AOF; empty for another engine."""
        found = self.document.get("aof")
        return found if isinstance(found, dict) else {}

    @property
    def export(self) -> Mapping[str, Any]:
        """What it tells of an export of keys; empty for a backup."""
        found = self.document.get(EXPORT)
        return found if isinstance(found, dict) else {}

    @property
    def set(self) -> Mapping[str, Any]:
        """Which part of a cluster's set it is (`id`, `shards`, `shard`, `slots`); empty for a backup by itself."""
        found = self.document.get("set")
        return found if isinstance(found, dict) else {}

    @property
    def key_room(self) -> int:
        """By how many keys the count may be wrong: nothing but an AOF is counted while it is written."""
        found = self.document["keys"].get("room", 0)
        return found if _is_count(found) else 0

    def file(self, kind: str) -> StoredFile | None:
        """The stored file of a kind (`rdb`, `aof`, `server`)."""
        return next((entry for entry in self.files if entry.kind == kind), None)

    @property
    def encrypted(self) -> bool:
        return bool(self.document.get("encryption"))

    @property
    def keys(self) -> int:
        return int(self.document["keys"]["total"])

    @property
    def expires(self) -> int:
        """Keys that may go by themselves: those with an expiry time, and hashes whose fields have one."""
        keys = self.document["keys"]
        fields = keys.get("field_ttls")
        return min(int(keys["expires"]) + (fields if _is_count(fields) else 0), self.keys)

    @property
    def rdb_format(self) -> RdbFormat:
        server = self.document["server"]
        return RdbFormat(server["rdb_magic"], int(server["rdb_version"]))


_Judge = Callable[[Mapping[str, Any]], Optional[str]]


def open_manifest(raw: bytes, where: str) -> Manifest:
    """The manifest of a backup in `raw`.

    Raises DamagedError when one byte of it is not as it was written, or its format is newer than ours.
    """
    return _opened(raw, where, _why_no_backup)


def open_export(raw: bytes, where: str) -> Manifest:
    """The manifest of an export of keys in `raw`. Raises as `open_manifest` does."""
    return _opened(raw, where, _why_no_export)


def _opened(raw: bytes, where: str, judge: _Judge) -> Manifest:
    untouched = "The live data was not touched"
    hint = "Use another backup, or another repository's copy of this one"
    try:
        document = parse_json(raw)
    except ValueError:
        document = None
    if not isinstance(document, dict) or not isinstance(document.get(_SEAL), str):
        raise DamagedError(f"the manifest {where} is damaged: it is no manifest", untouched=untouched, hint=hint)
    # The readable form is checked whole: white space and key order are bytes too.
    if document[_SEAL] != hashlib.sha256(_canonical(document)).hexdigest() or seal(document) != raw:
        raise DamagedError(
            f"the manifest {where} is damaged or was edited: its own SHA-256 does not fit",
            untouched=untouched,
            hint=hint,
        )
    if isinstance(document["format"], int) and document["format"] > FORMAT:
        raise DamagedError(
            f"the manifest {where} has format {document['format']}, this version reads up to {FORMAT}",
            untouched=untouched,
            hint="Use a newer version of globalscope.redis_backup",
        )
    why = judge(document)
    if why:
        raise DamagedError(
            f"the manifest {where} is no manifest of this collection: {why}", untouched=untouched, hint=hint
        )
    return Manifest(document)


def _why_no_backup(document: Mapping[str, Any]) -> str | None:
    return _why_senseless(document, is_label)


def _why_no_export(document: Mapping[str, Any]) -> str | None:
    """An export says all that a backup says, and what was looked for, how it is written, and that it is no snapshot."""
    why = _why_senseless(document, is_export_label)
    if why:
        return why
    told = document.get(EXPORT)
    if document["engine"] != EXPORT or not isinstance(told, dict):
        return "it is none of an export of keys"
    if told.get("name") != export_name(document["label"]):
        return "its name is not that of its label"
    if told.get("format") not in _FORMATS:
        return f"it knows no format of keys ({str(told.get('format'))[:20]!r})"
    for name in ("patterns", "types"):
        if not isinstance(told.get(name), list) or not all(isinstance(each, str) for each in told[name]):
            return f"its {name} are no list of words"
    if not isinstance(told.get("databases"), list) or not all(_is_count(each) for each in told["databases"]):
        return "its databases are no list of numbers"
    if told.get("point_in_time") is not False:
        return "it claims to be of one moment"
    if [entry["kind"] for entry in document["files"]] != [KEYS]:
        return "it does not hold one file of keys"
    return None


def _why_senseless(document: Mapping[str, Any], labelled: Callable[[str], bool]) -> str | None:
    """What in a sealed document no writer of ours would have put there; None when it is a manifest.

    The seal keeps accidents out. Whoever seals anew by hand gets words in place of a traceback.
    """
    missing = [name for name in _REQUIRED if name not in document]
    if missing:
        return f"it lacks {', '.join(missing)}"
    try:
        server, keys, files = document["server"], document["keys"], document["files"]
        texts = [document[name] for name in ("label", "instance", "uuid", "engine")]
        texts += [server["flavour"], server["version"], server["rdb_magic"]]
        texts += [entry[name] for entry in files for name in ("name", "content", "kind", "sha256")]
        texts += [module["name"] for module in server.get("modules", [])]
        counts = [keys["total"], keys["expires"], server["rdb_version"]]
        counts += [entry[name] for entry in files for name in ("size", "stored_size")]
        for name in ("started", "finished", "snapshot_time"):
            from_iso(document[name])
        for entry in files:
            StoredFile(**entry)
        counts += [count[name] for count in (keys.get("databases") or {}).values() for name in ("keys", "expires")]
        texts += (document.get("encryption") or {}).get("recipients") or []
        texts += (document.get("server_files") or {}).get("kept") or []
        counts.append((document.get("compression") or {}).get("level", 1))
        (document.get("reencrypted") or {}).get("from_sha256")
        duration = document.get("duration_s") or 0
        aof = document.get("aof") or {}
        texts += [entry["name"] for entry in aof.get("files", [])]
        counts += [entry["size"] for entry in aof.get("files", [])] + [aof.get("commands", 0), keys.get("room", 0)]
        part = document.get("set") or {}
        texts += [part[name] for name in ("id", "shard") if part]
        counts += [part["shards"]] if part else []
        no_slots = why_no_ranges(part["slots"]) if part else None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        return f"a value in it is missing or makes no sense ({type(error).__name__}: {error})"
    if not all(isinstance(text, str) for text in texts) or not all(_is_count(n) for n in counts):
        return "a value in it is of the wrong kind"
    if no_slots:
        return f"its slots are none: {no_slots}"
    if not isinstance(duration, (int, float)) or not 0 <= duration < _LARGEST:  # NaN is neither
        return "its duration is none"
    names = [entry["name"] for entry in files]
    contents = [entry["content"] for entry in files]  # of which a copy that is packed anew makes names
    if not labelled(document["label"]) or not all(_NAME.fullmatch(name) for name in [*names, *contents]):
        return "its label, or the name of a file, is none"
    if len(set(names)) != len(names) or len(set(contents)) != len(contents) or not _OURS.isdisjoint(names):
        return "two of its files have one name"
    return None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST
