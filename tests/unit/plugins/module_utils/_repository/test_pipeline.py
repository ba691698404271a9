# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is packed comes back, whole or not at all; with the real zstd and age."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import (
    DamagedError,
    ProgramError,
    RedisBackupError,
    RepositoryError,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.manifest import StoredFile
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.pipeline import (
    Packing,
    check_stored,
    load_chunks,
    load_into,
    quietly_abort,
    store_chunks,
    stored_chunks,
)
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.memory_store import MemoryStore
from hypothesis import given, settings
from hypothesis import strategies as st

if not shutil.which("zstd"):
    pytest.skip("the program zstd is not installed", allow_module_level=True)

Keys = tuple[str, str]
BIG = os.urandom(300_000) + b"compressible " * 200_000


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> list[Keys]:
    """Two age key pairs: identity file, recipient."""
    if not (shutil.which("age") and shutil.which("age-keygen")):
        pytest.skip("the program age is not installed")
    made = []
    for name in ("right", "wrong"):
        path = tmp_path_factory.mktemp("age") / name
        subprocess.run(["age-keygen", "-o", str(path)], check=True, stderr=subprocess.DEVNULL)
        recipient = subprocess.run(["age-keygen", "-y", str(path)], check=True, stdout=subprocess.PIPE)
        made.append((str(path), recipient.stdout.decode().strip()))
    return made


def views(*pieces: bytes) -> Iterator[memoryview]:
    """One buffer for all, as the sources do it: whoever keeps a view sees it change."""
    buffer = memoryview(bytearray(max(map(len, pieces), default=0)))
    for piece in pieces:
        buffer[: len(piece)] = piece
        yield buffer[: len(piece)]


def stored(data: bytes, packing: Packing, size: int = 65536) -> tuple[StoredFile, bytes]:
    store = MemoryStore()
    sink = store.create("x")
    found, errors = store_chunks(
        views(*(data[at : at + size] for at in range(0, len(data), size))), packing, {"m": sink}
    )
    sink.commit()
    raw = store.contents["x"]
    assert errors == {}
    assert (found.size, found.stored_size, found.sha256) == (len(data), len(raw), hashlib.sha256(raw).hexdigest())
    return StoredFile("x", "dump.rdb", "rdb", found.size, found.stored_size, found.sha256), raw


def loaded(raw: bytes, file: StoredFile, *identities: str, encrypted: bool = False) -> bytes:
    chunks = load_chunks(io.BytesIO(raw), file, "the file", encrypted=encrypted, identities=identities)
    return b"".join(bytes(chunk) for chunk in chunks)


def no_thread_is_left() -> bool:
    return threading.active_count() == 1


@settings(max_examples=15)
@given(st.binary(max_size=2000), st.integers(1, 700))
def test_round_trip(data: bytes, size: int) -> None:
    file, raw = stored(data, Packing(), size)
    assert loaded(raw, file) == data


def test_round_trip_of_much(keys: list[Keys]) -> None:
    for packing, identities in ((Packing(level=3), ()), (Packing(recipients=(keys[0][1], keys[1][1])), (keys[1][0],))):
        file, raw = stored(BIG, packing)
        assert len(raw) < len(BIG) / 2
        assert loaded(raw, file, *identities, encrypted=bool(identities)) == BIG
        check_stored(io.BytesIO(raw), file, "the file")
    assert b"compressible" not in raw
    assert no_thread_is_left()


def written(tmp_path: Path, data: bytes, file: StoredFile) -> bytes:
    """What `load_into` leaves of stored bytes. Raises as it does."""
    with open(tmp_path / "plain", "w+b", buffering=0) as out:
        load_into(out, io.BytesIO(data), file, "it", encrypted=False, identities=())
        out.seek(0)
        return out.read()


def test_round_trip_into_a_file(tmp_path: Path) -> None:
    file, data = stored(BIG, Packing())
    assert written(tmp_path, data, file) == BIG
    nothing, packed = stored(b"", Packing())
    assert written(tmp_path, packed, nothing) == b""


def test_a_file_gets_no_more_bytes_than_the_manifest_says(tmp_path: Path) -> None:
    """A disk must not be filled by a few bytes that unpack to many."""
    file, data = stored(BIG, Packing())
    with pytest.raises(DamagedError, match="holds more than 1000 bytes, its manifest says 1000"):
        written(tmp_path, data, dataclasses.replace(file, size=1000))
    assert (tmp_path / "plain").stat().st_size <= 1000
    with pytest.raises(DamagedError, match="its manifest says"):
        written(tmp_path, data, dataclasses.replace(file, size=len(BIG) + 1))
    with pytest.raises(DamagedError, match="SHA-256"):
        written(tmp_path, data[:-1] + bytes([data[-1] ^ 1]), file)


def test_nothing_is_something_too() -> None:
    file, raw = stored(b"", Packing())
    assert file.stored_size > 0
    assert loaded(raw, file) == b""


