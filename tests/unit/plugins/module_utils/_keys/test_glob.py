# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patterns of keys: what the server's own function says, here written out, and no pattern that takes long."""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.glob import Patterns, compile_pattern
from hypothesis import given
from hypothesis import strategies as st

# Few letters, so that patterns often match; those that mean something, and bytes beyond ASCII.
LETTERS = st.sampled_from([bytes([letter]) for letter in b"ab-]^\\[*?c\n\x00\x80\xff"])
WORDS = st.lists(LETTERS, max_size=8).map(b"".join)


def signed(byte: int) -> int:
    return byte - 256 if byte > 127 else byte


def in_class(pattern: bytes, byte: int) -> tuple[bool, int]:
    """The class that `pattern` begins with (behind the bracket), and how many bytes of it are used."""
    at, negated, found = 0, False, False
    if pattern[:1] == b"^":
        at, negated = 1, True
    while True:
        left = len(pattern) - at
        if left >= 2 and pattern[at] == ord("\\"):
            at += 1
            found = found or pattern[at] == byte
        elif left == 0:
            at -= 1
            break
        elif pattern[at] == ord("]"):
            break
        elif left >= 3 and pattern[at + 1] == ord("-"):
            ends = sorted((signed(pattern[at]), signed(pattern[at + 2])))
            found = found or ends[0] <= signed(byte) <= ends[1]
            at += 2
        else:
            found = found or pattern[at] == byte
        at += 1
    return found != negated, at + 1


def matches(pattern: bytes, text: bytes) -> bool:
    """stringmatchlen of the server's util.c."""
    while pattern and text:
        if pattern[:1] == b"*":
            pattern = pattern.lstrip(b"*")
            return not pattern or any(matches(pattern, text[start:]) for start in range(len(text)))
        if pattern[:1] == b"[":
            found, used = in_class(pattern[1:], text[0])
            if not found:
                return False
            pattern, text = pattern[1 + used :], text[1:]
        elif pattern[:1] == b"?":
            pattern, text = pattern[1:], text[1:]
        else:
            if pattern[:1] == b"\\" and len(pattern) >= 2:
                pattern = pattern[1:]
            if pattern[0] != text[0]:
                return False
            pattern, text = pattern[1:], text[1:]
        if not text:
            pattern = pattern.lstrip(b"*")
    return not pattern and not text


@given(WORDS, st.lists(WORDS, max_size=20))
def test_as_the_server(pattern: bytes, texts: list[bytes]) -> None:
    compiled = compile_pattern(pattern)
    for text in texts:
        wanted = pattern == b"*" or matches(pattern, text)
        assert bool(compiled.fullmatch(text)) == wanted, (pattern, text)


@given(st.binary(max_size=12), st.binary(max_size=12))
def test_any_bytes(pattern: bytes, text: bytes) -> None:
    assert bool(compile_pattern(pattern).fullmatch(text)) == (pattern == b"*" or matches(pattern, text))


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (b"user:*", b"user:1 user: user:\nx", b"users:1 auser:1 user"),
        (b"h[ae]llo", b"hello hallo", b"hillo hllo"),
        (b"h[^e]llo", b"hallo h\xffllo", b"hello"),
        (b"h[a-b]llo", b"hallo hbllo", b"hcllo"),
        (b"a\\*b", b"a*b", b"axb ab"),
        (b"*:*:1", b"a:b:1 ::1 a:b:c:1", b"a:1"),
        (b"[\x01-\x7f]", b"a", b"\xff"),
    ],
)
def test_examples(pattern: bytes, yes: bytes, no: bytes) -> None:
    compiled = compile_pattern(pattern)
    assert all(compiled.fullmatch(text) for text in yes.split(b" "))
    assert not any(compiled.fullmatch(text) for text in no.split(b" "))


def test_many_stars_are_quick() -> None:
    assert not compile_pattern(b"*a" * 200 + b"*b").fullmatch(b"a" * 20_000)
    assert compile_pattern(b"*a" * 200 + b"*").fullmatch(b"a" * 200)


def test_patterns_remember_what_matched() -> None:
    patterns = Patterns([b"user:*", b"driver:*", b"user:*", b"nobody"])
    assert patterns.by_server is None
    assert not patterns.everything
    assert patterns.matching([b"user:1", b"x"]) == [b"user:1"]
    assert patterns.unmatched == (b"driver:*", b"nobody")
    assert patterns.matching([b"x", b"driver:1", b"user:2"]) == [b"driver:1", b"user:2"]
    assert patterns.unmatched == (b"nobody",)


def test_one_pattern_is_the_servers_work() -> None:
    patterns = Patterns([b"user:*"])
    assert patterns.by_server == b"user:*"
    assert patterns.matching([]) == []
    assert patterns.unmatched == (b"user:*",)
    assert patterns.matching([b"user:1"]) == [b"user:1"]
    assert patterns.unmatched == ()


def test_everything_among_others() -> None:
    patterns = Patterns([b"*", b"user:*"])
    assert patterns.by_server is None
    assert patterns.everything
    assert patterns.matching([b"x"]) == [b"x"]
    assert patterns.unmatched == (b"user:*",)
