# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands in the words of another version; measured ones, from rewritten AOFs of 7.0, 8.2 and Valkey 9.1."""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._convert.named import Named, key_words
from ansible_collections.globalscope.redis_backup.plugins.module_utils._convert.portable import Rewriter

NOW = 1_700_000_000_000
OLD, NEW = ("redis", (6, 2, 14)), ("redis", (7, 0, 15))
REDIS, VALKEY = ("redis", (8, 2, 3)), ("valkey", (9, 1, 2))


def words(text: str) -> list[bytes]:
    return [word.encode() for word in text.split()]


def rewritten(target: tuple[str, tuple[int, ...]], text: str) -> list[str] | None:
    found = Rewriter(*target, NOW).rewrite(words(text))
    return None if found is None else [b" ".join(each).decode() for each in found]


PAST, LATER = NOW - 1, NOW + 1


@pytest.mark.parametrize(
    ("target", "text", "instead"),
    [
        (OLD, "SET a b", None),
        (OLD, "xadd s 1-1 a b", None),
        (OLD, "XCLAIM s g alice 0 4-1 TIME 1795418148926 RETRYCOUNT 1 JUSTID FORCE", None),
        (OLD, "XSETID s 2-1", None),
        (OLD, "XSETID s 2-1 ENTRIESADDED 2 MAXDELETEDID 2-1", ["XSETID s 2-1"]),
        (NEW, "XSETID s 2-1 ENTRIESADDED 2 MAXDELETEDID 2-1", None),
        (OLD, "XGROUP CREATE s g 0-0 ENTRIESREAD -1", ["XGROUP CREATE s g 0-0"]),
        (OLD, "XGROUP CREATECONSUMER s g nobody", None),
        (VALKEY, "XGROUP CREATE s g 0-0 ENTRIESREAD -1", None),
        (REDIS, f"HPEXPIREAT h {LATER} FIELDS 1 f", None),
        (VALKEY, f"HPEXPIREAT h {PAST} FIELDS 1 f", None),
        (NEW, f"HPEXPIREAT h {LATER} FIELDS 2 f g", []),
        (NEW, f"HPEXPIREAT h {PAST} FIELDS 2 f g", ["HDEL h f g"]),
        (VALKEY, f"HSETEX h PXAT {LATER} FIELDS 1 f v", None),
        (REDIS, f"HSETEX h PXAT {LATER} FIELDS 2 f v g w", ["HSET h f v g w", f"HPEXPIREAT h {LATER} FIELDS 2 f g"]),
        (REDIS, f"HSETEX h PXAT {PAST} FIELDS 1 f v", ["HSET h f v", f"HPEXPIREAT h {PAST} FIELDS 1 f"]),
        (NEW, f"HSETEX h PXAT {LATER} FIELDS 1 f v", ["HSET h f v"]),
        (OLD, f"HSETEX h PXAT {PAST} FIELDS 1 f v", []),
        (VALKEY, "FUNCTION LOAD code", []),
    ],
)
def test_rewriting(target: tuple[str, tuple[int, ...]], text: str, instead: list[str] | None) -> None:
    assert rewritten(target, text) == instead


def test_what_it_remembers() -> None:
    rewriter = Rewriter(*OLD, NOW)
    for text in ("FUNCTION LOAD one", "SELECT 3", "VADD v VALUES", "VADD w VALUES", "VADD w VALUES", "HSETEX h EX 5"):
        rewriter.rewrite(words(text))
    for field in (b"a", b"b"):
        rewriter.rewrite([b"HSETEX", b"h\xff", b"PXAT", str(PAST).encode(), b"FIELDS", b"1", field, b"v"])
    assert rewriter.libraries == [b"one"]
    assert {name: str(found) for name, found in rewriter.foreign.items()} == {
        "VADD": "v (database 3), w (database 3)",
        "HSETEX": "h (database 3)",
    }
    assert (rewriter.emptied.count, str(rewriter.emptied)) == (1, "h\\xff (database 3)")


def test_names() -> None:
    named = Named()
    assert not named
    for number in range(25):
        named.add(0, f"k{number}".encode())
    assert str(named).endswith("k19 and 5 more")
    assert str(named).count(",") == 19
    assert key_words(0, b"a\r\n\x1b[31m") == r"a\r\n\x1b[31m"
    assert key_words(1, "schl\u00fcssel".encode()) == "schl\u00fcssel (database 1)"
    assert len(key_words(0, b"x" * 10_000)) < 200
