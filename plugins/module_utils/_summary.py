# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run over many instances did, in one table for people. Pure.

A row has `instance`, `result` and `failed`; and, as far as it applies, `label`, `repository`, `keys`, `size` (bytes),
`seconds`, `rpo_seconds`, `rto_seconds`, `target` and `says` (a remark, or why it failed). An instance may have several
rows. Where stock is taken, also its `role`, its `offset` in the history of its data, the changes that are `unsaved`,
and the state of the `aof`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from ._table import WIDTH, aligned, visible
from ._times import in_words

_COLUMNS = (("instance", "INSTANCE"), ("result", "RESULT"), ("label", "LABEL"), ("repository", "REPOSITORY"))
_MORE = (("keys", "KEYS"), ("size", "SIZE"), ("seconds", "TIME"), ("rpo_seconds", "RPO"))
_DRILL = (("rto_seconds", "RTO"), ("target", "TARGETS"))
_STOCK = (("role", "ROLE"), ("offset", "OFFSET"), ("unsaved", "UNSAVED"), ("aof", "AOF"))
_WORDS = ("instance", "result", "label", "repository", "target", "role", "aof")
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_NONE = "-"
_NAMED = 10


def summary(rows: Sequence[Mapping[str, Any]], remarks: Sequence[str] = ()) -> dict[str, Any]:
    """`table`, its lines; `ok`, whether nothing failed; `results`, how many rows have each result.

    Columns in which no row has anything are left out. `remarks` are said below, after what the rows say.
    """
    results: dict[str, int] = {}
    for row in rows:
        results[str(row["result"])] = results.get(str(row["result"]), 0) + 1
    lines = textwrap.wrap(_headline(rows, results), WIDTH)
    if rows:
        lines += ["", *_table(rows)]
    told = [*_said(rows), *remarks]
    lines += ["", *_paragraphs(told)] if told else []
    return {"table": lines, "results": results, "ok": not any(row.get("failed") for row in rows)}


def _said(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the rows say, each remark once, behind the names of those whom it is about."""
    shared: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.get("says"):
            who = str(row["instance"])
            shared.setdefault(str(row["says"]).removeprefix(f"{who}: "), {})[who] = None
    found = []
    for words, names in ((words, list(named)) for words, named in shared.items()):
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        found.append(f"{', '.join(names[:_NAMED])}{more}  {words}")
    return found


def _headline(rows: Sequence[Mapping[str, Any]], results: Mapping[str, int]) -> str:
    instances = len({str(row["instance"]) for row in rows})
    parts = [_count(instances, "instance"), *(f"{number} {result}" for result, number in results.items())]
    sizes = [row["size"] for row in rows if row.get("size") is not None]
    if sizes:
        parts.append(f"{_bytes(sum(sizes))} in all")
    timed = [row for row in rows if row.get("seconds") is not None]
    if len(timed) > 1:
        slowest = max(timed, key=lambda row: float(row["seconds"]))
        parts.append(f"the slowest took {_seconds(slowest['seconds'])} ({visible(slowest['instance'])})")
    return ", ".join(parts)


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    columns = [
        (name, title)
        for name, title in (*_COLUMNS, *_MORE, *_DRILL, *_STOCK)
        if any(row.get(name) not in (None, "") for row in rows)
    ]
    cells = [tuple(_cell(name, row.get(name)) for name, _title in columns) for row in rows]
    numbers = {at for at, (name, _title) in enumerate(columns) if name not in _WORDS}
    return aligned([tuple(title for _name, title in columns), *cells], right=numbers)


def _cell(name: str, value: Any) -> str:
    if value in (None, ""):
        return _NONE
    if name == "size":
        return _bytes(value)
    if name in ("seconds", "rto_seconds"):
        return _seconds(value)
    return in_words(float(value)) if name == "rpo_seconds" else visible(value)


def _bytes(number: float) -> str:
    at = 0
    while number >= 1024 and at < len(_UNITS) - 1:
        number, at = number / 1024, at + 1
    return f"{number:.0f} {_UNITS[at]}" if at == 0 else f"{number:.1f} {_UNITS[at]}"


def _seconds(number: float) -> str:
    return f"{float(number):.1f} s" if float(number) < 60 else in_words(float(number))


def _paragraphs(told: Sequence[str]) -> list[str]:
    lines: list[str] = []
    for words in dict.fromkeys(" ".join(visible(line) for line in each.split("\n")) for each in told):
        lines += textwrap.wrap(words, WIDTH, subsequent_indent="    ", break_on_hyphens=False)
    return lines
