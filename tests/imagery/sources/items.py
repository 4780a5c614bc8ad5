"""STAC items for tests, beside small files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def make_item(identity: str, assets: dict[str, Any], **properties: Any) -> dict[str, Any]:
    """An item over 9 to 9.1 degrees east; `assets` gives each key its href, or its fields."""
    corners = [[9.0, 46.9], [9.1, 46.9], [9.1, 47.0], [9.0, 47.0], [9.0, 46.9]]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": identity,
        "geometry": {"type": "Polygon", "coordinates": [corners]},
        "bbox": [9.0, 46.9, 9.1, 47.0],
        "properties": {"datetime": "2024-06-01T10:00:00Z"} | properties,
        "links": [],
        "assets": {
            key: {"type": "image/tiff; application=geotiff", "roles": ["data"]}
            | ({"href": fields} if isinstance(fields, str) else fields)
            for key, fields in assets.items()
        },
    }


def write_items(folder: Path, *items: Any) -> str:
    """The path of an ItemCollection."""
    path = folder / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(items)}))
    return str(path)
