# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module's main() in this process: a tenth of the time of a process of its own, for tests with a hundred runs."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.testing import patch_module_args

from support.modules import COLLECTION, ModuleFailed


def run_within(name: str, params: Mapping[str, Any], *, check: bool = False) -> dict[str, Any]:
    """Run a module to its end and return its result. Raises ModuleFailed; what is no foreseen error comes through."""
    module = importlib.import_module(f"ansible_collections.{COLLECTION}.plugins.modules.{name}")
    out = io.StringIO()
    arguments = {**params, "_ansible_check_mode": check, "_ansible_remote_tmp": "/tmp"}
    with patch_module_args(arguments), contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        module.main()
    result: dict[str, Any] = json.loads(out.getvalue().strip().splitlines()[-1])
    if result.get("failed"):
        raise ModuleFailed(name, result)
    return result
