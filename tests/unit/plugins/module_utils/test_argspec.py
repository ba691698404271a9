# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From options to values."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils import _argspec, _argspec_repository
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import ProgramError, RedisBackupError

SPEC = _argspec.connection_spec(lambda *_names: None)
PARAMS: dict[str, Any] = {name: option.get("default") for name, option in SPEC.items()}


def test_secrets_are_marked() -> None:
    assert SPEC["login_password"]["no_log"] is True
    assert SPEC["login_password"]["fallback"][1] == ["REDIS_BACKUP_LOGIN_PASSWORD"]


def test_login() -> None:
    login = _argspec.login_of({**PARAMS, "login_port": 1, "command_map": {"CONFIG": "hidden"}, "login_password": "x"})
    assert (login.host, login.port, login.password, login.tls, login.validate_certs) == (
        "127.0.0.1",
        1,
        "x",
        False,
        True,
    )
    assert login.command_map == {"config": "hidden"}


def test_place() -> None:
    place = _argspec.place_of({**PARAMS, "instance": "db", "data_dir": "/srv/redis/"})
    assert (place.name, place.data_dir, place.config_file, place.service) == ("db", "/srv/redis", "", "")
    assert _argspec.place_of(PARAMS).name.endswith("-6379")


def test_stores() -> None:
    entry = {"name": "a", "type": "posix", "path": "/a", "create": False}
    stores = _argspec_repository.stores_of({"repositories": [entry, {**entry, "name": "b"}]})
    assert [store.name for store in stores] == ["a", "b"]
    for entries in ([], None, [entry, entry]):
        with pytest.raises(RedisBackupError, match="each name once"):
            _argspec_repository.stores_of({"repositories": entries})


def test_packing() -> None:
    for encryption, recipients in (({"recipients": ["age1x"]}, ("age1x",)), ({"recipients": None}, ()), (None, ())):
        packing = _argspec_repository.packing_of({"encryption": encryption, "compression": {"level": 3}})
        assert (packing.level, packing.recipients) == (3, recipients)


def test_merged() -> None:
    assert _argspec.merged({"a": 1, "b": 1}, {"b": 2}) == {"a": 1, "b": 2}


def test_errors_reach_an_operator_as_one_paragraph() -> None:
    said: list[dict[str, Any]] = []

    def fail(**result: Any) -> None:
        said.append(result)

    with _argspec.told(fail):
        raise ProgramError("zstd is missing", hint="Install it", missing_program="zstd")
    with _argspec.told(fail):
        raise PermissionError(13, "Permission denied", "/srv/x")
    with pytest.raises(KeyError), _argspec.told(fail):
        raise KeyError
    with _argspec.told(fail):
        pass
    assert said[0] == {"msg": "zstd is missing. Install it.", "missing_program": "zstd"}
    assert said[1]["msg"].startswith("/srv/x: Permission denied")
    assert len(said) == 2


def test_the_paragraph_names_the_instance_and_what_is_untouched() -> None:
    said: list[str] = []

    def fail(msg: str) -> None:
        said.append(msg)

    for error in (RedisBackupError("it broke"), RedisBackupError("db is down", untouched="Nothing was changed")):
        with _argspec.told(fail, "db", "The data was not touched"):
            raise error
    assert said == ["db: it broke. The data was not touched.", "db is down. Nothing was changed."]
