# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An instance's place among others: what it says itself, and when it is down what its files say."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from .._config.conf_file import Conf, load
from .._config.quoting import ENCODING, ERRORS
from .._errors import ConfigError, ServerError
from .cluster import Node, cluster_result, current_epoch, migrations, parse_nodes
from .connection import ReplyError, Server, parse_info
from .facts import Facts
from .instance import Instance
from .network import hostnames, is_loopback, machine, network, own_addresses, resolved
from .paths import command_line_settings
from .sentinel import Line, is_number, is_sentinel_conf, master_names, master_result, masters_in, my_id_in

PRIMARY, REPLICA, SENTINEL = "primary", "replica", "sentinel"
SERVER, FILES, BACKUP, NOTHING = "server", "files", "backup", "nothing"

_ANNOUNCED = (
    "port",
    "tls-port",
    "replica-announce-ip",
    "replica-announce-port",
    "cluster-announce-ip",
    "cluster-announce-port",
    "cluster-announce-tls-port",
    "cluster-announce-hostname",
)
_OLD_NAMES = {"slave-announce-ip": "replica-announce-ip", "slave-announce-port": "replica-announce-port"}
_HELLO = "__sentinel__:hello"


def topology(instance: Instance) -> dict[str, Any]:
    """The value `topology` of redis_instance_info. A server that runs is asked in one round trip more.

    Raises UnreachableError when it ends meanwhile.
    """
    return _of_server(instance, instance.facts) if instance.facts else _of_files(instance)


def role_of(facts: Facts) -> str:
    """`primary`, `replica` or `sentinel`. Pure."""
    return SENTINEL if facts.mode == SENTINEL else facts.role


def replication(facts: Facts) -> dict[str, Any]:
    """What INFO tells of primary and replicas. Pure."""
    replicas = []
    for number in range(facts.number("connected_slaves")):
        fields = dict(p.split("=", 1) for p in facts.info.get(f"slave{number}", "").split(",") if "=" in p)
        if "ip" in fields:
            replicas.append(
                {
                    "host": fields["ip"],
                    "port": _number(fields.get("port")),
                    "state": fields.get("state", ""),
                    "offset": _number(fields.get("offset")),
                    "lag": _number(fields.get("lag")),
                }
            )
    primary = None
    if facts.role == REPLICA:
        primary = {
            "host": facts.info.get("master_host", ""),
            "port": facts.number("master_port"),
            "link_up": facts.link_up,
            "sync_in_progress": facts.syncing,
            "last_io_seconds": facts.number("master_last_io_seconds_ago", -1),
            "priority": facts.number("slave_priority", 100),
        }
    offset = facts.number("slave_repl_offset" if primary else "master_repl_offset", -1)
    return {
        "mode": facts.mode,
        "role": role_of(facts),
        "primary": primary,
        "replicas": replicas,
        "replid": facts.info.get("master_replid", ""),
        "offset": offset if offset >= 0 else None,
    }


