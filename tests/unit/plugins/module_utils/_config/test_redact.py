# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No secret reaches an unencrypted artefact."""

from __future__ import annotations

import hashlib

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._config.quoting import quote_arg, split_args
from ansible_collections.globalscope.redis_backup.plugins.module_utils._config.redact import redact_acl, redact_conf
from hypothesis import given
from hypothesis import strategies as st

# Two words of a password that occur nowhere else, and between them whatever a password may hold.
LEFT, RIGHT = "Zq7LEFT", "Zq7RIGHT"
BETWEEN = st.one_of(
    st.sampled_from(
        ["", " ", "\t", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u00a0", "\r", "'", '"', "\\", ">", "#"]
    ),
    st.text(st.characters(blacklist_characters="\n\0", blacklist_categories=["Cs"]), max_size=6),
)
DIRECTIVES = st.sampled_from(
    [
        "requirepass {}",
        "RequirePass {}",
        "masterauth {}",
        "primaryauth {}",
        "tls-key-file-pass {}",
        "tls-client-key-file-pass {}",
        "sentinel auth-pass mymaster {}",
        "SENTINEL Auth-Pass mymaster {}",
        "sentinel sentinel-pass {}",
        "\t requirepass   {}",
    ]
)
USER_RULES = st.sampled_from(["user alice on {} ~* +@all", "user alice {}", "USER bob {} on nopass"])


def safe(text: str) -> bool:
    return LEFT not in text and RIGHT not in text


@given(DIRECTIVES, BETWEEN, st.sampled_from(["\n", "\r\n", ""]))
def test_passwords_leave_redis_conf(form: str, between: str, end: str) -> None:
    line = form.format(quote_arg(LEFT + between + RIGHT))
    text = redact_conf(f"port 1\n{line}{end}")
    assert safe(text), text
    assert text.startswith("port 1\n# left out of this unencrypted backup: ")


@given(USER_RULES, BETWEEN, st.sampled_from(["\n", "\r\n", ""]), st.sampled_from("><"))
def test_passwords_of_users_leave_redis_conf(form: str, between: str, end: str, sign: str) -> None:
    line = form.format(quote_arg(sign + LEFT + between + RIGHT))
    text = redact_conf(f"{line}{end}port 1\n" if end else line)
    assert safe(text), text


@given(DIRECTIVES, BETWEEN)
def test_lines_that_redis_refuses_lose_them_too(form: str, between: str) -> None:
    line = form.format(f'"{LEFT}{between}{RIGHT}').replace("\n", " ")
    assert safe(redact_conf(line)), line
    assert safe(redact_conf(f'user alice on ">{LEFT}{between}{RIGHT}'))


@given(st.text(st.characters(blacklist_characters=" \n\r\t", blacklist_categories=["Cs"]), max_size=6))
def test_passwords_leave_an_acl_file(between: str) -> None:
    text = redact_acl(f"user alice on >{LEFT}{between}{RIGHT} ~* +@all\nuser bob on nopass ~x -@all\n")
    assert safe(text), text
    assert text == "user alice on ~* +@all\nuser bob on nopass ~x -@all\n"


@given(st.text())
def test_hashes_leave_too(password: str) -> None:
    digest = hashlib.sha256(password.encode("utf-8", "surrogatepass")).hexdigest()
    line = f"user alice on #{digest} !{digest} sanitize-payload ~* &* +@all\n"
    assert digest not in redact_acl(line) + redact_conf(line)
    assert redact_acl(line) == "user alice on sanitize-payload ~* &* +@all\n"


@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                [
                    "# requirepass",
                    "port 6379\r",
                    "",
                    "  save 900 1 ",
                    "sentinel monitor m 127.0.0.1 6379 2",
                    "sentinel",
                    'dir "/srv/a b"',
                    "masteruser replica",
                ]
            ),
            st.text(st.characters(blacklist_characters="\n", blacklist_categories=["Cs"])).filter(
                lambda t: not any(word in t.lower() for word in ("pass", "auth", "user"))
            ),
        )
    )
)
def test_other_lines_stay_as_they_are(lines: list[str]) -> None:
    text = "\n".join(lines)
    assert redact_conf(text) == text


@pytest.mark.parametrize("line", ["# requirepass foobared", "#masterauth s3cret", "  #  TLS-KEY-FILE-PASS secret"])
def test_a_password_that_was_commented_out_goes_too(line: str) -> None:
    assert line.split()[-1] not in redact_conf(line + "\n")


@given(
    st.lists(st.text(st.characters(blacklist_characters="\n\0", blacklist_categories=["Cs"]), min_size=1), min_size=1)
)
def test_rules_survive_their_quotes(rules: list[str]) -> None:
    kept = [rule for rule in rules if rule[0] not in "><#!"]
    line = " ".join(map(quote_arg, ["user", "alice", *rules]))
    assert split_args(redact_conf(line)) == ["user", "alice", *kept]


def test_once_redacted_it_stays() -> None:
    text = redact_conf("requirepass x\nuser a on >b ~*\n")
    assert redact_conf(text) == text
    assert text == "# left out of this unencrypted backup: requirepass\nuser a on ~*\n"


@pytest.mark.parametrize("text", ["", "\n", "# user x stays a comment\n", "   \n"])
def test_nothing_to_do(text: str) -> None:
    assert redact_acl(text) == redact_conf(text) == text


@pytest.mark.parametrize(
    "line",
    [
        '# requirepass "S3CRET pw"',
        "# requirepass S3CRET # old",
        "# user default on >S3CRET",
        "# sentinel auth-pass m S3CRET",
        "rename-command CONFIG S3CRET",
        "loadmodule /x.so PASSWORD S3CRET",
        "requirepass\x0bS3CRET",
        "\ufeffrequirepass S3CRET",
    ],
)
def test_odd_places_of_secrets_in_redis_conf(line: str) -> None:
    assert "S3CRET" not in redact_conf(f"port 1\n{line}\n" if line[0] != "\ufeff" else line)


@pytest.mark.parametrize(
    "line", ["user x on\t>S3CRET", "# user x on >S3CRET", 'user x on ">S3CRET"', "user x on >S3CRET"]
)
def test_odd_places_of_secrets_in_an_acl_file(line: str) -> None:
    assert "S3CRET" not in redact_acl(f"user a on ~*\n{line}\n")
