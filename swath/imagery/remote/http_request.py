"""One HTTP request for a range of a file, through urllib3; a second one with a new signature when the first is refused."""

from __future__ import annotations

import os
import time
import urllib.request
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.parse import unquote, urlsplit

import urllib3

from swath.errors import CredentialsError, ImageryError, ReadFailed, SwathError
from swath.imagery.remote.file_format import HEAD_BYTES, driver_of
from swath.imagery.remote.host_check import CheckedPools, CheckedProxy
from swath.imagery.remote.request_policy import RequestPolicy
from swath.imagery.remote.response import Response, TransientError
from swath.imagery.remote.signer import SIGNERS, Signatures
from swath.storage.address import redacted

_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
_REFUSED = (401, 403, 409)  # 409: Azure's response to a request for a private container without a signature


def fetch_http(href: str, start: int, stop: int, policy: RequestPolicy) -> Response:
    """Bytes start to stop (exclusive) of a file. Raises TransientError when another request may succeed, CredentialsError,
    ImageryError when there is no such file or its server ignores ranges, ReadFailed for other statuses."""
    signed = _signatures.newest(href)
    try:
        return _request(href, signed, start, stop, policy)
    except _Refused as refused:
        if not refused.by_signature:
            raise refused.error from None
        renewed = _signatures.renewed(href, signed)
        if renewed is None:
            raise refused.error from None
    try:
        return _request(href, renewed, start, stop, policy)
    except _Refused as refused:
        raise refused.error from None


_signatures = Signatures()


class _Refused(Exception):
    """The server refuses to send the file; `by_signature` when a new signature may change that."""

    def __init__(self, error: SwathError, *, by_signature: bool) -> None:
        super().__init__(str(error))
        self.error, self.by_signature = error, by_signature


