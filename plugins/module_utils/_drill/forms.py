# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the keys of a data set look, kept as hashes: what tells that a drill has loaded another instance's data.

A key's form is what stands before its first separator, its numbers left out: `user:1042:cart` and `user:7` have one.
Forms outlive the keys themselves, which may all be others after a month. A record in a repository must not tell names
of keys in the clear, so it holds hashes of the commonest forms, with their shares.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping

from .._server.connection import Server
from .._server.facts import Facts

SAMPLE = 20_000
_KEPT = 64
_BATCH = 1000
_ENOUGH = 100  # keys below which nothing is said
_TELLING = 0.5  # share of the keys that the commonest forms must cover to tell anything
_ALIKE = 0.02
_SEPARATOR = re.compile(rb"[:/.|{}#_-]")
_NUMBER = re.compile(rb"(?<![0-9A-Za-z])(?=[0-9a-fA-F]*[0-9])[0-9a-fA-F]{6,}(?![0-9A-Za-z])|[0-9]+")


def form_of(key: bytes) -> bytes:
    """The form of one key. Pure."""
    stem = next((part for part in _SEPARATOR.split(key) if part), key)
    return _NUMBER.sub(b"#", stem)


def forms_of(keys: Iterable[bytes], salt: str) -> dict[str, float]:
    """The commonest forms with their shares of all keys, by their hashes; `salt` is the instance's name. Pure.

    Empty for too few keys, and for keys whose names have nothing in common.
    """
    counts = Counter(map(form_of, keys))
    total = sum(counts.values())
    common = counts.most_common(_KEPT)
    if total < _ENOUGH or sum(number for _form, number in common) < _TELLING * total:
        return {}
    return {_hashed(form, salt): round(number / total, 4) for form, number in common}


def _hashed(form: bytes, salt: str) -> str:
    return hashlib.blake2b(form, digest_size=8, key=salt.encode()[:64]).hexdigest()


def alike(now: Mapping[str, float], before: Mapping[str, float]) -> bool:
    """Whether two data sets can be of one instance, by their forms. Where either tells nothing, they can. Pure."""
    if not now or not before:
        return True
    return sum(min(share, before.get(form, 0.0)) for form, share in now.items()) >= _ALIKE


def sample(server: Server, facts: Facts, most: int = SAMPLE) -> list[bytes]:
    """Names of keys out of all databases of a server at rest, at most so many of each."""
    found: list[bytes] = []
    for name in sorted(facts.keyspace):
        server.call("SELECT", int(name[2:]))
        cursor, keys = server.call("SCAN", 0, "COUNT", _BATCH)
        taken = list(keys)
        while cursor != b"0" and len(taken) < most:
            cursor, keys = server.call("SCAN", cursor, "COUNT", _BATCH)
            taken += keys
        found += taken[:most]
    server.call("SELECT", 0)
    return found
