# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks export and import as an operator runs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.dataset import load_multiframe
from support.fleets import table, told
from support.machine import AgeKey
from support.servers import Build, RedisProcess
from support.sites import Site
from support.values import Values, differences, snapshot_values

EXPORTS = [
    {"name": "drivers", "patterns": ["driver:*"]},
    {"name": "users", "patterns": ["user:*"], "schedule": "daily", "format": "dump"},
    {"name": "all", "schedule": "monthly"},
]


@pytest.fixture
def site(any_build: Build, make_server: Any, tmp_path: Path, age_key: AgeKey) -> Site:
    """A site with a little data of every type."""
    found = Site(make_server(any_build), tmp_path, age_key)
    load_multiframe(found.server.client(), users=50, drivers=20)
    return found


def export(site: Site, extra: dict[str, Any] | None = None, **options: Any) -> Any:
    return site.play("export", {"redis_backup_exports": EXPORTS, **(extra or {})}, **options)


def exported(site: Site) -> dict[str, dict[str, Any]]:
    """The manifests by the exports' names."""
    found = [json.loads(path.read_text()) for path in site.repository.glob("*/export/*/manifest.json")]
    return {each["export"]["name"]: each for each in found}


def parted(values: Values) -> tuple[Values, Values]:
    """The drivers, and everything else."""
    drivers = {at: value for at, value in values.items() if at[1].startswith(b"driver:")}
    return drivers, {at: value for at, value in values.items() if at not in drivers}


def delete_drivers(server: RedisProcess) -> int:
    client = server.client()
    names = list(client.scan_iter("driver:*"))
    return int(client.delete(*names))


def test_what_is_due_is_exported_and_put_back(site: Site, tmp_path: Path) -> None:
    """By class; then the drivers that somebody deleted, and nothing else. The identity leaves no trace."""
    dry = export(site, check=True).ok()
    assert dry.changed == 1 and exported(site) == {}
    assert table(dry)[0] == "1 instance, 3 would be exported"
    first = site.play(
        "globalscope.redis_backup.export",
        {"redis_backup_exports": EXPORTS, "redis_backup_export_schedule": "daily"},
    ).ok()
    made = exported(site)
    assert sorted(made) == ["drivers", "users"] and made["users"]["export"]["format"] == "dump"
    assert table(first)[0].startswith("1 instance, 2 exported, ") and made["drivers"]["keys"]["total"] >= 20
    (row,) = [each for each in table(first) if made["drivers"]["label"] in each]
    assert row.split()[1:4] == ["exported", made["drivers"]["label"], str(made["drivers"]["keys"]["total"])]
    assert "NOT encrypted" not in told(first)

    before = snapshot_values(site.server.client())
    assert delete_drivers(site.server) == made["drivers"]["keys"]["total"]
    secret = {
        "redis_restore_import_name": "drivers",
        "redis_restore_identities": [],
        "redis_restore_identity": site.key.identity.read_text(),
        "redis_common_tmpfs": str(tmp_path),
    }
    total, label = made["drivers"]["keys"]["total"], made["drivers"]["label"]
    would = site.play("import", secret, check=True).ok().last("Tell what was imported")["msg"]
    assert f"would import {total} keys out of {label} of multiframe in " in would and "\n" not in would
    assert parted(snapshot_values(site.server.client()))[0] == {}
    result = site.play("globalscope.redis_backup.import", secret).ok()
    assert result.last("Import them")["imported"] == made["drivers"]["keys"]["total"]
    assert differences(before, snapshot_values(site.server.client())) == []
    assert not (tmp_path / "redis_backup-multiframe").exists()
    assert "AGE-SECRET-KEY" not in result.stdout


def test_live_keys_are_replaced_with_the_name_of_the_instance_alone(site: Site) -> None:
    export(site, {"redis_backup_exports": EXPORTS[:1]}).ok()
    before = snapshot_values(site.server.client())
    site.server.client().hset("driver:1", "name", "somebody else")
    site.server.client().delete("driver:2")
    changed = snapshot_values(site.server.client())
    source = {"redis_restore_import_name": "drivers"}
    replacing = {**source, "redis_restore_import_on_conflict": "replace", "redis_restore_import_confirm": "another"}
    refused = site.play("import", replacing)
    assert refused.rc != 0 and "redis_restore_import_confirm=multiframe" in refused.stdout
    assert "19 live keys of multiframe would be replaced" in refused.stdout
    assert differences(changed, snapshot_values(site.server.client())) == []
    site.play("import", {**replacing, "redis_restore_import_confirm": ["multiframe"]}).ok()
    assert differences(before, snapshot_values(site.server.client())) == []


def test_what_expires_and_what_is_missing_is_told(site: Site, tmp_path: Path) -> None:
    """Of a file on the host: what has expired, what may not be there, and the time from which the rest counts."""
    path = tmp_path / "some.jsonl"
    lines = [
        {"db": 0, "key": f"late:{at}", "type": "string", "value": "x", "expire_at_ms": at} for at in (60_000, 70_000)
    ]
    lines.append({"db": 0, "key": "late:never", "type": "string", "value": "x"})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    source = {"redis_restore_import_path": str(path), "redis_restore_import_patterns": ["late:*", "none:*"]}
    refused = site.play("import", source)
    assert refused.rc != 0 and "take an older one" in " ".join(refused.stdout.split())
    allowed = {**source, "redis_restore_import_allow_unmatched": True}
    said = site.play("import", allowed).ok().last("Tell what was imported")["msg"]
    assert f"imported 1 keys out of {path}; 0 were there and stayed; 2 have expired and were left out" in said
    shifted = {
        **allowed,
        "redis_restore_import_on_conflict": "skip",
        "redis_restore_import_ttl_policy": "shift",
        "redis_restore_import_shift_from": "1970-01-01T00:00:00Z",
    }
    said = site.play("import", shifted).ok().last("Tell what was imported")["msg"]
    assert "imported 2 keys" in said and "1 were there and stayed" in said and "expired" not in said


def test_what_fails_is_told_when_all_others_are_done(site: Site) -> None:
    wrong = [{"name": "nobody", "patterns": ["nobody:*"]}, *EXPORTS, {"name": "UPPER"}]
    result = export(site, {"redis_backup_exports": wrong})
    assert result.rc != 0 and sorted(exported(site)) == ["all", "drivers", "users"]
    words = result.last("Fail where not every export was made")["msg"]
    assert "matches nobody:*" in words and "'UPPER' cannot name an export" in words
    assert table(result)[0].startswith("1 instance, 2 FAILED, 3 exported, ")


@pytest.mark.parametrize(
    ("playbook", "extra", "words"),
    [
        ("export", {"redis_backup_exports": EXPORTS[:1] * 2}, "Nothing was exported: give"),
        ("export", {"redis_backup_exports": EXPORTS, "redis_backup_recipients": []}, "Nothing was exported: give"),
        ("import", {"redis_restore_import_path": "/x", "redis_restore_import_name": "x"}, "Nothing was changed: give"),
    ],
)
def test_what_makes_no_sense(site: Site, playbook: str, extra: dict[str, Any], words: str) -> None:
    result = site.play(playbook, extra)
    assert result.rc != 0 and words in " ".join(result.stdout.split())
    assert list(site.repository.iterdir()) == []
