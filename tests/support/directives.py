# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A table of directives with values a server takes, each value in several notations.

No knowledge of a server stands here but "this is a value it takes": which build knows a directive, whether it can be
changed at run time and what a value is called in the end is asked of a server (support.reference). Left out is what
would cut the test off from its server or harm the machine: port, bind, dir, requirepass, tls-*, oom-score-adj, limits
that are too tight for a client.
"""

from __future__ import annotations

import string
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Wish:
    """One value: as a playbook writes it, and the text of CONFIG SET; None means the default in both."""

    yaml: Any
    text: str | None


DEFAULT = Wish(None, None)


@dataclass(frozen=True, repr=False)
class Directive:
    """One directive: its names (several where it was renamed once) and a strategy of wishes."""

    names: tuple[str, ...]
    wishes: st.SearchStrategy[Wish]
    secret: bool = False

    def __str__(self) -> str:
        return self.names[0]

    __repr__ = __str__


# --- notations ---


def _plain(values: Iterable[str]) -> st.SearchStrategy[Wish]:
    return st.sampled_from(list(values)).map(lambda text: Wish(text, text))


def _booleans() -> st.SearchStrategy[Wish]:
    return st.sampled_from(
        [Wish(True, "yes"), Wish(False, "no"), *(Wish(word, word) for word in ("yes", "no", "YES", "No"))]
    )


def _integers(low: int, high: int) -> st.SearchStrategy[Wish]:
    return st.builds(lambda n, as_text: Wish(str(n) if as_text else n, str(n)), st.integers(low, high), st.booleans())


def _memory(low: int, high: int) -> st.SearchStrategy[Wish]:
    """Between `low` and `high` megabytes: whole units of either kind, and odd numbers of bytes."""
    units = {"mb": 1, "MB": 1, "Mb": 1, "kb": 1024, "KB": 1024, "m": 2, "k": 2000}

    def with_unit(megabytes: int, unit: str) -> Wish:
        text = f"{megabytes * units[unit]}{unit}"
        return Wish(text, text)

    words = st.builds(with_unit, st.integers(low, high), st.sampled_from(sorted(units)))
    gigabytes = st.sampled_from(["1gb", "1GB", "2g", "3G"]).map(lambda text: Wish(text, text))
    return words | _integers(low * MEGABYTE, high * MEGABYTE) | (gigabytes if high >= 3000 else words)


def _words_in_any_case(*words: str) -> st.SearchStrategy[Wish]:
    return _plain([*words, *(word.upper() for word in words), *(word.capitalize() for word in words)])


def _text(alphabet: st.SearchStrategy[str], low: int = 1, high: int = 40) -> st.SearchStrategy[Wish]:
    return st.text(alphabet, min_size=low, max_size=high).map(lambda text: Wish(text, text))


# What needs quotes in redis.conf, what only looks so, and what is no ASCII.
_AWKWARD = st.sampled_from(" #\"'\\\\${}x41nrt,;:=@%äß€中🔑") | st.sampled_from(string.ascii_letters + string.digits)


@st.composite
def _save_points(draw: st.DrawFn) -> Wish:
    points = draw(st.lists(st.tuples(st.integers(1, 100_000), st.integers(1, 100_000)), max_size=5))
    text = " ".join(f"{seconds} {changes}" for seconds, changes in points)
    if not points:
        return Wish(draw(st.sampled_from(["", [""]])), "")
    as_lines = [f"{seconds} {changes}" for seconds, changes in points]
    as_words = [[seconds, changes] for seconds, changes in points]
    as_strings = [[str(seconds), str(changes)] for seconds, changes in points]
    return Wish(draw(st.sampled_from([text, as_lines, as_words, as_strings])), text)


@st.composite
def _output_limits(draw: st.DrawFn) -> Wish:
    """All three classes, in any order; limits a test's clients never reach."""
    lines = []
    for kind in draw(st.permutations(["normal", draw(st.sampled_from(["replica", "slave"])), "pubsub"])):
        hard = draw(_memory(64, 4000))
        soft = draw(_memory(32, 64) | st.just(Wish(0, "0")))
        lines.append([kind, hard.yaml, soft.yaml, draw(st.integers(0, 600))])
    text = [" ".join(map(str, line)) for line in lines]
    return Wish(draw(st.sampled_from([lines, text])), " ".join(text))


@st.composite
def _keyspace_events(draw: st.DrawFn) -> Wish:
    letters = "".join(draw(st.lists(st.sampled_from("KEg$lshzxetmdA"), unique=True)))
    return Wish(letters, letters)


@st.composite
def _percentiles(draw: st.DrawFn) -> Wish:
    found = draw(st.lists(st.sampled_from(["0", "50", "75.5", "99", "99.9", "99.99", "100"]), unique=True, max_size=4))
    return Wish(" ".join(found), " ".join(found))


