# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore into a running server: equal data, no restart, no crash that costs anything, and every failure harmless."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.archives import INSTANCE, Archived, with_aof
from support.clusters import make_cluster
from support.groups import PATIENT_MS, make_group
from support.killing import kill_at_change, kill_when, watch
from support.modules import ModuleFailed, run_module
from support.plays import run_playbook
from support.readers import busy_clients
from support.restores import SOURCE, TARGET, Backup, Backups, Restore, assert_holds, back_up, fill_with_old_data
from support.servers import BUILD_NAMES, Build, RedisProcess, build_named, free_port
from support.untouched import assert_told
from support.values import Values, differences, snapshot_values
from support.waiting import wait_for, wait_for_aof

MakeServer = Callable[..., RedisProcess]
WATCHED = "config:system"
LENT = (
    "repl-diskless-load",
    "repl-diskless-sync",
    "repl-diskless-sync-delay",
    "replica-serve-stale-data",
    "replica-read-only",
    "replica-ignore-maxmemory",
    "masterauth",
    "masteruser",
    "min-replicas-to-write",
    "min-replicas-max-lag",
)


class LiveRestore(Restore):
    """The steps of a restore by replication; `settings` is what the server's settings were before."""

    def __init__(self, server: RedisProcess, backup: Backup, state: Path, **params: Any) -> None:
        super().__init__(server, backup, method="replication", state_dir=str(state), **params)
        self.state = state
        self.settings = settings(server)

    @property
    def seat(self) -> Path:
        return self.state / "live" / TARGET

    def whole(self) -> dict[str, Any]:
        """Stage, activate and commit; what became of it."""
        self.step("staged")
        self.step("active")
        return dict(self.step("committed")["restore"])

    def assert_over(self, values: Values) -> None:
        """The server is a primary with these values, with its own settings, and takes writes."""
        client = self.server.client()
        assert client.info("replication")["role"] == "master"
        assert settings(self.server) == self.settings
        client.set("after", "1")
        client.delete("after")
        assert_holds(self.server, values)


def settings(server: RedisProcess) -> dict[str, str]:
    """The settings that a live restore lends, as they are now."""
    client = server.client()
    return {name: value for each in LENT for name, value in client.config_get(each).items()}


def digest_of(server: RedisProcess) -> str:
    return str(run_module("redis_check", {**server.connection, "digest": True})["digest"])


def keys_of(server: RedisProcess) -> int:
    """Keys in all databases."""
    return sum(found["keys"] for found in server.client().info("keyspace").values())


def run_id(server: RedisProcess) -> str:
    return str(server.client().info("server")["run_id"])


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def old(target: RedisProcess) -> Values:
    """What the target holds before any restore."""
    return snapshot_values(target.client())


DAILY = {("redis-6.2", "yes"), ("redis-7.0", "no"), ("redis-8.2", "yes"), ("valkey-9.1", "no")}


@pytest.mark.parametrize(
    ("build_name", "aof"),
    [
        pytest.param(name, aof, marks=() if (name, aof) in DAILY else pytest.mark.long)
        for name in BUILD_NAMES
        for aof in ("yes", "no")
    ],
)
def test_data_is_exchanged_under_clients(
    build_name: str, aof: str, make_server: MakeServer, backups: Backups, state: Path
) -> None:
    """Equal data, the same process, readers served by the old or the new data, a crash right behind it harmless."""
    build = build_named(build_name)
    backup = backups.of(build)
    donor = make_server(build)
    server = make_server(build, conf={"appendonly": aof, "masterauth": "group-secret", "min-replicas-max-lag": "7"})
    client = server.client()
    fill_with_old_data(client)
    client.set(WATCHED, "old")
    restore = LiveRestore(server, backup, state, close_writes=True)
    first = run_id(server)
    staged = restore.step("staged")
    assert staged["restore"]["method"] == "replication"
    assert settings(server) == restore.settings
    with busy_clients(server, WATCHED) as seen:
        active = restore.step("active")
        assert client.info("replication")["role"] == "master"
        while_closed = dict(seen.refused_writes)
    server.kill()
    new = backup.values[(0, WATCHED.encode())][1]
    assert set(seen.values) <= {b"old", new}, seen.values
    assert seen.values[new], "the reader has seen the new data"
    assert set(seen.refused_reads) <= ({"LOADING"} if build.version < (7,) else set()), seen.refused_reads
    assert set(while_closed) <= {"NOREPLICAS", "READONLY", "LOADING"}, while_closed
    server.start()
    assert_holds(server, backup.values)
    assert run_id(server) != first
    committed = restore.step("committed")
    assert (active["restore"]["state"], committed["restore"]["state"]) == ("active", "committed")
    restore.settings = settings(server)
    restore.assert_over(backup.values)

    before = digest_of(server)
    LiveRestore(donor, backup, state / "donor").whole()
    assert digest_of(donor) == before
    log = donor.log + server.log
    assert "to parser" in log and "to disk" not in log


