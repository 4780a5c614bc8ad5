"""Scripts, styles and pictures of the pages: files of this package, under addresses that change with their content."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Request, Response

from swath.server.refusals import NotFound

router = APIRouter()
MEDIA = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "json": "application/json",
}
"""By suffix; files of other suffixes, such as licences, are not served."""
FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Asset:
    """One file, plain and compressed."""

    content: bytes
    packed: bytes
    media: str
    digest: str


@cache
def assets() -> dict[str, Asset]:
    """All files that are served, by name below `static`."""
    found = {}
    root = files("swath.server") / "static"
    for folder in (root, root / "vendor"):
        for file in folder.iterdir():
            media = MEDIA.get(file.name.rpartition(".")[2])
            if media is None or not file.is_file():
                continue
            content = file.read_bytes()
            name = file.name if folder is root else f"vendor/{file.name}"
            found[name] = Asset(content, gzip.compress(content, 6), media, hashlib.sha256(content).hexdigest()[:12])
    return found


def asset_address(name: str) -> str:
    """Where a file is served; another one when its content is another."""
    return f"/static/{assets()[name].digest}/{name}"


@router.get("/static/{digest}/{name:path}")
def static_file(digest: str, name: str, request: Request) -> Response:
    """One file. It may be cached for ever: its address has its digest."""
    asset = assets().get(name)
    if asset is None or asset.digest != digest:
        raise NotFound("there is no such file")
    headers = {"Cache-Control": FOREVER, "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.packed, media_type=asset.media, headers=headers | {"Content-Encoding": "gzip"})
    return Response(asset.content, media_type=asset.media, headers=headers)
