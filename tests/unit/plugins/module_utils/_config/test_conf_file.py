# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis.conf as Redis reads it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._config.conf_file import (
    Directive,
    load,
    load_file,
    parse,
    split_lines,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._config.quoting import (
    ENCODING,
    ERRORS,
    split_args,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import ConfigError
from hypothesis import given
from hypothesis import strategies as st

# What can stand in a line of a file: any bytes but NUL and the line's end, as the reader decodes them.
TEXTS = st.binary(max_size=40).map(lambda raw: raw.replace(b"\0", b"").decode(ENCODING, ERRORS))
BARE = st.text(st.characters(min_codepoint=33, max_codepoint=126, blacklist_characters="\"'#"), min_size=1)
BLANKS = st.text(" \t", min_size=1, max_size=3)


def double_quoted(text: str, escape_all: bool) -> str:
    """As sdscatrepr writes a word; or with every byte as \\xHH."""
    out = []
    for byte in text.encode(ENCODING, ERRORS):
        char = chr(byte)
        named = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\a": "\\a", "\b": "\\b", "\\": "\\\\", '"': '\\"'}
        if escape_all or not (32 <= byte < 127 or char in named):
            out.append(f"\\x{byte:02x}")
        else:
            out.append(named.get(char, char))
    return '"' + "".join(out) + '"'


def single_quoted(text: str) -> str:
    return "'" + text.replace("'", "\\'") + "'"


@given(st.lists(st.tuples(TEXTS, st.booleans(), BLANKS), max_size=6))
def test_double_quoted_words_come_back(words: list[tuple[str, bool, str]]) -> None:
    line = "".join(double_quoted(text, escape) + blank for text, escape, blank in words)
    assert split_args(line) == [text for text, _escape, _blank in words]


@given(st.lists(st.tuples(TEXTS.filter(lambda t: not t.endswith("\\") and "\\'" not in t), BLANKS), max_size=6))
def test_single_quoted_words_come_back(words: list[tuple[str, str]]) -> None:
    line = "".join(single_quoted(text) + blank for text, blank in words)
    assert split_args(line) == [text for text, _blank in words]


@given(st.lists(BARE, max_size=6), BLANKS)
def test_bare_words_come_back(words: list[str], blank: str) -> None:
    assert split_args(blank.join(words)) == words


@given(st.text())
def test_free_text_gives_words_or_value_error(line: str) -> None:
    with contextlib.suppress(ValueError):
        assert all(isinstance(word, str) for word in split_args(line))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        (" \t ", []),
        ("save 900 1", ["save", "900", "1"]),
        ("dbfilename a#b.rdb", ["dbfilename", "a#b.rdb"]),
        ("dbfilename a.rdb # x", ["dbfilename", "a.rdb", "#", "x"]),
        ('save ""', ["save", ""]),
        ("save ''", ["save", ""]),
        (r'a "p#a ss\x41\""', ["a", 'p#a ssA"']),
        (r'a "\xZZ\q"', ["a", "xZZq"]),
        (r"a 'it\'s \n'", ["a", "it's \\n"]),
        (r'a "\xc3\xa4"', ["a", "ä"]),
        (r'a "\xff"', ["a", "\udcff"]),
        ('a b"c d"', ["a", "bc d"]),
        ("a b'c d' e", ["a", "bc d", "e"]),
        ("a\tb\r", ["a", "b"]),
        ("dir /srv/ä\u00a0ö", ["dir", "/srv/ä\u00a0ö"]),
        ("dir a\vb", ["dir", "a\vb"]),
    ],
)
def test_words(line: str, words: list[str]) -> None:
    assert split_args(line) == words


@pytest.mark.parametrize(
    "line", ['a "b', "a 'b", 'a "b"c', "a 'b'c", 'a b"c"d', 'a "b\\"', "a 'b\\'", 'a "b\\', 'a "b"\u00a0c', "a 'b'\x85"]
)
def test_unbalanced(line: str) -> None:
    with pytest.raises(ValueError, match="unbalanced quotes"):
        split_args(line)


def test_parse() -> None:
    text = "\ufeff# x\n# comment\n\n  #indented\n\tSAVE 900 1\r\ninclude a.conf\nsave ''\n"
    found = list(parse(text.lstrip("\ufeff"), "/etc/redis.conf"))
    assert found == [
        Directive("save", ("900", "1"), "/etc/redis.conf", 5),
        Directive("include", ("a.conf",), "/etc/redis.conf", 6),
        Directive("save", ("",), "/etc/redis.conf", 7),
    ]


def test_parse_names_the_line() -> None:
    with pytest.raises(ConfigError, match=r"^/etc/redis.conf, line 3: unbalanced quotes\. Nothing was changed\."):
        list(parse('a 1\nb 2\nc "3\n', "/etc/redis.conf"))


@pytest.mark.parametrize("separator", ["\u2028", "\x85", "\x0b", "\x0c", "\x1e"])
def test_only_a_newline_ends_a_line(separator: str) -> None:
    (found,) = parse(f'requirepass "a{separator}b"', "x")
    assert found.args == (f"a{separator}b",)


