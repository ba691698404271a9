# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the rclone store that need no rclone: places, command lines, listings, words for errors, lock names."""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RepositoryError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.open import open_store
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.rclone import stored_object
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.rclone_lock import (
    LockName,
    parse_locks,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.rclone_place import (
    RclonePlace,
    make_place,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.rclone_program import (
    command_line,
    parse_features,
    rclone_environment,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.rclone_words import (
    explain,
    is_not_found,
    last_complaint,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._times import from_iso

# --- places ---


@pytest.mark.parametrize(
    ("remote", "root", "path", "wanted"),
    [
        ("store", "", "", "store:"),
        ("store", "", "a/b", "store:a/b"),
        ("store:", "/srv/redis/", "a/b", "store:/srv/redis/a/b"),
        ("store", "/", "a", "store:/a"),
        ("s3", "bucket/live", "a//b/", "s3:bucket/live/a/b"),
        (":sftp,host=nas,user=redis", "x", "a", ":sftp,host=nas,user=redis:x/a"),
        (':webdav,url="https://nas:8443/":', "x", "", ':webdav,url="https://nas:8443/":x'),
        ("store,chunk_size=16M", "x", "", "store,chunk_size=16M:x"),
    ],
)
def test_full_path(remote: str, root: str, path: str, wanted: str) -> None:
    assert make_place("r", remote, root, None).full(path) == wanted


@pytest.mark.parametrize("path", ["..", "a/../../b"])
def test_no_way_out(path: str) -> None:
    with pytest.raises(RepositoryError, match="leads out"):
        RclonePlace("store:", "x").full(path)
    with pytest.raises(RepositoryError, match=r"holds \.\."):
        make_place("r", "store", path, None)


@pytest.mark.parametrize(
    "remote", ["", ":", "-flag", "::x", "store:folder", "a/b", ":webdav,url=https://nas:8443/:", "a\nb"]
)
def test_no_remote(remote: str) -> None:
    with pytest.raises(RepositoryError):
        make_place("r", remote, "x", None)


@pytest.mark.parametrize(
    "option",
    ["pass", "password2", "key_file_pass", "secret_access_key", "client_secret", "key_pem", "token", "sas_url", "key"],
)
def test_secret_is_refused(option: str) -> None:
    with pytest.raises(RepositoryError, match="holds a secret") as caught:
        make_place("r", f":sftp,host=nas,{option}=hunter2:", "", None)
    assert "hunter2" not in str(caught.value)
    assert "RCLONE_SFTP_PASS" in str(caught.value)


def test_secret_in_an_address_is_refused() -> None:
    with pytest.raises(RepositoryError, match="in an address") as caught:
        make_place("r", ":http,url='https://me:hunter2@nas/':", "", None)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "option", ["key_file", "pubkey_file", "access_key_id", "token_url", "bearer_token_command", "ask_password"]
)
def test_no_secret(option: str) -> None:
    make_place("r", f":sftp,host=nas,{option}=x:", "", None)


def test_opened() -> None:
    store = open_store({"name": "r", "type": "rclone", "remote": "nas", "path": "redis", "config_file": "/etc/r.conf"})
    assert store.where("a") == "repository r (nas:redis/a)"


# --- command lines ---


def test_command_line() -> None:
    place = RclonePlace("nas:", "redis", "/etc/rclone.conf")
    words = command_line(place, "backend features", "--json", targets=(place.full("a"),))
    assert words[:3] == ["backend", "features", "--config=/etc/rclone.conf"]
    assert words[-3:] == ["--json", "--", "nas:redis/a"]
    assert "--ask-password=false" in words
    assert not [word for word in command_line(RclonePlace("nas:"), "cat", targets=("x",)) if "config" in word]


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator's remotes come through; what would make rclone pretend, skip or be silent does not."""
    ours = ("RCLONE_CONFIG_NAS_PASS", "RCLONE_S3_UPLOAD_CONCURRENCY", "RCLONE_CONFIG_PASS")
    for name in ours:
        monkeypatch.setenv(name, "7")
    for name in ("RCLONE_DRY_RUN", "RCLONE_LOG_FILE", "RCLONE_EXCLUDE", "RCLONE_MAX_AGE", "REDIS_BACKUP_X"):
        monkeypatch.setenv(name, "1")
    found = rclone_environment()
    assert [found[name] for name in ours] == ["7"] * 3
    assert not {"RCLONE_DRY_RUN", "RCLONE_LOG_FILE", "RCLONE_EXCLUDE", "RCLONE_MAX_AGE", "REDIS_BACKUP_X"} & set(found)


# --- answers ---


@pytest.mark.parametrize(
    ("time", "wanted"),
    [
        ("2026-11-23T07:22:12.642815641Z", "2026-11-23T07:22:12.642815Z"),
        ("2026-11-23T07:22:12Z", "2026-11-23T07:22:12Z"),
        ("2026-11-23T08:22:12.000000000+01:00", "2026-11-23T07:22:12Z"),
        ("2026-11-23T06:22:12.5-01:00", "2026-11-23T07:22:12.5Z"),
    ],
)
def test_listed_file(time: str, wanted: str) -> None:
    listed = {"Path": "label/manifest.json", "Name": "manifest.json", "Size": 5, "ModTime": time}
    found = stored_object("x/backup", listed)
    assert (found.path, found.size, found.modified) == ("x/backup/label/manifest.json", 5, from_iso(wanted))
    assert stored_object("", listed).path == "label/manifest.json"


def test_features() -> None:
    assert parse_features(b'{"Features": {"PutStream": true, "BucketBased": false}}') == {
        "PutStream": True,
        "BucketBased": False,
    }
    assert parse_features(b"no words of rclone") == {}


# --- words ---


@pytest.mark.parametrize(
    ("said", "words", "hint"),
    [
        ("didn't find section in config file", "no such remote", "listremotes"),
        ("ssh: handshake failed: ssh: unable to authenticate, attempted methods", "does not accept", "key or password"),
        ("ssh: handshake failed: knownhosts: key mismatch", "another host key", "known_hosts_file"),
        ("ssh: handshake failed: knownhosts: key is unknown", "not known", "fingerprint"),
        ("couldn't connect SSH: dial tcp 127.0.0.1:1: connect: connection refused", "cannot be reached", "network"),
        ("couldn't connect SSH: dial tcp: lookup nas: no such host", "cannot be reached", "network"),
        ("Update Create failed: permission denied", "not permitted", "right"),
        ('Update ReadFrom failed: sftp: "Failure" (SSH_FX_FAILURE)', "gives up", "room"),
        ("write: no space left on device", "no room", "prune"),
        ("LoadCustomCABundleError: unable to load custom CA bundle", "AWS_CA_BUNDLE", "RCLONE_CA_CERT"),
        ("failed to read private key file: open /none: no such file or directory", "cannot be read", "key_file"),
        ("something new", "ended with 1: something new", ""),
    ],
)
def test_words(said: str, words: str, hint: str) -> None:
    found = explain(1, f"2026/11/23 07:16:45 ERROR : x: first\n2026/11/23 07:16:45 Failed to rcat: {said}\n")
    assert words in found[0]
    assert hint in found[1]


def test_last_complaint() -> None:
    said = "2026/11/23 07:20:30 Failed to cat with 2 errors: last error was: directory not found\n"
    assert last_complaint(said) == "directory not found"
    assert last_complaint("") == "it said nothing"
    secret = 'ERROR : Put "https://me:hunter2@x.blob.example.com/c/a?sig=hunter2&se=1": EOF'
    assert "hunter2" not in last_complaint(secret)


def test_signals_and_absence() -> None:
    assert "signal 9" in explain(-9, "")[0]
    assert "signal 9" in explain(137, "")[0]
    assert is_not_found(3, "")
    assert is_not_found(1, "ERROR : store:x is a directory or doesn't exist")
    assert not is_not_found(1, "connection refused")


# --- locks ---


def test_lock_names() -> None:
    mine = LockName("0123456789abcdef" * 2, 1795418948)
    others = [".lock", ".lock-x-1", "instance.json", ".lock-" + "0" * 32, f"{mine}.part"]
    assert parse_locks([*others, str(mine)]) == [mine]
