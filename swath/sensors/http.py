"""Sensor `http`: a document at an address that changes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import urllib3

from swath.errors import CredentialsError, ImageryError, ReadFailed
from swath.imagery.remote.host_check import CheckedPools
from swath.storage.address import redacted
from swath.triggers.json_pointer import at_pointer
from swath.triggers.look import Found, Look
from swath.triggers.trigger import HttpSensor

MOST_BYTES = 16 << 20
TIMEOUT = urllib3.Timeout(connect=15, read=30)


def look(sensor: HttpSensor, cursor: Any, now: float, root: Path) -> Look:
    """The document as it is now: its key is another one whenever its content, or the value that counts, is another."""
    body = _get(sensor.url)
    if sensor.pointer is None:
        digest = hashlib.sha256(body).hexdigest()
        return Look((Found(digest, {"url": sensor.url, "value": digest}),), None, "the document is the same as before")
    try:
        value = at_pointer(json.loads(body), sensor.pointer)
    except (ValueError, RecursionError, LookupError) as error:
        raise ImageryError(
            f"{redacted(sensor.url)}: no JSON with a value at {sensor.pointer}: {type(error).__name__}",
            remedy="check `pointer:`",
        ) from error
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    key = text if 0 < len(text) <= 200 and text.isprintable() else hashlib.sha256(text.encode()).hexdigest()
    kept = value if isinstance(value, str | int | float | bool | None) else text
    return Look((Found(key, {"url": sensor.url, "value": kept}),), None, f"the value is still {text[:100]}")


def _get(url: str) -> bytes:
    place = redacted(url)
    try:
        with CheckedPools(retries=urllib3.Retry(2, redirect=5, backoff_factor=0.5)) as pools:
            reply = pools.request("GET", url, timeout=TIMEOUT, preload_content=False)
            body: bytes = reply.read(MOST_BYTES + 1, decode_content=True)
            reply.close()
    except urllib3.exceptions.HTTPError as error:
        raise ReadFailed(f"{place}: no answer ({type(error).__name__})", remedy="the next look tries again") from error
    if reply.status in (401, 403):
        raise CredentialsError(f"{place}: the server answered {reply.status}", remedy="check the address")
    if reply.status != 200:
        raise ReadFailed(f"{place}: the server answered {reply.status}", remedy="the next look tries again")
    if len(body) > MOST_BYTES:
        raise ImageryError(f"{place}: a document of more than {MOST_BYTES:,} bytes", remedy="name a smaller one")
    return body