@st.composite
def _score_adjustments(draw: st.DrawFn) -> Wish:
    """Of primary, replica and child; used only with oom-score-adj, which stays off."""
    text = " ".join(str(n) for n in sorted(draw(st.tuples(*[st.integers(0, 1000)] * 3))))
    return Wish(text, text)


# --- the table ---

_BOOLEANS = (
    "activerehashing aof-load-truncated aof-rewrite-incremental-fsync aof-timestamp-enabled aof-use-rdb-preamble "
    "cluster-allow-pubsubshard-when-down cluster-allow-reads-when-down cluster-allow-replica-migration "
    "cluster-replica-no-failover/cluster-slave-no-failover cluster-require-full-coverage cluster-slot-stats-enabled "
    "crash-log-enabled crash-memcheck-enabled dual-channel-replication-enabled dynamic-hz "
    "extended-redis-compatibility gopher-enabled hide-user-data-from-log jemalloc-bg-thread latency-tracking "
    "lazyfree-lazy-eviction lazyfree-lazy-expire lazyfree-lazy-server-del lazyfree-lazy-user-del "
    "lazyfree-lazy-user-flush no-appendfsync-on-rewrite protected-mode rdb-del-sync-files rdb-save-incremental-fsync "
    "rdbcompression repl-disable-tcp-nodelay repl-diskless-sync replica-announced replica-ignore-disk-write-errors "
    "replica-ignore-maxmemory/slave-ignore-maxmemory replica-lazy-flush/slave-lazy-flush "
    "replica-read-only/slave-read-only replica-serve-stale-data/slave-serve-stale-data stop-writes-on-bgsave-error "
    "appendonly "
    # not at run time
    "always-show-logo disable-thp io-threads-do-reads rdbchecksum set-proc-title"
)

_INTEGERS = {
    "acllog-max-len": (0, 10_000),
    "active-defrag-cycle-max": (50, 99),
    "active-defrag-cycle-min": (1, 49),
    "active-defrag-max-scan-fields": (1, 100_000),
    "active-defrag-threshold-lower": (0, 49),
    "active-defrag-threshold-upper": (50, 1000),
    "active-expire-effort": (1, 10),
    "auto-aof-rewrite-percentage": (0, 1000),
    "busy-reply-threshold/lua-time-limit": (100, 100_000),
    "cluster-blacklist-ttl": (0, 1000),
    "cluster-migration-barrier": (0, 100),
    "cluster-node-timeout": (1000, 100_000),
    "cluster-replica-validity-factor/cluster-slave-validity-factor": (0, 100),
    "hash-max-listpack-entries/hash-max-ziplist-entries": (0, 100_000),
    "hash-max-listpack-value/hash-max-ziplist-value": (0, 100_000),
    "hll-sparse-max-bytes": (0, 15_000),
    "hz": (1, 500),
    "latency-monitor-threshold": (0, 10_000),
    "lfu-decay-time": (0, 1000),
    "lfu-log-factor": (0, 1000),
    "list-compress-depth": (0, 100),
    "list-max-listpack-size/list-max-ziplist-size": (-5, 1000),
    "maxclients": (100, 1000),
    "max-new-connections-per-cycle": (10, 1000),
    "maxmemory-eviction-tenacity": (0, 100),
    "maxmemory-samples": (1, 64),
    "min-replicas-max-lag/min-slaves-max-lag": (0, 100),
    "min-replicas-to-write/min-slaves-to-write": (0, 5),
    "repl-backlog-ttl": (0, 100_000),
    "repl-diskless-sync-delay": (0, 60),
    "repl-diskless-sync-max-replicas": (0, 100),
    "repl-ping-replica-period/repl-ping-slave-period": (1, 59),
    "repl-timeout": (60, 1000),
    "replica-announce-port/slave-announce-port": (0, 65_535),
    "replica-priority/slave-priority": (0, 1000),
    "set-max-intset-entries": (0, 10_000),
    "set-max-listpack-entries": (0, 10_000),
    "shutdown-timeout": (0, 100),
    "slowlog-log-slower-than/commandlog-execution-slower-than": (-1, 1_000_000),
    "slowlog-max-len/commandlog-slow-execution-max-len": (0, 10_000),
    "stream-node-max-entries": (0, 10_000),
    "tcp-keepalive": (0, 1000),
    "timeout": (600, 100_000),
    "tracking-table-max-keys": (0, 10_000_000),
    "zset-max-listpack-entries/zset-max-ziplist-entries": (0, 10_000),
    "zset-max-listpack-value/zset-max-ziplist-value": (0, 10_000),
    # not at run time (io-threads: on some)
    "databases": (1, 64),
    "io-threads": (1, 3),
    "tcp-backlog": (16, 1024),
}

