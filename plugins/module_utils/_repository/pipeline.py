# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One reading of the data: compressed, encrypted, hashed and stored while it passes, in constant memory.

    chunks ─┬─> taps (redis-check-rdb)
            └─> zstd ─> age ─> SHA-256 ─> sinks          and back:  stored ─> SHA-256 ─> age ─> zstd ─> chunks

The programs stand in a chain of pipes of their own; Python only moves what it must see.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import resource
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, BinaryIO, Protocol, cast

from .._errors import DamagedError, ProgramError, RedisBackupError, RepositoryError
from .._run import enlarge, environment, find_program, last_words
from .manifest import StoredFile
from .store import Sink

_READ_BYTES = 256 * 1024
_PUBLIC = re.compile(r"(age1|ssh-)[!-~][ -~]*")


class Tap(Protocol):
    """Something that watches the plain bytes as they pass."""

    def write(self, data: memoryview) -> None: ...


@dataclass(frozen=True)
class Packing:
    """How artefacts are stored. `recipients` are age or SSH public keys; none means no encryption.

    A repository keeps nothing uncompressed: `compress` is for files that are made elsewhere.
    """

    level: int = 1
    recipients: tuple[str, ...] = ()
    compress: bool = True

    def __post_init__(self) -> None:
        require_public(self.recipients)

    def programs(self, *, threads: int = 1) -> list[list[str]]:
        """The chain of programs that packs. Recipients are public: they may stand on a command line."""
        chain = [[find_program("zstd"), "-q", "-c", f"-{self.level}", f"-T{threads}"]] if self.compress else []
        if self.recipients:
            chain.append([find_program("age"), *(word for r in self.recipients for word in ("-r", r))])
        return chain


def require_public(recipients: Sequence[str]) -> None:
    """Refuse what is no public key before it stands on a command line or in a message: it may be the secret one.

    Raises RedisBackupError.
    """
    for number, recipient in enumerate(recipients, 1):
        if not _PUBLIC.fullmatch(recipient):
            raise RedisBackupError(
                f"recipient {number} of the encryption is no public key (it is not shown: it may be a secret)",
                untouched="Nothing was changed",
                hint="Give what age-keygen -y prints (age1...), or an SSH public key (ssh-ed25519 ..., ssh-rsa ...); "
                "if it was a secret key, treat it as known to others",
            )


def unpack_programs(*, encrypted: bool, identities: Sequence[str]) -> list[list[str]]:
    """The chain of programs that unpacks; identities are files, never keys."""
    chain = []
    if encrypted:
        chain.append([find_program("age"), "-d", *(word for path in identities for word in ("-i", path))])
    chain.append([find_program("zstd"), "-q", "-d", "-c"])
    return chain


class UnopenedError(ProgramError):
    """Stored bytes are those of the manifest, and `program` could not open them; it ended with `code` and `words`."""

    program = ""
    code = 0
    words = ""


