"""Vector files that point at other files or servers are not opened, whatever their names; archives do not fill the memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from swath.spec.fields.vector_content import DRIVERS, VectorFileError, VectorFileLimits, check_content, check_driver
from swath.spec.fields.vector_file import read_features, read_info

SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
GOOD = json.dumps(
    {"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {}, "geometry": SQUARE}]}
)
_LISTENER = """
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
server.accept()
print("connected", flush=True)
"""


@pytest.fixture
def listener() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A URL, and a process that ends at the first connection: GDAL holds the interpreter while it waits for a server."""
    with subprocess.Popen([sys.executable, "-c", _LISTENER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}", process
        process.kill()


def pointers(url: str) -> dict[str, str]:
    """What makes GDAL connect to a URL, or run its commands."""
    return {
        "vrt": f'<OGRVRTDataSource><OGRVRTLayer name="a"><SrcDataSource>{url}/a.geojson</SrcDataSource></OGRVRTLayer>'
        "</OGRVRTDataSource>",
        "vrt after a comment": f'<!-- {"x" * 500} -->\n<OGRVRTDataSource><OGRVRTLayer name="a"><SrcDataSource>/vsicurl/{url}/a.geojson'
        "</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>",
        "wfs": f"<OGRWFSDataSource><URL>{url}/wfs?</URL></OGRWFSDataSource>",
        "csw": f"<OGRCSWDataSource><URL>{url}/csw</URL></OGRCSWDataSource>",
        "algorithm": json.dumps({"type": "gdal_streamed_alg", "command_line": f"gdal vector read /vsicurl/{url}/a.geojson"}),
    }  # fmt: skip


@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "vrt", "gml", "zip"])
@pytest.mark.parametrize("kind", list(pointers("")))
def test_a_pointer_is_refused_before_it_makes_a_connection(
    tmp_path: Path, listener: tuple[str, subprocess.Popen[str]], kind: str, suffix: str
) -> None:
    url, process = listener
    path = tmp_path / f"a.{suffix}"
    if suffix == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.geojson", pointers(url)[kind])
    else:
        path.write_text(pointers(url)[kind])
    with pytest.raises(VectorFileError, match="only points at other files, servers or commands"):
        read_info(str(path), None)
    with pytest.raises(VectorFileError, match="only points at other files, servers or commands"):
        read_features(str(path), None, None)
    assert process.poll() is None


def test_the_listener_notices_what_gdal_does(tmp_path: Path, listener: tuple[str, subprocess.Popen[str]]) -> None:
    import pyogrio

    url, process = listener
    (tmp_path / "a.gpkg").write_text(pointers(url)["vrt"])
    with pytest.raises(pyogrio.errors.DataLayerError):
        pyogrio.read_info(tmp_path / "a.gpkg", layer="a")
    assert process.stdout is not None
    assert process.stdout.readline() == "connected\n"


@pytest.mark.parametrize(
    "name", ["WFS:{}/a", "ES:{}/", "OAPIF:{}/", "CSW:{}/a", "NGW:{}/resource/1", "zip://{}/a", "GPSBABEL:nmea:x://", "/vsistdin/",
             "/vsimem/a", "/vsisparse/a"],
)  # fmt: skip
def test_addresses_of_services_are_not_those_of_files(listener: tuple[str, subprocess.Popen[str]], name: str) -> None:
    url, process = listener
    with pytest.raises(VectorFileError, match="is not the address of a file"):
        read_info(name.format(url), None)
    assert process.poll() is None


def test_kml_and_gml_that_name_addresses_do_not_make_gdal_ask_them(
    tmp_path: Path, listener: tuple[str, subprocess.Popen[str]]
) -> None:
    url, process = listener
    ring = "<LinearRing><coordinates>0,0 1,0 1,1 0,0</coordinates></LinearRing>"
    (tmp_path / "a.kml").write_text(
        f'<?xml version="1.0"?><!DOCTYPE kml [<!ENTITY x SYSTEM "{url}/entity">]><kml xmlns="http://www.opengis.net/kml/2.2"><Document>'
        f"<NetworkLink><Link><href>{url}/n.kml</href></Link></NetworkLink><Placemark><styleUrl>{url}/s.kml#a</styleUrl><Polygon>"
        f"<outerBoundaryIs>{ring}</outerBoundaryIs></Polygon></Placemark></Document></kml>"
    )
    (tmp_path / "a.gml").write_text(
        f'<?xml version="1.0"?><gml:FeatureCollection xmlns:gml="http://www.opengis.net/gml" '
        f'xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="http://a {url}/a.xsd"><gml:featureMember>'
        f'<a fid="1"><gml:polygonProperty xlink:href="{url}/p.gml"/></a></gml:featureMember></gml:FeatureCollection>'
    )
    for name in ("a.kml", "a.gml"):
        try:
            found = read_info(str(tmp_path / name), None)
            read_features(str(tmp_path / name), found.layer, None)
        except VectorFileError:  # is as good
            pass
    assert process.poll() is None


