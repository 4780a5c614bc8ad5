"""Identities of remote files: each is asked, in parallel, with a time limit; what cannot be asked is never the same twice."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from swath.errors import ImageryError, ReadFailed
from swath.file_identity import is_unknown
from swath.imagery.remote.identities import IdentityLimits, identities, identity
from swath.imagery.remote.request_policy import RequestPolicy
from swath.imagery.sources.files import find_scenes as find_files
from swath.imagery.sources.stac import find_scenes
from swath.spec.fields.imagery import FilesImagery, StacImagery
from tests.imagery.servers import Asked, Fault, web

QUICK = IdentityLimits(total_s=1.0, policy=RequestPolicy(connect_s=0.5, stall_s=0.5, request_s=0.5, tries=1))


def write_tif(path: Path, value: int) -> None:
    with rasterio.open(
        path, "w", driver="GTiff", width=64, height=64, count=1, dtype="uint8", crs="EPSG:32633",
        transform=from_origin(500_000, 5_000_000, 10, 10),
    ) as file:  # fmt: skip
        file.write(np.full((1, 64, 64), value, np.uint8))


def item(href: str) -> dict[str, object]:
    """An item that says everything about its asset, so that nobody has to open it."""
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": "one", "geometry": None, "bbox": [15, 45, 15.01, 45.01], "links": [],
        "properties": {
            "datetime": "2024-01-01T00:00:00Z", "updated": "2024-01-02T00:00:00Z", "proj:epsg": 32633,
            "proj:shape": [64, 64], "proj:transform": [10, 0, 500_000, 0, -10, 5_000_000],
        },
        "assets": {
            "gray": {"href": href, "file:checksum": "1220aa", "raster:bands": [{"data_type": "uint8"}]},
        },
    }  # fmt: skip


def test_an_overwritten_asset_is_noticed_although_its_item_stays(tmp_path: Path) -> None:
    write_tif(tmp_path / "gray.tif", 1)
    with web(tmp_path) as server:
        (tmp_path / "item.json").write_text(json.dumps(item(f"{server.address}/gray.tif")))
        spec = StacImagery(catalog=str(tmp_path / "item.json"), bands=("gray",))
        found = [find_scenes(spec, None, None).scenes[0].bands[0].stamp for _ in range(2)]
        assert found[0] == found[1]
        assert not is_unknown(found[0])
        # Of each search one request for the identity, and one for the header, which is compared with the item.
        assert [asked.path for asked in server.asked] == ["/gray.tif"] * 4
        write_tif(tmp_path / "gray.tif", 2)
        assert find_scenes(spec, None, None).scenes[0].bands[0].stamp != found[0]


def test_an_asset_that_cannot_be_asked_is_noted_and_never_the_same(tmp_path: Path) -> None:
    (tmp_path / "item.json").write_text(json.dumps(item("https://127.0.0.1:1/gray.tif")))
    spec = StacImagery(catalog=str(tmp_path / "item.json"), bands=("gray",))
    first, second = (find_scenes(spec, None, None, limits=QUICK) for _ in range(2))
    assert is_unknown(first.scenes[0].bands[0].stamp)
    assert first.scenes[0].bands[0].stamp != second.scenes[0].bands[0].stamp
    (note,) = (note for note in first.notes if "gray.tif" in note)
    assert "whether it changed cannot be known (no connection" in note
    assert note.endswith("is not reused")


def test_many_files_are_asked_at_once_and_each_once(tmp_path: Path) -> None:
    names = [f"{number}.txt" for number in range(24)]
    for name in names:
        (tmp_path / name).write_text(name)
    notes: list[str] = []
    with web(tmp_path, delay_s=0.1) as server:
        hrefs = [f"{server.address}/{name}" for name in names]
        began = time.monotonic()
        found = identities(hrefs * 2, notes)
        assert time.monotonic() - began < 0.1 * len(names)
        assert len(server.asked) == len(names)
        assert server.busiest > 1
    assert list(found) == hrefs
    assert len(set(found.values())) == len(names)
    assert not notes


def test_a_server_that_hangs_costs_the_time_limit_and_the_others_answer(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(name)

    def hangs(asked: Asked) -> Fault | None:
        return Fault(hang=True) if asked.path == "/b.txt" else None

    notes: list[str] = []
    limits = IdentityLimits(total_s=1.0, policy=RequestPolicy(stall_s=20, tries=1))
    with web(tmp_path, hangs) as server:
        began = time.monotonic()
        found = identities([f"{server.address}/a.txt", f"{server.address}/b.txt"], notes, limits)
        assert 0.9 < time.monotonic() - began < 5
        server.ended.set()
    assert [is_unknown(each) for each in found.values()] == [False, True]
    assert len(notes) == 1
    assert "b.txt: whether it changed cannot be known (no answer within 1 s)" in notes[0]


def test_a_server_without_versions_and_one_that_ignores_ranges(tmp_path: Path) -> None:
    write_tif(tmp_path / "a.tif", 1)
    silent = Fault(200, body=(tmp_path / "a.tif").read_bytes())
    notes: list[str] = []
    with web(tmp_path, lambda _: silent) as server:
        first = identities([f"{server.address}/a.tif"], notes)
        second = identities([f"{server.address}/a.tif"], [])
        assert first != second
        assert "neither ETag nor Last-Modified" in notes[0]
        scenes = find_files(FilesImagery(paths=(f"{server.address}/a.tif",)), None, None)
        assert is_unknown(scenes.scenes[0].bands[0].stamp)
        assert any("neither ETag nor Last-Modified; what is computed of it is not reused" in n for n in scenes.notes)
    with web(tmp_path, lambda _: Fault(whole=True)) as server:
        href = f"{server.address}/a.tif"
        before = identity(href)
        assert identity(href) == before
        assert before.startswith(f"{(tmp_path / 'a.tif').stat().st_size}-")
        write_tif(tmp_path / "a.tif", 2)
        assert identity(href) != before


def test_what_is_not_there_or_does_not_answer_is_an_error_of_one_file(tmp_path: Path) -> None:
    with web(tmp_path) as server, pytest.raises(ImageryError, match=r"nothing\.tif: the server answered 404"):
        identity(f"{server.address}/nothing.tif")
    with pytest.raises(ReadFailed, match=r"gone\.tif: no connection"):
        identity("http://127.0.0.1:1/gone.tif", QUICK.policy)
    with pytest.raises(ImageryError, match=r"gone\.tif: No such file"):
        identity(str(tmp_path / "gone.tif"))
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ImageryError, match="fifo: a pipe, a socket or a device"):
        identity(str(tmp_path / "fifo"))
    assert identity(str(tmp_path)).startswith("folder-")
