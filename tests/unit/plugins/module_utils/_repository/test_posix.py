# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository in a directory."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import NotFoundError, RepositoryError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.open import open_store
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.posix import PosixStore

as_user = pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")


@pytest.fixture
def store(tmp_path: Path) -> PosixStore:
    (tmp_path / "repo").mkdir()
    return PosixStore("nas", str(tmp_path / "repo"))


def test_a_name_appears_with_all_its_bytes(store: PosixStore) -> None:
    sink = store.create("db/backup/l/dump")
    sink.write(b"first ")
    sink.write(b"second")
    assert "dump" not in store.names("db/backup/l")
    with pytest.raises(NotFoundError):
        store.read("db/backup/l/dump")
    sink.commit()
    assert store.names("db/backup/l") == ["dump"]
    assert store.read("db/backup/l/dump") == b"first second"
    sink.abort()  # behind a commit: takes nothing away
    assert store.read("db/backup/l/dump") == b"first second"


def test_a_committed_file_is_replaced_in_one_step(store: PosixStore) -> None:
    store.write("a", b"old")
    sink = store.create("a")
    sink.write(b"new")
    assert store.read("a") == b"old"
    sink.commit()
    assert store.read("a") == b"new"


def test_giving_up_leaves_nothing(store: PosixStore) -> None:
    sink = store.create("l/dump")
    sink.write(b"half")
    sink.abort()
    sink.abort()
    assert store.names("l") == []


def test_what_a_dead_writer_left_is_written_over(store: PosixStore) -> None:
    store.create("l/dump").write(b"longer than what follows")
    sink = store.create("l/dump")
    sink.write(b"short")
    sink.commit()
    assert store.names("l") == ["dump"]
    assert store.read("l/dump") == b"short"


def test_everything_is_private(store: PosixStore) -> None:
    store.write("db/instance.json", b"x")
    sink = store.create("db/backup/l/dump")
    sink.commit()
    for root, folders, files in os.walk(store.root):
        for name in folders + files:
            assert stat.S_IMODE(os.stat(os.path.join(root, name)).st_mode) & 0o077 == 0, name


@pytest.mark.parametrize("path", ["..", "../x", "a/../../x", "/etc/passwd", "a/../../repo2/x"])
def test_paths_that_lead_out_are_refused(store: PosixStore, path: str) -> None:
    os.mkdir(f"{store.root}2")
    Path(f"{store.root}2", "x").write_bytes(b"not ours")
    for call in (
        lambda: store.read(path),
        lambda: store.open(path),
        lambda: store.size(path),
        lambda: store.create(path),
        lambda: store.write(path, b""),
        lambda: store.remove(path),
        lambda: store.names(path),
        lambda: store.lock(path).__enter__(),
    ):
        with pytest.raises(RepositoryError, match="leads out of repository nas"):
            call()
    assert Path(f"{store.root}2", "x").read_bytes() == b"not ours"


def test_a_missing_root_is_never_filled(tmp_path: Path) -> None:
    store = PosixStore("nas", str(tmp_path / "mnt" / "share"))
    with pytest.raises(RepositoryError, match=r"\(.*/mnt/share\) does not exist\..*Mount it"):
        store.prepare()
    for call in (lambda: store.names(""), lambda: store.read("a"), store.free_bytes):
        with pytest.raises(NotFoundError, match="does not exist"):
            call()
    assert os.listdir(tmp_path) == []


def test_a_root_that_may_be_created(tmp_path: Path) -> None:
    store = PosixStore("nas", str(tmp_path / "new" / "root"), create=True)
    store.prepare(dry=True)
    assert store.names("") == []
    assert os.listdir(tmp_path) == []
    store.prepare()
    store.prepare()
    assert stat.S_IMODE(os.stat(store.root).st_mode) == 0o700
    assert (store.free_bytes() or 0) > 0


@as_user
def test_a_root_that_cannot_be_written(store: PosixStore) -> None:
    os.chmod(store.root, 0o500)
    with pytest.raises(RepositoryError, match="is not writable for this user"):
        store.prepare()
    with pytest.raises(RepositoryError, match=r"Permission denied\..*correct owner and mode"):
        store.write("a", b"")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, r"No space left on device\. .*prune old backups"),
        (errno.EDQUOT, r"Raise the quota"),
        (errno.EACCES, r"correct owner and mode"),
        (errno.EROFS, r"Mount it read-write"),
        (errno.ESTALE, r"Mount the share again"),
        (errno.EIO, r"Input/output error\. The server and the earlier backups are as they were\.$"),
    ],
)
def test_errors_are_told(store: PosixStore, number: int, words: str) -> None:
    with pytest.raises(RepositoryError, match=words) as caught, store.told(f"{store.root}/db/x"):
        raise OSError(number, os.strerror(number))
    assert str(caught.value).startswith(f"repository nas ({store.root}/db/x)")
    assert not isinstance(caught.value, NotFoundError)