@pytest.mark.parametrize(
    ("name", "beside"),
    [("a.gml", "a.gfs"), ("a.gml", "a.xsd"), ("a.shp", "a.qix"), ("a.shp", "a.prj"), ("a.fgb", "a.fgb.aux.xml")],
)
def test_a_pipe_beside_a_file_is_refused_before_it_is_read_for_ever(tmp_path: Path, name: str, beside: str) -> None:
    (tmp_path / name).write_text(GOOD)
    os.mkfifo(tmp_path / beside)
    for read in (
        lambda: read_info(str(tmp_path / name), None),
        lambda: read_features(str(tmp_path / name), None, None),
    ):
        with pytest.raises(VectorFileError, match=f"has a named pipe beside it, '{beside}'"):
            read()


def test_an_archive_that_unpacks_to_far_more_than_its_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.geojson", GOOD + " " * 1_000_000)
    check_content(str(path))
    with pytest.raises(VectorFileError, match=r"unpack to 1,000,1\d\d bytes, far more than its size"):
        check_content(str(path), VectorFileLimits(ratio=10, spare_bytes=1000))
    with pytest.raises(VectorFileError, match="an archive of 1 files"):
        check_content(str(path), VectorFileLimits(members=0))


def test_formats_that_are_not_listed_are_refused_by_name() -> None:
    import pyogrio

    for name in ("OGR_VRT", "WFS", "HTTP", "GPSBabel", "ADBC", "GDALG", "Elasticsearch", "PDS4", "nosuch"):
        with pytest.raises(VectorFileError, match=name):
            check_driver(name)
    for name in ("GPKG", "GeoJSON", "ESRI Shapefile", "FlatGeobuf", "KML"):
        check_driver(name)
    names = {"GPKG", "GeoJSON", "ESRI Shapefile", "FlatGeobuf", "GML", "GPX", "SQLite"}
    assert names <= DRIVERS & set(pyogrio.list_drivers()), "names are GDAL's"


def test_what_holds_geometries_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.geojson").write_text(GOOD)
    assert read_info(str(tmp_path / "a.geojson"), None).driver == "GeoJSON"
    with pytest.raises(VectorFileError):
        read_info(f"file://{tmp_path}/none.geojson", None)


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
@pytest.mark.parametrize("driver", ["GeoJSON", "GML", "KML", "GPKG", "FlatGeobuf", "GPX", "ESRI Shapefile", "DXF"])
def test_what_gdal_itself_writes_is_no_pointer(tmp_path: Path, driver: str) -> None:
    import pyogrio
    import shapely

    suffix = {"GeoJSON": "geojson", "ESRI Shapefile": "shp", "FlatGeobuf": "fgb"}.get(driver, driver.lower())
    shape = shapely.Point(1, 1) if driver == "GPX" else shapely.box(0, 0, 1, 1)
    path, wkb = tmp_path / f"a.{suffix}", shapely.to_wkb([shape])
    pyogrio.raw.write(
        path, wkb, field_data=[], fields=[], geometry_type=shape.geom_type, driver=driver,
        layer="waypoints" if driver == "GPX" else None, crs="EPSG:4326",
    )  # fmt: skip
    check_content(str(path))
    check_driver(pyogrio.read_info(path, layer=0)["driver"])


def test_a_view_that_calls_functions_of_gdal_is_refused(tmp_path: Path) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "a.sqlite") as database:
        database.execute("create table a(x)")
        database.execute("create view b as select ogr_geocode('x') as y, 1 as z")
    database.close()
    with pytest.raises(VectorFileError):
        read_info(str(tmp_path / "a.sqlite"), "b")
