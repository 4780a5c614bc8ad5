"""Objects of a store: their bytes and sizes, copies and removal. Each request is repeated after errors that may pass.

Each function raises FileNotFoundError when there is no such object, CredentialsError when it is not allowed, and OSError or ValueError
when all attempts failed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

from swath.errors import SwathError
from swath.storage.address import scheme
from swath.storage.attempts import HTML_ANSWER, Attempts, UnexpectedAnswer, UnexpectedContent, is_html
from swath.storage.filesystem import filesystem_and_path
from swath.storage.object_writer import s3_answer

Answer = TypeVar("Answer")

_COPY_BYTES = 5 << 30
"""S3 copies objects of up to this size in one request."""


def read_object(url: str, parse: Callable[[bytes], Answer], attempts: Attempts = Attempts()) -> Answer:
    """What `parse` makes of an object's bytes; when it raises ValueError, the object is read again: a transfer may have changed it.

    The last ValueError is raised as it is, and an HTML page in the place of the object is an UnexpectedAnswer.
    """
    files, path = filesystem_and_path(url)

    def request() -> Answer:
        data = bytes(files.cat_file(path))
        if is_html(data):
            raise UnexpectedAnswer(HTML_ANSWER)
        return parse(data)

    return _answer(request, url, attempts)


def object_size(url: str, attempts: Attempts = Attempts()) -> int:
    """Bytes of an object."""
    files, path = filesystem_and_path(url)

    def request() -> int:
        files.invalidate_cache()
        return int(files.info(path)["size"])

    return _answer(request, url, attempts)


def check_size(url: str, size: int, attempts: Attempts = Attempts()) -> None:
    """Raises UnexpectedAnswer when an object has another number of bytes than were sent."""
    files, path = filesystem_and_path(url)

    def request() -> None:
        files.invalidate_cache()
        found = int(files.info(path)["size"])
        if found != size:
            raise UnexpectedAnswer(f"{found} bytes arrived instead of {size}")

    _answer(request, url, attempts)


def copy_object(source: str, target: str, size: int, attempts: Attempts = Attempts()) -> None:
    """Copy an object of this size within a store. Raises UnexpectedContent when the copy has another."""
    files, source_path = filesystem_and_path(source)
    target_path = filesystem_and_path(target)[1]

    def request() -> None:
        if scheme(target) == "s3" and size <= _COPY_BYTES:
            bucket, _, key = target_path.partition("/")
            where = dict(zip(("Bucket", "Key"), source_path.split("/", 1), strict=True))
            s3_answer(files, "copy_object", "CopyObjectResult", Bucket=bucket, Key=key, CopySource=where)
        else:
            files.cp_file(source_path, target_path)
        files.invalidate_cache()
        found = int(files.info(target_path)["size"])
        if found != size:
            raise UnexpectedContent(f"{found} bytes arrived instead of {size}")

    _answer(request, target, attempts)


def remove_objects(url: str, attempts: Attempts = Attempts()) -> None:
    """Remove all objects below an address, if there are any."""
    files, path = filesystem_and_path(url)

    def request() -> None:
        files.invalidate_cache()
        found = files.find(path)
        for each in found:
            with contextlib.suppress(FileNotFoundError):  # an earlier attempt has removed it
                files.rm_file(each)
        files.invalidate_cache()
        if found and files.find(path):
            raise UnexpectedAnswer("objects are there after the store said that it removed them")
        if scheme(url) not in ("s3", "gs"):  # those have no folders
            with contextlib.suppress(FileNotFoundError):
                files.rm(path, recursive=True)

    _answer(request, url, attempts)


def list_objects(url: str, attempts: Attempts = Attempts()) -> dict[str, dict[str, Any]]:
    """What the store tells of each object below an address, by path."""
    files, path = filesystem_and_path(url)

    def request() -> dict[str, dict[str, Any]]:
        files.invalidate_cache()
        found: dict[str, dict[str, Any]] = files.find(path, detail=True)
        return found

    return _answer(request, url, attempts)


def objects_matching(pattern: str, attempts: Attempts = Attempts()) -> list[str]:
    """URLs of the objects that a pattern names, sorted."""
    files, _ = filesystem_and_path(pattern)
    return _answer(lambda: sorted(files.unstrip_protocol(each) for each in files.glob(pattern)), pattern, attempts)


def remove_object(url: str, attempts: Attempts = Attempts()) -> None:
    """Remove one object."""
    files, path = filesystem_and_path(url)
    _answer(lambda: files.rm_file(path), url, attempts)


def _answer(request: Callable[[], Answer], url: str, attempts: Attempts) -> Answer:
    try:
        return attempts.answer(request, url)
    except (SwathError, OSError, ValueError):
        raise
    except Exception as error:  # clients of stores raise errors of their own
        raise OSError(f"{type(error).__name__}: {error}") from error
