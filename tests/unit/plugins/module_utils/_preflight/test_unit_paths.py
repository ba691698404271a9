# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a systemd unit lets its server write."""

from __future__ import annotations

import os

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._preflight.unit_paths import (
    path_list,
    unit_rules,
    why_closed,
)
from hypothesis import given
from hypothesis import strategies as st

DEBIAN = {
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "ReadWritePaths": "-/var/lib/redis -/var/log/redis -/run/redis -/etc/redis",
    "RuntimeDirectory": "redis",
    "BindPaths": "",
}


def closed(properties: dict[str, str], path: str) -> str | None:
    rules = unit_rules(properties)
    assert rules is not None
    return why_closed(path, rules)


@pytest.mark.parametrize(
    ("properties", "path", "answer"),
    [
        (DEBIAN, "/var/lib/redis", ""),
        (DEBIAN, "/var/lib/redis/6380", ""),
        (DEBIAN, "/var/lib/redis2", "read-only by ProtectSystem=strict"),
        (DEBIAN, "/etc/redis", ""),
        (DEBIAN, "/srv/redis", "read-only by ProtectSystem=strict"),
        (DEBIAN, "/home/redis", "hidden by ProtectHome=yes"),
        (DEBIAN, "/run/redis", ""),
        (DEBIAN, "/var/tmp/x", ""),
        ({}, "/srv/redis", ""),
        ({"ProtectSystem": "no", "ProtectHome": "no"}, "/home/redis", ""),
        ({"ProtectSystem": "yes"}, "/etc/redis", ""),
        ({"ProtectSystem": "full"}, "/etc/redis", "read-only by ProtectSystem=full"),
        ({"ProtectSystem": "full"}, "/usr/local/redis", "read-only by ProtectSystem=full"),
        ({"ProtectSystem": "strict"}, "/home/redis", ""),
        ({"ProtectSystem": "strict", "ProtectHome": "read-only"}, "/home/redis", "read-only by ProtectHome=read-only"),
        ({"ProtectSystem": "strict", "StateDirectory": "redis"}, "/var/lib/redis", ""),
        ({"ReadOnlyPaths": "/data", "ReadWritePaths": "/data/redis"}, "/data/redis", ""),
        (
            {"ReadOnlyPaths": "/data/redis", "ReadWritePaths": "/data"},
            "/data/redis",
            "read-only by ReadOnlyPaths=/data/redis",
        ),
        ({"ReadOnlyPaths": "/data", "ReadWritePaths": "/data"}, "/data", "read-only by ReadOnlyPaths=/data"),
        (
            {"InaccessiblePaths": "-+/data", "ReadWritePaths": "/data/redis"},
            "/data/redis",
            "hidden by InaccessiblePaths=/data",
        ),
        (DEBIAN, "/srv/my data", None),
    ],
)
def test_units(properties: dict[str, str], path: str, answer: str | None) -> None:
    assert closed(properties, path) == answer


def test_a_unit_with_a_tree_of_its_own_is_not_judged() -> None:
    assert unit_rules({**DEBIAN, "BindPaths": "/srv/redis:/var/lib/redis:rbind"}) is None


def test_symbolic_links_are_followed() -> None:
    rules = unit_rules({"ProtectSystem": "strict", "ReadWritePaths": "/var/run/redis"})
    assert rules is not None
    real = {"/var/run/redis": "/run/redis"}
    assert why_closed("/run/redis", rules, lambda path: real.get(path, path)) == ""


paths = st.lists(st.sampled_from(["a", "b", "redis", "ä", ".x"]), min_size=1, max_size=4).map(
    lambda p: "/" + "/".join(p)
)


@given(st.text())
def test_any_text_is_a_list(text: str) -> None:
    for path in path_list(text):
        assert path.startswith("/") and not any(c.isspace() for c in path)
    assert closed({"ReadWritePaths": text, "ProtectSystem": text, "StateDirectory": text}, "/x") == ""


@given(st.lists(st.tuples(st.sampled_from(["", "-", "+", "-+"]), paths)))
def test_the_paths_of_a_list(entries: list[tuple[str, str]]) -> None:
    assert path_list(" ".join(prefix + path for prefix, path in entries)) == [path for _prefix, path in entries]


@given(st.lists(paths, max_size=4), st.lists(paths, max_size=4), paths)
def test_the_deepest_path_decides(open_paths: list[str], shut_paths: list[str], path: str) -> None:
    properties = {"ReadWritePaths": " ".join(open_paths), "ReadOnlyPaths": " ".join(shut_paths)}

    def depth(entries: list[str]) -> int:
        return max((len(p) for p in entries if os.path.commonpath([p, path]) == p), default=-1)

    shut = depth(shut_paths) >= max(depth(open_paths), 0)
    assert bool(closed(properties, path)) is shut
