# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup and a restore beside what a shell, restic, borg and cp need for the same data, in turn in one run.

    ./dev run python benchmarks/backup.py [--megabytes 1000] [--rounds 3] [--streamed]

All is encrypted and synced to disk. Rounds take each step once, so that what slows the machine slows all; the median
of the ratios within a round counts. restic and borg are measured where they are installed; they read a dump that is
there already. Memory is the peak of all processes together (PSS), the server's and the S3 service's aside.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from measure import Measured, module, shell

from support.machine import AgeKey, make_age_key
from support.s3 import S3Missing, S3Server
from support.servers import RedisProcess, build_named

_MARGIN = 300.0  # seconds that a server may take to load
_FILL = """
local digits = {}
for n = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  local words = {}
  for part = 1, 22 do words[part] = string.format('%08x', math.random(0, 2147483647)) end
  redis.call('SET', 'key:' .. n, table.concat(words))
end
"""
_VALUE = 200  # bytes of a key and its value in an RDB
_WARM = 4  # dumps that lie in memory at the same time: the server's, and files as the kernel keeps them

Row = dict[str, Measured]


class Bench:
    """A server with its data, and the places where backups go."""

    def __init__(self, place: Path, megabytes: int) -> None:
        self.place = place
        self.key: AgeKey = make_age_key(place / "identity.txt")
        self.server = RedisProcess(build_named("redis-7.0"), place / "server").start()
        with self.server.client(socket_timeout=600) as client:
            for start in range(0, megabytes * 1_000_000 // _VALUE, 20_000):
                client.execute_command("EVAL", _FILL, 0, start, start + 19_999)
            client.save()
        self.dump = self.server.data_dir / "dump.rdb"

    # --- what is measured ---

    def params(self, repository: dict[str, Any]) -> dict[str, Any]:
        common = {**self.server.connection, "instance": "bench", "state_dir": str(self.place / "state")}
        return {**common, "repositories": [repository], "encryption": {"recipients": [self.key.recipient]}}

    @contextlib.contextmanager
    def repository(self) -> Iterator[dict[str, Any]]:
        path = Path(tempfile.mkdtemp(dir=self.place))
        yield {"name": "bench", "path": str(path)}
        shutil.rmtree(path)
        shutil.rmtree(self.place / "state", ignore_errors=True)

    def cli(self) -> str:
        program = self.server.build.executable.with_name("redis-cli")
        return f"{program if program.exists() else 'redis-cli'} -p {self.server.port}"

    def by_shell(self, command: str) -> Measured:
        """A command that writes to $OUT."""
        out = self.place / "out"
        with contextlib.suppress(FileNotFoundError):
            out.unlink()
        found = shell(f"{command} && sync $OUT", {"OUT": str(out)})
        return Measured(found.seconds, found.peak, {"stored": out.stat().st_size})

    def streamed(self, repository: dict[str, Any]) -> Measured:
        found = module("redis_backup", {**self.params(repository), "source": "stream"})
        return Measured(found.seconds, found.peak, {"stored": found.result["backup"]["stored_size"]})

    def from_file(self, repository: dict[str, Any]) -> tuple[Measured, Measured]:
        """The whole backup, and the part of it behind the server's own save."""
        saved: list[float] = []
        with self.server.client() as client:
            before = client.lastsave()

            def watch() -> None:
                if not saved and client.lastsave() != before:
                    saved.append(time.monotonic())

            begun = time.monotonic()
            found = module("redis_backup", {**self.params(repository), "source": "file"}, watch)
        packing = found.seconds - (saved[0] - begun)
        stored = {"stored": found.result["backup"]["stored_size"]}
        return Measured(found.seconds, found.peak, stored), Measured(packing, found.peak, stored)

    def restored(self, repository: dict[str, Any]) -> Measured:
        """Staging, swap, start and load."""
        given = {name: value for name, value in self.params(repository).items() if name in ("instance", "state_dir")}
        given.update(self.server.connection, config_file=str(self.server.conf_path))
        given["executable"] = str(self.server.build.executable)
        staging = {"repository": repository, "identities": [str(self.key.identity)], "force": True}
        self.server.kill()  # as after a disaster: a server that serves is no measure for a recovery
        staged = module("redis_restore", {**given, **staging, "state": "staged"})
        swapped = module("redis_restore", {**given, "state": "active"})
        loaded = self.load()
        module("redis_restore", {**given, "state": "committed"})
        shutil.rmtree(self.server.data_dir / ".redis_backup")
        return Measured(staged.seconds + swapped.seconds + loaded, max(staged.peak, swapped.peak), {})

    def load(self) -> float:
        begun = time.monotonic()
        self.server.start(wait=False).wait_up(_MARGIN)
        return time.monotonic() - begun

    def restored_by_shell(self, stored: Path) -> Measured:
        """As an operator does it who keeps what was there before."""
        out, kept = self.server.data_dir / "fetched.rdb", self.server.data_dir / "previous.rdb"
        self.server.kill()
        found = shell(f"age -d -i {self.key.identity} {stored} | zstd -dqc > {out}; sync {out}")
        os.rename(self.dump, kept)
        os.rename(out, self.dump)
        loaded = self.load()
        kept.unlink()
        return Measured(found.seconds + loaded, found.peak, {})


def warm(size: int) -> None:
    """Have the machine lay hands on so many bytes of memory, and let go of them.

    A virtual machine gets its memory when it first touches it, which takes as long as writing it twice: whoever comes
    first would pay for all.
    """
    script = "import sys; memory = bytearray(int(sys.argv[1])); memory[::4096] = bytes(len(memory[::4096]))"
    subprocess.run([sys.executable, "-c", script, str(size)], check=True)


def one_round(bench: Bench, s3: S3Server | None, number: int, *, streamed: bool) -> Row:
    """Each step once; `streamed`: those alone that are there and back on this disk, for more rounds of them.

    Which of two recoveries comes first changes with the rounds: the second finds more in caches.
    """
    age, row = f"age -r {bench.key.recipient}", {}
    row["shell, streamed: redis-cli --rdb - | zstd -1 | age"] = bench.by_shell(
        f"{bench.cli()} --rdb - 2>/dev/null | zstd -1 -qc | {age} > $OUT"
    )
    with bench.repository() as repository:
        row["redis_backup, streamed, posix"] = bench.streamed(repository)
        stored = next(Path(repository["path"]).rglob("dump.rdb.zst.age"))
        recoveries: list[tuple[str, Callable[[], Measured]]] = [
            ("shell: age -d | zstd -d, and the load", lambda: bench.restored_by_shell(stored)),
            ("redis_restore, posix, and the load", lambda: bench.restored(repository)),
        ]
        for step, recovery in recoveries if number % 2 else reversed(recoveries):
            os.sync()
            row[step] = recovery()
    if streamed:
        return row
    if s3 is not None:
        bucket = s3.bucket()
        row["redis_backup, streamed, S3"] = bench.streamed(s3.entry(bucket))
        row["redis_restore, S3, and the load"] = bench.restored(s3.entry(bucket))
        s3.clear(bucket)
        shutil.rmtree(bench.place / "state", ignore_errors=True)
    row["shell, from the dump: zstd -1 -T0 | age"] = bench.by_shell(f"zstd -1 -T0 -qc {bench.dump} | {age} > $OUT")
    with bench.repository() as repository:
        whole, packing = bench.from_file(repository)
        row["redis_backup, from a file, behind the server's save"] = packing
        row["redis_backup, from a file, with it"] = whole
    row["cp of the dump"] = bench.by_shell(f"cp {bench.dump} $OUT")
    for tool in filter(shutil.which, ("restic", "borg")):
        row[f"{tool}, from the dump"] = other(bench, tool)
    return row


def other(bench: Bench, tool: str) -> Measured:
    """The first backup of the dump by another program, into a repository on the same disk."""
    place = bench.place / tool
    secrets = {"RESTIC_PASSWORD": "bench", "BORG_PASSPHRASE": "bench", "BORG_BASE_DIR": str(bench.place / "borg-home")}
    if tool == "restic":
        shell(f"restic -q -r {place} init", secrets)
        found = shell(f"restic -q --no-cache -r {place} backup {bench.dump} && sync", secrets)
    else:
        shell(f"borg init -e repokey-blake2 {place}", secrets)
        found = shell(f"borg create -C zstd,1 {place}::bench {bench.dump} && sync", secrets)
    stored = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
    shutil.rmtree(place)
    return Measured(found.seconds, found.peak, {"stored": stored})


_BESIDE = {
    "redis_backup, streamed, posix": "shell, streamed: redis-cli --rdb - | zstd -1 | age",
    "redis_backup, streamed, S3": "shell, streamed: redis-cli --rdb - | zstd -1 | age",
    "redis_backup, from a file, behind the server's save": "shell, from the dump: zstd -1 -T0 | age",
    "restic, from the dump": "redis_backup, from a file, behind the server's save",
    "borg, from the dump": "redis_backup, from a file, behind the server's save",
    "redis_restore, posix, and the load": "shell: age -d | zstd -d, and the load",
    "redis_restore, S3, and the load": "shell: age -d | zstd -d, and the load",
}
"""Each step, and the one that it is measured by."""


def table(rounds: list[Row], size: int) -> None:
    """Print what came of it."""
    print(f"\ndump of {size / 1e6:.0f} MB, {len(rounds)} rounds\n")
    print("| step | s, median | ratio, median (of each round) | to | peak memory, MB | stored, MB |")
    print("|---|---|---|---|---|---|")
    for step in rounds[0]:
        found = [row[step] for row in rounds]
        beside = _BESIDE.get(step, "")
        ratio = ""
        if beside:
            ratios = [row[step].seconds / row[beside].seconds for row in rounds]
            ratio = f"{statistics.median(ratios):.2f} ({', '.join(f'{each:.2f}' for each in ratios)})"
        stored = found[0].result.get("stored", 0)
        print(
            f"| {step} | {statistics.median(each.seconds for each in found):.1f} | {ratio} | {beside} | "
            f"{max(each.peak for each in found) / 1e6:.0f} | {f'{stored / 1e6:.0f}' if stored else ''} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--streamed", action="store_true", help="only streamed backups on this disk, and back")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/var/tmp", ignore_cleanup_errors=True) as name:
        place = Path(name)
        s3: S3Server | None = None
        with contextlib.suppress(S3Missing):
            (place / "s3").mkdir()
            s3 = S3Server(place / "s3").start()
        bench = Bench(place, asked.megabytes)
        try:
            rounds = []
            for number in range(asked.rounds):
                warm(bench.dump.stat().st_size * _WARM)
                rounds.append(one_round(bench, s3, number, streamed=asked.streamed))
                print(f"round {number + 1} done", flush=True)
            table(rounds, bench.dump.stat().st_size)
        finally:
            bench.server.destroy()
            if s3 is not None:
                s3.destroy()


if __name__ == "__main__":
    main()
