# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a file begins with: which format of keys it is, or what else somebody took for one. Pure."""

from __future__ import annotations

import re

# So many bytes are enough to know a file by.
HEAD_BYTES = 4096

BOM = b"\xef\xbb\xbf"

_OTHERS = (
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ", "compressed with xz"),
    (b"PK\x03\x04", "a zip archive"),
    (b"age-encryption.org/", "encrypted with age"),
    (b"-----BEGIN AGE ENCRYPTED FILE", "encrypted with age"),
    (b"REDIS0", "an RDB snapshot, no export of keys"),
    (b"VALKEY", "an RDB snapshot, no export of keys"),
    (b"file ", "the manifest of an AOF, no export of keys"),
    (b"\xff\xfe", "text in UTF-16: save it as UTF-8"),
    (b"\xfe\xff", "text in UTF-16: save it as UTF-8"),
)
_SPACE = b" \t\r\n"
_OUR_LINE = re.compile(rb'\{"db":[0-9]+,"key":')
_MEMBER_OF_LINE = re.compile(
    rb'\{[ \t]*"(?:db|key|type|value|expire_at_ms|fields_expire_at_ms|part|more|encoding)"[ \t]*:'
)
_FLAT = re.compile(rb"\{[ \t]*(?:\r?\n|\}[ \t\r\n]*\Z)")
_ARRAY_OF_WORDS = re.compile(rb"\*[0-9]{1,9}\r\n\$")


def sniff(first_bytes: bytes) -> str | None:
    """The format that a file is in, by its first bytes; None when it looks like none of them."""
    first_bytes = bytes(first_bytes[:HEAD_BYTES])
    head = first_bytes[len(BOM) :] if first_bytes.startswith(BOM) else first_bytes
    if _ARRAY_OF_WORDS.match(head):
        return "dump"
    text = head.lstrip(_SPACE)
    if not text:
        return "jsonl" if first_bytes else None
    if not text.startswith(b"{"):
        return None
    if _OUR_LINE.match(text) or (
        _MEMBER_OF_LINE.match(text) and all(name in text.partition(b"\n")[0] for name in (b'"key"', b'"type"'))
    ):
        return "jsonl"
    return "json"


def why_not(name: str, first_bytes: bytes) -> str | None:
    """The reason why a file is not in format `name`, where its first bytes leave no doubt."""
    head = bytes(first_bytes[:HEAD_BYTES])
    for magic, what in _OTHERS:
        if head.startswith(magic):
            return f"the file is no {name}: it is {what}"
    found = sniff(head)
    sure = found in ("jsonl", "dump") or _FLAT.match(head.lstrip(_SPACE))
    if found and found != name and head.strip(_SPACE) and sure:
        return f"the file is no {name}: it looks like format {found}"
    return None