_MEMORY = {
    "active-defrag-ignore-bytes": (1, 4000),
    "auto-aof-rewrite-min-size": (1, 4000),
    "client-query-buffer-limit": (8, 4000),
    "cluster-link-sendbuf-limit": (64, 4000),
    "maxmemory": (200, 4000),
    "proto-max-bulk-len": (8, 4000),
    "repl-backlog-size": (1, 16),
    "replica-full-sync-buffer-limit": (64, 4000),
    "stream-node-max-bytes": (0, 4),
}

_WORDS = {
    "acl-pubsub-default": ("allchannels", "resetchannels"),
    "appendfsync": ("always", "everysec", "no"),
    "cluster-config-save-behavior": ("sync", "best-effort"),
    "cluster-preferred-endpoint-type": ("ip", "hostname", "unknown-endpoint"),
    "log-format": ("legacy", "logfmt"),
    "log-timestamp-format": ("legacy", "iso8601", "milliseconds"),
    "loglevel": ("debug", "verbose", "notice", "warning"),
    "maxmemory-policy": (
        "volatile-lru",
        "volatile-lfu",
        "volatile-random",
        "volatile-ttl",
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "noeviction",
    ),
    "propagation-error-behavior": ("ignore", "panic", "panic-on-replicas"),
    "rdb-version-check": ("strict", "relaxed"),
    "repl-diskless-load": ("disabled", "on-empty-db", "swapdb"),
    "sanitize-dump-payload": ("no", "yes", "clients"),
    "shutdown-on-sigint": ("default", "save", "nosave", "now", "force", "nosave now", "now force nosave"),
    "shutdown-on-sigterm": ("default", "save", "nosave", "now", "force", "save force", "force now save"),
    # not at run time
    "enable-debug-command": ("no", "yes", "local"),
    "enable-module-command": ("no", "yes", "local"),
    "enable-protected-configs": ("no", "yes", "local"),
    "syslog-facility": ("user", "local0", "local1", "local7"),
}

# In their own spelling only.
_TEXTS = {
    "bind-source-addr": ("", "127.0.0.1"),
    "cluster-announce-hostname": ("", "one.example.com", "node-2"),
    "cluster-announce-human-nodename": ("", "node.two"),
    "ignore-warnings": ("", "ARM64-COW-BUG"),
    "locale-collate": ("", "C"),
    "maxmemory-clients": ("0", "64mb", "1gb", "20%", "100%", "67108865"),
    "proc-title-template": (
        "{title} {listen-addr}",
        "{title} {port} # {config-file}",
        "a 'b' \"{title}\"",
        "\\x41 {title}",
    ),
    "replica-announce-ip/slave-announce-ip": ("", "10.1.2.3", "redis.example.com"),
    # not at run time
    "appenddirname": ("appendonlydir", "aof", "a dir", "naïve"),
    "appendfilename": ("appendonly.aof", "journal.aof", "a file.aof", "'quoted'.aof", "#.aof"),
    "aof_rewrite_cpulist/aof-rewrite-cpulist": ("", "0"),
    "bgsave_cpulist/bgsave-cpulist": ("", "0-1"),
    "bio_cpulist/bio-cpulist": ("", "0,1"),
    "cluster-config-file": ("nodes.conf", "nodes-7000.conf", "nodes of 7000.conf"),
    "server_cpulist/server-cpulist": ("", "0-1:1"),
    "unixsocketperm": ("0", "700", "770"),
}

_OTHERS = {
    "availability-zone": _text(_AWKWARD, low=0),
    "client-output-buffer-limit": _output_limits(),
    "latency-tracking-info-percentiles": _percentiles(),
    "masteruser/primaryuser": _text(_AWKWARD),
    "notify-keyspace-events": _keyspace_events(),
    "oom-score-adj-values": _score_adjustments(),
    "save": _save_points(),
    "syslog-ident": _text(_AWKWARD),  # not at run time
}

# Long enough not to be, as a whole, another value: Ansible masks every text of a result that is a secret.
_SECRETS = {"masterauth/primaryauth": _text(_AWKWARD, low=8)}


def _table() -> list[Directive]:
    rows: dict[str, st.SearchStrategy[Wish]] = {names: _booleans() for names in _BOOLEANS.split()}
    rows.update({names: _integers(*bounds) for names, bounds in _INTEGERS.items()})
    rows.update({names: _memory(*bounds) for names, bounds in _MEMORY.items()})
    rows.update({names: _words_in_any_case(*words) for names, words in _WORDS.items()})
    rows.update({names: _plain(texts) for names, texts in _TEXTS.items()})
    rows.update(_OTHERS)
    found = [Directive(tuple(names.split("/")), wishes) for names, wishes in rows.items()]
    return found + [Directive(tuple(names.split("/")), wishes, secret=True) for names, wishes in _SECRETS.items()]


TABLE = _table()