@pytest.mark.parametrize(
    ("build_name", "setting"),
    [
        pytest.param("redis-8.2", "repl-rdb-channel", marks=pytest.mark.long),
        pytest.param("valkey-9.1", "dual-channel-replication-enabled", marks=pytest.mark.long),
    ],
)
def test_a_target_that_would_rather_use_two_channels(
    build_name: str, setting: str, make_server: MakeServer, backups: Backups, state: Path
) -> None:
    build = build_named(build_name)
    server = make_server(build, conf={"appendonly": "yes", setting: "yes"})
    fill_with_old_data(server.client())
    restore = LiveRestore(server, backups.of(build), state)
    restore.whole()
    restore.assert_over(backups.of(build).values)


def test_the_process_goes_on_with_its_own_settings(
    target: RedisProcess, backup: Backup, state: Path, old: Values
) -> None:
    restore = LiveRestore(target, backup, state)
    first = run_id(target)
    result = restore.whole()
    assert run_id(target) == first
    restore.assert_over(backup.values)
    kept = Path(result["previous_dir"]) / "dump.rdb"
    assert kept.read_bytes()[:5] == b"REDIS"
    assert kept.stat().st_mode & 0o077 == 0
    assert not (target.data_dir / ".redis_backup").exists()
    again = restore.step("staged")
    assert (again["changed"], again["restore"]["state"]) == (False, "committed")
    assert differences(old, snapshot_values(target.client()))


def test_steps_are_repeatable_and_check_mode_changes_nothing(
    target: RedisProcess, backup: Backup, state: Path, old: Values
) -> None:
    restore = LiveRestore(target, backup, state)
    dry = restore.step("staged", check=True, diff=True)
    assert dry["changed"] and str(restore.seat) in " ".join(dry["actions"])
    assert dry["diff"]["before"] != dry["diff"]["after"]
    assert not state.exists()
    for name, done in (("staged", "staged"), ("active", "active"), ("committed", "committed")):
        if name != "staged":
            assert restore.step(name, check=True)["changed"] is True
        one, two = restore.step(name), restore.step(name)
        assert (one["changed"], two["changed"]) == (True, False)
        assert one["restore"]["state"] == two["restore"]["state"] == done
    restore.assert_over(backup.values)
    assert restore.step("rolled_back")["changed"] is False


def test_the_previous_data_is_played_back(target: RedisProcess, backup: Backup, state: Path, old: Values) -> None:
    restore = LiveRestore(target, backup, state, close_writes=True)
    assert restore.step("rolled_back")["changed"] is False
    restore.step("staged")
    assert restore.step("rolled_back")["restore"]["state"] == "rolled_back"  # what was staged goes
    restore.step("staged")
    restore.step("active")
    assert_holds(target, backup.values)
    result = restore.step("rolled_back")
    assert result["restore"]["state"] == "rolled_back"
    restore.assert_over(old)
    assert restore.step("rolled_back")["changed"] is False
    target.kill()
    target.start()
    restore.assert_over(old)
    discarded = restore.seat / ".redis_backup" / result["restore"]["id"] / "discarded" / "dump.rdb"
    assert discarded.stat().st_size > 1000


