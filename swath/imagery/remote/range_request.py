"""Fetch: a range of bytes of a remote file, over http(s), s3 and gs, under one policy of time limits and retries.

GDAL decodes what is fetched here and asks the network for nothing itself: it passes over Retry-After, keeps what a cut transfer
left in its cache, and takes the whole of a file from a server that knows no ranges.
"""

from __future__ import annotations

import os
import random
import threading
import time
import urllib.request
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.parse import unquote, urlsplit

import urllib3

from swath.errors import CredentialsError, ImageryError, ReadFailed, SwathError
from swath.imagery.remote import timeouts
from swath.imagery.remote.file_format import HEAD_BYTES, driver_of
from swath.imagery.remote.object_store import fetch_object
from swath.imagery.remote.response import Response, TransientError
from swath.imagery.remote.signer import SIGNERS, Signatures
from swath.storage.address import redacted, scheme

TRIES = 4
"""Requests for one range, before the call fails (the engine may then make the call again)."""
FIRST_WAIT_S, MOST_WAIT_S = 0.5, 60
"""Waits double from the first, each shortened at random; a server's Retry-After is kept to when it is no longer than the
most, else the read fails at once."""
PER_HOST = 8
"""Requests that a process has under way with one host."""

_PASSING = (408, 425, 429, 500, 502, 503, 504)
_REFUSED = (401, 403, 409)  # 409: Azure's answer to who asks a private container without a signature


def fetch_range(href: str, start: int, stop: int) -> Response:
    """Bytes start to stop (exclusive) of the file; fewer only where it ends.

    Raises CredentialsError when it may not be read, ImageryError when there is no such file or its server knows no ranges,
    ReadFailed when it did not come whole after TRIES requests.
    """
    once = _fetch_http if scheme(href) in ("http", "https") else fetch_object
    for left in reversed(range(TRIES)):
        try:
            with _gates.setdefault(urlsplit(href).netloc, threading.BoundedSemaphore(PER_HOST)):
                return once(href, start, stop)
        except TransientError as error:
            wait = error.retry_after_s
            if not left or wait > MOST_WAIT_S:
                later = f", and asks to come back in {wait:.0f} s" if wait > MOST_WAIT_S else ""
                tries = f" ({TRIES} tries)" if not left and TRIES > 1 else ""
                raise ReadFailed(
                    f"{redacted(href)}: {error}{later}{tries}",
                    remedy="The server is busy or the network is bad; try again later, or with fewer workers.",
                ) from error
            backoff = min(FIRST_WAIT_S * 2 ** (TRIES - 1 - left), MOST_WAIT_S) * random.uniform(0.5, 1)
        # Outside of the gate: who waits holds nobody up. A little is added to what the server says, so that not all come at once.
        time.sleep(wait + random.uniform(0, 0.1) * wait if wait else backoff)
    raise ReadFailed(f"{redacted(href)}: not one request was allowed")


_gates: dict[str, threading.BoundedSemaphore] = {}
_signatures = Signatures()


def _fetch_http(href: str, start: int, stop: int) -> Response:
    """One request; a second one with a new signature when the first is refused."""
    signed = _signatures.newest(href)
    try:
        return _request(href, signed, start, stop)
    except _Refused as refused:
        if not refused.by_signature:
            raise refused.error from None
        again = _signatures.renewed(href, signed)
        if again is None:
            raise refused.error from None
    try:
        return _request(href, again, start, stop)
    except _Refused as refused:
        raise refused.error from None


class _Refused(Exception):
    def __init__(self, error: SwathError, *, by_signature: bool) -> None:
        super().__init__(str(error))
        self.error, self.by_signature = error, by_signature


