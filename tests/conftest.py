# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option --long, the marker for tests that only run with it, and the hypothesis profiles that follow it."""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("default", max_examples=100, deadline=None)
settings.register_profile("long", max_examples=3000, deadline=None)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Define --long."""
    parser.addoption("--long", action="store_true", help="more examples, more versions, more random instants")


def pytest_configure(config: pytest.Config) -> None:
    """Announce the marker and choose how many examples hypothesis tries."""
    config.addinivalue_line("markers", "long: runs only with --long")
    settings.load_profile("long" if config.getoption("--long") else "default")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the tests marked long unless they were asked for."""
    if not config.getoption("--long"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="needs --long"))
