# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What in the host would break the persistence of one instance: each as a finding with what is and what should be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .._config.values import memory_bytes
from .._server.facts import Facts
from .._server.instance import Instance
from .host import HostFacts, look
from .unit_paths import HIDDEN

DIRECTIVES = ("maxmemory", "disable-thp", "save", "appendonly")
"""The settings that matter here."""


@dataclass(frozen=True)
class Finding:
    """One answer. `hint` is the next step where it is not `ok`."""

    name: str
    ok: bool
    found: str
    wanted: str
    hint: str = ""


@dataclass(frozen=True)
class ServerNeeds:
    """What the server asks of its host. Sizes are bytes; None is not known, and is not judged."""

    running: bool = False
    used: int | None = None
    maxmemory: int | None = None
    disable_thp: str = ""
    saves: bool | None = None
    appendonly: bool | None = None
    aof_bytes: int | None = None
    replica: bool = False
    replicas: int = 0


def size_text(size: int) -> str:
    """A size for people: `512 B`, `1.5 GiB`."""
    value, unit = float(size), "B"
    for bigger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, bigger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def needs_of(facts: Facts | None, config: Mapping[str, str]) -> ServerNeeds:
    """The needs of a server from its INFO (None while it is down) and its settings by directive name. Pure."""
    info: Mapping[str, str] = facts.info if facts else {}
    maxmemory = memory_bytes(config.get("maxmemory") or info.get("maxmemory") or "")
    save = config.get("save")
    saves = save.strip().strip("\"'") != "" if save is not None else None
    appendonly = config.get("appendonly") or {"1": "yes", "0": "no"}.get(info.get("aof_enabled", ""), "")
    if facts is None and config:  # a redis.conf without these lines: the server's defaults
        saves, appendonly = saves is not False, appendonly or "no"
    return ServerNeeds(
        running=facts is not None,
        used=facts.number("used_memory") or None if facts else None,
        maxmemory=maxmemory,
        disable_thp=config.get("disable-thp", "").lower(),
        saves=saves,
        appendonly=appendonly.lower() == "yes" if appendonly else None,
        aof_bytes=facts.number("aof_current_size") if facts and info.get("aof_enabled") == "1" else None,
        replica=facts is not None and facts.role == "replica",
        replicas=facts.number("connected_slaves") if facts else 0,
    )


def judge(host: HostFacts | None, needs: ServerNeeds) -> list[Finding]:
    """All findings, the good ones too; without a host (a server elsewhere) only those of the server. Pure."""
    found = [] if host is None else [*_kernel(host, needs), *_room(host, needs), *_memory(host, needs), *_paths(host)]
    return [*found, *_persistence(needs)]


def _kernel(host: HostFacts, needs: ServerNeeds) -> Iterator[Finding]:
    if host.overcommit is not None:
        ok = host.overcommit == "1"
        hint = "Set vm.overcommit_memory = 1 in /etc/sysctl.d/ (of the container's host): else a fork may be refused"
        yield Finding("overcommit_memory", ok, host.overcommit, "1", "" if ok else f"{hint}, and with it every save")
    if host.hugepages is None:
        return
    wanted = "madvise or never, or a server with disable-thp yes"
    name, hugepages = "transparent_hugepages", host.hugepages
    if hugepages != "always":
        yield Finding(name, True, hugepages, wanted)
    elif needs.disable_thp == "no" or host.server_hugepages:
        says = "disable-thp is no" if needs.disable_thp == "no" else "the server has not turned them off for itself"
        step = "Set disable-thp yes" if needs.disable_thp == "no" else "Leave disable-thp at yes"
        hint = f"{step} and restart the server, or write madvise to /sys/kernel/mm/transparent_hugepage/enabled"
        yield Finding(name, False, f"always, and {says}", wanted, f"{hint}: while it saves, each write copies 2 MiB")
    else:
        yield Finding(name, True, "always, but the server turns them off for itself", wanted)


def _room(host: HostFacts, needs: ServerNeeds) -> Iterator[Finding]:
    if host.free is None or host.dir is None:
        return
    copy = needs.used if needs.used is not None else max(host.dump_bytes, host.aof_bytes)
    aof = 0
    if needs.appendonly:  # one that is only to be turned on begins with a copy of its own
        known = needs.aof_bytes if needs.running else host.aof_bytes
        aof = copy if known is None else known
    ok = host.free >= copy + aof
    parts = f"{size_text(copy)} for a new copy of the data" + (f", {size_text(aof)} for the AOF to grow" if aof else "")
    yield Finding(
        "disk_space",
        ok,
        f"{size_text(host.free)} free in {host.dir.path}",
        f"{size_text(copy + aof)}: {parts}",
        "" if ok else "Make room there: a save and an AOF rewrite write all data anew before the old file goes",
    )