def test_opened_by_hand(keys: list[Keys], tmp_path: Path) -> None:
    _file, raw = stored(b"by hand", Packing(recipients=(keys[0][1],)))
    (tmp_path / "dump.rdb.zst.age").write_bytes(raw)
    shell = 'age -d -i "$1" "$2" | zstd -d'
    said = subprocess.run(["sh", "-c", shell, "sh", keys[0][0], str(tmp_path / "dump.rdb.zst.age")], check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # fmt: skip
    assert said.stdout == b"by hand"


FILE, RAW = stored(BIG[:250_000] + b"end" * 1000, Packing())


@settings(max_examples=25)
@given(st.integers(0, len(RAW) - 1), st.integers(1, 255))
def test_a_changed_byte_is_damage(at: int, change: int) -> None:
    damaged = bytearray(RAW)
    damaged[at] ^= change
    with pytest.raises(DamagedError, match=r"^the file is damaged: its SHA-256 is not the one in the manifest"):
        loaded(bytes(damaged), FILE)
    with pytest.raises(DamagedError, match="SHA-256"):
        check_stored(io.BytesIO(bytes(damaged)), FILE, "the file")


@pytest.mark.parametrize("cut", [0, 1, len(RAW) // 2, len(RAW) - 1])
def test_a_cut_file_is_damage(cut: int) -> None:
    with pytest.raises(DamagedError, match=f"it is {cut} bytes long, its manifest says {len(RAW)}"):
        loaded(RAW[:cut], FILE)
    with pytest.raises(DamagedError, match="bytes long"):
        check_stored(io.BytesIO(RAW[:cut]), FILE, "the file")


def test_more_bytes_are_damage() -> None:
    for more in (b"x", RAW):
        with pytest.raises(DamagedError, match="bytes long"):
            loaded(RAW + more, FILE)


def test_another_plain_size_than_said() -> None:
    for size in (FILE.size - 1, FILE.size + 1):
        file = StoredFile("x", "dump.rdb", "rdb", size, FILE.stored_size, FILE.sha256)
        with pytest.raises(DamagedError, match=f"holds {FILE.size} bytes, its manifest says {size}"):
            loaded(RAW, file)


def test_right_bytes_that_are_no_zstd() -> None:
    raw = b"never packed" * 100
    file = StoredFile("x", "dump.rdb", "rdb", 1, len(raw), hashlib.sha256(raw).hexdigest())
    with pytest.raises(ProgramError, match="has the right bytes but cannot be opened: zstd ended with 1"):
        loaded(raw, file)


def test_identities(keys: list[Keys], tmp_path: Path) -> None:
    file, raw = stored(BIG, Packing(recipients=(keys[0][1],)))
    assert loaded(raw, file, keys[1][0], keys[0][0], encrypted=True) == BIG
    for identity in (keys[1][0], str(tmp_path / "missing")):
        with pytest.raises(
            ProgramError, match=r"right bytes but cannot be opened: age ended with 1.*Give the age identity"
        ):
            loaded(raw, file, identity, encrypted=True)
    damaged = raw[:-1] + bytes([raw[-1] ^ 1])
    with pytest.raises(DamagedError, match="SHA-256"):  # the bytes are at fault, whatever the identity
        loaded(damaged, file, keys[1][0], encrypted=True)
    with pytest.raises(DamagedError, match="SHA-256"):
        loaded(damaged, file, keys[0][0], encrypted=True)
    assert no_thread_is_left()


def test_a_bad_recipient(keys: list[Keys]) -> None:
    store = MemoryStore()
    with pytest.raises(ProgramError, match=r"age ended with 1.*No backup was made"):
        store_chunks(views(BIG), Packing(recipients=("age1nonsense",)), {"m": store.create("x")})
    assert store.contents == {}


def test_a_sink_that_fails_does_not_hold_up_the_others() -> None:
    good, full = MemoryStore("good"), MemoryStore("full", room=100_000)
    sinks = {"full": full.create("x"), "good": good.create("x")}
    found, errors = store_chunks(views(BIG[:300_000], BIG[300_000:]), Packing(), {**sinks})
    assert list(errors) == ["full"]
    assert "No space left" in str(errors["full"])
    sinks["good"].commit()
    file = StoredFile("x", "dump.rdb", "rdb", found.size, found.stored_size, found.sha256)
    assert loaded(good.contents["x"], file) == BIG
    assert full.contents == {}


def test_when_every_sink_has_failed_reading_stops() -> None:
    stores = [MemoryStore(name, room=0) for name in ("one", "two")]
    read = 0

    def endless() -> Iterator[memoryview]:
        nonlocal read
        while True:
            read += 1
            yield memoryview(BIG[:300_000])

    with pytest.raises(RepositoryError, match="No space left"):
        store_chunks(endless(), Packing(), {store.name: store.create("x") for store in stores})
    assert read < 1000
    assert no_thread_is_left()


class Broken(Exception):
    pass


def test_a_source_that_breaks_is_no_backup() -> None:
    def breaks() -> Iterator[memoryview]:
        yield memoryview(BIG)
        raise Broken

    store = MemoryStore()
    with pytest.raises(Broken):
        store_chunks(breaks(), Packing(), {"m": store.create("x")})
    assert store.contents == {}
    assert no_thread_is_left()


def test_taps_see_every_byte() -> None:
    class Tap:
        data = b""

        def write(self, data: memoryview) -> None:
            self.data += bytes(data)

    taps = [Tap(), Tap()]
    store_chunks(views(b"abc", b"", b"defg"), Packing(), {"m": MemoryStore().create("x")}, taps=taps)
    assert [tap.data for tap in taps] == [b"abcdefg"] * 2


def test_a_reader_that_turns_away_leaves_nothing_running() -> None:
    chunks = load_chunks(io.BytesIO(RAW), FILE, "the file", encrypted=False, identities=())
    next(chunks)
    chunks.close()
    assert no_thread_is_left()


def test_a_stream_that_cannot_be_read() -> None:
    class Unreadable(io.RawIOBase):
        def readinto(self, _buffer: object) -> int:
            raise OSError(5, "Input/output error")

    stream: BinaryIO = Unreadable()  # type: ignore[assignment]
    with pytest.raises(RepositoryError, match="the file cannot be read: Input/output error"):
        list(load_chunks(stream, FILE, "the file", encrypted=False, identities=()))
    with pytest.raises(RepositoryError, match="the file cannot be read: Input/output error"):
        list(stored_chunks(stream, FILE, "the file"))


def test_stored_bytes_as_they_are() -> None:
    """Given on unpacked, and found right or not at the end."""

    def copied(raw: bytes) -> bytes:
        return b"".join(bytes(chunk) for chunk in stored_chunks(io.BytesIO(raw), FILE, "the file"))

    assert copied(RAW) == RAW
    for wrong in (RAW[:-1], RAW + b"x", b"", RAW[:-1] + bytes([RAW[-1] ^ 1])):
        with pytest.raises(DamagedError, match="the file is damaged"):
            copied(wrong)


def test_aborting_never_raises() -> None:
    class Bad:
        def write(self, data: bytes) -> None: ...

        def commit(self) -> None: ...

        def abort(self) -> None:
            raise OSError(5, "Input/output error")

    store = MemoryStore()
    sink = store.create("x")
    sink.write(b"data")
    quietly_abort([Bad(), sink])
    sink.commit()
    assert store.contents["x"] == b""


def test_recipients_stand_on_the_command_line_and_identities_only_as_paths(keys: list[Keys]) -> None:
    zstd, age = Packing(level=7, recipients=("age1a", "age1b")).programs(threads=0)
    assert zstd[1:] == ["-q", "-c", "-7", "-T0"]
    assert age[1:] == ["-r", "age1a", "-r", "age1b"]
    assert len(Packing().programs()) == 1


@pytest.mark.parametrize(
    "secret",
    ["AGE-SECRET-KEY-1QYQSZQGPQYQSZQG", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl", "-o/etc/passwd", "", "age1x\ny"],
)
def test_what_is_no_public_key_is_not_shown(secret: str) -> None:
    """On a command line or in a message, everybody could read it."""
    with pytest.raises(RedisBackupError, match="recipient 2 of the encryption is no public key") as caught:
        Packing(recipients=("age1abc", secret))
    assert not secret or secret not in str(caught.value)


def test_nobody_is_asked_for_a_passphrase(tmp_path: Path) -> None:
    """An SSH identity with one ends with words, though there is a terminal where age could ask and wait for ever."""
    if not (shutil.which("age") and shutil.which("ssh-keygen") and shutil.which("script")):
        pytest.skip("age, ssh-keygen or script is not installed")
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "passphrase", "-f", str(key)], check=True)
    _file, raw = stored(b"data", Packing(recipients=(key.with_suffix(".pub").read_text().strip(),)))
    (tmp_path / "raw").write_bytes(raw)
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\n"
        f"sys.path[:0] = {sys.path!r}\n"
        f"from {load_chunks.__module__} import StoredFile, load_chunks\n"
        f"file = StoredFile('x', 'x', 'rdb', 4, {len(raw)}, {hashlib.sha256(raw).hexdigest()!r})\n"
        "try:\n"
        f"    list(load_chunks(open({str(tmp_path / 'raw')!r}, 'rb', buffering=0), file, 'x', encrypted=True, "
        f"identities=[{str(key)!r}]))\n"
        "except Exception as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        ["script", "-qec", f"{sys.executable} {program}", "/dev/null"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=20, check=True,
    )  # fmt: skip
    assert b"passphrase" in done.stdout and b"cannot be opened" in done.stdout
