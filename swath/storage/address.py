"""Addresses of files: their scheme, and how they may stand in a message."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit


def scheme(href: str) -> str:
    """The URL scheme of `href`; `file` for a plain path."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", href)
    return found[1].lower() if found else "file"


def is_remote(href: str) -> bool:
    return scheme(href) != "file"


def redacted(href: str) -> str:
    """`href` as it may stand in a message: without the query and the user, where secrets are."""
    if not is_remote(href):
        return href
    parts = urlsplit(href)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def local_path(href: str) -> Path:
    """The path of a local file that is named by a path or a file:// URL."""
    return Path(unquote(urlsplit(href).path)) if href.startswith("file://") else Path(href)
