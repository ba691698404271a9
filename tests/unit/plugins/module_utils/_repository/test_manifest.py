# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A manifest is whole or refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import DamagedError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.manifest import (
    FORMAT,
    Manifest,
    open_manifest,
    seal,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.versions import RdbFormat
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.backups import T0, UUID, document
from hypothesis import given
from hypothesis import strategies as st

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=10)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)
RAW = seal(document(annotations={"ticket": "OPS-1", "ä": ["\u2028", 1.5, None]}))


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=5))
def test_what_is_sealed_opens_unchanged(annotations: dict[str, Any]) -> None:
    said = document(annotations=annotations)
    found = open_manifest(seal(said), "x").document
    assert {name: found[name] for name in said} == said
    assert found["format"] == FORMAT


@given(st.integers(0, len(RAW) - 1), st.integers(1, 255))
def test_any_changed_byte_is_refused(at: int, change: int) -> None:
    damaged = bytearray(RAW)
    damaged[at] ^= change
    with pytest.raises(DamagedError):
        open_manifest(bytes(damaged), "x")


def test_every_position_is_guarded() -> None:
    for at in range(len(RAW)):
        for damaged in (RAW[:at] + bytes([RAW[at] ^ 1]) + RAW[at + 1 :], RAW[:at], RAW[:at] + b" " + RAW[at:]):
            with pytest.raises(DamagedError):
                open_manifest(damaged, "x")


@given(st.binary(max_size=100))
def test_any_bytes_are_refused_in_words(raw: bytes) -> None:
    with pytest.raises(DamagedError, match=r"^the manifest x is damaged"):
        open_manifest(raw, "x")


@given(st.sampled_from([*document(), "format"]), JSON)
def test_sealed_nonsense_is_refused_in_words_or_read(name: str, value: Any) -> None:
    said = document(**{name: value})
    try:
        found = open_manifest(seal(said), "x")
    except DamagedError:
        return
    assert isinstance(found.snapshot_time, float)
    assert all(isinstance(count, int) for count in (found.keys, found.expires, found.rdb_format.version))
    assert all("/" not in file.name and file.name not in ("", ".", "..") for file in found.files)


@pytest.mark.parametrize("name", ["../x", "..", ".", "", "a/b", ".hidden", "x\n"])
def test_names_that_are_no_names(name: str) -> None:
    """A copy that is packed anew is named by its content."""
    for key in ("name", "content"):
        said = document()
        said["files"][0][key] = name
        with pytest.raises(DamagedError, match="is no manifest of this collection"):
            open_manifest(seal(said), "x")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("dump.rdb.zst", "other"),
        ("other", "dump.rdb"),
        ("manifest.json", "other"),
        ("SHA256SUMS", "other"),
        ("acknowledged.json", "other"),
    ],
)
def test_two_files_of_one_name(name: str, content: str) -> None:
    said = document()
    said["files"].append({**said["files"][0], "name": name, "content": content})
    with pytest.raises(DamagedError, match="two of its files have one name"):
        open_manifest(seal(said), "x")


@pytest.mark.parametrize("name", ["label", "uuid", "server", "keys", "files", "snapshot_time"])
def test_missing_fields_are_named(name: str) -> None:
    said = document()
    del said[name]
    with pytest.raises(DamagedError, match=name):
        open_manifest(seal(said), "x")


@pytest.mark.parametrize(
    "over",
    [
        {"keys": {"total": 10**400, "expires": 0}},
        {"keys": {"total": 1, "expires": 0, "databases": {"db0": 5}}},
        {"keys": {"total": 1, "expires": 0, "databases": {"db0": {"keys": 1}}}},
        {"duration_s": "x"},
        {"duration_s": float("nan")},
        {"duration_s": -1},
        {"encryption": "age"},
        {"encryption": {"recipients": 5}},
        {"encryption": {"recipients": [5]}},
        {"compression": [1]},
        {"compression": {"level": "x"}},
        {"server_files": [1]},
        {"server_files": {"kept": 5}},
        {"reencrypted": 5},
        {"snapshot_time": "@99999999999999999"},
    ],
)
def test_what_no_writer_of_ours_says(over: dict[str, Any]) -> None:
    """It would end a catalog, a copy or a verification of all the others with a traceback."""
    with pytest.raises(DamagedError, match="is no manifest of this collection"):
        open_manifest(seal(document(**over)), "x")


def test_nested_without_an_end() -> None:
    with pytest.raises(DamagedError, match="it is no manifest"):
        open_manifest(b"[" * 100_000, "x")


def test_a_serial_that_no_clock_counts_to_is_none() -> None:
    assert open_manifest(seal(document(serial=10**400)), "x").serial == 0


def test_a_newer_format_asks_for_a_newer_collection() -> None:
    with pytest.raises(DamagedError, match=r"has format 2, this version reads up to 1.*Use a newer version"):
        open_manifest(seal(document(format=FORMAT + 1)), "x")


def test_an_edited_manifest_that_still_is_json() -> None:
    edited = json.loads(RAW)
    edited["keys"]["total"] = 1
    with pytest.raises(DamagedError, match="its own SHA-256 does not fit"):
        open_manifest(json.dumps(edited, indent=2, sort_keys=True).encode() + b"\n", "x")


def test_properties() -> None:
    manifest = Manifest(document())
    assert (manifest.instance, manifest.uuid, manifest.engine, manifest.snapshot_time) == ("db-6379", UUID, "rdb", T0)
    assert (manifest.keys, manifest.expires, manifest.encrypted) == (100, 10, False)
    assert manifest.rdb_format == RdbFormat("REDIS", 10)
    rdb = manifest.file("rdb")
    assert rdb is not None and rdb.name == "dump.rdb.zst"
    assert manifest.file("server") is None
    assert Manifest(document(encryption={"program": "age"})).encrypted


@pytest.mark.parametrize(
    ("keys", "passing"),
    [
        ({"total": 100, "expires": 10}, 10),
        ({"total": 100, "expires": 10, "field_ttls": None}, 10),
        ({"total": 100, "expires": 10, "field_ttls": 5}, 15),
        ({"total": 12, "expires": 10, "field_ttls": 5}, 12),
    ],
)
def test_keys_that_may_go_by_themselves(keys: dict[str, Any], passing: int) -> None:
    """A hash goes with its last field."""
    assert Manifest(document(keys=keys)).expires == passing
