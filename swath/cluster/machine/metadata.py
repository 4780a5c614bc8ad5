"""What a machine in a cloud can ask about itself: the clouds' metadata server, without any client library."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Mapping

METADATA = "SWATH_METADATA"
"""Environment variable with the address of the machine's metadata, where it is another than the clouds'."""
ADDRESS = "http://169.254.169.254"
TIMEOUT_S = 2.0
GOOGLE: Mapping[str, str] = {"Metadata-Flavor": "Google"}

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy has a machine's metadata


def asked(path: str, headers: Mapping[str, str], method: str = "GET") -> str:
    """The text there. Raises OSError (urllib's HTTPError among them)."""
    address = os.environ.get(METADATA) or ADDRESS
    request = urllib.request.Request(address + path, headers=dict(headers), method=method)
    with _direct.open(request, timeout=TIMEOUT_S) as answer:
        text: str = answer.read().decode()
    return text
