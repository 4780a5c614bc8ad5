"""The metadata server of a cloud, which a machine asks about itself. Without a client library."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Mapping

METADATA = "SWATH_METADATA"
"""Environment variable with the address of another metadata server, for simulated clouds."""
ADDRESS = "http://169.254.169.254"
TIMEOUT_S = 2.0
GOOGLE: Mapping[str, str] = {"Metadata-Flavor": "Google"}
"""Header that Google's server requires."""

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # not through a proxy


def read_metadata(path: str, headers: Mapping[str, str], method: str = "GET") -> str:
    """The text at a path. Raises OSError (also urllib's HTTPError)."""
    address = os.environ.get(METADATA) or ADDRESS
    request = urllib.request.Request(address + path, headers=dict(headers), method=method)
    with _direct.open(request, timeout=TIMEOUT_S) as response:
        text: str = response.read().decode()
    return text
