# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Export and import of many small keys beside what a shell, scripts and other tools need, in turn in one run.

    ./dev run python benchmarks/keys.py [--keys 1000000] [--sample 50000] [--rounds 3]

Rounds take each step once, so that what slows the machine slows all; the median of the ratios within a round counts,
in keys a second. Slow tools get a server with fewer keys of the same kinds. What other tools need (hiredis,
redis-dump-load with the redis-py it was made for) goes into environments of its own. Memory is the peak of all
processes together (PSS), the server's aside, in a round of its own: to look for it takes time.

Goals: jsonl at least twice as fast as a script that gets key by key, and faster than redis-dump-load; dump within 1.5
times of a bare loop that packs commands by hand on a socket, and reads their replies with hiredis; import likewise
beside hand-packed RESTORE; memory below 150 MB at 1,000,000 keys.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measure

from support.modules import run_module
from support.servers import RedisProcess, build_named

_FILL = """
local function word(n) return string.format('%08x%08x', n * 2654435761 % 4294967296, n * 40503 % 4294967296) end
for n = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  local kind = n % 20
  if kind < 12 then
    redis.call('SET', 'user:' .. n, '{"id": ' .. n .. ', "name": "User ' .. n .. '", "token": "' .. word(n) .. '"}')
  elseif kind < 14 then
    redis.call('SET', 'session:' .. n, word(n), 'PX', 86400000 + n)
  elseif kind < 17 then
    redis.call('HSET', 'driver:' .. n, 'name', 'Driver ' .. n, 'lat', n % 90, 'lon', n % 180, 'token', word(n))
  elseif kind == 17 then
    redis.call('RPUSH', 'queue:' .. n, word(n), word(n + 1), word(n + 2), n)
  elseif kind == 18 then
    redis.call('SADD', 'tags:' .. n, word(n), word(n + 1), n)
  else
    redis.call('ZADD', 'rank:' .. n, n / 7, word(n), 1, word(n + 1), '-inf', word(n + 2))
  end
end
"""
_USERS = 12 / 20

_BY_HAND = """
import json, sys
import redis
r = redis.Redis(host="localhost", port=int(sys.argv[1]), decode_responses=True)
data = {}
for key in r.keys("user:*"):
    data[key] = r.get(key)
with open(sys.argv[2], "w") as f:
    json.dump(data, f, indent=2)
"""
_BY_HAND_BACK = """
import json, sys
import redis
r = redis.Redis(host="localhost", port=int(sys.argv[1]), decode_responses=True)
with open(sys.argv[2]) as f:
    data = json.load(f)
for key, value in data.items():
    r.set(key, value)
"""
_BARE = """
import socket, sys, hiredis
def pack(*words):
    return b"*%d\\r\\n" % len(words) + b"".join(b"$%d\\r\\n%b\\r\\n" % (len(word), word) for word in words)
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
out = open(sys.argv[2], "wb")
reader = hiredis.Reader()
def replies(count):
    found = []
    while len(found) < count:
        reply = reader.gets()
        if reply is False:
            reader.feed(s.recv(1 << 18))
        else:
            found.append(reply)
    return found
cursor = b"0"
while True:
    s.sendall(pack(b"SCAN", cursor, b"COUNT", b"1000"))
    (cursor, keys), = replies(1)
    s.sendall(b"".join([pack(b"DUMP", key) + pack(b"PTTL", key) for key in keys]))
    found = replies(2 * len(keys))
    out.write(b"".join([
        pack(b"RESTORE", key, b"%d" % max(left, 0), payload)
        for key, payload, left in zip(keys, found[::2], found[1::2]) if payload is not None
    ]))
    if cursor == b"0":
        break
out.close()
"""
_BARE_BACK = """
import socket, sys, hiredis
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
reader = hiredis.Reader()
waiting = 0
def settle(most):
    global waiting
    while waiting > most:
        reply = reader.gets()
        if reply is False:
            reader.feed(s.recv(1 << 18))
        elif reply == b"OK":
            waiting -= 1
        else:
            raise SystemExit(repr(reply))
with open(sys.argv[2], "rb") as commands:
    rest = b""
    while True:
        data = commands.read(1 << 18)
        if not data:
            break
        data = rest + data
        end = data.rfind(b"*4\\r\\n$7\\r\\nRESTORE")
        rest = data[end:]
        s.sendall(data[:end])
        waiting += data.count(b"*4\\r\\n$7\\r\\nRESTORE", 0, end)
        settle(5000)
    s.sendall(rest)
    waiting += 1
    settle(0)
"""

