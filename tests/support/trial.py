# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of redis_config on one redis.conf, and all that must hold before, behind and beside it.

What a value is called comes from a server that was given it without the collection (support.reference). Which lines
may change is decided here, with a reading of the file that is not the collection's.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from support.confs import Conf, ConfServer, config_of, once
from support.directives import Directive, Wish
from support.modules import run_module
from support.reference import Reference
from support.untouched import tree

# Where a server lies, not what it does: given on the command line, and different for each server.
PLACES = {"bind", "port", "dir", "logfile", "pidfile", "daemonize", "unixsocket"}
# Lines of which the diff may show nothing.
_SECRET = ("masterauth", "primaryauth", "requirepass", "user", "rename-command", "-pass")


@dataclass(frozen=True)
class Wanted:
    """One directive of the settings: the name it is given by, its wish, and what a server calls the value."""

    row: Directive
    name: str
    wish: Wish
    canonical: str


def names_in(text: bytes) -> list[str]:
    """The directive of each line; empty for a comment or a blank line."""
    found = []
    for line in text.split(b"\n"):
        match = re.match(rb"[\s\0]*[\"']?([\w-]+)", line)
        found.append(match[1].decode().lower() if match else "")
    return found


def unconcerned(text: bytes, names: set[str]) -> bytes:
    """The lines, with their ends, that are of none of these directives."""
    lines = text.split(b"\n")
    ends = [b"\n"] * (len(lines) - 1) + [b""]
    return b"".join(line + end for line, end, name in zip(lines, ends, names_in(text)) if name not in names)


def without_last_newline(text: bytes) -> bytes:
    return re.sub(rb"\r?\n\Z", b"", text)


def owners(directory: Path) -> dict[str, tuple[int, int, int]]:
    """Type with mode, and owners, of everything below the directory."""
    found = {path: path.lstat() for path in directory.rglob("*")}
    return {str(path.relative_to(directory)): (stat.st_mode, stat.st_uid, stat.st_gid) for path, stat in found.items()}


