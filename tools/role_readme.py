#!/usr/bin/env python
# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of variables in each role's README.md, made from what the role itself says.

    role_readme.py           writes the tables
    role_readme.py --check   writes nothing, and ends 1 when a table is not what it would write

A table stands between two marks, and the rest of the file is left alone. The descriptions come from
meta/argument_specs.yml, the defaults from defaults/main.yml; where these two disagree, that is an error.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).resolve().parents[1] / "roles"
BEGIN = "<!-- variables: made by tools/role_readme.py -->"
END = "<!-- end of variables -->"


class ReadmeError(Exception):
    """A role says something twice, or its README has no place for the table."""


def plain(text: str) -> str:
    """Ansible's semantic markup as Markdown."""
    text = re.sub(r"\b(?:C|V|E|RV)\(([^)]*)\)", r"`\1`", text)
    text = re.sub(r"\bO\((?:[\w.]+#(?:role:\w+|\w+):)?([^)]*)\)", r"`\1`", text)
    text = re.sub(r"\b[MP]\(([\w.]+)(?:#\w+)?\)", r"`\1`", text)
    return re.sub(r"\b[BI]\(([^)]*)\)", r"*\1*", text)


def _words(description: str | list[str]) -> str:
    return plain(" ".join([description] if isinstance(description, str) else description))


def _is_template(value: Any) -> bool:
    return isinstance(value, str) and "{{" in value


def default_of(name: str, spec: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """The cell for a variable's default; empty where there is none, or where the description tells it in words."""
    if name not in defaults:
        if "default" in spec:
            raise ReadmeError(f"{name}: argument_specs.yml gives a default, defaults/main.yml does not")
        return "**required**" if spec.get("required") else ""
    value = defaults[name]
    if _is_template(value):
        if "Default" not in _words(spec["description"]):
            raise ReadmeError(f"{name}: its default is a template, so its description must tell it")
        return ""
    if "default" in spec and spec["default"] != value:
        raise ReadmeError(f"{name}: the default is {value!r}, argument_specs.yml says {spec['default']!r}")
    shown = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) or not value else value
    # A required variable may have an empty default so that the role can say in its own words what is missing.
    return "**required**" if spec.get("required") else f"`{shown}`"


def _kind(spec: Mapping[str, Any]) -> str:
    kind = str(spec.get("type", "str"))
    return f"{kind} of {spec['elements']}" if "elements" in spec else kind


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _describe(spec: Mapping[str, Any]) -> str:
    words = _words(spec["description"])
    if "choices" in spec:
        words += " One of " + ", ".join(f"`{choice}`" for choice in spec["choices"]) + "."
    return words


def tables(options: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a role's table, then of one for each variable that has keys of its own."""
    yield _row("Variable", "Type", "Default", "Meaning")
    yield "|---|---|---|---|"
    for name, spec in options.items():
        yield _row(f"`{name}`", _kind(spec), default_of(name, spec, defaults), _describe(spec))
    for name, spec in options.items():
        if "options" in spec:
            yield from ("", f"Keys of `{name}`:", "", _row("Key", "Type", "Meaning"), "|---|---|---|")
            for key, entry in spec["options"].items():
                yield _row(f"`{key}`", _kind(entry), _describe(entry))


def table_of(role: Path) -> str:
    """The text between the marks. Raises ReadmeError when the role contradicts itself."""
    specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]
    defaults = yaml.safe_load((role / "defaults/main.yml").read_text())
    unknown = sorted(set(defaults) - {name for spec in specs.values() for name in spec["options"]})
    if unknown:
        raise ReadmeError(f"{role.name}: argument_specs.yml does not know {', '.join(unknown)}")
    told = specs["main"]["options"]
    lines = [*tables(told, defaults)]
    for entry, spec in specs.items():
        more = {name: option for name, option in spec["options"].items() if name not in told}
        if entry != "main":
            lines += ["", f"With `tasks_from: {entry}`:", "", *tables(more, defaults)]
            told = {**told, **more}
    return "\n".join(lines)


def renewed(text: str, table: str) -> str:
    """A README with this table between its marks. Raises ReadmeError when it has none."""
    head, begin, rest = text.partition(BEGIN)
    _old, end, tail = rest.partition(END)
    if not begin or not end:
        raise ReadmeError(f"no place for the table: it stands between {BEGIN} and {END}")
    return f"{head}{BEGIN}\n\n{table}\n\n{END}{tail}"


def main() -> int:
    """Write or check the tables of all roles."""
    parser = argparse.ArgumentParser(description="The tables of variables in the roles' README.md files.")
    parser.add_argument("--check", action="store_true", help="write nothing; end 1 when a table is stale")
    check = parser.parse_args().check
    stale = []
    for role in sorted(path.parent.parent for path in ROLES.glob("*/meta/argument_specs.yml")):
        readme = role / "README.md"
        try:
            text = readme.read_text()
            wanted = renewed(text, table_of(role))
        except (ReadmeError, FileNotFoundError) as error:
            print(f"{readme}: {error}", file=sys.stderr)
            return 1
        if wanted != text:
            stale.append(role.name)
            if not check:
                readme.write_text(wanted)
    if stale:
        print(f"{'stale' if check else 'renewed'}: {', '.join(stale)}", file=sys.stderr)
    return 1 if stale and check else 0


if __name__ == "__main__":
    sys.exit(main())