def _request(href: str, signed: str, start: int, stop: int, policy: RequestPolicy) -> Response:
    deadline = time.monotonic() + policy.request_s
    headers = {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
    parts = urlsplit(signed)
    if parts.username is not None:
        headers |= urllib3.make_headers(basic_auth=f"{unquote(parts.username)}:{unquote(parts.password or '')}")
        signed = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    try:
        reply = _pool(parts.scheme, parts.hostname or "", policy).request(
            "GET",
            signed,
            headers=headers,
            preload_content=False,
            timeout=urllib3.Timeout(connect=policy.connect_s, read=policy.stall_s),
            retries=urllib3.Retry(
                None, connect=0, read=0, status=0, other=0, redirect=5, respect_retry_after_header=False
            ),
        )
    except urllib3.exceptions.LocationParseError as error:
        raise ImageryError(f"{redacted(href)}: not an address", remedy="Check it.") from error
    except urllib3.exceptions.HTTPError as error:
        raise TransientError(_describe(error, policy)) from error
    body = _Body(reply, deadline, policy)
    try:
        return _response(href, signed, reply, body, start, stop)
    except urllib3.exceptions.HTTPError as error:
        raise TransientError(_describe(error, policy)) from error
    finally:
        if reply.length_remaining == 0:
            reply.drain_conn()
            reply.release_conn()
        else:  # unread bytes must not be taken for the next response
            reply.close()


def _response(href: str, signed: str, reply: urllib3.BaseHTTPResponse, body: _Body, start: int, stop: int) -> Response:
    headers = reply.headers
    modified = headers.get("Last-Modified") or ""
    etag = headers.get("ETag") or modified
    if reply.status == 206:
        first, last, size = _content_range(href, headers.get("Content-Range", ""))
        if first != start or last + 1 != min(stop, size):
            raise ImageryError(
                f"{redacted(href)}: the server sent bytes {first}-{last} where {start}-{stop - 1} were asked for",
                remedy="Copy the file to a server that serves ranges, or to this machine.",
            )
        return Response(body.read(last + 1 - start), size, etag, modified)
    if reply.status == 200:
        return _whole_file(href, reply, body, start, stop, etag, modified)
    if reply.status == 416 and start == 0:  # an empty file has no such range
        return Response(b"", 0, etag, modified)
    message = f"{redacted(href)}: the server answered {reply.status}"
    if reply.status in _TRANSIENT:
        raise TransientError(f"the server answered {reply.status}", retry_after_s(headers.get("Retry-After", "")))
    if reply.status in _REFUSED:
        raise _Refused(
            CredentialsError(
                message,
                remedy="Check the credentials. If the address is signed, its signature may have expired: run again with a fresh "
                f"one, or name who signs for this host in {SIGNERS}.",
            ),
            by_signature=True,
        )
    if reply.status in (404, 410):
        # So does a private container of Azure when the address has no signature.
        raise _Refused(
            ImageryError(message, remedy="There is no such file; check the address."), by_signature="?" not in signed
        )
    raise ReadFailed(message, remedy="Check the address.")


def _whole_file(
    href: str, reply: urllib3.BaseHTTPResponse, body: _Body, start: int, stop: int, etag: str, modified: str
) -> Response:
    """The response of a server that ignores Range: taken when the file is no longer than the range, and where one byte is asked
    for, which is a request for the headers."""
    length = reply.headers.get("Content-Length", "")
    if (start, stop) == (0, 1):
        return Response(b"", int(length) if length.isdecimal() else -1, etag, modified)
    if start == 0 and length.isdecimal() and int(length) <= stop:
        return Response(body.read(int(length)), int(length), etag, modified)
    if start == 0 and driver_of(head := body.read(HEAD_BYTES, short=True)) is None:
        return Response(head, len(head), etag, modified)  # not a raster: the caller's error says what it is instead
    many = f" ({int(length):,} bytes)" if length.isdecimal() else ""
    raise ImageryError(
        f"{redacted(href)}: the server ignores Range: it would send the whole file{many} for every piece",
        remedy="Copy the file to a server or a store that serves ranges, or to this machine, and name that.",
    )


class _Body:
    """The body of a response, read until the request's deadline."""

    def __init__(self, reply: urllib3.BaseHTTPResponse, deadline: float, policy: RequestPolicy) -> None:
        self._reply, self._deadline, self._policy = reply, deadline, policy

    def read(self, length: int, *, short: bool = False) -> bytes:
        """`length` bytes; fewer only with `short`. Raises TransientError."""
        data = bytearray()
        while len(data) < length:
            if time.monotonic() > self._deadline:
                raise TransientError(f"{len(data)} of {length} bytes came in {self._policy.request_s} s")
            piece = self._reply.read1(min(length - len(data), 1 << 20))
            if not piece:
                break
            data += piece
        if len(data) < length and not short:
            raise TransientError(f"the transfer was cut: {len(data)} of {length} bytes came")
        return bytes(data)


def _content_range(href: str, header: str) -> tuple[int, int, int]:
    """(first byte, last byte, size of the file) from `bytes 0-511/1234`."""
    try:
        span, _, size = header.removeprefix("bytes ").partition("/")
        first, _, last = span.partition("-")
        return int(first), int(last), int(size)
    except ValueError as error:
        raise ImageryError(
            f"{redacted(href)}: the server's Content-Range {header!r} does not tell what it sent",
            remedy="Copy the file to a server that serves ranges, or to this machine.",
        ) from error


def retry_after_s(header: str) -> float:
    """Seconds of a Retry-After header: a number, or a date; 0 when it is neither."""
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return 0.0


def _describe(error: Exception, policy: RequestPolicy) -> str:
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError):
        return f"no connection within {policy.connect_s} s"
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return f"no answer for {policy.stall_s} s"
    if isinstance(error, urllib3.exceptions.IncompleteRead):
        return f"the transfer was cut: {error.args[0]}" if error.args else "the transfer was cut"
    # urllib3's message may hold the whole address; the name of the error holds no secret.
    return f"no connection ({type(error).__name__})"


@lru_cache(maxsize=64)
def _manager(pid: int, proxy: str, per_host: int) -> urllib3.PoolManager:
    trusted = os.environ.get("CURL_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE")
    if proxy:
        return CheckedProxy(proxy, maxsize=per_host, ca_certs=trusted)
    return CheckedPools(maxsize=per_host, ca_certs=trusted)


def _pool(scheme: str, host: str, policy: RequestPolicy) -> urllib3.PoolManager:
    """Connections of this process, through the proxy that the environment names for the host."""
    proxy = "" if urllib.request.proxy_bypass(host) else urllib.request.getproxies().get(scheme, "")
    return _manager(os.getpid(), proxy, policy.per_host)