def _memory(host: HostFacts, needs: ServerNeeds) -> Iterator[Finding]:
    sizes = [size for size in (host.memory, host.memory_limit) if size is not None]
    if needs.maxmemory is None or not sizes:
        return
    memory = min(sizes)
    limited = host.memory_limit is not None and (host.memory is None or host.memory_limit < host.memory)
    whose = "the server's control group" if limited else "the host"
    base = needs.maxmemory or needs.used
    if needs.maxmemory:
        yield Finding("maxmemory", True, size_text(needs.maxmemory), "a limit")
    elif limited or (base or 0) > memory // 4:
        yield Finding(
            "maxmemory",
            False,
            f"unlimited, with {size_text(memory)} in {whose}" + (f" and {size_text(base)} in use" if base else ""),
            f"a limit, at most {size_text(memory // 2)}",
            "Set maxmemory: nothing else stops the data from growing until the kernel kills the server",
        )
    else:
        used = f", {size_text(base)} of {size_text(memory)} in use" if base else ""
        yield Finding("maxmemory", True, f"unlimited{used}", "a limit before the data grows")
    if base:
        ok = 2 * base <= memory
        what = "maxmemory" if needs.maxmemory else "used memory"
        hint = "Lower maxmemory or add memory: while a child saves, every page that is written is copied, at worst all"
        yield Finding(
            "fork_memory",
            ok,
            f"{what} {size_text(base)}, {size_text(memory)} in {whose}",
            f"{what} at most {size_text(memory // 2)}",
            "" if ok else hint,
        )


def _paths(host: HostFacts) -> Iterator[Finding]:
    if host.dir is not None and host.dir.closed is not None:
        folder, who = host.dir, f" by {host.user}" if host.user else ""
        hint = f"Make {folder.path} a directory that the server's user may write, on a writable mount"
        text = f"{folder.path} {folder.closed}" if folder.closed else f"{folder.path} is writable{who}"
        wanted = f"a directory writable{who or ' by the server'}"
        yield Finding("dir_writable", not folder.closed, text, wanted, hint if folder.closed else "")
    known = [folder for folder in host.unit if folder.closed is not None]
    closed = [folder for folder in known if folder.closed]
    if known:
        hint = f"Add ReadWritePaths={' '.join(folder.path for folder in closed)} to the unit in a drop-in"
        if any(
            folder.closed.startswith(HIDDEN) or "ReadOnlyPaths" in folder.closed for folder in closed if folder.closed
        ):
            hint = "ReadWritePaths= does not open these: take away in a drop-in what closes them, or move the directory"
        yield Finding(
            "systemd_paths",
            not closed,
            "; ".join(f"{f.path} is {f.closed}" if f.closed else f"{f.path} is writable" for f in closed or known),
            "the directories of the data and of redis.conf (CONFIG REWRITE, which Sentinel asks for) writable",
            hint if closed else "",
        )


def _persistence(needs: ServerNeeds) -> Iterator[Finding]:
    if needs.appendonly is None and needs.saves is None:
        return
    ways = [word for word, on in (("AOF", needs.appendonly), ("save points", needs.saves)) if on]
    if not ways and (needs.appendonly is None or needs.saves is None):
        return
    hint = "Set appendonly yes, or save: nothing survives a restart"
    if needs.replicas:
        hint += f", and the {needs.replicas} replicas would follow the empty server"
    elif needs.replica:
        hint += ", and this replica would have to fetch everything from its primary"
    found = " and ".join(ways) or "neither AOF nor save points"
    yield Finding("persistence", bool(ways), found, "AOF or save points", "" if ways else hint)


def preflight(instance: Instance, config: Mapping[str, str] | None = None, *, root: str = "/") -> list[dict[str, Any]]:
    """What redis_config returns as `preflight`. Changes nothing, never fails, starts at most one `systemctl show`.

    `config` holds the values of DIRECTIVES as CONFIG GET gives them (as redis.conf has them while the server is down);
    lay wanted values over them to judge what is to be. Those that are missing are taken from what is known already.
    """
    known = instance.next_start if instance.facts is None else instance.config
    needs = needs_of(instance.facts, {**known, **(config or {})})
    return [asdict(finding) for finding in judge(look(instance, root), needs)]
