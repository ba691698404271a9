# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._config.conf_file import ConfFile, split_lines
from ansible_collections.globalscope.redis_backup.plugins.module_utils._config.default_user import (
    agrees,
    line_of,
    set_password,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import ConfigError

HASH = "#" + hashlib.sha256(b"a b").hexdigest()


def conf(text: str, included: str = "") -> ConfFile:
    file = ConfFile("/etc/redis/redis.conf", split_lines(text))
    for line in file.lines:
        if line.name == "include":
            line.included = [ConfFile("/etc/redis/x", split_lines(included))]
    return file


@pytest.mark.parametrize(
    ("rules", "password", "expected"),
    [
        ([HASH, "~*"], "a b", True),
        ([">a b", "~*"], "a b", True),
        (["resetpass", HASH], "a b", True),
        (["nopass"], "", True),
        (["nopass"], "a b", False),
        ([HASH], "", False),
        ([HASH, ">other"], "a b", False),
        (["nopass", HASH], "a b", False),
        ([], "", False),
    ],
)
def test_agrees(rules: list[str], password: str, expected: bool) -> None:
    assert agrees(["default", "on", *rules], password) is expected


@pytest.mark.parametrize(
    ("before", "password", "after"),
    [
        ("user default on nopass ~* +@all\n", "a b", f"user default on {HASH} ~* +@all\n"),
        (f"user default on {HASH} ~* +@all\r\n", "", "user default on nopass ~* +@all\r\n"),
        ("user default on sanitize-payload >x #y ~*", "a b", f"user default on sanitize-payload {HASH} ~*"),
        ("user default off\n", "a b", f"user default off {HASH}\n"),
        ("user  default  on  >'a b'  ~*\n", "a b", "user  default  on  >'a b'  ~*\n"),
        ("user other on nopass\n", "a b", "user other on nopass\n"),
    ],
)
def test_set_password(before: str, password: str, after: str) -> None:
    file = conf("timeout 5\n" + before)
    set_password(file, password)
    assert file.text == "timeout 5\n" + after
    set_password(file, password)
    assert file.text == "timeout 5\n" + after


def test_a_line_in_an_include() -> None:
    file = conf("include x\n", "# more\nuser default on nopass\n")
    found = line_of(file)
    assert found is not None and found[0].path == "/etc/redis/x"
    set_password(file, "")
    with pytest.raises(ConfigError, match="/etc/redis/x, line 2"):
        set_password(file, "a b")