def texts(directory: Path) -> dict[str, bytes]:
    """The content of every file below the directory."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


class Trial:
    """One redis.conf, one server (running or not), one set of wishes."""

    def __init__(self, reference: Reference, conf: Conf, wanted: list[Wanted], *, running: bool) -> None:
        self.reference, self.wanted, self.running = reference, wanted, running
        self.build = reference.build
        self.root = Path(tempfile.mkdtemp(prefix="redis-backup-test-"))
        self.server = ConfServer(self.build, self.root / "server", conf)
        self.etc = self.server.conf_path.parent
        if not running:
            self._be_absent()
        self.all_names = {name for want in wanted for name in want.row.names}
        # Filled by `prove`: values, files and owners at the start, and the rows that wait for a restart.
        self.before: dict[str, str] = {}
        self.old: dict[str, bytes] = {}
        self.owned: dict[str, tuple[int, int, int]] = {}
        self.pending: set[str] = set()

    def close(self) -> None:
        self.server.destroy()
        shutil.rmtree(self.root)

    def prove(self) -> None:
        """Everything: foreseen in check mode, done, nothing else touched, met by a fresh server, done only once."""
        if self.running:
            self.server.start()
            self._fill()
        self.before = self._live() if self.running else once(self.build, self.server.conf_path)
        self.old, self.owned = texts(self.etc), owners(self.etc)
        if self.running:
            self.pending = {
                str(want.row)
                for want in self.wanted
                if str(want.row) not in self.reference.runtime and self.before[self._key(want)] != want.canonical
            }

        foreseen = self._check_mode_changes_nothing()
        done = self._module()
        new = texts(self.etc)
        self._result_is_as_foreseen(done, foreseen)
        self._drift_is_told(done)
        self._diff_is_the_change(done, new)
        self._copy_is_kept(done)
        self._other_lines_are_untouched(new)
        if self.running:
            self._server_has_the_wishes()
        self._restart_is_told(done)
        self._fresh_server_has_the_wishes()
        self._second_run_changes_nothing(new)

    # --- hands ---

    def _be_absent(self) -> None:
        """Let redis.conf name a port at which nobody is met: 6379 may be in use here."""
        self.server.port = random.randrange(30_000, 32_000)
        text, line = self.server.conf_path.read_bytes(), b"port %d" % self.server.port
        changed, found = re.subn(rb"(?m)^port \d+", line, text)
        self.server.conf_path.write_bytes(changed if found else line + b"\n" + text)

    def _module(self, **options: Any) -> dict[str, Any]:
        params: dict[str, Any] = {
            **self.server.connection,
            "executable": str(self.build.executable),
            "state_dir": str(self.root / "state"),
            "settings": {want.name: want.wish.yaml for want in self.wanted},
        }
        if not self.running:
            params.update(config_file=str(self.server.conf_path), data_dir=str(self.server.data_dir))
        return run_module("redis_config", params, diff=True, **options)

    def _live(self) -> dict[str, str]:
        with self.server.client() as client:
            return config_of(client)

    def _fill(self) -> None:
        """A few keys, where the server takes any."""
        with self.server.client() as client:
            for number in range(20):
                try:
                    client.set(f"key:{number}", "value")
                except redis.ResponseError:  # a replica, a node without slots
                    return

    def _key(self, want: Wanted) -> str:
        return self.reference.names(want.row)[0]

    # --- what must hold ---

    def _check_mode_changes_nothing(self) -> dict[str, Any]:
        files, values = tree(self.etc), self._live() if self.running else {}
        foreseen = self._module(check=True)
        assert tree(self.etc) == files
        assert not self.running or self._live() == values
        assert not (self.root / "state").exists()
        return foreseen

    def _result_is_as_foreseen(self, done: dict[str, Any], foreseen: dict[str, Any]) -> None:
        for name in ("changed", "drift", "diff", "restart_required", "restart_reasons", "deferred"):
            assert done[name] == foreseen[name], name
        assert done["actions"] == [words.removeprefix("would ") for words in foreseen["actions"]]
        assert done["changed"] == bool(done["actions"])
        assert done["state"] == ("running" if self.running else "down")
        assert done["config_file"] == str(self.server.conf_path.resolve())
        assert not done["deferred"]
        words = json.dumps({**done, "invocation": None}, ensure_ascii=False)
        secrets = [want.wish.text for want in self.wanted if want.row.secret and want.wish.text]
        assert not [text for text in secrets if len(text) > 6 and json.dumps(text, ensure_ascii=False)[1:-1] in words]

    def _drift_is_told(self, done: dict[str, Any]) -> None:
        told = {found["directive"]: found for found in done["drift"]}
        assert len(told) == len(done["drift"])
        written = {name for text in self.old.values() for name in names_in(text)}
        for want in self.wanted:
            was = self.before[self._key(want)]
            (found,) = [told.pop(name) for name in want.row.names if name in told] or [None]
            assert found is not None or was == want.canonical, f"{want} is not told: {was}"
            if found is None:
                continue
            values = {"wanted": want.canonical, "running": was if self.running else None}
            if want.row.secret:
                values = {name: value and "(hidden)" for name, value in values.items()}
                assert found["in_file"] in ("(hidden)", "", None)
            assert {name: found[name] or None for name in values} == {n: value or None for n, value in values.items()}
            assert (found["in_file"] is not None) == bool(written.intersection(want.row.names)), found
        assert not told

    def _diff_is_the_change(self, done: dict[str, Any], new: dict[str, bytes]) -> None:
        """Of redis.conf, line by line but for those that hold, or may hold, a secret."""
        for side, files in (("before", self.old), ("after", new)):
            shown = done["diff"][side].split("\n")
            expected = files["redis.conf"].decode("utf-8", "backslashreplace").split("\n")
            assert len(shown) == len(expected)
            for mine, theirs in zip(shown, expected):
                if mine.startswith("# not shown: "):
                    assert any(name in theirs.lower() for name in _SECRET), theirs
                elif theirs.startswith("user "):
                    assert mine.split() == [word for word in theirs.split() if word[0] not in "<>#!"]
                else:
                    assert re.sub(r"[^ -~]+", "?", mine) == re.sub(r"[^ -~]+", "?", theirs)

    def _copy_is_kept(self, done: dict[str, Any]) -> None:
        if done["backup_file"]:
            assert Path(done["backup_file"]).read_bytes() == self.old["redis.conf"]
            assert Path(done["backup_file"]).stat().st_mode & 0o077 == 0
        else:
            assert texts(self.etc) == self.old

    def _other_lines_are_untouched(self, new: dict[str, bytes]) -> None:
        assert owners(self.etc) == self.owned
        for name, text in self.old.items():
            before, after = unconcerned(text, self.all_names), unconcerned(new[name], self.all_names)
            if not text.endswith(b"\n"):
                before, after = without_last_newline(before), without_last_newline(after)
            assert before == after, name

    def _server_has_the_wishes(self) -> None:
        live = self._live()
        for want in self.wanted:
            expected = self.before[self._key(want)] if str(want.row) in self.pending else want.canonical
            assert live[self._key(want)] == expected, want
        self._no_other_value_moved(live)
        with self.server.client() as client:
            assert self.server.pid == client.info("server")["process_id"]
            if self.before["unixsocket"]:
                with redis.Redis(unix_socket_path=self.before["unixsocket"], protocol=2) as other:
                    assert self.server.pid == other.info("server")["process_id"]

    def _restart_is_told(self, done: dict[str, Any]) -> None:
        assert bool(self.pending) == done["restart_required"], done["restart_reasons"]
        named = [reason.partition(":")[0] for reason in done["restart_reasons"]]
        rows = [str(want.row) for name in named for want in self.wanted if name in want.row.names]
        assert len(rows) == len(named), f"more than was wished: {named}"
        assert set(rows) == self.pending

    def _fresh_server_has_the_wishes(self) -> None:
        fresh = once(self.build, self.server.conf_path)
        for want in self.wanted:
            assert fresh[self._key(want)] == want.canonical, want
        self._no_other_value_moved(fresh)

    def _no_other_value_moved(self, after: dict[str, str]) -> None:
        others = self.before.keys() - self.all_names - PLACES
        assert {name: after[name] for name in others} == {name: self.before[name] for name in others}

    def _second_run_changes_nothing(self, new: dict[str, bytes]) -> None:
        again = self._module()
        assert not again["changed"], again["actions"]
        assert not again["actions"]
        assert texts(self.etc) == new
        assert again["backup_file"] is None
        assert again["diff"]["before"] == again["diff"]["after"]
        drifting = [found["directive"] for found in again["drift"]]
        left = {str(want.row) for name in drifting for want in self.wanted if name in want.row.names}
        assert left <= self.pending, again["drift"]
        assert len(drifting) == len(left)
        self._restart_is_told(again)
