"""Numbered copies of one file below an address of a store: the newest one that is whole and signed with the right key counts.

Each copy is an object of its own, named after the attempt that wrote it and a number. An earlier attempt that still writes adds copies
that rank below those of a later one; it neither replaces nor removes them.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from swath.errors import CredentialsError, InfrastructureError, StateError, SwathError
from swath.storage.attempts import Attempts
from swath.storage.filesystem import filesystem_and_path
from swath.storage.objects import list_objects, remove_object
from swath.storage.upload import Upload

log = logging.getLogger(__name__)
_NAME = re.compile(r"([0-9]{6})-([0-9]{8})\.copy")
_SIGNATURE_BYTES = 32
_CHUNK = 1 << 20
_MOST_LISTED = 10_000


@dataclass(frozen=True, order=True)
class Generation:
    """The rank of a copy, lowest first."""

    attempt: int
    number: int

    @property
    def name(self) -> str:
        return f"{self.attempt:06d}-{self.number:08d}.copy"


class Generations:
    """The copies below an address."""

    def __init__(self, address: str, key: bytes, most_bytes: int = 1 << 30, attempts: Attempts = Attempts()) -> None:
        """key: of the signatures. most_bytes: of one copy; a larger one is neither written nor read."""
        self.address = address.rstrip("/")
        self._key = key
        self._most_bytes = most_bytes
        self._attempts = attempts

    def listed(self) -> list[Generation]:
        """All copies, newest first; also those that are not whole."""
        try:
            found = list_objects(self.address, self._attempts)
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise self._unreachable(error) from error
        names = (_NAME.fullmatch(path.rpartition("/")[2]) for path in found)
        return sorted((Generation(int(name[1]), int(name[2])) for name in names if name), reverse=True)[:_MOST_LISTED]

    def add(self, generation: Generation, file: Path) -> None:
        """Write a copy. Raises StateError when it is too large or cannot be written, CredentialsError."""
        size = file.stat().st_size
        if size > self._most_bytes:
            raise StateError(f"it has {size:,} bytes, more than {self._most_bytes:,}")
        signed = self._signature(generation, file)
        try:
            Upload(self._url(generation), self._attempts).send(_with_signature(signed, file))
        except CredentialsError:
            raise
        except (SwathError, OSError) as error:
            raise StateError(str(error)) from error

    def remove_below(self, generation: Generation, keep: int) -> None:
        """Remove copies that rank below one, but for the newest `keep` of those. Raises SwathError."""
        for each in [each for each in self.listed() if each < generation][keep:]:
            try:
                remove_object(self._url(each), self._attempts)
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                raise self._unreachable(error) from error

    def fetch(self, generation: Generation, file: Path) -> bool:
        """Fetch a copy into a file. Returns False when it is not whole, too large, or of another key; no file is left then.

        Raises InfrastructureError when the store cannot be asked, CredentialsError.
        """
        raw = file.with_name(f"{file.name}.tmp")
        files, path = filesystem_and_path(self._url(generation))

        def request() -> bool:
            files.invalidate_cache()
            if int(files.info(path)["size"]) > self._most_bytes + _SIGNATURE_BYTES:
                return False
            files.get_file(path, str(raw))
            return True

        try:
            if not self._attempts.answer(request, self.address):
                return False
            with raw.open("rb") as source:
                signature = source.read(_SIGNATURE_BYTES)
                with file.open("wb") as target:
                    while chunk := source.read(_CHUNK):
                        target.write(chunk)
            if hmac.compare_digest(signature, self._signature(generation, file)):
                return True
            file.unlink()
        except FileNotFoundError:
            return False
        except SwathError:
            raise
        except Exception as error:  # clients of stores raise errors of their own
            raise self._unreachable(error) from error
        finally:
            raw.unlink(missing_ok=True)
        return False

    def _url(self, generation: Generation) -> str:
        return f"{self.address}/{generation.name}"

    def _signature(self, generation: Generation, file: Path) -> bytes:
        """HMAC-SHA256 of where the copy is, its rank and its bytes: none can stand in the place of another."""
        state = hmac.new(self._key, f"{self.address} {generation.name}\n".encode(), hashlib.sha256)
        with file.open("rb") as source:
            while chunk := source.read(_CHUNK):
                state.update(chunk)
        return state.digest()

    def _unreachable(self, error: Exception) -> InfrastructureError:
        return InfrastructureError(
            f"{self.address} cannot be read: {type(error).__name__}: {error}",
            remedy="check the bucket and the network; `pipe resume` tries again",
        )


def _with_signature(signature: bytes, file: Path) -> Iterator[bytes]:
    yield signature
    with file.open("rb") as source:
        while chunk := source.read(_CHUNK):
            yield chunk
