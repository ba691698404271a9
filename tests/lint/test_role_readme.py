# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles' READMEs say what the roles say: the tables of variables are made from the argument specs, and kept so."""

from __future__ import annotations

import sys

from support.checkout import ROOT
from support.tool import run_tool


def test_tables_of_variables_are_fresh() -> None:
    """Nothing would be written; else: `./dev run python tools/role_readme.py`."""
    run_tool([sys.executable, ROOT / "tools/role_readme.py", "--check"], cwd=ROOT)
