"""Reads STAC documents, from files and over HTTP, within limits of time, bytes and numbers, and from no host of this machine's own."""

from __future__ import annotations

import json
import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests
import urllib3
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from requests.adapters import HTTPAdapter

from swath.errors import ImageryError, ReadFailed, SwathError
from swath.imagery.remote.host_check import CheckedPools, check_redirect, check_reference
from swath.imagery.sources.stac_document import check_depth, check_document
from swath.storage.address import is_remote, local_href, local_path, redacted

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class StacLimits:
    """Limits of one search of a catalogue or an API. A search that reaches one is taken for a mistake, of the spec or of the server."""

    items: int = 10_000
    documents: int = 20_000
    """Catalogues, collections, items and pages that are read."""
    document_bytes: int = 256 * 2**20
    total_bytes: int = 2 * 2**30
    document_s: float = 120
    """Longest time for one document, however slowly its bytes arrive."""
    total_s: float = 1800
    stall_s: float = 30
    """Longest time until a connection is there, and without a byte."""


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        return check_redirect(str(resp.url), target) if target else target


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, **options)
        self.poolmanager = CheckedPools(num_pools=connections, maxsize=maxsize, block=block, **options)


class StacReader(StacApiIO):
    """What pystac_client reads documents with. Each document is checked (see check_document) before it is returned."""

    def __init__(self, place: str, limits: StacLimits) -> None:
        super().__init__(timeout=limits.stall_s, max_retries=None)
        self.session = _Session()
        for kind in ("http://", "https://"):
            self.session.mount(kind, _Adapter(max_retries=urllib3.Retry(3, redirect=0)))
        self._place, self._limits = place, limits
        self._deadline = time.monotonic() + limits.total_s
        self._documents = self._bytes = 0
        self.exhausted = False
        """Whether a limit of the whole search was reached."""

    def read_text(self, source: Any, *args: Any, **kwargs: Any) -> str:
        """The text of a document: of a file, or over HTTP. Raises ImageryError at a limit, and APIError, OSError."""
        self._documents += 1
        if self._documents > self._limits.documents:
            raise self._too_much(f"more than {self._limits.documents:,} documents")
        if time.monotonic() > self._deadline:
            raise self._too_much(f"took longer than {self._limits.total_s:g} s")
        href = source if isinstance(source, str) else str(source.href)
        check_reference(href, self._place, redacted(self._place))
        text = super().read_text(source, *args, **kwargs) if is_remote(href) else self._file(href)
        self._bytes += len(text)
        if self._bytes > self._limits.total_bytes:
            raise self._too_much(f"more than {self._limits.total_bytes:,} bytes")
        return text

    def read_json(self, source: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """A document whose type and links are checked."""
        href = source if isinstance(source, str) else str(source.href)
        text = self.read_text(source, *args, **kwargs)
        try:
            document = json.loads(text)
            check_depth(document)
        except RecursionError as error:
            raise ImageryError(
                f"{redacted(href)}: too deeply nested{self._origin(href)}", remedy="It must be a STAC document."
            ) from error
        except ValueError as error:
            raise ImageryError(
                f"{redacted(href)}: not JSON: {error}{self._origin(href)}", remedy="It must be a STAC document."
            ) from error
        return check_document(document, href)

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """The text that a server sends. Raises APIError for a status that is none of success, ReadFailed when it took too long."""
        sends_body = (method or "GET").upper() == "POST"
        request = requests.Request(
            method or "GET",
            href,
            headers,
            json=parameters if sends_body else None,
            params=None if sends_body else parameters,
        )
        prepared = self.session.prepare_request(request)
        settings = self.session.merge_environment_settings(prepared.url or href, {}, True, None, None)

        def fetch() -> str:
            reply = self.session.send(prepared, timeout=self._limits.stall_s, **settings)
            with reply:
                data = self._body(reply, href)
                if not reply.ok:
                    reply._content = data[:2000]
                    raise APIError.from_response(reply)
                return data.decode("utf-8")

        seconds = min(self._limits.document_s, max(self._deadline - time.monotonic(), 0.1))
        try:
            return _within(seconds, fetch, href)
        except requests.RequestException as error:  # an OSError
            raise OSError(f"no answer ({type(error).__name__})") from error

    def _body(self, reply: requests.Response, href: str) -> bytes:
        data = bytearray()
        while piece := reply.raw.read1(1 << 18, decode_content=True):
            data += piece
            if len(data) > self._limits.document_bytes:
                raise ImageryError(
                    f"{redacted(href)}: a document of more than {self._limits.document_bytes:,} bytes",
                    remedy="Narrow the search, or split the document.",
                )
        return bytes(data)

    def _file(self, href: str) -> str:
        path = local_path(local_href(href))
        try:
            size = path.stat().st_size
        except OSError as error:
            raise ImageryError(
                f"{href}: {error.strerror}{self._origin(href)}", remedy="Check the path, or the link to it."
            ) from error
        if not path.is_file():
            raise ImageryError(f"{href}: not a file{self._origin(href)}", remedy="Name the catalogue's JSON file.")
        if size > self._limits.document_bytes:
            raise self._too_much(f"{href} has more than {self._limits.document_bytes:,} bytes")
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ImageryError(
                f"{href}: not UTF-8: {error.reason}{self._origin(href)}", remedy="It must be a STAC document."
            ) from error

    def _origin(self, href: str) -> str:
        """For messages on a document that the spec does not name itself."""
        return "" if href == self._place else f" ({redacted(self._place)} leads there)"

    def _too_much(self, what: str) -> ImageryError:
        self.exhausted = True
        return ImageryError(
            f"{redacted(self._place)}: {what}",
            remedy="Narrow the search (area, datetime, collections), or name a smaller catalogue; the server may be broken.",
        )


def _within(seconds: float, call: Callable[[], str], href: str) -> str:
    """The result of `call`, which runs in a thread of its own: a server can hold a request by sending a byte now and then."""
    results: queue.Queue[str | Exception] = queue.Queue(1)

    def run() -> None:
        try:
            results.put(call())
        except (SwathError, APIError, OSError, ValueError, urllib3.exceptions.HTTPError) as error:
            results.put(error)

    threading.Thread(target=run, name="stac document", daemon=True).start()
    try:
        result = results.get(timeout=seconds)
    except queue.Empty:
        raise ReadFailed(
            f"{redacted(href)}: the document did not arrive within {seconds:.0f} s",
            remedy="Try again later, or use another server.",
        ) from None
    if isinstance(result, urllib3.exceptions.HTTPError):
        raise OSError(f"the transfer was cut ({type(result).__name__})") from result
    if isinstance(result, Exception):
        raise result
    return result
