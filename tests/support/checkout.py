# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checkout as the linters and ansible-test want it: a real directory with the collection's name.

It is a copy of what belongs to the project, so nothing that lies about in a checkout (caches, environments) is
examined, and nothing the tools leave behind reaches the checkout.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("REDIS_BACKUP_CACHE") or ROOT / ".cache").resolve()

# For a checkout without git (an unpacked archive): what never belongs to the project.
FOREIGN = {".ansible", ".cache", ".git", ".hypothesis", ".pytest_cache", "__pycache__", "output"}


def project_files() -> list[Path]:
    """Paths, relative to the root, of everything that is committed or would be."""
    if (ROOT / ".git").exists() and shutil.which("git"):
        command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
        command += ["--cached", "--others", "--exclude-standard"]
        names = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout.decode().split("\0")
        return sorted({Path(name) for name in names if name and os.path.lexists(ROOT / name)})
    files = []
    for directory, subdirectories, names in os.walk(ROOT):
        subdirectories[:] = [name for name in subdirectories if name not in FOREIGN]
        files += [Path(directory, name).relative_to(ROOT) for name in names if not name.endswith((".pyc", ".tar.gz"))]
    return sorted(files)


def copy_checkout(place: str, keep: tuple[str, ...] = ()) -> Path:
    """Copy the project into the cache under `place`; entries of the copy's tests/ named in `keep` survive."""
    root = CACHE / place / "ansible_collections" / "globalscope" / "redis_backup"
    kept = {root / "tests" / name for name in keep}
    for directory, subdirectories, names in os.walk(root, topdown=True):
        for name in list(subdirectories):
            path = Path(directory, name)
            if path in kept:
                subdirectories.remove(name)
            elif path.is_symlink():
                path.unlink()
            elif not any(path in keeper.parents for keeper in kept):
                shutil.rmtree(path)
                subdirectories.remove(name)
        for name in names:
            Path(directory, name).unlink()
    for relative in project_files():
        (root / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / relative, root / relative, follow_symlinks=False)
    return root