def test_a_full_disk(store: PosixStore) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    sink = store.create("dump")
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, sink._fd)
    os.close(full)
    with pytest.raises(RepositoryError, match="No space left on device"):
        sink.write(b"x")
    sink.abort()
    assert store.names("") == []


def test_a_link_that_was_laid_there_is_not_written_through(store: PosixStore, tmp_path: Path) -> None:
    other = tmp_path / "passwd"
    other.write_text("root")
    os.symlink(other, f"{store.root}/dump.part")
    sink = store.create("dump")
    sink.write(b"data")
    sink.commit()
    assert (other.read_text(), store.read("dump")) == ("root", b"data")


def test_reading(store: PosixStore) -> None:
    store.write("db/x", b"12345")
    assert store.size("db/x") == 5
    assert store.read("db/x", limit=5) == b"12345"
    with pytest.raises(RepositoryError, match="larger than 4 bytes"):
        store.read("db/x", limit=4)
    with store.open("db/x") as stream:
        assert stream.read() == b"12345"
    for call in (lambda: store.read("db/y"), lambda: store.open("db/y"), lambda: store.size("db/y")):
        with pytest.raises(NotFoundError, match=r"db/y\) does not exist"):
            call()
    with pytest.raises(RepositoryError, match="directory"):
        store.read("db")
    assert store.names("db/x") == store.names("nope") == []
    assert store.names("") == ["db"]


def test_removing(store: PosixStore) -> None:
    store.write("db/backup/l/x", b"")
    store.write("db/backup/m/x", b"")
    outside = Path(f"{store.root}.outside")
    outside.mkdir()
    (outside / "kept").write_text("")
    os.symlink(outside, f"{store.root}/db/link")
    store.remove("db/backup/l")
    store.remove("db/link")
    store.remove("db/backup/m/x")
    store.remove("db/none")
    store.remove("none/none")
    assert store.names("db") == ["backup"]
    assert store.names("db/backup") == ["m"]
    assert store.names("db/backup/m") == []
    assert os.listdir(outside) == ["kept"]


def test_one_writer_at_a_time(store: PosixStore) -> None:
    with store.lock("db"):
        with pytest.raises(RepositoryError, match="another backup of db is being written"), store.lock("db"):
            pytest.fail("two writers")
        with store.lock("other"):
            pass
    with store.lock("db"):
        pass


def test_a_dead_writer_holds_no_lock(store: PosixStore) -> None:
    with store.lock("db"):
        pass
    holds = (
        "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holds, f"{store.root}/db/.lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with pytest.raises(RepositoryError, match="another backup"), store.lock("db"):
            pytest.fail("two writers")
        holder.kill()
        holder.wait()
        with store.lock("db"):
            pass


def test_open_store(tmp_path: Path) -> None:
    store = open_store({"type": "posix", "name": "nas", "path": f"{tmp_path}/a/../b/", "create": True})
    assert isinstance(store, PosixStore)
    assert (store.name, store.root) == ("nas", f"{tmp_path}/b")
    assert store.where() == f"repository nas ({tmp_path}/b)"
    assert store.where("x/y") == f"repository nas ({tmp_path}/b/x/y)"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"type": "posix", "name": "nas", "path": "relative"}, "path 'relative' is not absolute"),
        ({"type": "posix", "name": "nas"}, "path '' is not absolute"),
        ({"type": "ftp", "name": "nas"}, "type 'ftp' is not known"),
    ],
)
def test_entries_that_are_no_store(entry: dict[str, str], words: str) -> None:
    with pytest.raises(RepositoryError, match=f"^repository nas: {words}"):
        open_store(entry)


def test_a_pipe_in_the_place_of_a_file(tmp_path: Path) -> None:
    """Nobody waits for somebody to write into it."""
    store = PosixStore("local", str(tmp_path))
    os.mkfifo(tmp_path / "manifest.json")
    for reading in (store.read, store.open):
        with pytest.raises(RepositoryError, match=r"manifest\.json\): it is no plain file"):
            reading("manifest.json")