def _request(href: str, signed: str, start: int, stop: int) -> Response:
    begun = time.monotonic()
    headers = {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
    parts = urlsplit(signed)
    if parts.username is not None:
        headers |= urllib3.make_headers(basic_auth=f"{unquote(parts.username)}:{unquote(parts.password or '')}")
        signed = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    try:
        answer = _pool(parts.scheme, parts.hostname or "").request(
            "GET",
            signed,
            headers=headers,
            preload_content=False,
            timeout=urllib3.Timeout(connect=timeouts.CONNECT_S, read=timeouts.STALL_S),
            retries=urllib3.Retry(
                None, connect=0, read=0, status=0, other=0, redirect=5, respect_retry_after_header=False
            ),
        )
    except urllib3.exceptions.LocationParseError as error:
        raise ImageryError(f"{redacted(href)}: not an address", remedy="Check it.") from error
    except urllib3.exceptions.HTTPError as error:
        raise TransientError(_told(error)) from error
    try:
        return _taken(href, signed, answer, start, stop, begun)
    except urllib3.exceptions.HTTPError as error:
        raise TransientError(_told(error)) from error
    finally:
        if answer.length_remaining == 0:
            answer.drain_conn()
            answer.release_conn()
        else:  # what was not read must not be taken for the next answer
            answer.close()


def _taken(href: str, signed: str, answer: urllib3.BaseHTTPResponse, start: int, stop: int, begun: float) -> Response:
    told = answer.headers
    etag = told.get("ETag") or told.get("Last-Modified") or ""
    if answer.status == 206:
        first, last, size = _content_range(href, told.get("Content-Range", ""))
        if first != start or last + 1 != min(stop, size):
            raise ImageryError(
                f"{redacted(href)}: the server sent bytes {first}-{last} where {start}-{stop - 1} were asked for",
                remedy="Copy the file to a server that serves ranges, or to this machine.",
            )
        return Response(_body(answer, last + 1 - start, begun), size, etag)
    if answer.status == 200:
        return _whole(href, answer, start, stop, etag, begun)
    if answer.status == 416 and start == 0:  # an empty file has no such range
        return Response(b"", 0, etag)
    said = f"{redacted(href)}: the server answered {answer.status}"
    if answer.status in _PASSING:
        raise TransientError(f"the server answered {answer.status}", retry_after_s(told.get("Retry-After", "")))
    if answer.status in _REFUSED:
        raise _Refused(
            CredentialsError(
                said,
                remedy="Check the credentials. If the address is signed, its signature may have expired: run again with a fresh "
                f"one, or name who signs for this host in {SIGNERS}.",
            ),
            by_signature=True,
        )
    if answer.status in (404, 410):
        # A private container of Azure's answers so too when the address has no signature.
        raise _Refused(
            ImageryError(said, remedy="There is no such file; check the address."), by_signature="?" not in signed
        )
    raise ReadFailed(said, remedy="Check the address.")


def _whole(href: str, answer: urllib3.BaseHTTPResponse, start: int, stop: int, etag: str, begun: float) -> Response:
    """The answer of a server that ignores Range: taken when the file is no longer than what was asked for."""
    length = answer.headers.get("Content-Length", "")
    if start == 0 and length.isdecimal() and int(length) <= stop:
        return Response(_body(answer, int(length), begun), int(length), etag)
    if start == 0 and driver_of(head := _body(answer, HEAD_BYTES, begun, short=True)) is None:
        return Response(head, len(head), etag)  # no raster: the caller says what it is instead
    many = f" ({int(length):,} bytes)" if length.isdecimal() else ""
    raise ImageryError(
        f"{redacted(href)}: the server ignores Range: it would send the whole file{many} for every piece",
        remedy="Copy the file to a server or a store that serves ranges, or to this machine, and name that.",
    )


def _body(answer: urllib3.BaseHTTPResponse, length: int, begun: float, *, short: bool = False) -> bytes:
    """So many bytes of the body; fewer only with `short`."""
    data = bytearray()
    while len(data) < length:
        if time.monotonic() - begun > timeouts.REQUEST_S:
            raise TransientError(f"{len(data)} of {length} bytes came in {timeouts.REQUEST_S} s")
        piece = answer.read1(min(length - len(data), 1 << 20))
        if not piece:
            break
        data += piece
    if len(data) < length and not short:
        raise TransientError(f"the transfer was cut: {len(data)} of {length} bytes came")
    return bytes(data)


def _content_range(href: str, told: str) -> tuple[int, int, int]:
    """(first byte, last byte, size of the file) from `bytes 0-511/1234`."""
    try:
        span, _, size = told.removeprefix("bytes ").partition("/")
        first, _, last = span.partition("-")
        return int(first), int(last), int(size)
    except ValueError as error:
        raise ImageryError(
            f"{redacted(href)}: the server's Content-Range {told!r} does not tell what it sent",
            remedy="Copy the file to a server that serves ranges, or to this machine.",
        ) from error


def retry_after_s(told: str) -> float:
    """Seconds of a Retry-After header: a number, or a date; 0 when it says neither."""
    if told.strip().isdecimal():
        return float(told)
    try:
        return max(0.0, parsedate_to_datetime(told).timestamp() - time.time())
    except ValueError:
        return 0.0


def _told(error: Exception) -> str:
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError):
        return f"no connection within {timeouts.CONNECT_S} s"
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return f"no answer for {timeouts.STALL_S} s"
    if isinstance(error, urllib3.exceptions.IncompleteRead):
        return f"the transfer was cut: {error.args[0]}" if error.args else "the transfer was cut"
    # The message of urllib3 may hold the whole address; the name of the error holds no secret.
    return f"no connection ({type(error).__name__})"


@lru_cache(maxsize=64)
def _manager(pid: int, proxy: str) -> urllib3.PoolManager:
    trusted = os.environ.get("CURL_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE")
    if proxy:
        return urllib3.ProxyManager(proxy, maxsize=PER_HOST, ca_certs=trusted)
    return urllib3.PoolManager(maxsize=PER_HOST, ca_certs=trusted)


def _pool(kind: str, host: str) -> urllib3.PoolManager:
    """Connections of this process, through the proxy that the environment names for the host."""
    proxy = "" if urllib.request.proxy_bypass(host) else urllib.request.getproxies().get(kind, "")
    return _manager(os.getpid(), proxy)
