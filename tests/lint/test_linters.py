# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each linter is a test, so that one summary tells what is wrong (`./dev lint`, `./dev lint ruff`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.checkout import CACHE, ROOT, copy_checkout
from support.tool import run_tool

LINTERS = {
    "ruff": ["ruff", "check", "--no-fix", "--output-format=concise", "."],
    "ansible-lint": ["ansible-lint", "--offline", "--nocolor", "--strict"],
    "antsibull-changelog": ["antsibull-changelog", "lint"],
    "antsibull-docs": [
        "antsibull-docs", "lint-collection-docs", "--plugin-docs", "--validate-collection-refs=self",
        "--disallow-unknown-collection-refs", ".",
    ],
    "reuse": ["reuse", "lint"],
}  # fmt: skip


@pytest.fixture(scope="session")
def checkout() -> Path:
    """A clean copy of the project in a directory of the collection's name."""
    return copy_checkout("lint")


@pytest.mark.parametrize("linter", LINTERS)
def test_linter(linter: str, checkout: Path) -> None:
    """The linter finds nothing."""
    # antsibull-docs takes its own temporary directory for a link when that name ends with an underscore.
    run_tool(LINTERS[linter], cwd=checkout, stumbles='Unknown target name: "antsibull-docs-')


def test_mypy() -> None:
    """The library and the modules are typed; looked at through the linked tree, where their imports resolve."""
    run_tool(["mypy", "--no-error-summary"], cwd=ROOT)


def test_galaxy_importer(checkout: Path, tmp_path: Path) -> None:
    """Galaxy's own import accepts the built collection without a warning (ansible-lint and ansible-test run apart)."""
    run_tool(["ansible-galaxy", "collection", "build", "--output-path", tmp_path], cwd=checkout)
    (tarball,) = tmp_path.glob("*.tar.gz")
    said = run_tool(
        ["python", "-m", "galaxy_importer.main", tarball],
        cwd=tmp_path,
        environment={
            "GALAXY_IMPORTER_RUN_ANSIBLE_LINT": "False",
            "GALAXY_IMPORTER_CHECK_REQUIRED_TAGS": "True",
            "GALAXY_IMPORTER_ANSIBLE_LOCAL_TMP": str(CACHE / "importer"),
        },
    )
    complaints = [line for line in said.splitlines() if line.startswith(("WARNING", "ERROR"))]
    assert not complaints, said