def test_replicas_take_all_of_it_over(make_server: MakeServer, any_build: Build, backup: Backup, state: Path) -> None:
    """They are refused first; allowed, none goes on from what it had."""
    server = make_server(any_build)
    fill_with_old_data(server.client())
    replica = make_server(any_build, conf={"replicaof": f"127.0.0.1 {server.port}"})
    wait_for(lambda: replica.client().info("replication")["master_link_status"] == "up", "the replica to follow")
    restore = LiveRestore(server, backup, state)
    with pytest.raises(ModuleFailed, match="has 1 replicas") as failure:
        restore.step("staged")
    assert_told(failure.value.msg, "replicas_follow")
    restore.params["replicas_follow"] = True
    restore.whole()

    def same() -> bool:
        info = replica.client().info("replication")
        ours = server.client().info("replication")["master_repl_offset"]
        return info["master_link_status"] == "up" and info["master_repl_offset"] == ours

    wait_for(same, "the replica to follow again")
    assert_holds(replica, backup.values)


def test_a_primary_that_sentinels_watch(
    make_server: MakeServer, any_build: Build, backup: Backup, state: Path
) -> None:
    """Refused, unless they are held; then the same server stays the primary, and its replica has the new data."""
    group = make_group(make_server, any_build, replicas=1, sentinels=1)
    fill_with_old_data(group.primary.client())
    restore = LiveRestore(group.primary, backup, state, replicas_follow=True)
    _refusal(restore, "staged", "watched by 1 Sentinels")
    group.set_in_sentinels("down-after-milliseconds", 600_000)
    restore.params["sentinels_held"] = True
    restore.whole()
    group.wait_in_step()
    restore.assert_over(backup.values)
    assert_holds(group.replicas[0], backup.values)
    group.set_in_sentinels("down-after-milliseconds", PATIENT_MS)
    group.wait_agreed()
    assert "+switch-master" not in group.sentinels[0].log