def test_load_follows_includes_where_they_stand(tmp_path: Path) -> None:
    main, sub = tmp_path / "redis.conf", tmp_path / "conf.d"
    sub.mkdir()
    (sub / "b.conf").write_text("dbfilename b.rdb\nport 2\n")
    (sub / "a.conf").write_text(f"dbfilename a.rdb\ninclude {sub}/deep.inc\n")
    (sub / "deep.inc").write_text("port 1\n")
    main.write_text(f'port 0\ninclude "{sub}/*.conf"\ndbfilename main.rdb\n')
    conf = load(str(main))
    assert conf.files == [str(main), f"{sub}/a.conf", f"{sub}/deep.inc", f"{sub}/b.conf"]
    assert [d.args[0] for d in conf.directives] == ["0", "a.rdb", "1", "b.rdb", "2", "main.rdb"]
    assert conf.get("port") == "2"
    assert conf.get("dbfilename") == "main.rdb"
    assert conf.get("dir", "/") == "/"
    assert conf.all("port") == [("0",), ("1",), ("2",)]


def test_relative_include_and_empty_glob(tmp_path: Path) -> None:
    (tmp_path / "extra.conf").write_text("port 7\n")
    (tmp_path / "redis.conf").write_text("include extra.conf\ninclude nothing/*.conf\n")
    assert load(str(tmp_path / "redis.conf")).get("port") == "7"


def test_bytes_that_are_no_utf8_come_back(tmp_path: Path) -> None:
    (tmp_path / "redis.conf").write_bytes(b"dir /srv/\xff\xfe\n")
    found = load(str(tmp_path / "redis.conf")).get("dir")
    assert found is not None and found.encode(ENCODING, ERRORS) == b"/srv/\xff\xfe"


def test_missing_include(tmp_path: Path) -> None:
    (tmp_path / "redis.conf").write_text("include gone.conf\n")
    with pytest.raises(ConfigError, match=r"gone\.conf cannot be read: No such file or directory"):
        load(str(tmp_path / "redis.conf"))


def test_circle(tmp_path: Path) -> None:
    (tmp_path / "redis.conf").write_text("include redis.conf\n")
    with pytest.raises(ConfigError, match="circle"):
        load(str(tmp_path / "redis.conf"))


def test_a_directive_without_arguments_has_no_value(tmp_path: Path) -> None:
    (tmp_path / "redis.conf").write_text("save\ninclude\n")
    conf = load(str(tmp_path / "redis.conf"))
    assert conf.get("save", "x") == "x"
    assert conf.all("save") == [()]
    assert conf.all("include") == [()]


@given(st.binary(max_size=200))
def test_lines_are_the_file_byte_for_byte(raw: bytes) -> None:
    lines = split_lines(raw.decode(ENCODING, ERRORS))
    assert "".join(line.raw for line in lines).encode(ENCODING, ERRORS) == raw
    assert all(line.raw and "\n" not in line.raw[:-1] for line in lines)
    assert all(line.name for line in lines if line.args or line.error)


def test_a_file_is_read_as_it_stands(tmp_path: Path) -> None:
    raw = b'\xef\xbb\xbf# x\r\n\r\n\tSAVE 900 1\r\ndir \xff\x85\x0c\rport\nrequirepass "open\nport 1'
    (tmp_path / "redis.conf").write_bytes(raw)
    file = load_file(str(tmp_path / "redis.conf"))
    assert file.text.encode(ENCODING, ERRORS) == raw
    assert [(line.name, line.error) for line in file.lines[2:]] == [
        ("save", ""),
        ("dir", ""),
        ("requirepass", "unbalanced quotes"),
        ("port", ""),
    ]


def test_lines_and_files_in_the_order_of_effect(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("port 1\ninclude b.conf\nport 3\n")
    (tmp_path / "b.conf").write_text("port 2\n")
    (tmp_path / "redis.conf").write_text("port 0\ninclude a.conf\ninclude b.conf\nPORT 4\n")
    file = load_file(str(tmp_path / "redis.conf"))
    assert file.args_of(["port"]) == [("0",), ("1",), ("2",), ("3",), ("2",), ("4",)]
    assert [Path(each.path).name for each in file.files()] == ["redis.conf", "a.conf", "b.conf", "b.conf"]
    where = [(Path(owner.path).name, index) for owner, index, line in file.walk() if line.name == "port"]
    assert where == [("redis.conf", 0), ("a.conf", 0), ("b.conf", 0), ("a.conf", 2), ("b.conf", 0), ("redis.conf", 3)]


def test_who_includes_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("port 1\ninclude gone.conf\n")
    (tmp_path / "redis.conf").write_text("include a.conf\n")
    said = rf"{tmp_path}/gone.conf cannot be read: .* \({tmp_path}/a.conf, line 2, includes it\).*Correct the include"
    with pytest.raises(ConfigError, match=said):
        load_file(str(tmp_path / "redis.conf"))
    with pytest.raises(ConfigError, match="Name the right file with config_file"):
        load_file(str(tmp_path / "none.conf"))


def test_a_line_in_an_include_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("# x\nrequirepass 'open\n")
    (tmp_path / "redis.conf").write_text("include a.conf\n")
    with pytest.raises(ConfigError, match=rf"^{tmp_path}/a.conf, line 2: unbalanced quotes"):
        load(str(tmp_path / "redis.conf"))
