"""A range of bytes of a remote file, over http(s), s3 or gs, with the same time limits and retries for each.

GDAL decodes what is fetched here and sends no request itself: it ignores Retry-After, keeps what a cut transfer left in its
cache, and reads the whole of a file from a server that ignores ranges.
"""

from __future__ import annotations

import random
import threading
import time
from urllib.parse import urlsplit

from swath.errors import ReadFailed
from swath.imagery.remote.http_request import fetch_http
from swath.imagery.remote.object_store import fetch_object
from swath.imagery.remote.request_policy import POLICY, RequestPolicy
from swath.imagery.remote.response import Response, TransientError
from swath.storage.address import redacted, scheme


def fetch_range(href: str, start: int, stop: int, policy: RequestPolicy = POLICY) -> Response:
    """Bytes start to stop (exclusive) of the file; fewer only where it ends.

    Raises CredentialsError when it may not be read, ImageryError when there is no such file or its server ignores ranges,
    ReadFailed when the range did not arrive whole after `policy.tries` requests.
    """
    request = fetch_http if scheme(href) in ("http", "https") else fetch_object
    host = _semaphores.setdefault((urlsplit(href).netloc, policy.per_host), threading.BoundedSemaphore(policy.per_host))
    for attempt in range(1, policy.tries + 1):
        try:
            with host:
                return request(href, start, stop, policy)
        except TransientError as error:
            asked = error.retry_after_s
            last = attempt == policy.tries
            if last or asked > policy.max_wait_s:
                later = f", and asks to come back in {asked:.0f} s" if asked > policy.max_wait_s else ""
                tries = f" ({policy.tries} tries)" if last and policy.tries > 1 else ""
                raise ReadFailed(
                    f"{redacted(href)}: {error}{later}{tries}",
                    remedy="The server is busy or the network is bad; try again later, or with fewer workers.",
                ) from error
            backoff = min(policy.first_wait_s * 2 ** (attempt - 1), policy.max_wait_s) * random.uniform(0.5, 1)
        # Outside of the semaphore, so that other requests go on. Some time is added to what the server asks for, so that not
        # all clients come back at once.
        time.sleep(asked + random.uniform(0, 0.1) * asked if asked else backoff)
    raise ReadFailed(f"{redacted(href)}: not one request was allowed")


_semaphores: dict[tuple[str, int], threading.BoundedSemaphore] = {}
"""Of the whole process: by host and how many requests it gets at a time."""
