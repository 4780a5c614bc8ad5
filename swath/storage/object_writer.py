"""Writing one object of a store, whole or in parts, with requests that may be repeated: when the answer to one was lost, too.

Amazon S3 has numbered parts. Google Storage has none that may be sent twice, so that parts are objects beside the target there, which
are composed into it and removed. Other stores are written through fsspec's files.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import logging
import mimetypes
import secrets
from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Protocol

from swath.storage.address import scheme
from swath.storage.attempts import HTML_ANSWER, Attempts, UnexpectedAnswer, UnexpectedContent, is_html
from swath.storage.filesystem import filesystem_and_path

log = logging.getLogger(__name__)

PART_BYTES = 16 << 20
"""Bytes of one part of an upload. Stores allow 10,000 parts, so a file may have 160 GB."""
COMPOSED = 32
"""Objects that Google Storage composes in one request, at most."""


class ObjectWriter(Protocol):
    """One object, which appears whole or not at all. Each method raises what the store's client raises, CredentialsError,
    UnexpectedAnswer when the answer is not the store's, and UnexpectedContent when other bytes arrived."""

    def put(self, data: bytes) -> None:
        """Write the object in one request."""

    def add(self, data: bytes) -> None:
        """Write the next part."""

    def complete(self) -> None:
        """Make the parts the object."""

    def abort(self) -> None:
        """Remove the parts, if there are any."""


def object_writer(url: str, attempts: Attempts) -> ObjectWriter:
    """The writer for the store of a URL."""
    kinds: dict[str, type[S3Writer] | type[GsWriter]] = {"s3": S3Writer, "gs": GsWriter}
    return kinds.get(scheme(url), FileWriter)(url, attempts)


class S3Writer:
    """An object of Amazon S3."""

    def __init__(self, url: str, attempts: Attempts) -> None:
        self._url, self._attempts = url, attempts
        self._files, path = filesystem_and_path(url)
        self._bucket, _, self._key = path.partition("/")
        self._type = {"ContentType": kind} if (kind := mimetypes.guess_type(url)[0]) else {}
        self._upload = ""
        self._parts: list[dict[str, Any]] = []
        self._sent = 0

    def put(self, data: bytes) -> None:
        self._request("put_object", "ETag", Body=data, **self._type)

    def add(self, data: bytes) -> None:
        if not self._upload:
            self._upload = str(self._request("create_multipart_upload", "UploadId", **self._type)["UploadId"])
        number = len(self._parts) + 1
        answer = self._request("upload_part", "ETag", PartNumber=number, UploadId=self._upload, Body=data)
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        self._sent += len(data)

    def complete(self) -> None:
        try:
            parts = {"Parts": self._parts}
            self._request("complete_multipart_upload", "ETag", UploadId=self._upload, MultipartUpload=parts)
        except FileNotFoundError:  # no such upload: an earlier request has completed it, and its answer was lost
            found = self._request("head_object", "ETag")
            parts_told = str(found["ETag"]).strip('"').partition("-")[2]
            if found["ContentLength"] != self._sent or parts_told != str(len(self._parts)):
                raise
        self._upload = ""

    def abort(self) -> None:
        if self._upload:
            try:
                self._files.call_s3("abort_multipart_upload", Bucket=self._bucket, Key=self._key, UploadId=self._upload)
            except Exception as error:  # noqa: BLE001 - of the store or the network; the upload's own error matters more
                log.warning("the unfinished upload of %s could not be removed: %s", self._url, error)

    def _request(self, method: str, wanted: str, **fields: Any) -> Mapping[str, Any]:
        return self._attempts.answer(
            lambda: s3_answer(self._files, method, wanted, Bucket=self._bucket, Key=self._key, **fields), self._url
        )


def s3_answer(files: Any, method: str, wanted: str, **fields: Any) -> Mapping[str, Any]:
    """The answer of S3 to a request. Raises UnexpectedAnswer unless it has the field `wanted`."""
    answer: Mapping[str, Any] = files.call_s3(method, **fields)
    if wanted not in answer:
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        html = "html" in headers.get("content-type", "")
        raise UnexpectedAnswer(HTML_ANSWER if html else f"the store's answer to {method} has no {wanted}")
    return answer


class _Body(io.BytesIO):
    """The body of a request, which stays open after it: the client may send it again."""

    def close(self) -> None:
        pass