def _corrupt(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("damage", [_corrupt, _cut])
def test_a_damaged_backup_leaves_the_old_data(
    damage: Callable[[Path], None], target: RedisProcess, backup: Backup, state: Path, tmp_path: Path, old: Values
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(backup.repository["path"], copy)
    restore = LiveRestore(target, backup, state, repository={"name": "test", "path": str(copy)})
    first = run_id(target)
    restore.step("staged")
    damage(next(restore.seat.glob(".redis_backup/*/staged/dump.rdb")))  # behind all proofs, on this host's disk
    with pytest.raises(ModuleFailed) as failure:
        restore.step("active")
    assert_told(failure.value.msg, "damaged")
    restore.assert_over(old)
    restore.step("rolled_back")
    damage(next(copy.glob(f"{SOURCE}/backup/{backup.label}/dump.rdb*")))
    with pytest.raises(ModuleFailed) as failure:
        restore.step("staged")
    assert_told(failure.value.msg)
    restore.assert_over(old)
    assert run_id(target) == first


def test_a_too_new_backup_is_refused(make_server: MakeServer, backups: Backups, state: Path) -> None:
    """Unless it may be converted: then what is played is the proven conversion."""
    server, newer = make_server(build_named("redis-7.0")), build_named("redis-8.2")
    old, backup = fill_with_old_data(server.client()), backups.of(newer)
    restore = LiveRestore(server, backup, state)
    with pytest.raises(ModuleFailed, match="cannot load") as failure:
        restore.step("staged")
    assert_told(failure.value.msg, "convert")
    restore.assert_over(old)
    restore.params.update(convert=True, convert_executable=str(newer.executable))
    restore.whole()
    assert keys_of(server) == backup.made["keys"]
    assert server.client().info("replication")["role"] == "master"


_ONE_DAILY = [BUILD_NAMES[0], *(pytest.param(name, marks=pytest.mark.long) for name in BUILD_NAMES[1:])]


@pytest.mark.parametrize("build_name", _ONE_DAILY)
def test_a_play_that_breaks_off_leaves_the_old_data(
    build_name: str, make_server: MakeServer, tmp_path: Path, state: Path
) -> None:
    """Killed in the middle of the transfer: the server goes on with its old data, and the next run ends it well."""
    build = build_named(build_name)
    donor = make_server(build)
    _fill(donor)
    backup = back_up(donor, tmp_path / "large", values={})
    donor.destroy()
    server = make_server(build, conf={"appendonly": "yes"})
    old = fill_with_old_data(server.client())
    restore = LiveRestore(server, backup, state)
    restore.step("staged")
    client = server.client()
    kill_when("redis_restore", restore.request("active"), lambda: client.info("replication")["role"] == "slave")
    wait_for(lambda: not client.info("persistence")["loading"], "the server to have ended its load")
    info = client.info("replication")
    keys = keys_of(server)
    assert keys in (len(old), backup.made["keys"]) and info["role"] == "slave", (keys, info)
    instance = {**server.connection, "name": TARGET, "state_dir": str(state), "executable": str(build.executable)}
    login = {name: value for name, value in instance.items() if name != "name"}
    asked = {**login, "instance": TARGET, "repositories": [dict(backup.repository)]}
    found = run_module("redis_assess", asked)
    assert found["open_live"]["mend"] == "rolled_back" and not found["healthy"], found
    assert "read-only replica of a task that has ended" in found["damage"][0]["says"]
    variables = {
        "redis_disaster_recovery_repositories": [dict(backup.repository)],
        "redis_disaster_recovery_report_dir": str(tmp_path / "reports"),
        "redis_common_install": False,
        "redis_become": False,
    }
    inventory = {"redis": {"hosts": {"managed": {"redis_instances": [instance]}}}}
    result = run_playbook("globalscope.redis_backup.disaster_recovery", inventory, variables).ok()
    assert "nothing is lost" in result.stdout, result.stdout
    restore.assert_over(old)
    assert run_module("redis_assess", asked)["open_live"] is None


def _fill(server: RedisProcess) -> None:
    client = server.client()
    for start in range(0, 300000, 10000):
        client.mset({f"new:{n}": "x" * 100 for n in range(start, start + 10000)})


def _refusal(restore: LiveRestore, step: str, words: str, **params: Any) -> None:
    with pytest.raises(ModuleFailed, match=words) as failure:
        restore.step(step, **params)
    assert_told(failure.value.msg)


def test_what_a_failure_would_cost_is_refused(
    target: RedisProcess, backup: Backup, state: Path, old: Values, tmp_path: Path
) -> None:
    restore = LiveRestore(target, backup, state)
    client = target.client()
    watcher = client.pubsub()
    watcher.subscribe("__sentinel__:hello")
    watcher.get_message(timeout=5)
    _refusal(restore, "staged", "watched by 1 Sentinels")
    watcher.close()
    wait_for(lambda: not client.pubsub_numsub("__sentinel__:hello")[0][1], "the watcher to be gone")
    wrong = build_named("redis-8.2") if target.build.version < (8,) else build_named("redis-7.0")
    _refusal(restore, "staged", "no program of", executable=str(wrong.executable))
    _refusal(restore, "active", "nothing is staged")
    _refusal(restore, "committed", "no live restore")
    restore.step("staged")
    _refusal(restore, "active", "memory_limit_mb allows", memory_limit_mb=1)
    client.config_set("maxmemory", "1mb")
    _refusal(restore, "active", "keys would be evicted")
    client.config_set("maxmemory", "0")
    # An address at which nobody reaches this host: the server is a primary again, whatever was begun.
    _refusal(restore, "active", "has not connected", announce_host="192.0.2.1", wait_timeout=1)
    restore.assert_over(old)
    _refusal(restore, "active", "no port", listen_ports="many")
    busy = target.port
    _refusal(restore, "active", "no port of", listen_ports=str(busy))
    restore.assert_over(old)
    client.execute_command("REPLICAOF", "127.0.0.1", busy + 1)
    _refusal(restore, "active", "is a replica")
    client.execute_command("REPLICAOF", "NO", "ONE")
    restore.step("active")
    restore.step("committed")
    restore.assert_over(backup.values)


RIGHTS = (
    "+ping +info +time +config|get +config|set +replicaof +psync +replconf +pubsub|numsub +bgsave +bgrewriteaof"
)


@pytest.mark.long
def test_the_rights_that_it_takes(target: RedisProcess, backup: Backup, state: Path, old: Values) -> None:
    """As the guide lists them; one that is missing is told before anything is changed."""
    subcommand = target.build.version >= (7,)
    words = RIGHTS if subcommand else RIGHTS.replace("|numsub", "")
    client = target.client()
    client.execute_command("ACL", "SETUSER", "live", "on", ">secret", "-@all", *words.split())
    restore = LiveRestore(target, backup, state, login_user="live", login_password="secret")
    restore.step("staged")
    for missing, told in (("replicaof", "replicaof"), ("config|set", "config"), ("psync", "psync")):
        client.execute_command("ACL", "SETUSER", "live", f"-{missing}")
        with pytest.raises(ModuleFailed) as failure:
            restore.step("active")
        assert told in failure.value.msg.lower(), failure.value.msg
        assert client.info("replication")["role"] == "master"
        client.execute_command("ACL", "SETUSER", "live", f"+{missing}")
        restore.step("rolled_back")
        restore.assert_over(old)
        restore.step("staged")
    restore.step("active")
    restore.step("committed")
    restore.assert_over(backup.values)


def test_a_node_of_a_cluster_is_refused(make_server: MakeServer, any_build: Build, backup: Backup, state: Path) -> None:
    node = make_cluster(make_server, any_build, primaries=1)[0]
    with pytest.raises(ModuleFailed, match="cluster mode") as failure:
        LiveRestore(node, backup, state).step("staged")
    assert_told(failure.value.msg)


def test_no_backup_of_what_is_not_proven(target: RedisProcess, backup: Backup, state: Path, tmp_path: Path) -> None:
    restore = LiveRestore(target, backup, state)
    restore.step("staged")
    restore.step("active")
    request = {**target.connection, "instance": TARGET, "state_dir": str(state)}
    request["repositories"] = [{"name": "other", "path": str(tmp_path / "other"), "create": True}]
    with pytest.raises(ModuleFailed, match="not proven yet") as failure:
        run_module("redis_backup", request)
    assert_told(failure.value.msg)
    restore.step("committed")
    assert run_module("redis_backup", request)["changed"]


@pytest.mark.parametrize("build_name", _ONE_DAILY)
def test_the_archive_of_the_target_begins_anew(
    build_name: str, make_server: MakeServer, backups: Backups, state: Path, tmp_path: Path
) -> None:
    """What was archived before goes on to nothing: the files behind the exchange are of other data."""
    build = build_named(build_name)
    server = make_server(build, conf=with_aof(build))
    archived = Archived(server, tmp_path)
    fill_with_old_data(server.client())
    run_module("redis_aof_archive", archived.params)
    LiveRestore(server, backups.of(build), state).whole()
    server.client().set("written", "behind")
    wait_for_aof(server.client())
    final = run_module("redis_aof_archive", archived.params)["archive"]
    assert any("was exchanged" in gap["reason"] for gap in final["gaps"]), final
    assert all(len(chain.epochs) == 1 for chain in archived.coverage().chains)


_STRANGERS = """
import socket, sys, time

words = {
    "silent": b"",
    "garbage": b"\\x16\\x03\\x01GET / HTTP/1.1\\r\\n\\r\\n",
    "endless": b"*99999999999\\r\\n$99999999\\r\\n",
    "psync": b"*3\\r\\n$5\\r\\nPSYNC\\r\\n$40\\r\\nREPLID\\r\\n$1\\r\\n1\\r\\n",
}
words["password"] = b"*2\\r\\n$4\\r\\nAUTH\\r\\n$5\\r\\nguess\\r\\n" + words["psync"]
port, replid = int(sys.argv[1]), sys.argv[2].encode()
links = []
deadline = time.monotonic() + 60
while not links and time.monotonic() < deadline:
    try:
        links.append((socket.create_connection(("127.0.0.1", port)), words.pop("garbage")))
    except OSError:
        continue
links += [(socket.create_connection(("127.0.0.1", port)), each) for each in words.values()]
for link, said in links:
    link.sendall(said.replace(b"REPLID", replid))
for link, _said in links:
    link.settimeout(30)
    got = b""
    try:
        while data := link.recv(1000):
            got += data
    except OSError:
        pass
    print(got)
"""


@pytest.mark.parametrize("build_name", ["redis-7.0", pytest.param("redis-6.2", marks=pytest.mark.long)])
def test_a_moment_out_of_the_archive(
    build_name: str, make_server: MakeServer, backup: Backup, state: Path, tmp_path: Path
) -> None:
    build = build_named(build_name)
    archived = Archived(make_server(build, conf=with_aof(build)), tmp_path)
    values = fill_with_old_data(archived.server.client())
    archived.all()
    archived.server.client().flushall()
    server = make_server(build)
    server.client().set("wrong", "data")
    where = {"name": "test", "path": str(archived.repository)}
    restore = LiveRestore(server, backup, state, repository=where, source_instance=INSTANCE, label=None, at="latest")
    assert restore.whole()["source"]["kind"] == "archive"
    restore.assert_over(values)


def test_nobody_else_gets_the_data(target: RedisProcess, backup: Backup, state: Path) -> None:
    """Who connects to the port that is listened on and is not the target gets nothing, and does no harm."""
    restore = LiveRestore(target, backup, state)
    restore.step("staged")
    port = free_port()
    replid = target.client().info("replication")["master_replid"]
    spy = subprocess.Popen([sys.executable, "-c", _STRANGERS, str(port), replid], stdout=subprocess.PIPE, text=True)
    result = restore.step("active", listen_ports=str(port))
    assert result["restore"]["state"] == "active"
    told = spy.communicate(timeout=60)[0]
    assert "FULLRESYNC" not in told and "REDIS0" not in told
    restore.step("committed")
    restore.assert_over(backup.values)


def test_a_target_that_replicates_by_tls(make_server: MakeServer, backups: Backups, state: Path) -> None:
    """The player shows the certificate of the connection; without one, the target is refused."""
    build = build_named("redis-7.0")
    if b"tls" not in build.executable.read_bytes() or not shutil.which("openssl"):
        pytest.skip("no server with TLS, or no openssl here")
    server = make_server(build, start=False)
    cert, key = server.directory / "cert.pem", server.directory / "key.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*words, "-out", cert, "-keyout", key], check=True, capture_output=True)
    lines = [f"tls-port {free_port()}", "tls-replication yes", f"tls-cert-file {cert}", f"tls-key-file {key}"]
    with server.conf_path.open("a") as conf:
        conf.write("\n".join([*lines, f"tls-ca-cert-file {cert}", ""]))
    server.start()
    old = fill_with_old_data(server.client())
    restore = LiveRestore(server, backups.of(build), state)
    restore.step("staged")
    _refusal(restore, "active", "replicates by TLS")
    restore.assert_over(old)
    restore.params.update(client_cert_file=str(cert), client_key_file=str(key))
    restore.whole()
    restore.assert_over(backups.of(build).values)


def _instants(long: bool, count: int, parts: int) -> list[int]:
    """Which of the changes to the folder of the restore are instants to be killed at: all, or so many."""
    return list(range(1, count + 1)) if long else [count * part // (parts + 1) for part in range(1, parts + 1)]


_USUAL_DAILY = [
    pytest.param(name, marks=() if name == "redis-7.0" else pytest.mark.long) for name in BUILD_NAMES
]


@pytest.mark.parametrize("build_name", _USUAL_DAILY)
def test_killed_at_any_instant_it_ends_well(
    build_name: str, make_server: MakeServer, backups: Backups, tmp_path: Path, long: bool
) -> None:
    """SIGKILL before a change to the journal; then forward, or back; or after a crash of the server as well."""
    build = build_named(build_name)
    server, backup = make_server(build, conf={"appendonly": "yes", "save": "3600 1"}), backups.of(build)
    old = fill_with_old_data(server.client())
    probe = LiveRestore(server, backup, tmp_path / "probe")
    probe.step("staged")
    changes = watch("redis_restore", probe.request("active"), [probe.seat]).changes
    probe.step("rolled_back")
    probe.assert_over(old)
    ways = ["forward", "back", "crash"]
    for turn, number in enumerate(_instants(long, len(changes), 3)):
        way = ways[turn % 3]
        restore = LiveRestore(server, backup, tmp_path / f"state{number}")
        restore.step("staged")
        kill_at_change("redis_restore", restore.request("active"), [restore.seat], number)
        if way == "crash":
            server.kill()
            server.start()
        held = keys_of(server)
        assert held in (len(old), len(backup.values)), f"{number}: {changes[number - 1]}"
        if way == "back":
            restore.step("rolled_back")
        else:
            restore.step("staged")
            restore.step("active")
            restore.step("committed")
            restore.assert_over(backup.values)
            back = LiveRestore(server, backup, tmp_path / f"state{number}", repository=None, label=None)
            assert back.step("rolled_back")["changed"] is False
            server.client().flushall()
            fill_with_old_data(server.client())
        restore.assert_over(old)


def test_killed_before_it_was_proven(target: RedisProcess, backup: Backup, tmp_path: Path, old: Values) -> None:
    """What was laid ready, and not proven, is proven before it is played."""
    probe = LiveRestore(target, backup, tmp_path / "probe")
    changes = watch("redis_restore", probe.request("staged"), [probe.state]).changes
    assert "journal.json" in changes[-1]
    restore = LiveRestore(target, backup, tmp_path / "state")
    kill_at_change("redis_restore", restore.request("staged"), [restore.state], len(changes))
    assert restore.step("active")["changed"]
    restore.step("committed")
    restore.assert_over(backup.values)


def test_killed_while_it_is_rolled_back(
    make_server: MakeServer, any_build: Build, backup: Backup, tmp_path: Path, long: bool
) -> None:
    server = make_server(any_build, conf={"appendonly": "yes"})
    old = fill_with_old_data(server.client())
    probe = LiveRestore(server, backup, tmp_path / "probe")
    probe.step("staged")
    probe.step("active")
    changes = watch("redis_restore", probe.request("rolled_back"), [probe.seat]).changes
    probe.assert_over(old)
    for number in _instants(long, len(changes), 1):
        restore = LiveRestore(server, backup, tmp_path / f"state{number}")
        restore.step("staged")
        restore.step("active")
        kill_at_change("redis_restore", restore.request("rolled_back"), [restore.seat], number)
        restore.step("rolled_back")
        restore.assert_over(old)


def test_the_role_restores_live(target: RedisProcess, backup: Backup, state: Path, old: Values) -> None:
    """No service and no start command: nothing is stopped. What does not verify is rolled back."""
    executable = str(target.build.executable)
    instance = {**target.connection, "name": TARGET, "state_dir": str(state), "executable": executable}
    inventory = {"redis": {"hosts": {"managed": {"redis_instances": [instance]}}}}
    variables = {
        "redis_restore_repositories": [dict(backup.repository)],
        "redis_restore_source_instance": SOURCE,
        "redis_restore_method": "replication",
        "redis_become": False,
    }
    first = run_id(target)
    failed = run_playbook(
        "globalscope.redis_backup.restore",
        inventory,
        {**variables, "redis_restore_expect": {"present": ["no such key"]}},
    )
    assert failed.rc != 0
    assert "rolled back" in failed.stdout, failed.stdout
    assert differences(old, snapshot_values(target.client())) == []
    run_playbook("globalscope.redis_backup.restore", inventory, variables).ok()
    assert run_id(target) == first
    assert_holds(target, backup.values)
