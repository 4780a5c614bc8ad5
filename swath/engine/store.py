"""The result store: signed results by the fingerprint of their content, small ones as bytes, large ones in a folder or bucket."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swath.engine import secret_pickle
from swath.engine.fingerprint import fingerprint
from swath.engine.result_signature import signature, verified
from swath.engine.store_reads import Listing, ReadLimits, ask_all
from swath.engine.stored_result import DamagedResult, StoreDenied, StoredResult
from swath.errors import CredentialsError, StateError, SwathError
from swath.storage.attempts import Attempts, UnexpectedContent, is_checksum_error, is_html
from swath.storage.filesystem import filesystem_and_path, open_filesystem
from swath.storage.objects import list_objects

INLINE_BYTES = 8192
"""Pickles up to this size travel with calls and are stored in the journal; larger ones are files of the store."""


@dataclass(frozen=True)
class StoreLimits:
    """Attempts at a bucket, and memory for what was read."""

    attempts: Attempts = field(default_factory=Attempts)
    cache_bytes: int = 64 * 2**20
    """Values that were read and stay in memory, because many calls may share them."""
    reads: ReadLimits = field(default_factory=ReadLimits)


class ResultStore:
    """Results of calls below one root: a local folder, or an fsspec URL that workers elsewhere can reach.

    Each result is signed, and its signature is verified before it is unpickled. What is missing or does not fit is a DamagedResult.

    secrets: texts that no stored result may contain, with the names that stand for them: see swath.engine.secret_pickle.
    key: of the signatures; an empty one makes them plain checksums.
    """

    def __init__(
        self,
        root: str,
        secrets: Mapping[str, str] | None = None,
        limits: StoreLimits = StoreLimits(),
        key: bytes = b"",
    ) -> None:
        self.root = root.rstrip("/")
        self._secrets = dict(secrets or {})
        self._limits = limits
        self._key = key
        self._cache: OrderedDict[str, tuple[int, Any]] = OrderedDict()
        """Size and value by digest, the last used at the end."""
        self._cached_bytes = 0
        self._lock = threading.Lock()
        """Of the cache: results are read in several threads."""
        self._opened: tuple[int, Any] = (0, None)
        """(process, file system) of the bucket: fsspec would open one, with connections of its own, for each thread."""
        self._listing = Listing(self._sizes, limits.reads)

    @property
    def remote(self) -> bool:
        """Whether it is in a bucket: each read is a request."""
        return "://" in self.root

    def __reduce__(self) -> tuple[Any, ...]:
        return (ResultStore, (self.root, self._secrets, self._limits, self._key))

    def put(self, value: Any) -> StoredResult:
        """Store a value. Raises StateError when it cannot be pickled or written, StoreDenied when that is not allowed."""
        try:
            data = secret_pickle.dumps(value, self._secrets)
        except Exception as error:  # whatever a foreign object's __reduce__ raises
            raise StateError(
                f"a result of type {type(value).__name__} cannot be stored: {error}",
                remedy="return plain values, arrays or paths from tasks",
            ) from error
        return self.put_pickle(fingerprint(value), data)

    def put_pickle(self, digest: str, pickled: bytes) -> StoredResult:
        """Store a pickle without secrets, of the value with this fingerprint. Raises StateError and StoreDenied as `put`."""
        data = signature(digest, pickled, self._key) + pickled
        if len(pickled) <= INLINE_BYTES:
            return StoredResult(digest, len(data), data)
        self._write(digest, data)
        return StoredResult(digest, len(data))

    def get(self, stored: StoredResult, *, once: bool = False) -> Any:
        """The value. `once`: it will not be read again soon, and is not cached.

        Raises DamagedResult when it is missing or not as it was written, StoreDenied when it may not be read, and StateError
        when it cannot be read or unpickled.
        """
        if stored.data is not None:
            return self._loaded(stored, self._verified_inline(stored))
        with self._lock:
            if stored.digest in self._cache:
                self._cache.move_to_end(stored.digest)
                return self._cache[stored.digest][1]
        value = self._loaded(stored, self._read(stored.digest))
        if not once:
            self._add_to_cache(stored, value)
        return value

    def has(self, stored: StoredResult) -> bool:
        """Whether there is a result of this size. Its content is verified when it is read."""
        if stored.data is not None:
            return True
        path = self._path(stored.digest)
        if self.remote:
            try:
                return bool(self._request(lambda files, key: files.info(key)["size"], path) == stored.size)
            except FileNotFoundError:
                return False
        with contextlib.suppress(OSError):
            return Path(path).stat().st_size == stored.size
        return False

    def present(self, results: Sequence[StoredResult]) -> list[bool]:
        """`has` of many results: of a bucket with many requests at the same time, or by its listing."""
        if not self.remote:
            return [self.has(each) for each in results]
        asked = [each for each in results if each.data is None]
        listed = self._listing.sized(asked)
        unlisted = [each for each in asked if listed.get(each.digest) != each.size]
        found = dict(zip((each.digest for each in unlisted), self._ask_all(self.has, unlisted), strict=True))
        return [each.data is not None or found.get(each.digest, True) for each in results]

    def intact(self, results: Sequence[StoredResult]) -> list[bool]:
        """`is_intact` of many results."""
        return self._ask_all(self.is_intact, results) if self.remote else [self.is_intact(each) for each in results]

    def _ask_all(self, ask: Callable[[StoredResult], bool], results: Sequence[StoredResult]) -> list[bool]:
        return ask_all(ask, results, self._limits.reads)

    def is_intact(self, stored: StoredResult) -> bool:
        """Whether the result is there as it was written: reads all of it."""
        try:
            if stored.data is not None:
                self._verified_inline(stored)
            else:
                self._read(stored.digest)
        except DamagedResult:
            return False
        return True

    def _loaded(self, stored: StoredResult, pickled: memoryview) -> Any:
        try:
            return secret_pickle.loads(pickled, self._secrets)
        except SwathError:
            raise
        except Exception as error:  # such as an ImportError: a class of an older version of the code
            raise StateError(
                f"the stored result {stored.digest} cannot be unpickled: {type(error).__name__}: {error}",
                remedy="run again with --fresh to compute it again",
            ) from error

    def _add_to_cache(self, stored: StoredResult, value: Any) -> None:
        if stored.size > self._limits.cache_bytes // 4:
            return
        with self._lock:
            if stored.digest in self._cache:
                return  # read by another thread meanwhile
            self._cache[stored.digest] = (stored.size, value)
            self._cached_bytes += stored.size
            while self._cached_bytes > self._limits.cache_bytes:
                _, (size, _) = self._cache.popitem(last=False)
                self._cached_bytes -= size

    def _path(self, digest: str) -> str:
        return f"{self.root}/{digest[:2]}/{digest[2:]}"

    # --- reading

    def _verified_inline(self, stored: StoredResult) -> memoryview:
        pickled = verified(stored.digest, stored.data or b"", self._key)
        if pickled is None:
            raise _damaged(f"{stored.digest} in the journal", "its signature does not fit")
        return pickled

    def _read(self, digest: str) -> memoryview:
        """The pickle of a file or an object."""
        path = self._path(digest)
        try:
            if self.remote:
                found: memoryview = self._request(
                    lambda files, key: self._verified(digest, bytes(files.cat_file(key))), path
                )
                return found
            return self._verified(digest, Path(path).read_bytes())
        except FileNotFoundError as error:
            raise _damaged(path, "it is missing") from error
        except UnexpectedContent as error:
            raise _damaged(path, str(error)) from error
        except OSError as error:
            if error.errno == errno.EIO:  # a bad sector
                raise _damaged(path, str(error)) from error
            raise _unreadable(path, str(error)) from error

    def _verified(self, digest: str, data: bytes) -> memoryview:
        pickled = verified(digest, data, self._key)
        if pickled is not None:
            return pickled
        if is_html(data):
            raise UnexpectedContent("an HTML page is in its place, such as a proxy or a sign-in page sends")
        raise UnexpectedContent("its signature does not fit")

    def _request(self, request: Any, url: str) -> Any:
        """The answer of a bucket: `request` gets the file system and the path in it."""
        files = self._files()
        key = files._strip_protocol(url)
        try:
            return self._limits.attempts.answer(lambda: request(files, key), url)
        except CredentialsError as error:
            raise StoreDenied(error.message, remedy=error.remedy) from error
        except (FileNotFoundError, UnexpectedContent, SwathError):
            raise
        except Exception as error:  # clients of stores raise errors of their own
            if is_checksum_error(error):
                raise UnexpectedContent(f"its checksum does not fit: {error}") from error
            raise _unreadable(url, f"{type(error).__name__}: {error}") from error

    def _files(self) -> Any:
        """The file system of the bucket, the same for all threads of this process."""
        with self._lock:
            process, files = self._opened
            if files is None or process != os.getpid():
                files = open_filesystem(self.root)
                self._opened = (os.getpid(), files)
            return files

    def _sizes(self, digits: str) -> dict[str, int]:
        """Digest -> size of the bucket's results whose digests begin with these two digits."""
        try:
            found = list_objects(f"{self.root}/{digits}")
        except CredentialsError:  # an account that reads objects need not be allowed to list them
            return {}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise _unreadable(f"{self.root}/{digits}", str(error)) from error
        return {digits + path.rpartition("/")[2]: int(info["size"] or 0) for path, info in found.items()}

    # --- writing

    def _write(self, digest: str, data: bytes) -> None:
        path = self._path(digest)
        if self.remote:
            files, key = filesystem_and_path(path)
            try:
                # One put, of content that its name tells: it may be repeated.
                self._limits.attempts.answer(lambda: files.pipe_file(key, data), path)
            except CredentialsError as error:
                raise StoreDenied(error.message, remedy=error.remedy) from error
            except Exception as error:  # clients of stores raise errors of their own
                raise StateError(
                    f"a result of {len(data)} bytes cannot be stored in {self.root}: {error}",
                    remedy="check the bucket and the network; `pipe resume` goes on with the run",
                ) from error
            return
        try:
            self._write_file(Path(path), data)
        except OSError as error:
            raise StateError(
                f"a result of {len(data)} bytes cannot be stored in {self.root}: {error}",
                remedy="free some space, or set SWATH_HOME to another disk",
            ) from error

    @staticmethod
    def _write_file(path: Path, data: bytes) -> None:
        """Write a file whole or not at all, unless it is there with this content."""
        with contextlib.suppress(OSError):  # one that cannot be read is replaced
            if path.stat().st_size == len(data) and path.read_bytes() == data:
                return
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            with temporary.open("xb") as target:
                target.write(data)
                target.flush()
                os.fsync(target.fileno())  # else a crash of the machine can leave a file of zeros under the final name
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _damaged(where: str, why: str) -> DamagedResult:
    return DamagedResult(
        f"a stored result is damaged: {where}: {why}", remedy="run again with --fresh to compute it again"
    )


def _unreadable(path: str, why: str) -> StateError:
    return StateError(
        f"a stored result cannot be read: {path}: {why}",
        remedy="check the folder, or the bucket and the network; `pipe resume` goes on with the run",
    )
