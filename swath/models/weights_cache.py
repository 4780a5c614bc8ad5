"""Cache of weights and contracts from object stores: downloaded once per machine and version, complete or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swath.errors import CredentialsError, MissingExtra, ModelError, SwathError
from swath.models.safety.onnx_file import external_files
from swath.owned_file import is_own_folder

CHUNK_BYTES = 8 << 20
_EXTRAS = {"s3": ("s3fs", "aws"), "gs": ("gcsfs", "gcp"), "gcs": ("gcsfs", "gcp")}


@dataclass(frozen=True)
class DownloadLimits:
    """How often a download is tried, and how much is downloaded."""

    tries: int = 4
    first_pause_s: float = 0.2
    """Before the second try; it doubles with each, with jitter."""
    max_bytes: int = 16 << 30
    """Of a model with all its files: it could fill the disk otherwise."""


def local_copy(path: str, limits: DownloadLimits = DownloadLimits()) -> str:
    """The path of a file on this machine: `path` itself, or a copy of the file at that URL. With an ONNX model come the files beside
    it that hold its weights.

    Raises ModelError when it cannot be read or is too large, CredentialsError when that is not allowed, MissingExtra when the store
    needs a package.
    """
    if "://" not in path:
        return path
    try:
        files, name = _open(path)
        for attempt in range(1, limits.tries + 1):
            try:
                return str(_model(files, name, path, limits.max_bytes))
            except (SwathError, FileNotFoundError, PermissionError):
                raise
            except Exception:  # clients of stores raise errors of their own
                if attempt == limits.tries:
                    raise
            time.sleep(limits.first_pause_s * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))
    except SwathError:
        raise
    except PermissionError as error:
        raise CredentialsError(f"{path}: may not be read: {error}", remedy="check the credentials") from error
    except Exception as error:  # clients of stores raise errors of their own, such as botocore's NoCredentialsError
        raise ModelError(f"{path}: cannot be read: {error}", remedy="check the address and who may read it") from error
    raise AssertionError("the last try returns or raises")


def _model(files: Any, name: str, path: str, max_bytes: int) -> Path:
    """The local copy of a model, with what belongs to it."""
    folder, file = name.rpartition("/")[::2]
    info = files.info(name)
    _check_size(path, [info], max_bytes)
    local = _downloaded(files, name, info, [path, *_version(info)])
    if not file.endswith(".onnx"):
        return local
    beside = {f"{name}.data"} if files.exists(f"{name}.data") else set()
    with contextlib.suppress(ModelError):  # a damaged model: loading it says what is wrong
        beside |= {f"{folder}/{each}" for each in external_files(str(local))}
    if beside:
        infos = {each: files.info(each) for each in sorted(beside)}
        _check_size(path, [info, *infos.values()], max_bytes)
        key = [path, *_version(info), *(part for each in infos.values() for part in _version(each))]
        for each, about in infos.items():
            _downloaded(files, each, about, key)
        local = _downloaded(files, name, info, key)
    return local


def _check_size(path: str, infos: list[dict[str, Any]], max_bytes: int) -> None:
    sizes = [info.get("size") for info in infos]
    if not all(isinstance(size, int) for size in sizes):
        raise ModelError(
            f"{path}: the server does not say how large the file is", remedy="download it, and name the copy"
        )
    if sum(sizes) > max_bytes:  # type: ignore[arg-type]
        raise ModelError(
            f"{path}: {sum(sizes):,} bytes, more than the {max_bytes:,} of a model that is downloaded",  # type: ignore[arg-type]
            remedy="check the address; or download it, and name the copy",
        )


_VERSIONS = ("ETag", "etag", "LastModified", "Last-Modified", "last_modified", "updated", "mtime", "created", "ino")
"""What clients of stores call what changes with a file's content."""


def _version(info: dict[str, Any]) -> list[str]:
    return [str(info.get(key, "")) for key in (*_VERSIONS, "size")]


def _downloaded(files: Any, name: str, info: dict[str, Any], key: list[str]) -> Path:
    """A copy of a file in the folder of `key`, which holds all files of one version of a model."""
    folder = private_folder() / hashlib.sha256("\n".join(key).encode()).hexdigest()[:32]
    local = folder / name.rpartition("/")[2]
    known = any(info.get(key) for key in _VERSIONS)
    if not (known and local.is_file() and local.stat().st_size == info["size"]):
        _download(files, name, info["size"], local)
    return local


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


def private_folder() -> Path:
    """One per user, as others could write other files there: weights have a checksum, contracts do not."""
    folder = Path(tempfile.gettempdir()) / f"swath-models-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if not is_own_folder(folder):
        raise PermissionError(
            f"{folder} is not a folder of this user alone, or cannot be written; remove it, or set TMPDIR"
        )
    return folder


def _download(files: Any, name: str, size: int, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    partial = to.with_name(f"{to.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        with files.open(name, "rb", block_size=CHUNK_BYTES) as source, partial.open("wb") as target:
            while chunk := source.read(CHUNK_BYTES):
                # fsspec's files take what came for the block: a page of a proxy, or a part of it.
                if len(chunk) != min(CHUNK_BYTES, size - target.tell()):
                    raise OSError(f"{len(chunk)} bytes of a block of {min(CHUNK_BYTES, size - target.tell())} came")
                target.write(chunk)
        if partial.stat().st_size != size:
            raise OSError(f"{partial.stat().st_size} bytes were downloaded instead of {size}")
        partial.replace(to)
    finally:
        partial.unlink(missing_ok=True)
