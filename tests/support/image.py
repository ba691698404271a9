# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file system that test hosts boot: Debian 12 with systemd, sshd, Redis and what our roles expect, built once."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import urllib.parse
from pathlib import Path

import pytest

from support.checkout import CACHE

SUITE = "bookworm"
DEFAULT_MIRROR = "http://deb.debian.org/debian"
PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "openssh-server", "sudo", "procps", "iproute2", "ca-certificates"),
    *("python3", "python3-redis", "python3-apt", "redis-server", "zstd", "age"),
)
# Runs in the new root: install, and let the hosts find their address by systemd-networkd.
INSTALL = """
printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d
update-ca-certificates 2>/dev/null || true
apt-get update -q
apt-get install -yq --no-install-recommends {packages}
systemctl enable systemd-networkd
systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer systemd-networkd-wait-online.service
apt-get clean
rm -f /usr/sbin/policy-rc.d /etc/ssh/ssh_host_* /etc/hostname
echo LANG=C.UTF-8 >/etc/default/locale
"""
PLAIN = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def image() -> Path:
    """The image's root directory, built when it is not cached. Skips the test where it cannot be built."""
    recipe = "\n".join([SUITE, INSTALL, *PACKAGES])
    place = CACHE / "image" / hashlib.sha256(recipe.encode()).hexdigest()[:12]
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            _build(place)
    return place


def _build(place: Path) -> None:
    log = place.parent / "build.log"
    new = place.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    mirror = _own_mirror()
    with log.open("w") as out:

        def run(*command: str, env: dict[str, str]) -> None:
            done = subprocess.run(
                command, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, check=False
            )
            if done.returncode:
                out.flush()
                words = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
                shutil.rmtree(new, ignore_errors=True)
                pytest.skip(f"real hosts need an image of Debian, which {mirror} did not give (see {log}):\n{words}")

        run("debootstrap", "--variant=minbase", SUITE, str(new), mirror, env={**os.environ, **PLAIN})
        _let_apt_work(new)
        proxies = {name: os.environ[name] for name in PROXIES if name in os.environ}
        script = INSTALL.format(packages=" ".join(PACKAGES))
        run("chroot", str(new), "sh", "-ec", script, env={**PLAIN, **proxies})
    (new / "etc/machine-id").write_text("")
    (new / "etc/resolv.conf").write_text("")
    (new / "etc/apt/apt.conf.d/90build").unlink(missing_ok=True)
    new.rename(place)


def _own_mirror() -> str:
    """Where this machine takes Debian's packages from, when it is of that suite; else Debian's own address."""
    places = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    for path in (path for path in places if path.suffix in (".list", ".sources") and path.is_file()):
        text = path.read_text(errors="replace")
        line = re.search(rf"^deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+{SUITE}\s", text, re.MULTILINE)
        if line:
            return line[1]
        for stanza in text.split("\n\n"):
            uri = re.search(r"^URIs:\s*(\S+)", stanza, re.MULTILINE)
            suites = re.search(r"^Suites:(.*)$", stanza, re.MULTILINE)
            if uri and suites and SUITE in suites[1].split():
                return uri[1]
    return DEFAULT_MIRROR


def _let_apt_work(root: Path) -> None:
    """Give the new root what this machine needs to reach its mirror: name servers, certificates, apt's settings."""
    shutil.copyfile("/etc/resolv.conf", root / "etc/resolv.conf")
    settings = subprocess.run(["apt-config", "dump"], check=True, capture_output=True, text=True).stdout
    wanted = re.findall(r"^Acquire::(?:Check|http|https|Retries|ForceIPv4).*$", settings, re.MULTILINE)
    (root / "etc/apt/apt.conf.d/90build").write_text("\n".join(wanted) + "\n")
    certificates = root / "usr/local/share/ca-certificates"
    certificates.mkdir(parents=True, exist_ok=True)
    for path in Path("/usr/local/share/ca-certificates").glob("*.crt"):
        shutil.copyfile(path, certificates / path.name)
    bundle = Path("/etc/ssl/certs/ca-certificates.crt")
    if urllib.parse.urlsplit(_own_mirror()).scheme == "https" and bundle.exists():
        target = root / "etc/ssl/certs/ca-certificates.crt"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle, target)
