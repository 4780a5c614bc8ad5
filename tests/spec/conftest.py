"""A project for the tests of specs."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def project_folder(tmp_path: Path) -> Path:
    """A project with everything that a Map needs."""
    (tmp_path / "swath.yaml").write_text("clusters: {pair: {kind: local, workers: 2}}\n")
    (tmp_path / "areas").mkdir()
    (tmp_path / "areas" / "a.geojson").write_text(
        '{"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]}'
    )
    (tmp_path / "imagery").mkdir()
    (tmp_path / "imagery" / "one.tif").write_bytes(b"")
    (tmp_path / "water.pt2").write_bytes(b"")
    (tmp_path / "specs").mkdir()
    return tmp_path