Step = Callable[[], float]


class Bench:
    """Two servers with keys to export, one to import into, and what other tools need."""

    def __init__(self, place: Path, keys: int, sample: int) -> None:
        self.place, self.keys, self.sample = place, keys, sample
        self.users = int(keys * _USERS)
        self.sample_users = int(sample * _USERS)
        self.watched = False  # what is measured is the memory
        build = build_named("redis-7.0")
        self.full, self.few, self.empty = (RedisProcess(build, place / name) for name in ("full", "few", "empty"))
        for server, count in ((self.full, keys), (self.few, sample), (self.empty, 0)):
            server.start()
            for start in range(0, count, 20_000):
                server.client().execute_command("EVAL", _FILL, 0, start, min(start + 20_000, count) - 1)
        self.redisdl = self._environment("redis<3", "redis-dump-load")
        self.hiredis = self._environment("hiredis")
        for name in ("_BY_HAND", "_BY_HAND_BACK", "_BARE", "_BARE_BACK"):
            (place / f"{name}.py").write_text(globals()[name])

    def _environment(self, *packages: str) -> str:
        folder = Path(tempfile.mkdtemp(dir=self.place))
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [folder / "bin" / "pip", "install", "-q", "--disable-pip-version-check", *packages]
        subprocess.run(pip, check=True)
        return str(folder / "bin" / "python")

    def destroy(self) -> None:
        for server in (self.full, self.few, self.empty):
            server.destroy()

    # --- what is measured: each gives the seconds that it took, or (`watched`) the memory in bytes ---

    def module(self, name: str, params: dict[str, Any]) -> float:
        if self.watched:
            return measure.module(name, params).peak
        begun = time.monotonic()
        run_module(name, params, timeout=3600)
        return time.monotonic() - begun

    def shell(self, command: str) -> float:
        if self.watched:
            return measure.shell(command).peak
        begun = time.monotonic()
        words = ["bash", "-c", f"set -euo pipefail; {command}"]
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        return time.monotonic() - begun

    def export(self, name: str, **more: Any) -> float:
        params = {**self.full.connection, "path": str(self.place / name), "force": True, **more}
        return self.module("redis_export", params)

    def back(self, name: str) -> float:
        params = {**self.empty.connection, "path": str(self.place / name), "state_dir": str(self.place / "state")}
        return self.counted(self.module("redis_import", params), self.keys)

    def script(self, name: str, server: RedisProcess, file: str) -> float:
        python = self.hiredis if "BARE" in name else sys.executable
        return self.shell(f"{python} {self.place}/{name}.py {server.port} {self.place}/{file}")

    def counted(self, found: float, count: float) -> float:
        """What was measured, when as many keys are there now; then none."""
        with self.empty.client(socket_timeout=600) as client:
            there = client.dbsize()
            if there != count:
                raise SystemExit(f"{there} keys were imported, not {count}")
            client.flushall()
        return found

    def steps(self) -> dict[str, tuple[int, Step]]:
        """Each step with the number of keys that it moves."""
        few, empty, place = f"redis-cli -p {self.few.port}", f"redis-cli -p {self.empty.port}", self.place
        dumping = f"""{few} --scan | sed 's/.*/DUMP "&"/' | {few} > {place}/cli.dump"""
        redisdl = f"{self.redisdl} -m redisdl -o {place}/redisdl.json -p {self.few.port}"
        redisdl_back = f"{self.redisdl} -m redisdl -l {place}/redisdl.json -p {self.empty.port}"
        some, all_of_them = self.sample, self.keys
        return {
            BY_HAND: (self.sample_users, lambda: self.script("_BY_HAND", self.few, "users.json")),
            REDISDL: (some, lambda: self.shell(redisdl)),
            REDIS_CLI: (some, lambda: self.shell(dumping)),
            BARE: (all_of_them, lambda: self.script("_BARE", self.full, "bare.dump")),
            "redis_export, jsonl, user:*": (self.users, lambda: self.export("users.jsonl", patterns=["user:*"])),
            "redis_export, jsonl": (all_of_them, lambda: self.export("keys.jsonl")),
            "redis_export, jsonl, zstd": (all_of_them, lambda: self.export("keys.jsonl.zst")),
            "redis_export, dump": (all_of_them, lambda: self.export("keys.dump", format="dump")),
            "redis_export, dump, zstd": (all_of_them, lambda: self.export("keys.dump.zst", format="dump")),
            BY_HAND_BACK: (
                self.sample_users,
                lambda: self.counted(self.script("_BY_HAND_BACK", self.empty, "users.json"), self.sample_users),
            ),
            REDISDL_BACK: (some, lambda: self.counted(self.shell(redisdl_back), some)),
            PIPE: (all_of_them, lambda: self.counted(self.shell(f"{empty} --pipe < {place}/keys.dump"), all_of_them)),
            BARE_BACK: (
                all_of_them,
                lambda: self.counted(self.script("_BARE_BACK", self.empty, "bare.dump"), all_of_them),
            ),
            "redis_import, jsonl": (all_of_them, lambda: self.back("keys.jsonl")),
            "redis_import, dump": (all_of_them, lambda: self.back("keys.dump")),
        }


