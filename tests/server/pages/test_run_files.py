"""Published files in the browser: ranges of a map, and reports that can do nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from swath.protocol.messages import RunFile
from swath.server.app import create_app
from swath.server.published_files import TIFF, PublishedFiles
from tests.server.pages.conftest import HOSTILE, Pages


@pytest.fixture
def local(pages: Pages, tmp_path: Path) -> Pages:
    """The same server, on the machine of its projects."""
    services = dataclasses.replace(pages.services, published=PublishedFiles(pages.services.projects, here=True))
    services.projects.put("lakes", {"folder": str(tmp_path / "lakes")}, who="test")
    local = Pages.__new__(Pages)
    local.__dict__ |= pages.__dict__ | {
        "services": services,
        "client": TestClient(create_app(services), base_url="http://localhost", follow_redirects=False),
    }
    return local


def published(pages: Pages, folder: Path) -> str:
    """A run that published a map, a report and a file with another name."""
    out = folder / "lakes" / "out"
    out.mkdir(parents=True)
    files = [("map.tif", TIFF), ("report.html", "text/html"), ("preview.png", "image/png"), ("a.svg", "image/svg+xml")]
    for name, _ in files:
        (out / name).write_text(f"0123456789<script>alert(1)</script> of {name}")
    run = pages.run()
    pages.claim()
    pages.end(run, files=tuple(RunFile(place=str(out / name), media=media) for name, media in files))
    return run


def test_a_map_is_read_by_ranges(local: Pages, tmp_path: Path) -> None:
    ada = local.browser("ada")
    run = published(local, tmp_path)
    answer = ada.get(f"/runs/{run}/raw/0/map.tif", headers={"Range": "bytes=2-5"})
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (206, "2345", "image/tiff")
    assert ada.get(f"/runs/{run}/raw/0/map.tif", headers={"Range": "bytes=9999-"}).status_code == 416
    for wrong in ("0/other.tif", "9/map.tif", "-1/a.svg", "0/..%2f..%2fmap.tif"):
        assert ada.get(f"/runs/{run}/raw/{wrong}").status_code in (404, 422), wrong
    page = ada.get(f"/runs/{run}/map").text
    assert f'data-cog="/runs/{run}/raw/0/map.tif"' in page
    assert "preview.png" in page
    assert f'href="/runs/{run}/map"' in ada.get(f"/runs/{run}").text


def test_a_published_file_has_neither_scripts_nor_the_session(local: Pages, tmp_path: Path) -> None:
    ada = local.browser("ada")
    run = published(local, tmp_path)
    report = ada.get(f"/runs/{run}/raw/1/report.html")
    policy = report.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "script" not in policy
    assert report.headers["x-content-type-options"] == "nosniff"
    other = ada.get(f"/runs/{run}/raw/3/a.svg")
    assert other.headers["content-type"] == "application/octet-stream"
    assert other.headers["content-disposition"].startswith("attachment")
    assert 'sandbox=""' in ada.get(f"/runs/{run}/report").text


def test_files_of_another_project_and_of_other_machines_are_not_shown(
    local: Pages, pages: Pages, tmp_path: Path
) -> None:
    run = published(local, tmp_path)
    ben = local.browser("ben", "viewer", "seas")
    assert ben.get(f"/runs/{run}/raw/0/map.tif").status_code == 404
    ada = pages.browser("ada")  # of the server whose projects are elsewhere
    assert ada.get(f"/runs/{run}/raw/0/map.tif").status_code == 404
    assert "The map cannot be shown here" in ada.get(f"/runs/{run}/map").text
    assert f"/runs/{run}/raw" not in ada.get(f"/runs/{run}/files").text


def test_a_hostile_name_of_a_file_is_only_text(local: Pages) -> None:
    ada = local.browser("ada")
    run = local.run()
    local.claim()
    local.end(
        run, files=(RunFile(place=f"/x/{HOSTILE}/map.tif", media=TIFF), RunFile(place=f"/x/{HOSTILE}.tif", media=TIFF))
    )
    for path in ("map", "map?file=1", "files"):
        text = ada.get(f"/runs/{run}/{path}").text
        assert "<script>alert" not in text
        assert "\u202e" not in text
