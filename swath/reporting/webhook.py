"""Webhook: JSON by POST with urllib3, tried twice, without redirects; errors are described without the address."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from swath.version import __version__

if TYPE_CHECKING:
    import urllib3

AGAIN = frozenset({429, *range(500, 600)})
"""Statuses after which the second attempt may succeed."""


def post(url: str, body: bytes, *, attempt_s: float, pause_s: float) -> str:
    """POST a JSON body. Returns what went wrong in words that hold no part of the address; empty when it was accepted.

    attempt_s: time limit of each of the two attempts, in seconds. pause_s: between them. The second attempt follows a
    status of AGAIN, a timeout or a connection that failed. `user:password@` in the address becomes a header.
    Raises whatever urllib3 raises for an address that it cannot read.
    """
    import urllib3

    parts = urlsplit(url)
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": f"swath/{__version__}"}
    if "@" in parts.netloc:
        credentials = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(credentials.encode()).decode()
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
    try:
        with _pool(parts) as pool:
            response = pool.request(
                "POST", address, body=body, headers=headers, timeout=urllib3.Timeout(attempt_s), redirect=False,
                retries=_retry(pause_s), preload_content=False,
            )  # fmt: skip
            response.close()
    except urllib3.exceptions.HTTPError as error:
        return _describe(error, attempt_s)
    return "" if 200 <= response.status < 300 else f"was answered with {response.status}"


def _retry(pause_s: float) -> urllib3.Retry:
    import urllib3

    class OnceMore(urllib3.Retry):
        """urllib3 has no pause before the first retry."""

        def get_backoff_time(self) -> float:
            return pause_s

    return OnceMore(
        1, allowed_methods=None, status_forcelist=AGAIN, raise_on_status=False, respect_retry_after_header=False
    )


def _pool(parts: SplitResult) -> urllib3.PoolManager:
    """Connections to a host, through the proxy that the environment names for it."""
    from urllib.request import getproxies, proxy_bypass

    import urllib3

    proxy = "" if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme, "")
    return urllib3.ProxyManager(proxy) if proxy else urllib3.PoolManager()


def _describe(error: Exception, attempt_s: float) -> str:
    """What went wrong, without the exception's message: that may hold the address."""
    from urllib3 import exceptions

    reason = error.reason if isinstance(error, exceptions.MaxRetryError) and error.reason else error
    if isinstance(reason, exceptions.TimeoutError) and not isinstance(reason, exceptions.NewConnectionError):
        return f"was not answered within {attempt_s:g} s"
    for each in (reason, reason.__cause__, reason.__context__, *reason.args):
        if isinstance(each, OSError) and isinstance(each.strerror, str):
            return f"failed: {each.strerror}"
    return f"failed with {type(reason).__name__}"
