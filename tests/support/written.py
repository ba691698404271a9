# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A history of awkward writes, each noted with the second in which the server executed it; and its rebuilding."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import redis

from support.aofs import rewrite
from support.dataset import raw, server_version

Words = tuple[Any, ...]
_DATABASES = 3


@dataclass(frozen=True)
class Batch:
    """Commands that were executed one behind the other in a database, between two times of the server's clock."""

    number: int
    database: int
    commands: tuple[Words, ...]
    before: float
    after: float
    transaction: bool = False

    @property
    def second(self) -> int | None:
        """The second of all of them; None when it changed meanwhile."""
        return int(self.before) if int(self.before) == int(self.after) else None


@dataclass
class History:
    """Writes until it is stopped. `batches` is the model: what was executed when."""

    client: redis.Redis
    seed: int
    batches: list[Batch] = field(default_factory=list)
    error: str = ""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._entry = 0
        self._databases = [raw(self.client, number) for number in range(_DATABASES)]
        self._modern = server_version(self.client) >= (7,)

    def run(self, stop: threading.Event, rewrites_every: int = 60) -> None:
        """Write batch after batch, with a breath in between; rewrite the AOF every so many."""
        try:
            while not stop.wait(0.015):
                self.write()
                if len(self.batches) % rewrites_every == 0:
                    rewrite(self.client)
        except (redis.RedisError, AssertionError) as error:
            self.error = str(error)

    def write(self) -> None:
        """One batch."""
        number = len(self.batches) + 1
        database = self._random.randrange(_DATABASES)
        transaction = self._random.random() < 0.3
        commands: list[Words] = [self._command(number) for _each in range(self._random.randint(1, 5))]
        commands.append(("SET", "batch", number))
        if database:
            commands.append(("SET", f"batch:{database}", number))
        reader = self._databases[database]
        pipe = reader.pipeline(transaction=False)
        pipe.execute_command("TIME")
        for words in [("MULTI",), *commands, ("EXEC",)] if transaction else commands:
            pipe.execute_command(*words)
        pipe.execute_command("TIME")
        answers = pipe.execute()
        before, after = (int(seconds) + int(micro) / 1e6 for seconds, micro in (answers[0], answers[-1]))
        self.batches.append(Batch(number, database, tuple(commands), before, after, transaction))

    def _command(self, number: int) -> Words:
        rng = self._random
        self._entry += 1
        key = f"k{rng.randrange(30)}"
        look_alikes = [b"\r\n#TS:9999999999\r\n", b"#TS:1\r\n*1\r\n$5\r\nMULTI\r\n"]
        value = rng.choice([bytes(range(256)), *look_alikes, b"", b"\0" * 300])
        script = "redis.call('SET',KEYS[1],ARGV[1]) redis.call('INCR',KEYS[2]) redis.call('RPUSH',KEYS[3],ARGV[1])"
        wanted: list[Words] = [
            ("SET", f"s:{key}", value + str(number).encode()),
            ("APPEND", f"a:{key}", value),
            ("INCRBY", f"n:{key}", number),
            ("RPUSH", f"l:{key}", value, number),
            ("HSET", f"h:{key}", f"f{number % 7}", value),
            ("SADD", f"set:{key}", value, number),
            ("ZADD", f"z:{key}", number, value),
            ("XADD", f"x:{key}", f"{self._entry}-1", "f", value),
            ("DEL", f"s:{key}", f"l:{key}"),
            ("UNLINK", f"h:{key}"),
            ("EVAL", script, 3, f"s:{key}", f"n:{key}", f"lua:{key}", value),
            ("SET", f"short:{key}", value, "PX", 700),
            ("PEXPIREAT", f"a:{key}", 4102444800000 + number),
        ]
        if self._modern:
            code = f"#!lua name=lib{number % 3}\nredis.register_function('f{number}', function() return {number} end)"
            wanted.append(("FUNCTION", "LOAD", "REPLACE", code))
        return tuple(word if isinstance(word, bytes) else str(word).encode() for word in rng.choice(wanted))

    def seconds(self) -> list[int]:
        """The seconds at whose end the data is certain: nothing was being written when they ended."""
        unsure = {int(batch.before) for batch in self.batches if batch.second is None}
        first, last = int(self.batches[0].before), int(self.batches[-1].after)
        return [second for second in range(first, last) if second not in unsure]


def replay(client: redis.Redis, batches: Sequence[Batch]) -> None:
    """Execute batches again, elsewhere."""
    databases = [raw(client, number) for number in range(_DATABASES)]
    for batch in batches:
        pipe = databases[batch.database].pipeline(transaction=False)
        for words in batch.commands:
            pipe.execute_command(*words)
        pipe.execute()
    for each in databases:
        each.close()
