"""Paths and URLs of files: their scheme, their local path, and their text without secrets."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit


def scheme(href: str) -> str:
    """The URL scheme of `href`; `file` for a plain path."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", href)
    return found[1].lower() if found else "file"


def is_remote(href: str) -> bool:
    """Whether `href` is a URL of another scheme than `file`."""
    return scheme(href) != "file"


def redacted(href: str) -> str:
    """`href` for a message: without the query and the user, which may be secrets."""
    if not is_remote(href):
        return href
    try:
        parts = urlsplit(href)
    except ValueError:  # such as s3://[a
        return f"{scheme(href)}://..."
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def local_href(href: str) -> str:
    """A local `href` of a document as a path that exists: as it is written, else with its percent escapes resolved (my%20scene.tif)."""
    if "%" not in href or is_remote(href) or href.startswith("file://") or Path(href).exists():
        return href
    decoded = unquote(href)
    return decoded if "\0" not in decoded and Path(decoded).exists() else href


def local_path(href: str) -> Path:
    """The path of a local file, given as a path or a file:// URL."""
    return Path(unquote(urlsplit(href).path)) if href.startswith("file://") else Path(href)
