# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directives and their values: shapes, and what is surely the same."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._config.quoting import quote_arg
from ansible_collections.globalscope.redis_backup.plugins.module_utils._config.values import (
    lines_of,
    memory_bytes,
    names_of,
    normal_bool,
    same_value,
    text_of,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import ConfigError
from hypothesis import given
from hypothesis import strategies as st

LIMITS = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"
POINTS = st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 10**6)), max_size=5)


@pytest.mark.parametrize(
    ("name", "value", "lines"),
    [
        ("appendonly", True, [["yes"]]),
        ("appendonly", "yes", [["yes"]]),
        ("maxmemory", 67108864, [["67108864"]]),
        ("maxmemory", 6.0, [["6"]]),
        ("maxmemory", 1e9, [["1000000000"]]),
        ("active-defrag-cycle-max", 0.5, [["0.5"]]),
        ("maxmemory", ["64mb"], [["64mb"]]),
        ("requirepass", "", [[""]]),
        ("requirepass", 'two words "', [['two words "']]),
        ("requirepass", "a\nport 1", [["a\nport 1"]]),
        ("notify-keyspace-events", "", [[""]]),
        ("bind", "127.0.0.1 ::1", [["127.0.0.1", "::1"]]),
        ("bind", ["127.0.0.1", "::1"], [["127.0.0.1", "::1"]]),
        ("bind", "", [[""]]),
        ("bind", [], [[""]]),
        ("bind", [""], [[""]]),
        ("replicaof", "10.0.0.1 6379", [["10.0.0.1", "6379"]]),
        ("oom-score-adj-values", [0, 200, 800], [["0", "200", "800"]]),
        ("save", "", [[""]]),
        ("save", '""', [[""]]),
        ("save", [], [[""]]),
        ("save", [""], [[""]]),
        ("save", "900 1", [["900", "1"]]),
        ("save", "900 1 300 10", [["900", "1"], ["300", "10"]]),
        ("save", [900, 1], [["900", "1"]]),
        ("save", [[900, 1], [300, 10]], [["900", "1"], ["300", "10"]]),
        ("save", ["900 1 300 10", "60 10000"], [["900", "1"], ["300", "10"], ["60", "10000"]]),
        (
            "client-output-buffer-limit",
            "normal 0 0 0 pubsub 1 2 3",
            [["normal", "0", "0", "0"], ["pubsub", "1", "2", "3"]],
        ),
        ("client-output-buffer-limit", ["normal 0 0 0"], [["normal", "0", "0", "0"]]),
        ("client-output-buffer-limit", [["normal", 0, 0, 0]], [["normal", "0", "0", "0"]]),
        ("client-output-buffer-limit", "", []),
        ("rename-command", 'CONFIG ""', [["CONFIG", ""]]),
        ("rename-command", ["CONFIG x", "DEBUG ''"], [["CONFIG", "x"], ["DEBUG", ""]]),
        ("rename-command", [], []),
        ("rename-command", "", []),
        ("loadmodule", ["/usr/lib/a.so arg 1"], [["/usr/lib/a.so", "arg", "1"]]),
        ("user", ["alice on >secret ~* +@all"], [["alice", "on", ">secret", "~*", "+@all"]]),
    ],
)
def test_lines(name: str, value: Any, lines: list[list[str]]) -> None:
    assert lines_of(name, value) == lines


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("save", 900, "takes pairs"),
        ("save", "900 1 300", "takes pairs"),
        ("save", ["900", "1 300"], "takes pairs"),
        ("save", [["900"], 1, 2], "takes pairs"),
        ("maxmemory", ["1gb", "2gb"], "takes one value, and a list of 2 was given"),
        ("maxmemory", [], "takes one value, and a list of 0 was given"),
        ("maxmemory", [[]], "takes one value"),
        ("maxmemory", [["1gb", "2gb"]], "takes one value"),
        ("maxmemory", {"a": 1}, "is dict"),
        ("maxmemory", [None], "is NoneType"),
        ("rename-command", ['CONFIG "x'], "unbalanced quotes"),
        ("rename-command", [None], "is NoneType"),
        ("rename-command", [[["CONFIG"]]], "list in a list"),
    ],
)
def test_shapes_that_no_directive_has(name: str, value: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=rf"^settings: {name} .*{why}.*Nothing was changed"):
        lines_of(name, value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["save", "client-output-buffer-limit", "rename-command", "user", "bind", "maxmemory", "requirepass", "x"]
)


@given(NAMES, JSON)
def test_any_value_gives_lines_or_a_config_error(name: str, value: Any) -> None:
    try:
        lines = lines_of(name, value)
    except ConfigError:
        return
    assert all(line and all(isinstance(word, str) for word in line) for line in lines)


@given(st.text())
def test_a_single_value_is_one_word_whatever_it_holds(text: str) -> None:
    assert lines_of("requirepass", text) == [[text]]
    assert text_of(lines_of("requirepass", text)) == text


@given(st.lists(st.lists(st.text(min_size=1), min_size=1, max_size=4), max_size=3))
def test_lists_of_words_and_quoted_lines_are_the_same(lines: list[list[str]]) -> None:
    assert lines_of("rename-command", [" ".join(map(quote_arg, words)) for words in lines]) == lines


@given(POINTS)
def test_save_points_in_any_shape(points: list[tuple[int, int]]) -> None:
    wanted = [[str(seconds), str(changes)] for seconds, changes in points] or [[""]]
    flat = " ".join(f"{seconds} {changes}" for seconds, changes in points)
    assert lines_of("save", flat) == wanted
    assert lines_of("save", [f"{seconds} {changes}" for seconds, changes in points]) == wanted
    assert lines_of("save", [list(point) for point in points]) == wanted
    assert same_value("save", wanted, lines_of("save", flat))


