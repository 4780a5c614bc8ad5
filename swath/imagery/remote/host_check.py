"""Which hosts an address from the network may lead to: not this machine, and not the link's own, where clouds serve credentials.

An address whose host is written as such (localhost, 127.0.0.1) is taken at its word: it comes from the user, or from a document of a
host of the same kind (see check_reference). Any other host must not resolve to one, nor redirect to one.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from swath.errors import ImageryError
from swath.storage.address import is_remote, redacted, scheme

_FOLLOWED = ("http", "https", "s3", "gs", "az", "abfs", "abfss", "adl", "gcs")
_REMEDY = "Do not use this catalogue, or copy it and its files to this machine and read them there."


def check_reference(href: str, origin: str, what: str) -> None:
    """Raises ImageryError when a document from `origin` must not name `href`: a file of this machine, or a host of this machine or
    link. A local document may name anything, a document of such a host that kind of host. `what` begins the message."""
    if not is_remote(origin):
        return
    if scheme(href) not in _FOLLOWED:
        raise ImageryError(f"{what}: an item from the network names a file of this machine: {href}", remedy=_REMEDY)
    if is_own_host(_host(href, what)) and not is_own_host(urlsplit(origin).hostname or ""):
        raise ImageryError(
            f"{what}: an item from the network names a host of this machine or its link: {redacted(href)}",
            remedy=_REMEDY,
        )


def _host(address: str, what: str) -> str:
    """The host that an address from the network leads to. Raises ImageryError for an address that two readers of addresses read
    differently: http://127.0.0.1\\@example.com is of 127.0.0.1 for urllib3, and of example.com for urllib."""
    try:
        written = urlsplit(address).hostname or ""
        host = urllib3.util.parse_url(address).host or "" if scheme(address) in ("http", "https") else written
    except (ValueError, urllib3.exceptions.LocationParseError) as error:
        raise ImageryError(f"{what}: not an address whose host is plain: {error}", remedy=_REMEDY) from None
    host = host.strip("[]").lower()
    # A host of other letters is written in another way for the name server.
    if "\\" in address or not address.isprintable() or (written.isascii() and written != host):
        raise ImageryError(f"{what}: not an address whose host is plain: {redacted(address)}", remedy=_REMEDY)
    return host


def is_own_host(host: str) -> bool:
    """Whether a host is written as this machine (localhost, 127.0.0.0/8, ::1) or as a link-local address."""
    name = host.rstrip(".").lower()
    return name == "localhost" or name.endswith(".localhost") or _is_own_address(name.partition("%")[0])


def _is_own_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_link_local or mapped.is_unspecified)


def check_redirect(source: str, target: str) -> str:
    """The address to which `source` redirects. Raises ImageryError when it must not be followed."""
    try:
        address = urljoin(source, target)
    except ValueError as error:
        raise ImageryError(
            f"{redacted(source)}: redirects to no address: {error}", remedy="Do not use this server."
        ) from None
    if is_own_host(_host(address, redacted(source))) and not is_own_host(urlsplit(source).hostname or ""):
        raise ImageryError(
            f"{redacted(source)}: redirects to a host of this machine or its link: {redacted(address)}",
            remedy="Do not use this server.",
        )
    return address


def _resolved(host: str, port: int) -> list[str]:
    """The addresses of a host. Raises ImageryError when it resolves to an address of this machine or its link."""
    if is_own_host(host):
        return [host]
    found = list(dict.fromkeys(str(each[4][0]) for each in socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)))
    for address in found:
        if _is_own_address(address.partition("%")[0]):
            raise ImageryError(
                f"{host}: resolves to {address}, an address of this machine or its link",
                remedy="If it is yours, write localhost or the address itself.",
            )
    return found


class _CheckedHTTP(HTTPConnection):
    """Connects to the addresses that were checked, so that another answer of the name server changes nothing."""

    def _new_conn(self) -> socket.socket:
        return _connect(self, super()._new_conn)


class _CheckedHTTPS(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _connect(self, super()._new_conn)


def _connect(connection: HTTPConnection, connect: object) -> socket.socket:
    name = connection._dns_host
    try:
        addresses = _resolved(name.strip("[]"), connection.port)
    except OSError as error:
        raise urllib3.exceptions.NameResolutionError(name, connection, socket.gaierror(str(error))) from error
    try:
        for number, address in enumerate(addresses, 1):
            connection._dns_host = address
            try:
                opened: socket.socket = connect()  # type: ignore[operator]
                return opened
            except urllib3.exceptions.HTTPError:
                if number == len(addresses):
                    raise
        raise urllib3.exceptions.NewConnectionError(connection, f"{name} has no address")
    finally:
        connection._dns_host = name


class _CheckedHTTPPool(HTTPConnectionPool):
    ConnectionCls = _CheckedHTTP


class _CheckedHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _CheckedHTTPS


class _CheckedRedirects(urllib3.PoolManager):
    def urlopen(  # type: ignore[override]
        self, method: str, url: str, redirect: bool = True, **kw: Any
    ) -> urllib3.BaseHTTPResponse:
        retries = kw.get("retries")
        followed = [each for each in getattr(retries, "history", ()) if each.redirect_location and each.url]
        if followed:
            check_redirect(str(followed[-1].url), url)
        return super().urlopen(method, url, redirect=redirect, **kw)


class CheckedPools(_CheckedRedirects):
    """Connections that are checked when they are opened, and redirects when they are followed."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]
        self.pool_classes_by_scheme = {"http": _CheckedHTTPPool, "https": _CheckedHTTPSPool}


class CheckedProxy(_CheckedRedirects, urllib3.ProxyManager):
    """Connections through a proxy, which resolves names itself: redirects are checked as far as hosts are written out."""