class _Chain:
    """Programs joined by pipes: `stdin` of the first, `stdout` of the last, their complaints kept.

    `prefix` stands before the output of the first; it must be small enough for a pipe to hold. The last writes into
    the file `output` by itself where one is given, and no more than `limit` bytes.
    """

    def __init__(
        self,
        programs: list[list[str]],
        *,
        prefix: bytes = b"",
        output: int = subprocess.PIPE,
        limit: int | None = None,
    ) -> None:
        self._programs = programs
        self.too_large = False  # the output went beyond its limit
        self.failed = ("", 0)  # the program that `complaint` tells of, and how it ended
        self._errors = [tempfile.TemporaryFile() for _program in programs]
        self._processes: list[subprocess.Popen[bytes]] = []
        previous: Any = subprocess.PIPE
        try:
            for argv, complaints in zip(programs, self._errors):
                prefixed = _prefixed(prefix) if prefix and not self._processes else None
                process = subprocess.Popen(
                    argv,
                    stdin=previous,
                    stdout=prefixed[1] if prefixed else output if argv is programs[-1] else subprocess.PIPE,
                    stderr=complaints,
                    env=environment(),
                    bufsize=0,
                    start_new_session=True,  # no terminal: age would ask there for a passphrase, and wait for ever
                )
                if prefixed:
                    prefixed[1].close()
                    process.stdout = prefixed[0]
                if previous is not subprocess.PIPE:
                    previous.close()
                previous = process.stdout
                self._processes.append(process)
        except OSError as error:
            self.stop()
            raise ProgramError(f"{argv[0]} cannot be started: {error.strerror}") from None
        if limit is not None:  # what goes straight to a disk must not fill it
            resource.prlimit(self._processes[-1].pid, resource.RLIMIT_FSIZE, (limit, limit))
        self.stdin = cast("IO[bytes]", self._processes[0].stdin)
        self.stdout = cast("IO[bytes]", self._processes[-1].stdout)  # None where the output goes elsewhere
        for pipe in (self.stdin, self.stdout):
            if pipe is not None:
                enlarge(pipe)

    def __enter__(self) -> _Chain:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: Any, _trace: TracebackType | None) -> None:
        self.stop()
        for process in self._processes:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
        for complaints in self._errors:
            complaints.close()

    def stop(self) -> None:
        """End the programs. The pipes stay open until the context is left: a thread may still stand in one."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()

    def write(self, data: memoryview) -> None:
        """Feed the first program. Raises BrokenPipeError when it has ended."""
        fd = self.stdin.fileno()
        while data:
            data = data[os.write(fd, data) :]

    def complaint(self) -> str | None:
        """Wait for all programs; the words of the first that failed, None when all ended well."""
        for argv, process, complaints in zip(self._programs, self._processes, self._errors):
            code = process.wait()
            if code == -signal.SIGXFSZ:
                self.too_large = True
            elif code not in (0, -signal.SIGPIPE):
                complaints.seek(0)
                self.failed = (os.path.basename(argv[0]), code)
                return f"{os.path.basename(argv[0])} ended with {code}: {last_words(complaints.read())}"
        return None


def _prefixed(prefix: bytes) -> tuple[IO[bytes], IO[bytes]]:
    """Both ends of a pipe in which `prefix` stands already."""
    reading, writing = os.pipe()
    os.write(writing, prefix)
    return os.fdopen(reading, "rb", 0), os.fdopen(writing, "wb", 0)


@dataclass
class Stored:
    """What came of storing one artefact: plain and stored bytes, the SHA-256 of the latter."""

    size: int
    stored_size: int
    sha256: str


class SinksFailedError(RepositoryError):
    """Every sink has failed: the last one's error, and all of them by name."""

    def __init__(self, errors: dict[str, RepositoryError]) -> None:
        last = list(errors.values())[-1]
        super().__init__(last.what, untouched=last.untouched, hint=last.hint, **last.details)
        self.errors = errors


class _Drain(threading.Thread):
    """Reads the packed bytes, hashes them and hands them to the sinks; a sink that fails is dropped with its error."""

    def __init__(self, stream: IO[bytes], sinks: dict[str, Sink]) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self._alive = dict(sinks)
        self.errors: dict[str, RepositoryError] = {}
        self.digest = hashlib.sha256()
        self.count = 0
        self.ended = False

    @property
    def hopeless(self) -> bool:
        """No sink is left: going on is of no use."""
        return not self._alive

    def run(self) -> None:
        try:
            self._drain()
            self.ended = True
        finally:
            self._stream.close()  # whoever writes to us must not wait for ever

    def _drain(self) -> None:
        while True:
            data = self._stream.read(_READ_BYTES)
            if not data:
                return
            self.digest.update(data)
            self.count += len(data)
            for name, sink in list(self._alive.items()):
                try:
                    sink.write(data)
                except RepositoryError as error:
                    self.errors[name] = error
                    del self._alive[name]