def _result(instance: Instance, source: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """All keys, with what is `known`."""
    primary = known.get("primary")
    if primary is not None:
        primary = {**primary, "addresses": resolved(str(primary["host"]))}
    return {
        "mode": known.get("mode", "standalone"),
        "role": known.get("role", ""),
        "source": source,
        "machine": machine(),
        "network": network(),
        "addresses": _addresses(instance, known.get("announced", {})),
        "primary": primary,
        "replicas": known.get("replicas", []),
        "replid": known.get("replid", ""),
        "offset": known.get("offset"),
        "watched_by": known.get("watched_by", []),
        "sentinel": known.get("sentinel"),
        "cluster": known.get("cluster"),
        "problems": known.get("problems", []),
    }


# --- a server that answers ---


def _of_server(instance: Instance, facts: Facts) -> dict[str, Any]:
    server = instance.server
    known = replication(facts)
    if facts.mode == SENTINEL:
        known.update(primary=None, replicas=[], replid="", offset=None, **_ask_sentinel(server, facts))
        return _result(instance, SERVER, known)
    commands: list[tuple[str, ...]] = [*(("CONFIG", "GET", name) for name in _ANNOUNCED), ("PUBSUB", "NUMSUB", _HELLO)]
    asked = len(commands)
    if facts.mode == "cluster":
        commands += [("CLUSTER", "NODES"), ("CLUSTER", "INFO")]
        commands += [("CLUSTER", "MYSHARDID")] if facts.flavour == "valkey" or facts.version >= (7, 2) else []
        commands += [("CLUSTER", "GETSLOTMIGRATIONS")] if facts.flavour == "valkey" and facts.version >= (9,) else []
    replies = server.pipeline(commands)
    announced = {name: value for reply in replies[: len(_ANNOUNCED)] for name, value in _pair(reply)}
    announced.setdefault("port", facts.info.get("tcp_port", ""))
    known["announced"] = announced
    known["watched_by"] = _watchers(server, replies[len(_ANNOUNCED)])
    if facts.mode == "cluster":
        known.update(_cluster_of(instance, dict(zip(commands[asked:], replies[asked:]))))
    return _result(instance, SERVER, known)


def _pair(reply: object) -> Iterable[tuple[str, str]]:
    """Name and value in a reply to CONFIG GET."""
    if isinstance(reply, list) and len(reply) == 2:
        name, value = (item.decode("utf-8", "surrogateescape") for item in reply)
        yield name, value


def count_watching(server: Server) -> int:
    """How many Sentinels watch a server: each listens on a channel of its own there. Raises ReplyError."""
    return int(server.call("PUBSUB", "NUMSUB", _HELLO)[1])


def _watchers(server: Server, numbers: object) -> list[dict[str, str]]:
    """The Sentinels that listen here, as their clients' names tell: the first 8 letters of the id, and the address."""
    if not isinstance(numbers, list) or len(numbers) != 2 or not numbers[1]:
        return []
    try:
        text: bytes = server.call("CLIENT", "LIST", "TYPE", "pubsub")
    except ReplyError:
        return []
    found = {}
    for line in text.decode("utf-8", "replace").splitlines():
        fields = dict(word.split("=", 1) for word in line.split(" ") if "=" in word)
        name = re.fullmatch(r"sentinel-([0-9a-f]{8})-pubsub", fields.get("name", ""))
        if name:
            found[name[1]] = fields.get("addr", "").rpartition(":")[0]
    return [{"id": identity, "host": host} for identity, host in sorted(found.items())]


def _cluster_of(instance: Instance, replies: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    """`cluster`, and `problems` where the node does not tell; then its nodes.conf is read."""
    where = instance.server.login
    table, told = replies[("CLUSTER", "NODES")], replies[("CLUSTER", "INFO")]
    shard = replies.get(("CLUSTER", "MYSHARDID"))
    info = parse_info(told) if isinstance(told, bytes) else {}
    my_shard = shard.decode() if isinstance(shard, bytes) else ""
    if isinstance(table, bytes):
        nodes = parse_nodes(table, where.host)
        moving = migrations(replies.get(("CLUSTER", "GETSLOTMIGRATIONS")), f"{where.host}:{where.port}")
        return {"cluster": cluster_result(nodes, info, my_shard, moving)}
    nodes, from_file = _nodes_of_file(instance)
    return {"cluster": cluster_result(nodes, {**from_file, **info}, my_shard), "problems": [_words(table)]}


def _words(error: object) -> str:
    return error.what if isinstance(error, ServerError) else str(error)


def _ask_sentinel(server: Server, facts: Facts) -> dict[str, Any]:
    names = master_names(facts.info)
    asked = ("MASTER", "REPLICAS", "SENTINELS", "CKQUORUM")
    commands = [("SENTINEL", word, name) for name in names for word in asked]
    own = [("SENTINEL", "MYID"), *(("SENTINEL", "CONFIG", "GET", name) for name in ("announce-ip", "announce-port"))]
    identity, *rest = server.pipeline([*own, *commands])
    announced = {f"replica-{name}": value for reply in rest[:2] for name, value in _pair(reply)}
    replies = rest[2:]
    masters = []
    for at in range(0, len(replies), len(asked)):
        master, replicas, sentinels, quorum = replies[at : at + len(asked)]
        words = quorum.message if isinstance(quorum, ReplyError) else quorum
        found = master_result(master, replicas, sentinels, words)
        masters += [found] if found else []
    problems = [_words(reply) for reply in replies[::4] if isinstance(reply, ReplyError)]
    return {
        "announced": {"port": facts.info.get("tcp_port", ""), **announced},
        "sentinel": {"my_id": identity.decode() if isinstance(identity, bytes) else "", "masters": masters},
        "problems": problems,
    }


# --- files of a server that is down ---


def _of_files(instance: Instance) -> dict[str, Any]:
    known: dict[str, Any] = {}
    conf = None
    with contextlib.suppress(ConfigError):
        conf = load(instance.paths.config_file) if instance.paths.config_file else None
    line = command_line_settings(list(instance.command))
    if conf is None and not line:
        return _result(instance, NOTHING, known)
    announced = _announced_in(conf, line)
    known = {"mode": "standalone", "role": PRIMARY, "announced": announced}
    lines: list[Line] = list(conf.all("sentinel")) if conf else []
    if is_sentinel_conf(lines) or _started_as_sentinel(instance):
        own = {f"replica-{each[0].lower()}": each[1] for each in lines if len(each) == 2 and "announce-" in each[0]}
        announced.update(own)
        known.update(mode=SENTINEL, role=SENTINEL, sentinel={"my_id": my_id_in(lines), "masters": masters_in(lines)})
        return _result(instance, FILES, known)
    if (line.get("cluster-enabled") or (conf and conf.get("cluster-enabled")) or "no").lower() == "yes":
        nodes, info = _nodes_of_file(instance)
        me = next((node for node in nodes if node.is_myself), None)
        feeder = next((node for node in nodes if me and node.identity == me.primary), None)
        role = "" if me is None else REPLICA if me.is_replica else PRIMARY
        primary = _broken_link(feeder.host, feeder.port) if feeder else None
        known.update(mode="cluster", role=role, cluster=cluster_result(nodes, info), primary=primary)
        return _result(instance, FILES, known)
    feeder_words = _replica_of(conf, line)
    if feeder_words:
        known.update(role=REPLICA, primary=_broken_link(*feeder_words))
    return _result(instance, FILES, known)


def _started_as_sentinel(instance: Instance) -> bool:
    """Whether its unit starts a Sentinel: one that was given a bare sentinel.conf knows nobody yet."""
    words = list(instance.command)
    named = "sentinel" in instance.place.service.lower()
    return named or "--sentinel" in words or (bool(words) and words[0].endswith("-sentinel"))


def _broken_link(host: str, port: int) -> dict[str, Any]:
    nothing = {"link_up": False, "sync_in_progress": False, "last_io_seconds": -1, "priority": None}
    return {"host": host, "port": port, **nothing}


def _replica_of(conf: Conf | None, command_line: Mapping[str, str]) -> tuple[str, int] | None:
    """Host and port of the primary that the server will follow when it starts; None when it follows none."""
    lines = [d.args for d in conf.directives if d.name in ("replicaof", "slaveof")] if conf else []
    lines += [tuple(command_line[name].split()) for name in ("replicaof", "slaveof") if name in command_line]
    last = lines[-1] if lines else ()
    if len(last) != 2 or last[0].lower() == "no" or not is_number(last[1]):
        return None
    return last[0], int(last[1])


def _announced_in(conf: Conf | None, command_line: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for name in (*_ANNOUNCED, *_OLD_NAMES):
        value = command_line.get(name) or (conf.get(name) if conf else None)
        if value:
            found[_OLD_NAMES.get(name, name)] = value
    return found


def _nodes_of_file(instance: Instance) -> tuple[list[Node], dict[str, str]]:
    """The nodes in the instance's nodes.conf, and the epoch as CLUSTER INFO has it; empty where it cannot be read."""
    if not instance.paths.nodes_file:
        return [], {}
    try:
        with open(instance.paths.nodes_file, encoding=ENCODING, errors=ERRORS) as stream:
            text = stream.read()
    except OSError:
        return [], {}
    info = {"cluster_current_epoch": str(current_epoch(text))}
    return parse_nodes(text.encode(ENCODING, ERRORS), instance.server.login.host), info


# --- addresses ---


def _addresses(instance: Instance, announced: Mapping[str, str]) -> list[str]:
    """Every `host:port` by which others may name this instance.

    A login to a loopback address or to one of this host's own means this host, with all its addresses; any other means
    a server elsewhere, which is looked at from here.
    """
    login = instance.server.login
    own = own_addresses()
    here = bool(login.unix_socket) or is_loopback(login.host)
    targets = [login.host, *resolved(login.host)]
    here = here or any(each in own for each in targets)
    hosts = [*own, *hostnames()] if here else targets
    ports = [announced.get("port"), announced.get("tls-port"), None if login.unix_socket else login.port]
    ports += [announced.get(name) for name in _ANNOUNCED if name.endswith("announce-port")]
    ports += [announced.get("cluster-announce-tls-port")]
    given = [
        announced.get(f"{kind}-announce-{what}", "") for kind in ("replica", "cluster") for what in ("ip", "hostname")
    ]
    numbers = [number for number in dict.fromkeys(_number(port) for port in ports) if number]
    names = [name for name in dict.fromkeys([*hosts, *given]) if name]
    return [f"{name}:{number}" for name in names for number in numbers]


def _number(value: object) -> int:
    """A port or a count, 0 for what is none."""
    text = str(value if value is not None else "")
    return int(text) if is_number(text) else 0