BY_HAND, BY_HAND_BACK = "the manual's script: GET by key", "the manual's script: SET by key"
REDISDL, REDISDL_BACK = "redis-dump-load", "redis-dump-load, load"
REDIS_CLI, PIPE = "redis-cli --scan, DUMP, redis-cli", "redis-cli --pipe of our dump"
BARE, BARE_BACK = "bare loop: SCAN, DUMP, PTTL", "bare loop: RESTORE"

_BESIDE = {
    "redis_export, jsonl, user:*": [BY_HAND, REDISDL],
    "redis_export, jsonl": [BY_HAND, REDISDL],
    "redis_export, dump": [BARE, REDIS_CLI],
    "redis_export, dump, zstd": [BARE],
    "redis_import, jsonl": [BY_HAND_BACK, REDISDL_BACK],
    "redis_import, dump": [BARE_BACK, PIPE],
}
"""Each step, and those that it is measured by."""


def table(keys: dict[str, int], rounds: list[dict[str, float]], peaks: dict[str, float]) -> None:
    """Print what came of it."""
    print(f"\n{len(rounds)} rounds; times as fast: median (of each round)\n")
    print("| step | keys | keys/s, median | peak memory, MB | times as fast |")
    print("|---|---|---|---|---|")
    for step in rounds[0]:
        rates = [keys[step] / row[step] for row in rounds]
        told = []
        for other in (each for each in _BESIDE.get(step, []) if each in rounds[0]):
            ratios = [rate / (keys[other] / row[other]) for rate, row in zip(rates, rounds, strict=True)]
            each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
            told.append(f"{statistics.median(ratios):.2f} ({each}) as {other}")
        peak = f"{peaks[step] / 1e6:.0f}" if step in peaks else ""
        print(f"| {step} | {keys[step]} | {statistics.median(rates):.0f} | {peak} | {'; '.join(told)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--sample", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="steps with this word in their name, and what they are held beside")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/var/tmp", ignore_cleanup_errors=True) as name:
        bench = Bench(Path(name), asked.keys, asked.sample)
        try:
            steps = bench.steps()
            chosen = {step for step in steps if asked.only in step}
            chosen.update(*(_BESIDE.get(step, []) for step in chosen))
            steps = {step: found for step, found in steps.items() if step in chosen}
            rounds = []
            for number in range(asked.rounds):
                rounds.append({step: run() for step, (_keys, run) in steps.items()})
                print(f"round {number + 1} done", flush=True)
            bench.watched = True
            peaks = {step: run() for step, (_keys, run) in steps.items() if step.startswith("redis_")}
            table({step: count for step, (count, _run) in steps.items()}, rounds, peaks)
        finally:
            bench.destroy()


if __name__ == "__main__":
    main()
