# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a systemd unit lets its server write: ProtectSystem=, ReadWritePaths= and their kin, read as systemd does. Pure.

Only for what the next start will do: of a server that runs, its own mounts tell more.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping

HIDDEN, READ_ONLY, WRITABLE = "hidden", "read-only", "writable"  # of one path, systemd takes the strictest

Rule = tuple[str, str, str]
"""A path, what it is inside the unit, and the property that makes it so."""

_OWN_TREE = ("RootDirectory", "RootImage", "BindPaths", "BindReadOnlyPaths", "TemporaryFileSystem")
_LISTS = (("InaccessiblePaths", HIDDEN), ("ReadOnlyPaths", READ_ONLY), ("ReadWritePaths", WRITABLE))
_DIRECTORIES = (
    ("StateDirectory", "/var/lib"),
    ("LogsDirectory", "/var/log"),
    ("CacheDirectory", "/var/cache"),
    ("RuntimeDirectory", "/run"),
)
_HOMES = ("/home", "/root", "/run/user")
_PROTECT_SYSTEM = {
    "yes": (("/usr", READ_ONLY), ("/boot", READ_ONLY), ("/efi", READ_ONLY)),
    "full": (("/usr", READ_ONLY), ("/boot", READ_ONLY), ("/efi", READ_ONLY), ("/etc", READ_ONLY)),
    "strict": (("/", READ_ONLY), *((path, WRITABLE) for path in ("/proc", "/sys", "/dev", *_HOMES))),
}
_PROTECT_HOME = {"yes": HIDDEN, "tmpfs": HIDDEN, "read-only": READ_ONLY}
_ORDER = (HIDDEN, READ_ONLY, WRITABLE)

PROPERTIES = (
    "ProtectSystem",
    "ProtectHome",
    "PrivateTmp",
    *_OWN_TREE,
    *(name for name, _access in _LISTS),
    *(name for name, _base in _DIRECTORIES),
)


def path_list(text: str) -> list[str]:
    """The paths of a list property; `-` (may be missing) and `+` (inside the unit's root) before them fall away."""
    found = (word.lstrip("-+") for word in text.split())
    return [os.path.normpath("/" + path.lstrip("/")) for path in found if path.startswith("/")]


def unit_rules(properties: Mapping[str, str]) -> list[Rule] | None:
    """What a unit's properties say about paths; None where it builds a tree of its own, which is not judged."""
    if any(properties.get(name) for name in _OWN_TREE):
        return None
    system, home = properties.get("ProtectSystem", ""), properties.get("ProtectHome", "")
    rules = [(path, access, f"ProtectSystem={system}") for path, access in _PROTECT_SYSTEM.get(system, ())]
    if home in _PROTECT_HOME:
        rules += [(path, _PROTECT_HOME[home], f"ProtectHome={home}") for path in _HOMES]
    if properties.get("PrivateTmp", "no") not in ("", "no"):
        rules += [(path, WRITABLE, "PrivateTmp=yes") for path in ("/tmp", "/var/tmp")]
    for name, access in _LISTS:
        rules += [(path, access, f"{name}={path}") for path in path_list(properties.get(name, ""))]
    for name, base in _DIRECTORIES:
        for word in properties.get(name, "").split():
            rules.append((os.path.normpath(os.path.join(base, word.split(":")[0])), WRITABLE, f"{name}={word}"))
    return rules


def _covers(parent: str, path: str) -> bool:
    return path == parent or path.startswith(parent.rstrip("/") + "/")


def why_closed(path: str, rules: Iterable[Rule], real: Callable[[str], str] = os.path.normpath) -> str | None:
    """Why the unit cannot write below `path`; empty when it can, None when that cannot be told.

    The deepest path above wins; nothing opens below a hidden one. `real` follows symbolic links, as systemd does.
    """
    if any(character.isspace() for character in path):
        return None  # systemctl show leaves such paths out of its lists
    target = real(path)
    above = [(real(parent), access, why) for parent, access, why in rules]
    above = [rule for rule in above if _covers(rule[0], target)]
    hidden = [rule for rule in above if rule[1] == HIDDEN]
    if not above:
        return ""
    _parent, access, why = (hidden or sorted(above, key=lambda rule: (-len(rule[0]), _ORDER.index(rule[1]))))[0]
    return "" if access == WRITABLE else f"{access} by {why}"