def store_chunks(
    chunks: Iterable[memoryview],
    packing: Packing,
    sinks: dict[str, Sink],
    *,
    taps: Sequence[Tap] = (),
    threads: int = 1,
    prefix: bytes = b"",
) -> tuple[Stored, dict[str, RepositoryError]]:
    """Pack `chunks` into all sinks in one reading. The sinks are left uncommitted.

    `prefix` is a small frame of zstd that stands before theirs, within the encryption.

    Returns what was stored, and the errors of the sinks that failed on the way. Raises ProgramError when a program of
    the chain fails, SinksFailedError when every sink has failed, and whatever `chunks` raises.
    """
    size = 0
    with _Chain(packing.programs(threads=threads), prefix=prefix) as chain:
        drain = _Drain(chain.stdout, sinks)
        drain.start()
        try:
            for chunk in chunks:
                size += len(chunk)
                for tap in taps:
                    tap.write(chunk)
                chain.write(chunk)
                if drain.hopeless:
                    break
            chain.stdin.close()
        except BrokenPipeError:
            pass  # the program's own words follow
        except BaseException:
            chain.stop()
            drain.join()
            raise
        drain.join()
        if not drain.ended:
            raise RuntimeError("the thread that stores a backup has died")
        if drain.hopeless and drain.errors:
            raise SinksFailedError(drain.errors)
        complaint = chain.complaint()
        if complaint:
            raise ProgramError(complaint, untouched="No backup was made; the earlier ones are as they were")
    return Stored(size, drain.count, drain.digest.hexdigest()), drain.errors


class _Feed(threading.Thread):
    """Reads stored bytes, hashes them and hands them to the first program of the chain back."""

    def __init__(self, stream: BinaryIO, chain: _Chain) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self._chain = chain
        self.digest = hashlib.sha256()
        self.count = 0
        self.error: OSError | None = None
        self.given_up = False

    def run(self) -> None:
        view = memoryview(bytearray(_READ_BYTES))
        refused = False
        try:
            while not self.given_up:
                count = self._stream.readinto(view)  # type: ignore[attr-defined]
                if not count:
                    break
                self.digest.update(view[:count])
                self.count += count
                if not refused:
                    try:
                        self._chain.write(view[:count])
                    except BrokenPipeError:
                        refused = True  # read on: the hash tells whether the bytes are at fault, or the identity
        except OSError as error:
            self.error = error
        finally:
            with contextlib.suppress(OSError):
                self._chain.stdin.close()


def load_chunks(
    stream: BinaryIO, file: StoredFile, where: str, *, encrypted: bool, identities: Sequence[str]
) -> Generator[memoryview, None, None]:
    """The plain bytes of a stored file. When the last has been given, size and SHA-256 have been found right.

    What was yielded must not be used before the iterator has ended well. Raises DamagedError when the stored bytes are
    not those of the manifest, ProgramError when they are and cannot be opened (wrong identity).
    """
    with _Chain(unpack_programs(encrypted=encrypted, identities=identities)) as chain:
        feed = _Feed(stream, chain)
        feed.start()
        count = 0
        view = memoryview(bytearray(_READ_BYTES))
        try:
            while True:
                got = chain.stdout.readinto(view)  # type: ignore[attr-defined]
                if not got:
                    break
                count += got
                if count <= file.size:
                    yield view[:got]
        except BaseException:
            feed.given_up = True
            chain.stop()
            raise
        finally:
            feed.join()
        _judge(feed, chain, lambda: count, file, where, encrypted=encrypted)


def unpacked(
    stream: BinaryIO, programs: list[list[str]], where: str, hint: str = ""
) -> Generator[memoryview, None, None]:
    """What `programs` make of a file of which no manifest tells. What was yielded is overwritten by the next chunk.

    Raises ProgramError, at the end or before, when one of them fails; RepositoryError when the file cannot be read.
    """
    with _Chain(programs) as chain:
        feed = _Feed(stream, chain)
        feed.start()
        view = memoryview(bytearray(_READ_BYTES))
        try:
            while True:
                got = chain.stdout.readinto(view)  # type: ignore[attr-defined]
                if not got:
                    break
                yield view[:got]
        except BaseException:
            feed.given_up = True
            chain.stop()
            raise
        finally:
            feed.join()
        if feed.error is not None:
            raise RepositoryError(f"{where} cannot be read: {feed.error.strerror}")
        complaint = chain.complaint()
        if complaint:
            raise ProgramError(f"{where} cannot be opened: {complaint}", hint=hint)


