"""Signatures of stored results: HMAC-SHA256 of the digest and the pickle, in front of the pickle, with a key of the project.

The key is a file of the state folder and never in a bucket, so whoever can only write to the bucket cannot have a pickle loaded.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import uuid
from pathlib import Path

from swath.errors import StateError
from swath.storage.state_owner import RESULTS_KEY

SIGNATURE_BYTES = 32
_KEY_BYTES = 32


def signature(digest: str, pickled: bytes | memoryview, key: bytes) -> bytes:
    """The signature of the pickle of the value with this fingerprint."""
    state = hmac.new(key, digest.encode(), "sha256")
    state.update(pickled)
    return state.digest()


def verified(digest: str, data: bytes, key: bytes) -> memoryview | None:
    """The pickle in `data`, signature and pickle; None when the signature is not that of this digest and pickle."""
    pickled = memoryview(data)[SIGNATURE_BYTES:]
    return pickled if hmac.compare_digest(data[:SIGNATURE_BYTES], signature(digest, pickled, key)) else None


def result_key(state: Path) -> bytes:
    """The key of the project with this state folder, created when it is missing. Raises StateError when it cannot be read or written.

    A key of another length is replaced: results that were signed with it count as missing.
    """
    file = state / RESULTS_KEY
    try:
        with contextlib.suppress(FileNotFoundError):
            found = file.read_bytes()
            if len(found) == _KEY_BYTES:
                return found
            file.unlink(missing_ok=True)
        return _created(file)
    except OSError as error:
        raise StateError(
            f"the key of the stored results cannot be read or written: {file}: {error}",
            remedy="make the state folder yours to read and write, or set SWATH_HOME to a folder of your own",
        ) from error


def _created(file: Path) -> bytes:
    """A new key; or that of another process that was faster."""
    temporary = file.with_name(f"{file.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with open(temporary, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as target:
            target.write(secrets.token_bytes(_KEY_BYTES))
            target.flush()
            os.fsync(target.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, file)  # unlike a rename this never replaces the key of another process
        return file.read_bytes()
    finally:
        temporary.unlink(missing_ok=True)


def write_result_key(state: Path, key: bytes) -> None:
    """Have a state folder use a key that comes from elsewhere: what was signed with another counts as missing. Raises StateError."""
    file = state / RESULTS_KEY
    temporary = file.with_name(f"{file.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with contextlib.suppress(FileNotFoundError):
            if file.read_bytes() == key:
                return
        with open(temporary, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as target:
            target.write(key)
            target.flush()
            os.fsync(target.fileno())
        temporary.replace(file)
    except OSError as error:
        raise StateError(f"the key of the stored results cannot be written: {file}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)
