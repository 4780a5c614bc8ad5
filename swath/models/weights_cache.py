"""Weights and contracts in a bucket: fetched once per machine and version, and there whole or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
import uuid
from pathlib import Path
from typing import Any

from swath.errors import CredentialsError, MissingExtra, ModelError, SwathError

PIECE = 8 << 20
_EXTRAS = {"s3": ("s3fs", "aws"), "gs": ("gcsfs", "gcp"), "gcs": ("gcsfs", "gcp")}


def at_hand(path: str) -> str:
    """The path of a file on this machine: `path` itself, or a copy of what is at that address. With `x.onnx` comes `x.onnx.data`.

    Raises ModelError when it cannot be read, CredentialsError when that is not allowed, MissingExtra when an address needs a package.
    """
    if "://" not in path:
        return path
    try:
        files, place = _opened(path)
        facts = files.info(place)
        beside = f"{place}.data" if place.endswith(".onnx") and files.exists(f"{place}.data") else None
        sizes = [facts["size"], files.info(beside)["size"]] if beside else [facts["size"]]
        version = [str(facts.get(key, "")) for key in ("ETag", "etag", "LastModified", "updated", "mtime")]
        known = hashlib.sha256("\n".join([path, *version, *map(str, sizes)]).encode()).hexdigest()[:32]
        folder = _folder() / known
        kept = folder / place.rpartition("/")[2]
        if beside:
            _copied(files, beside, sizes[1], Path(f"{kept}.data"))
        _copied(files, place, sizes[0], kept)
    except SwathError:
        raise
    except PermissionError as error:
        raise CredentialsError(f"{path}: may not be read: {error}", remedy="check the credentials") from error
    except Exception as error:  # clients of stores have errors of their own, such as botocore's NoCredentialsError
        raise ModelError(f"{path}: cannot be read: {error}", remedy="check the address and who may read it") from error
    return str(kept)


def _opened(path: str) -> tuple[Any, str]:
    import fsspec

    kind = path.partition("://")[0]
    if kind in ("gs", "gcs"):  # gcsfs would ask Google what kind of bucket it is with each call
        os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    try:
        files, place = fsspec.core.url_to_fs(path)
    except ImportError as error:
        if kind in _EXTRAS:
            raise MissingExtra(*_EXTRAS[kind], f"Opening {path}") from error
        raise ModelError(f"{path}: {error}") from error
    except ValueError as error:
        raise ModelError(f"{path}: {kind}:// is not a kind of address that can be opened") from error
    return files, str(place)


def _folder() -> Path:
    """This user's own, as others could put something else there: weights are checked, contracts are not."""
    folder = Path(tempfile.gettempdir()) / f"swath-models-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else")
    return folder


def _copied(files: Any, place: str, size: int, to: Path) -> None:
    if to.is_file() and to.stat().st_size == size:
        return
    to.parent.mkdir(parents=True, exist_ok=True)
    partial = to.with_name(f"{to.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        with files.open(place, "rb", block_size=PIECE) as source, partial.open("wb") as target:
            while piece := source.read(PIECE):
                target.write(piece)
        if partial.stat().st_size != size:
            raise OSError(f"{partial.stat().st_size} bytes came instead of {size}")
        partial.replace(to)
    finally:
        partial.unlink(missing_ok=True)