class GsWriter:
    """An object of Google Storage."""

    def __init__(self, url: str, attempts: Attempts) -> None:
        self._url, self._attempts = url, attempts
        self._files, path = filesystem_and_path(url)
        self._bucket, _, self._key = path.partition("/")
        self._type = mimetypes.guess_type(url)[0] or "application/octet-stream"
        folder, slash, name = self._key.rpartition("/")
        self._part = f"{folder}{slash}.{name}.{secrets.token_hex(4)}"
        self._number = 0
        self._parts: list[str] = []
        self._sent = 0

    def put(self, data: bytes) -> None:
        self._insert(self._key, data)

    def add(self, data: bytes) -> None:
        if len(self._parts) == COMPOSED:
            before, name = self._parts, self._next_name()
            self._compose(name, before)
            self._parts = [name]
            self._remove(before)
        name = self._next_name()
        self._parts.append(name)  # before it is there: an interrupted one is removed, too
        self._insert(name, data)
        self._sent += len(data)

    def complete(self) -> None:
        self._compose(self._key, self._parts)
        self.abort()

    def abort(self) -> None:
        parts, self._parts = self._parts, []
        self._remove(parts)

    def _next_name(self) -> str:
        self._number += 1
        return f"{self._part}.part{self._number:05}"

    def _insert(self, key: str, data: bytes) -> None:
        def request() -> None:
            _, content = self._files.call(
                "POST", f"{self._files._location}/upload/storage/v1/b/{self._bucket}/o", uploadType="media", name=key,
                headers={"Content-Type": self._type}, data=_Body(data),
            )  # fmt: skip
            found = _gs_object(content, len(data))
            expected = hashlib.md5(data, usedforsecurity=False).digest()
            if b64decode(found.get("md5Hash", "")) not in (b"", expected):
                raise UnexpectedContent("other bytes arrived than were sent")

        self._attempts.answer(request, self._url)

    def _compose(self, key: str, parts: list[str]) -> None:
        def request() -> None:
            document = {"sourceObjects": [{"name": part} for part in parts], "destination": {"contentType": self._type}}
            _, content = self._files.call("POST", "b/{}/o/{}/compose", self._bucket, key, json=document)
            _gs_object(content, self._sent)

        self._attempts.answer(request, self._url)

    def _remove(self, keys: list[str]) -> None:
        for key in keys:
            try:
                self._attempts.answer(functools.partial(self._delete, key), self._url)
            except FileNotFoundError:
                pass
            except Exception as error:  # noqa: BLE001 - of the store or the network; the object itself is there
                log.warning("%s, a part of an upload, could not be removed: %s", f"gs://{self._bucket}/{key}", error)

    def _delete(self, key: str) -> None:
        _, content = self._files.call("DELETE", "b/{}/o/{}", self._bucket, key)
        if is_html(content):
            raise UnexpectedAnswer(HTML_ANSWER)


def _gs_object(content: bytes, size: int) -> dict[str, Any]:
    """The answer of Google Storage about an object. Raises UnexpectedAnswer if it is none, UnexpectedContent if it differs in size."""
    try:
        found: dict[str, Any] = json.loads(content)
        told = int(found["size"])
    except (ValueError, KeyError, TypeError):
        text = HTML_ANSWER if is_html(content) else "the store's answer describes no object"
        raise UnexpectedAnswer(text) from None
    if told != size:
        raise UnexpectedContent(f"{told} bytes arrived instead of {size}")
    return found


class FileWriter:
    """An object of another store, or a file of another file system."""

    def __init__(self, url: str, attempts: Attempts) -> None:
        self._url, self._attempts = url, attempts
        self._files, self._path = filesystem_and_path(url)
        self._file: Any = None

    def put(self, data: bytes) -> None:
        self._attempts.answer(lambda: self._files.pipe_file(self._path, data), self._url)

    def add(self, data: bytes) -> None:
        if self._file is None:
            self._file = self._files.open(self._path, "wb", block_size=PART_BYTES)
        self._file.write(data)

    def complete(self) -> None:
        file, self._file = self._file, None
        file.close()

    def abort(self) -> None:
        if self._file is None:
            return
        from fsspec.spec import AbstractBufferedFile

        self._file.discard()  # close would complete the object with what was sent so far
        if isinstance(self._file, AbstractBufferedFile):
            self._file.closed = True
