# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server itself says about directives: it knows them or not, takes them at run time or not, calls a value so.

The measure of the tests of redis_config. No code of the collection takes part.
"""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path

import redis

from support.confs import ConfServer, config_of
from support.directives import TABLE, Directive, Wish
from support.servers import Build


class Reference:
    """A running server of one build with default settings, and others that are started for a moment."""

    def __init__(self, build: Build) -> None:
        self.build = build
        self._root = Path(tempfile.mkdtemp(prefix="redis-backup-test-"))
        self._server = ConfServer(build, self._root / "reference", b"").start()
        self._client = self._server.client()
        self.defaults = config_of(self._client)
        self._started = 0
        self.by_start = functools.cache(self._by_start)
        self.runtime = {str(row) for row in self.known if self._settable(self.names(row)[0])}

    def close(self) -> None:
        """End the server."""
        self._client.close()
        self._server.destroy()
        shutil.rmtree(self._root)

    @functools.cached_property
    def known(self) -> list[Directive]:
        """The rows of the table of which the server knows a name."""
        return [row for row in TABLE if self.names(row)]

    def names(self, row: Directive) -> list[str]:
        """The names of a directive under which the server knows it."""
        return [name for name in row.names if name in self.defaults]

    def _settable(self, name: str) -> bool:
        try:
            self._client.execute_command("CONFIG", "SET", name, self.defaults[name])
        except redis.ResponseError as error:
            words = str(error)
            if "immutable" in words or "Unsupported CONFIG parameter" in words or "protected config" in words:
                return False
            raise
        return True

    def canonical(self, row: Directive, wish: Wish) -> str:
        """What CONFIG GET answers on a server that has the wish. Raises redis.ResponseError when it refuses it."""
        name = self.names(row)[0]
        if wish.text is None:
            return self.defaults[name]
        if str(row) not in self.runtime:
            return self.by_start(name, wish.text)
        self._client.execute_command("CONFIG", "SET", name, wish.text)
        found = config_of(self._client, name)[name]
        self._client.execute_command("CONFIG", "SET", name, self.defaults[name])
        return found

    def _by_start(self, name: str, text: str) -> str:
        """CONFIG GET on a server that was started with the value. Raises ServerFailed."""
        self._started += 1
        value = "".join(f"\\x{byte:02x}" for byte in text.encode())
        server = ConfServer(self.build, self._root / str(self._started), f'{name} "{value}"\n'.encode())
        try:
            with server.start().client() as client:
                return config_of(client, name)[name]
        finally:
            server.destroy()