def test_names() -> None:
    assert names_of("slave-read-only") == names_of("replica-read-only") == ("replica-read-only", "slave-read-only")
    assert names_of("maxmemory") == ("maxmemory",)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("64mb", 64 << 20),
        ("64MB", 64 << 20),
        ("64m", 64_000_000),
        ("1k", 1000),
        ("1kb", 1024),
        ("1g", 10**9),
        ("1Gb", 1 << 30),
        ("5b", 5),
        ("", None),
        ("mb", None),
        ("-1", None),
        ("1.5gb", None),
        ("1 gb", None),
        ("1tb", None),
        ("1kbb", None),
        ("5%", None),
        ("1\n", None),
        ("\u0663mb", None),
        ("1\u212a", None),
    ],
)
def test_memory(text: str, size: int | None) -> None:
    assert memory_bytes(text) == size


@given(st.integers(0, 1 << 62), st.sampled_from(["", "b", "k", "kb", "m", "mb", "g", "gb"]))
def test_memory_is_the_number_times_its_unit(number: int, unit: str) -> None:
    base = memory_bytes(f"1{unit}")
    assert base is not None and memory_bytes(f"{number}{unit.upper()}") == number * base


@given(st.text())
def test_memory_takes_any_text(text: str) -> None:
    found = memory_bytes(text)
    assert found is None or (text.isascii() and found >= 0)


@pytest.mark.parametrize(
    ("name", "mine", "theirs", "same"),
    [
        ("maxmemory", "64mb", "67108864", True),
        ("maxmemory", "64m", "67108864", False),
        ("maxmemory", "1gb", "1073741824b", True),
        ("hash-max-listpack-value", "64mb", "67108864", False),
        ("appendonly", "true", "yes", True),
        ("appendonly", "True", "yes", True),
        ("appendonly", "YES", "yes", True),
        ("appendonly", "false", "no", True),
        ("appendonly", "false", "yes", False),
        ("appendonly", "yes", "no", False),
        ("appendonly", "yes", "YES", True),
        ("appendfsync", "everysec", "everysec", True),
        ("appendfsync", "EVERYSEC", "everysec", False),
        ("requirepass", "true", "yes", False),
        ("requirepass", "YES", "yes", False),
        ("masterauth", "no", "NO", False),
        ("requirepass", "s3cret", "s3cret", True),
        ("bind", "127.0.0.1 ::1", ["127.0.0.1", "::1"], True),
        ("bind", "::1 127.0.0.1", "127.0.0.1 ::1", False),
        ("save", "900 1 300 10", ["900 1", "300 10"], True),
        ("save", "300 10 900 1", "900 1 300 10", False),
        ("save", "", [], True),
        ("save", "", "900 1", False),
        ("client-output-buffer-limit", LIMITS, "normal 0 0 0", True),
        ("client-output-buffer-limit", "replica 256mb 64mb 60", LIMITS, True),
        ("client-output-buffer-limit", "slave 256m 64mb 60", LIMITS, False),
        ("client-output-buffer-limit", "pubsub 32mb 8mb 61", LIMITS, False),
        ("client-output-buffer-limit", "pubsub 1 1 1 pubsub 32mb 8mb 60", LIMITS, True),
        ("client-output-buffer-limit", "other 0 0 0", "other 0 0 0", False),
        ("client-output-buffer-limit", "normal 0 0", LIMITS, False),
        ("rename-command", ["A b", "C d"], ["A b", "C d"], True),
        ("rename-command", ["A b", "C d"], ["A b C d"], False),
        ("loadmodule", ["/a.so", "/b.so"], ["/a.so /b.so"], False),
        ("user", ["alice on"], ["alice on nopass"], False),
    ],
)
def test_same(name: str, mine: Any, theirs: Any, same: bool) -> None:
    assert same_value(name, lines_of(name, mine), lines_of(name, theirs)) is same


@pytest.mark.parametrize("name", ["save", "client-output-buffer-limit", "bind", "maxmemory", "rename-command"])
def test_a_line_that_nobody_can_read_is_like_no_wish(name: str) -> None:
    for value in ("", "normal 0 0 0", "0 0"):
        assert not same_value(name, lines_of(name, value), [[]])


def test_one_word_is_not_two() -> None:
    """A server refuses to start with `requirepass foo bar`, which is not the password "foo bar"."""
    assert not same_value("requirepass", [["foo bar"]], [["foo", "bar"]])


VALUES = st.one_of(
    st.sampled_from(["yes", "no", "0", "64mb", "67108864", LIMITS, "normal 0 0 0", "900 1", "", "slave 1 1 1"]),
    st.text(max_size=10),
)


@given(NAMES, VALUES, VALUES)
def test_sameness_is_mutual(name: str, mine: str, theirs: str) -> None:
    """But for true and false, which no server writes and none reads in its file."""
    try:
        one, other = lines_of(name, mine), lines_of(name, theirs)
    except ConfigError:
        return
    if not {mine.lower(), theirs.lower()} & {"true", "false"}:
        assert same_value(name, one, other) == same_value(name, other, one)
    if name != "client-output-buffer-limit":
        assert same_value(name, one, one)


def test_true_in_a_file_is_no_yes() -> None:
    assert same_value("appendonly", [["true"]], [["yes"]])
    assert not same_value("appendonly", [["yes"]], [["true"]])


@pytest.mark.parametrize(
    ("text", "present", "found"),
    [
        ("true", "no", "yes"),
        ("False", "yes", "no"),
        ("YES", "no", "yes"),
        ("true", "everysec", "true"),
        ("x", "no", "x"),
    ],
)
def test_yes_and_no(text: str, present: str, found: str) -> None:
    assert normal_bool(text, present) == found
