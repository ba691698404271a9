# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`ansible-test` without containers: sanity with no ignore files, and the unit tests as a certification runs them.

ansible-test makes its own environments; they live in the cache and are kept between runs. It is given a home directory
there too, because that is where it keeps its state, and because it would download get-pip where Python's own
ensurepip does the same.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support.checkout import CACHE, copy_checkout
from support.tool import run_tool

VENV = ["--venv", "--python", f"{sys.version_info.major}.{sys.version_info.minor}", "--color", "no"]
GET_PIP = "import ensurepip\nensurepip.bootstrap(upgrade=True, default_pip=True)\n"

# No PowerShell in this collection, and pslint cannot start without pwsh.
UNABLE = ["--skip-test", "pslint"]


@pytest.fixture(scope="session")
def checkout() -> Path:
    """A copy of the project, whose tests/output keeps ansible-test's environments from one run to the next."""
    return copy_checkout("ansible-test", keep=("output",))


@pytest.fixture(scope="session")
def settings(checkout: Path) -> dict[str, str]:
    """Environment for ansible-test: what to test, and a home that still finds the user's package index settings."""
    place = CACHE / "ansible-test" / "home"
    cache = place / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    (cache / "get_pip_24_2.py").write_text(GET_PIP, encoding="utf-8")
    for name in (".config", ".cache", ".pip", ".netrc"):
        link = place / name
        if (Path.home() / name).exists() and not link.is_symlink():
            link.symlink_to(Path.home() / name)
    return {"HOME": str(place), "ANSIBLE_TEST_CONTENT_ROOT": str(checkout)}


def test_sanity(checkout: Path, settings: dict[str, str]) -> None:
    """Every sanity test that can run here passes."""
    run_tool(["ansible-test", "sanity", *VENV, *UNABLE, "--prime-venvs"], cwd=checkout, environment=settings)
    said = run_tool(["ansible-test", "sanity", *VENV, *UNABLE], cwd=checkout, environment=settings)
    assert "All targets skipped" not in said, said


@pytest.mark.long
def test_units(checkout: Path, settings: dict[str, str]) -> None:
    """The unit tests, which every run has once, pass in ansible-test's bare environment, too."""
    run_tool(["ansible-test", "units", *VENV], cwd=checkout, environment=settings)
