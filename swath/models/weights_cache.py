"""Cache of weights and contracts from object stores: downloaded once per machine and version, complete or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
import uuid
from pathlib import Path
from typing import Any

from swath.errors import CredentialsError, MissingExtra, ModelError, SwathError

CHUNK_BYTES = 8 << 20
_EXTRAS = {"s3": ("s3fs", "aws"), "gs": ("gcsfs", "gcp"), "gcs": ("gcsfs", "gcp")}


def local_copy(path: str) -> str:
    """The path of a file on this machine: `path` itself, or a copy of the file at that URL. With `x.onnx` comes `x.onnx.data`.

    Raises ModelError when it cannot be read, CredentialsError when that is not allowed, MissingExtra when the store needs a package.
    """
    if "://" not in path:
        return path
    try:
        files, name = _open(path)
        info = files.info(name)
        data_file = f"{name}.data" if name.endswith(".onnx") and files.exists(f"{name}.data") else None
        sizes = [info["size"], files.info(data_file)["size"]] if data_file else [info["size"]]
        version = [str(info.get(key, "")) for key in ("ETag", "etag", "LastModified", "updated", "mtime")]
        key = hashlib.sha256("\n".join([path, *version, *map(str, sizes)]).encode()).hexdigest()[:32]
        folder = _folder() / key
        local = folder / name.rpartition("/")[2]
        if data_file:
            _download(files, data_file, sizes[1], Path(f"{local}.data"))
        _download(files, name, sizes[0], local)
    except SwathError:
        raise
    except PermissionError as error:
        raise CredentialsError(f"{path}: may not be read: {error}", remedy="check the credentials") from error
    except Exception as error:  # clients of stores raise errors of their own, such as botocore's NoCredentialsError
        raise ModelError(f"{path}: cannot be read: {error}", remedy="check the address and who may read it") from error
    return str(local)


def _open(path: str) -> tuple[Any, str]:
    import fsspec

    kind = path.partition("://")[0]
    if kind in ("gs", "gcs"):  # gcsfs would ask Google what kind of bucket it is with each call
        os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    try:
        files, name = fsspec.core.url_to_fs(path)
    except ImportError as error:
        if kind in _EXTRAS:
            raise MissingExtra(*_EXTRAS[kind], f"Opening {path}") from error
        raise ModelError(f"{path}: {error}") from error
    except ValueError as error:
        raise ModelError(f"{path}: {kind}:// is not a protocol that can be opened") from error
    return files, str(name)


def _folder() -> Path:
    """One per user, as others could write other files there: weights have a checksum, contracts do not."""
    folder = Path(tempfile.gettempdir()) / f"swath-models-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user")
    return folder


def _download(files: Any, name: str, size: int, to: Path) -> None:
    if to.is_file() and to.stat().st_size == size:
        return
    to.parent.mkdir(parents=True, exist_ok=True)
    partial = to.with_name(f"{to.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        with files.open(name, "rb", block_size=CHUNK_BYTES) as source, partial.open("wb") as target:
            while chunk := source.read(CHUNK_BYTES):
                target.write(chunk)
        if partial.stat().st_size != size:
            raise OSError(f"{partial.stat().st_size} bytes were downloaded instead of {size}")
        partial.replace(to)
    finally:
        partial.unlink(missing_ok=True)
