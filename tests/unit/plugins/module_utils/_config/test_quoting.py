# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words as a line of redis.conf holds them: whatever the word, it stays one word of one line."""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._config.conf_file import split_lines
from ansible_collections.globalscope.redis_backup.plugins.module_utils._config.quoting import (
    ENCODING,
    ERRORS,
    quote_arg,
    split_args,
)
from hypothesis import given
from hypothesis import strategies as st

# Any bytes a value may have, as they are read, and any text that YAML may bring.
WORDS = st.one_of(
    st.binary(max_size=30).map(lambda raw: raw.decode(ENCODING, ERRORS)),
    st.text(max_size=30),
    st.text(st.sampled_from("a \t\r\n\0\v\f\b\a\x7f\"'\\\\#x41\u2028\x85"), max_size=12),
)


@given(st.lists(WORDS, max_size=5))
def test_words_come_back(words: list[str]) -> None:
    assert split_args(" ".join(map(quote_arg, words))) == words


@given(st.lists(WORDS, max_size=5))
def test_no_word_begins_a_second_line(words: list[str]) -> None:
    (line,) = split_lines(f"requirepass {' '.join(map(quote_arg, words))}\n")
    assert (line.name, list(line.args), line.error) == ("requirepass", words, "")
    assert not any(ord(char) < 32 or char == "\x7f" for char in line.raw[:-1])


@pytest.mark.parametrize("word", ["yes", "64mb", "/var/lib/redis", "a#b", "#a", "~*", "ä", "1.5", "%"])
def test_plain_words_stay_plain(word: str) -> None:
    assert quote_arg(word) == word


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        ("", '""'),
        ("a b", '"a b"'),
        ('a"b', '"a\\"b"'),
        ("a'b", '"a\'b"'),
        ("a\\b", '"a\\\\b"'),
        ("x\nrequirepass y", '"x\\nrequirepass y"'),
        ("\0\x1b\x7f", '"\\x00\\x1b\\x7f"'),
        ("a\u2028b", '"a\u2028b"'),
    ],
)
def test_others_are_quoted(word: str, quoted: str) -> None:
    assert quote_arg(word) == quoted