def load_into(
    output: IO[bytes], stream: BinaryIO, file: StoredFile, where: str, *, encrypted: bool, identities: Sequence[str]
) -> None:
    """Write the plain bytes of a stored file to `output`, an empty file, which the last program does by itself.

    What was written must not be used before this has returned. Raises as `load_chunks` does.
    """
    programs = unpack_programs(encrypted=encrypted, identities=identities)
    with _Chain(programs, output=output.fileno(), limit=file.size) as chain:
        feed = _Feed(stream, chain)
        feed.run()
        _judge(feed, chain, lambda: os.fstat(output.fileno()).st_size, file, where, encrypted=encrypted)


def stored_chunks(stream: BinaryIO, file: StoredFile, where: str) -> Iterator[memoryview]:
    """The bytes of a stored file as they are. When the last has been given, size and SHA-256 have been found right.

    What was yielded must not be used before the iterator has ended well. Raises DamagedError, or RepositoryError when
    the file cannot be read on.
    """
    digest, count = hashlib.sha256(), 0
    view = memoryview(bytearray(_READ_BYTES))
    while True:
        try:
            got = stream.readinto(view)  # type: ignore[attr-defined]
        except OSError as error:
            raise RepositoryError(f"{where} cannot be read: {error.strerror}") from None
        if not got:
            break
        digest.update(view[:got])
        count += got
        yield view[:got]
    _compare(count, digest.hexdigest(), file, where)


def check_stored(stream: BinaryIO, file: StoredFile, where: str) -> None:
    """Read a stored file and compare size and SHA-256 with the manifest. Raises DamagedError."""
    digest, count = hashlib.sha256(), 0
    view = memoryview(bytearray(_READ_BYTES))
    while True:
        got = stream.readinto(view)  # type: ignore[attr-defined]
        if not got:
            break
        digest.update(view[:got])
        count += got
    _compare(count, digest.hexdigest(), file, where)


def _judge(
    feed: _Feed, chain: _Chain, plain: Callable[[], int], file: StoredFile, where: str, *, encrypted: bool
) -> None:
    """Raise for what went wrong on the way back of a file: reading it, its bytes, opening it, or what was in it.

    `plain` tells how many bytes came out, once all programs have ended.
    """
    if feed.error is not None:
        raise RepositoryError(f"{where} cannot be read: {feed.error.strerror}", untouched="Live data was not touched")
    _compare(feed.count, feed.digest.hexdigest(), file, where)
    complaint = chain.complaint()
    if complaint:
        unopened = UnopenedError(
            f"{where} has the right bytes but cannot be opened: {complaint}",
            untouched="The live data was not touched",
            hint="Give the age identity that belongs to one of the backup's recipients" if encrypted else "",
        )
        unopened.program, unopened.code = chain.failed
        unopened.words = complaint
        raise unopened
    count = plain()
    if count != file.size or chain.too_large:
        held = f"more than {count}" if chain.too_large else f"{count}"
        raise DamagedError(
            f"{where} holds {held} bytes, its manifest says {file.size}", untouched="The live data was not touched"
        )


def _compare(count: int, digest: str, file: StoredFile, where: str) -> None:
    problem = ""
    if count != file.stored_size:
        problem = f"it is {count} bytes long, its manifest says {file.stored_size}"
    elif digest != file.sha256:
        problem = "its SHA-256 is not the one in the manifest"
    if problem:
        raise DamagedError(
            f"{where} is damaged: {problem}",
            untouched="The live data was not touched",
            hint="Use another backup, or another repository's copy of this one",
        )


def quietly_abort(sinks: Iterable[Sink]) -> None:
    """Give up unfinished files; what cannot be removed now is removed by the next run."""
    for sink in sinks:
        with contextlib.suppress(RedisBackupError, OSError):
            sink.abort()
