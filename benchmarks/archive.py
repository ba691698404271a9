# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the archive of the AOF costs: a server's throughput with the agent and without it, the agent's CPU and memory.

    ./dev run python benchmarks/archive.py [--seconds 20] [--rounds 5] [--interval 1] [--build redis-7.0]

A server (AOF, fsync everysec) takes writes as fast as it can, and at a steady rate. Rounds take turns, with the agent
(encrypted, into a directory on the same disk) and without it, so that what slows the machine slows both; the ratio of
each pair counts. Server and client share one core where a core is to be free for the agent; otherwise they take what
there is, and so does the agent, at nice 10 as its unit has it. Its CPU time is that of all programs that it starts, for
a gigabyte of AOF; `cp` of the same files stands beside. Goals: throughput falls by less than 5 % where a core is free,
memory under 60 MB.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import resource
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from measure import family, pss

from support.agents import Agent
from support.archives import Archived, with_aof
from support.machine import make_age_key
from support.pace import writing
from support.servers import Build, RedisProcess, build_named
from support.waiting import wait_for

_INTERVAL = 0.05
_SIZE = 100


@dataclass(frozen=True)
class Round:
    """Writes a second; what the agent took, where there was one: CPU seconds and the peak of its memory."""

    rate: float
    cpu: float = 0.0
    archived: int = 0
    peak: int = 0
    copying: float = 0.0
    lag: float = 0.0


class Watch:
    """Follows the memory of an agent and of all that it starts, until it is told to stop."""

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.wait(_INTERVAL):
            self.peak = max(self.peak, sum(map(pss, family(self._pid))))

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()


def cpu_of_children() -> float:
    """CPU seconds of all processes that were started here, and of theirs, as far as they have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cpu_of(pid: int) -> float:
    """CPU seconds of a process, and of its children as far as they have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def serving(build: Build, place: Path) -> Iterator[Archived]:
    """A fresh server with an AOF, its archive not begun."""
    directory = Path(tempfile.mkdtemp(dir=place))
    server = RedisProcess(build, directory / "server", conf=with_aof(build)).start()
    try:
        yield Archived(server, directory, make_age_key(directory / "identity.txt"))
    finally:
        server.destroy()
        shutil.rmtree(directory)


@dataclass(frozen=True)
class Load:
    """Writes that a server gets: `rate` of them a second, 0 for as many as it takes. `alone`: on one core."""

    title: str
    rate: int = 0
    alone: bool = False


_LOADS = (
    Load("as many as it takes on one core, others free", alone=True),
    Load("as many as it takes on all cores"),
    Load("20,000 a second", 20_000),
)


def load_of(server: RedisProcess, seconds: float, load: Load) -> float:
    """Write for so long; writes a second."""
    if load.rate:
        rate = load.rate
        with writing(server, rate) as pace:
            wait_for(lambda: pace.after and pace.after[-1] - pace.before[0] >= seconds, "the writer", 10 * seconds)
        return pace.count / (pace.after[-1] - pace.before[0])
    program = server.build.executable.with_name("redis-benchmark")
    words = [str(program) if program.exists() else "redis-benchmark", "-p", str(server.port), "-q", "-t", "set"]
    if load.alone:
        for thread in os.listdir(f"/proc/{server.pid}/task"):
            os.sched_setaffinity(int(thread), {0})
        words = ["taskset", "-c", "0", *words]
    words += ["-d", str(_SIZE), "-r", "200000", "-c", "20", "-P", "16", "-n", "100000"]
    begun, count = time.monotonic(), 0
    while time.monotonic() - begun < seconds:
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        count += 100_000
    return count / (time.monotonic() - begun)


def one(build: Build, place: Path, seconds: float, load: Load, interval: float | None) -> Round:
    """One round, with an agent where there is an interval."""
    with serving(build, place) as archived:
        if interval is None:
            return Round(load_of(archived.server, seconds, load))
        agent = Agent(archived, archived.place, interval=interval)
        process = agent.start()
        os.setpriority(os.PRIO_PROCESS, process.pid, 10)
        wait_for(lambda: agent.metrics.exists() and archived.state()["based"], "the first base")
        before, bytes_before = cpu_of(process.pid), archived.state()["plain_bytes"]
        with Watch(process.pid) as watch:
            found = load_of(archived.server, seconds, load)
            begun = time.monotonic()
            wait_for(lambda: not left(archived), "all to be archived", 600)
            lag = time.monotonic() - begun
            cpu = cpu_of(process.pid) - before
        process.terminate()
        process.wait()
        shipped = archived.state()["plain_bytes"] - bytes_before
        return Round(found, cpu, shipped, watch.peak, copying(archived), lag)


def left(archived: Archived) -> int:
    """Bytes of the AOF that the agent has not archived."""
    (live,) = archived.server.data_dir.glob("appendonlydir/*.incr.aof")
    track = archived.state()["tracks"][-1]
    return int(live.stat().st_size - track["shipped"])


def copying(archived: Archived) -> float:
    """CPU seconds that cp takes for the files that were archived."""
    before = cpu_of_children()
    target = archived.place / "copy"
    subprocess.run(["cp", "-r", archived.server.data_dir / "appendonlydir", target], check=True)
    return cpu_of_children() - before


def processor() -> str:
    with contextlib.suppress(OSError, StopIteration), open("/proc/cpuinfo", encoding="utf-8") as stream:
        return next(line.partition(":")[2].strip() for line in stream if line.startswith("model name"))
    return platform.machine()


def row(name: str, pairs: list[tuple[Round, Round]]) -> str:
    """A line of the table."""
    ratios = [beside.rate / alone.rate for alone, beside in pairs]
    alone, beside = (statistics.median(each.rate for each in column) for column in zip(*pairs, strict=True))
    agents = [agent for _alone, agent in pairs]
    per_gb = statistics.median(agent.cpu / agent.archived * 1e9 for agent in agents)
    copied = statistics.median(agent.copying / agent.archived * 1e9 for agent in agents)
    words = [
        name,
        f"{alone:.0f}",
        f"{beside:.0f}",
        f"{statistics.median(ratios):.3f} ({', '.join(f'{each:.3f}' for each in ratios)})",
        f"{statistics.median(agent.archived for agent in agents) / 1e6:.0f}",
        f"{per_gb:.1f}",
        f"{copied:.2f}",
        f"{max(agent.peak for agent in agents) / 1e6:.0f}",
        f"{max(agent.lag for agent in agents):.1f}",
    ]
    return "| " + " | ".join(words) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--interval", type=float, default=1)
    parser.add_argument("--build", default="redis-7.0")
    asked = parser.parse_args()
    build = build_named(asked.build)
    lines = []
    with tempfile.TemporaryDirectory(dir="/var/tmp", ignore_cleanup_errors=True) as name:
        for load in _LOADS:
            pairs = []
            for number in range(asked.rounds):
                turn = [
                    (interval, one(build, Path(name), asked.seconds, load, interval))
                    for interval in ((None, asked.interval) if number % 2 else (asked.interval, None))
                ]
                found = dict(turn)
                pairs.append((found[None], found[asked.interval]))
                print(f"{load.title}: round {number + 1} done", flush=True)
            lines.append(row(load.title, pairs))
    print(
        f"\n{build.name}, interval {asked.interval:g} s, rounds of {asked.seconds:g} s; {os.cpu_count()} cores, "
        f"{processor()}, load {os.getloadavg()[0]:.1f}\n"
    )
    print(
        "| writes | a second without | with the agent | ratio, median (of each round) | archived, MB | "
        "agent's CPU s for 1 GB | cp's | agent's peak memory, MB | s behind the end |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
