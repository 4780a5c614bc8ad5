"""From a spec to a map on real imagery, through the real `pipe` process; the map is opened and compared."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pystac
import pytest
import rasterio
import rasterio.transform
import rasterio.warp
from numpy.typing import NDArray
from rio_cogeo import cog_validate

from tests.imagery.rasters import write
from tests.models.cloud_contracts import write_cloud_contract
from tests.models.fixed_models import write_transformer
from tests.models.tiny_models import write_identity_model, write_integer_unet, write_normed_unet
from tests.process import ROOT, Pipe


def pixels(path: Path) -> NDArray[Any]:
    with rasterio.open(path) as file:
        return file.read()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found


@pytest.mark.parametrize("cluster", ["inline", pytest.param("local", marks=pytest.mark.slow)])
def test_an_identity_model_gives_the_source_back_byte_for_byte_on_its_grid(
    pipe: Pipe, shared: Path, cluster: str
) -> None:
    source = shared / "data/imagery/bahamas_rgb.tif"
    model = write_identity_model(pipe.folder, ("red", "green", "blue"), "uint8", 0)
    spec = pipe.spec(
        imagery={"source": "files", "paths": [str(source)], "names": ["red", "green", "blue"]}, model=str(model), region=512,
        cluster=cluster,
    )  # fmt: skip
    done = pipe("run", spec)
    assert str(pipe.folder / "out/map.tif") in done.out.splitlines()
    with rasterio.open(source) as before, rasterio.open(pipe.folder / "out/map.tif") as after:
        assert np.array_equal(before.read(), after.read())
        assert (before.crs, before.transform, before.shape) == (after.crs, after.transform, after.shape)
        assert after.nodata == 0
    assert cog_validate(pipe.folder / "out/map.tif", strict=True) == (True, [], [])
    assert report(pipe.folder / "out")["seams"]["exact"] is True


@pytest.mark.slow
def test_the_map_does_not_depend_on_blocks_or_workers_to_the_bit(pipe: Pipe, shared: Path) -> None:
    model = write_integer_unet(pipe.folder)
    found = set()
    for name, settings in {
        "whole": {"region": 1024},
        "tiles": {"region": 64},
        "workers": {"region": 192, "cluster": {"kind": "local", "workers": 2}},
    }.items():
        spec = pipe.spec(
            name,
            imagery={"source": "files", "paths": [str(shared / "data/imagery/bahamas_rgb.tif")], "names": ["red", "green", "blue"]},
            model=str(model), output={"to": f"out/{name}", "vectors": False, "preview": False, "blocksize": 64}, **settings,
        )  # fmt: skip
        pipe("run", spec)
        found.add(digest(pipe.folder / f"out/{name}/map.tif"))
        seams = report(pipe.folder / f"out/{name}")["seams"]
        assert seams["exact"] is True
        assert seams["differing"] == 0
        assert seams["pixels"] > 0
    assert len(found) == 1


@pytest.mark.slow
def test_the_map_of_a_part_is_a_part_of_the_map_of_the_whole(pipe: Pipe, shared: Path) -> None:
    model = write_integer_unet(pipe.folder)
    imagery = {
        "source": "files",
        "paths": [str(shared / "data/imagery/bahamas_rgb.tif")],
        "names": ["red", "green", "blue"],
    }
    for name, more in {"whole": {}, "part": {"area": str(shared / "data/aoi/andros_78w.geojson")}}.items():
        pipe(
            "run",
            pipe.spec(
                name,
                imagery=imagery,
                model=str(model),
                output={"to": f"out/{name}", "blocksize": 256},
                region=256,
                **more,
            ),
        )
    with (
        rasterio.open(pipe.folder / "out/whole/map.tif") as whole,
        rasterio.open(pipe.folder / "out/part/map.tif") as part,
    ):
        inside = part.read(1)
        outside = whole.read(1, window=whole.window(*part.bounds).round_offsets().round_lengths())
        valid = inside != part.nodata
        assert valid.any()
        assert np.array_equal(inside[valid], outside[valid])


@pytest.mark.slow
@pytest.mark.parametrize("order", ["forward", "backward"])
def test_overlapping_scenes_become_one_map_by_the_documented_rule(pipe: Pipe, shared: Path, order: str) -> None:
    paths = [str(shared / f"data/imagery/landsat8_22407{n}_20200518.tif") for n in (7, 8)]
    model = write_identity_model(pipe.folder, ("blue", "green", "red"), "uint16", 0)
    imagery = {
        "source": "files",
        "paths": paths if order == "forward" else paths[::-1],
        "names": ["blue", "green", "red"],
    }
    pipe("run", pipe.spec(imagery=imagery, model=str(model), output={"to": "out", "preview": False, "vectors": False}))
    with rasterio.open(pipe.folder / "out/map.tif") as made:
        for index, path in enumerate(imagery["paths"]):
            with rasterio.open(path) as source:
                window = made.window(*source.bounds)
                assert abs(window.row_off - round(window.row_off)) < 1e-6
                here = made.read(window=window.round_offsets().round_lengths())
                there = source.read()
                valid = (there != 0).any(axis=0)
                if index == 0:
                    assert np.array_equal(here[:, valid], there[:, valid])
                else:
                    assert 0.1 < (here[:, valid] == there[:, valid]).all(axis=0).mean() < 1.0


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "pt2"])
def test_clouds_from_a_local_stac_item_with_a_shipped_network(pipe: Pipe, shared: Path, form: str) -> None:
    if form == "onnx":
        pytest.importorskip("onnxruntime")
    contract = write_cloud_contract(pipe.folder / "clouds.json", "clouds_rgbi", form)
    spec = pipe.spec(
        imagery={
            "source": "stac",
            "catalog": str(shared / "data/stac/S2A_29RKH_20200219_0_L2A/S2A_29RKH_20200219_0_L2A.json"),
            "mask": {"band": "SCL", "kind": "scl", "reject": ["cloud_high"]},
        },
        model={"path": str(shared / f"data/models/clouds_rgbi.{form}"), "contract": str(contract)},
        region=512,
    )
    pipe("run", spec)
    out = pipe.folder / "out"
    assert cog_validate(out / "map.tif", strict=True) == (True, [], [])
    with rasterio.open(out / "map.tif") as made:
        assert (made.crs.to_epsg(), made.shape, made.res) == (32629, (1098, 1098), (100, 100))
        values = set(np.unique(made.read(1)).tolist())
        assert values <= {0, 1, 255}
        assert 0 in values
    item = json.loads((out / "item.json").read_text())
    assert item["properties"]["datetime"].startswith("2020-02-19")
    assert report(out)["seams"]["stride"] == 4


@pytest.mark.slow
def test_mixed_resolutions_of_one_item_are_read_on_the_finest_grid(pipe: Pipe, shared: Path) -> None:
    pytest.importorskip("onnxruntime")
    contract = write_cloud_contract(pipe.folder / "clouds.json", "clouds_rgbiswir", "onnx")
    spec = pipe.spec(
        imagery={
            "source": "stac",
            "catalog": str(shared / "data/stac/S2A_29RKH_20200219_0_L2A/S2A_29RKH_20200219_0_L2A.json"),
        },
        model={"path": str(shared / "data/models/clouds_rgbiswir.onnx"), "contract": str(contract)},
    )
    pipe("run", spec)
    with rasterio.open(pipe.folder / "out/map.tif") as made:
        assert (made.shape, made.res) == ((1098, 1098), (100, 100))


@pytest.mark.slow
def test_reflectance_without_a_scale_says_what_to_set(pipe: Pipe, shared: Path) -> None:
    contract = write_cloud_contract(pipe.folder / "clouds.json", "clouds_rgbi", "pt2")
    spec = pipe.spec(
        imagery={"source": "files", "paths": [str(shared / "data/imagery/naip_nd_20120731.tif")]},
        model={"path": str(shared / "data/models/clouds_rgbi.pt2"), "contract": str(contract)},
    )  # fmt: skip
    assert "imagery.scale" in pipe("run", spec, code=None).err


def test_an_area_outside_of_the_imagery_is_exit_code_2_before_any_cluster(pipe: Pipe, shared: Path) -> None:
    model = write_integer_unet(pipe.folder)
    spec = pipe.spec(
        imagery={"source": "files", "paths": [str(shared / "data/imagery/bahamas_rgb.tif")], "names": ["red", "green", "blue"]},
        model=str(model), area=[10, 45, 11, 46], cluster="local",
    )  # fmt: skip
    done = pipe("run", spec, "--json", code=2)
    assert done.count("cluster_ready") == 0
    assert "do not intersect" in done.events[-1]["error"]
    assert not (pipe.folder / "out").exists()


@pytest.mark.slow
def test_the_same_spec_again_makes_no_call_and_a_lost_output_is_published_again(pipe: Pipe, shared: Path) -> None:
    model = write_integer_unet(pipe.folder)
    spec = pipe.spec(
        imagery={"source": "files", "paths": [str(shared / "data/imagery/bahamas_rgb.tif")], "names": ["red", "green", "blue"]},
        model=str(model), region=512,
    )  # fmt: skip
    pipe("run", spec)
    first = digest(pipe.folder / "out/map.tif")
    again = pipe("run", spec, "--json")
    made = [e["node"] for e in again.events if e["event"] == "call_done" and not e["reused"]]
    assert sorted(made) == ["describe_model", "read_contract", "read_weights"]
    (pipe.folder / "out/map.tif").unlink()
    third = pipe("run", spec, "--json")
    assert third.count("call_done", node="predict_region", reused=False) == 0
    assert digest(pipe.folder / "out/map.tif") == first


@pytest.mark.slow
def test_the_shipped_water_model_maps_water(pipe: Pipe, shared: Path) -> None:
    """On imagery of another sensor and place it must at least run and give both classes; its own score is in its contract."""
    pipe(
        "run",
        pipe.spec(
            imagery={"source": "files", "paths": [str(shared / "data/imagery/naip_nd_20120731.tif")]},
            model=str(ROOT / "models/water.pt2"),
        ),
    )  # fmt: skip
    assert set(np.unique(pixels(pipe.folder / "out/map.tif")).tolist()) <= {0, 1, 255}
    for name in ("map.tif", "map.parquet", "preview.png", "item.json", "report.json", "report.html"):
        assert (pipe.folder / "out" / name).stat().st_size > 0


@pytest.mark.slow
def test_a_truncated_image_is_named_with_file_and_window(pipe: Pipe, shared: Path) -> None:
    whole = (shared / "data/imagery/bahamas_rgb.tif").read_bytes()
    (pipe.folder / "cut.tif").write_bytes(whole[: len(whole) * 2 // 3])
    model = write_integer_unet(pipe.folder)
    imagery = {"source": "files", "paths": ["cut.tif"], "names": ["red", "green", "blue"]}
    done = pipe("run", pipe.spec(imagery=imagery, model=str(model), region=512), code=None)
    assert done.code in (1, 2, 3)
    assert "cut.tif" in done.err


def water_spec(pipe: Pipe, shared: Path, name: str, **more: Any) -> Path:
    """The integer network over the Bahamas, with an output folder of that name."""
    model = write_integer_unet(pipe.folder)
    paths = [str(shared / "data/imagery/bahamas_rgb.tif")]
    output = {"to": f"out/{name}", "blocksize": 64, **more.pop("output", {})}
    imagery = {"source": "files", "paths": paths, "names": ["red", "green", "blue"]}
    return pipe.spec(name, imagery=imagery, model=str(model), output=output, **more)


@pytest.mark.slow
def test_a_map_of_several_sheets_opens_as_the_map_that_one_sheet_is(pipe: Pipe, shared: Path) -> None:
    pipe("run", water_spec(pipe, shared, "one"))
    done = pipe("run", water_spec(pipe, shared, "many", region=192, output={"sheet": 384, "probabilities": True}))
    out = pipe.folder / "out"
    assert str(out / "many/collection.json") in done.out.splitlines()
    sheets = sorted(path.name for path in (out / "many").glob("map-*.tif"))
    assert sheets == ["map-0-0.tif", "map-0-1.tif", "map-0-2.tif", "map-1-0.tif", "map-1-1.tif", "map-1-2.tif"]
    for sheet in sheets:
        assert cog_validate(out / "many" / sheet, strict=True) == (True, [], [])
        assert (out / "many" / sheet.replace("map", "probabilities")).exists()
    assert np.array_equal(pixels(out / "many/map.vrt"), pixels(out / "one/map.tif"))
    one, many = (geopandas.read_parquet(out / name / "map.parquet") for name in ("one", "many"))
    assert one.equals(many)
    numbers = [report(out / name)["numbers"] for name in ("one", "many")]
    assert numbers[0] == numbers[1]
    # A map of one sheet in the same place leaves nothing of the others.
    pipe("run", water_spec(pipe, shared, "many"))
    assert sorted(path.name for path in (out / "many").iterdir()) == sorted(
        path.name for path in (out / "one").iterdir()
    )


@pytest.mark.slow
def test_each_zone_has_a_sheet_and_each_place_is_in_one_of_them(pipe: Pipe, shared: Path) -> None:
    names = ("S2A_29RKH_20200219_0_L2A", "S2A_29RKH_as_28N_derived")
    items = [pystac.Item.from_file(str(shared / f"data/stac/{name}/{name}.json")) for name in names]
    for item in items:
        item.make_asset_hrefs_absolute()
        item.clear_links()
    pystac.ItemCollection(items).save_object(str(pipe.folder / "items.json"))
    model = write_identity_model(pipe.folder, ("red", "nir"), "uint16", 0)
    pipe(
        "run",
        pipe.spec(imagery={"source": "stac", "catalog": "items.json"}, model=str(model), grid={"zones": True}),
    )
    placed = []
    for zone in ("28N", "29N"):
        with rasterio.open(pipe.folder / f"out/map-{zone}.tif") as file:
            assert file.crs.to_epsg() == 32600 + int(zone[:2])
            rows, columns = np.nonzero(file.read(1))
            x, y = rasterio.transform.xy(file.transform, rows, columns)
            longitudes = rasterio.warp.transform(file.crs, "EPSG:4326", x, y)[0]
            placed.append(np.array(longitudes))
    west, east = placed
    assert len(east) > 1_000_000
    assert east.min() >= -12
    assert west.size == 0 or west.max() < -12


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "why"), [("normed", "norm"), (".onnx", "64 x 64 pixels only")])
def test_a_network_without_a_bound_is_blended_and_its_map_does_not_depend_on_regions(
    pipe: Pipe, shared: Path, kind: str, why: str
) -> None:
    path = write_normed_unet(pipe.folder) if kind == "normed" else write_transformer(pipe.folder, kind)
    imagery = {
        "source": "files",
        "paths": [str(shared / "data/imagery/bahamas_rgb.tif")],
        "names": ["red", "green", "blue"],
    }
    found = set()
    for region in (256, 1024):
        output = {"to": f"out/{region}", "vectors": False, "preview": False, "blocksize": 256}
        pipe("run", pipe.spec(f"r{region}", imagery=imagery, model=str(path), output=output, region=region))
        found.add(digest(pipe.folder / f"out/{region}/map.tif"))
    assert len(found) == 1
    seams = report(pipe.folder / "out/256")["seams"]
    assert seams["exact"] is False
    assert why in seams["reason"]
    assert seams.get("tile", 0) == (0 if kind == "normed" else 64)
    assert seams["differing"] == 0
    assert 0 < seams["excess"] < 2
    assert "blended" in (pipe.folder / "out/256/report.html").read_text()


@pytest.mark.slow
def test_scenes_of_files_of_one_band_each_give_the_map_of_one_file(pipe: Pipe) -> None:
    pixels = np.random.default_rng(0).integers(1, 200, (3, 120, 140)).astype(np.uint8)
    names = ("red", "green", "blue")
    write(pipe.folder / "all.tif", pixels, names=names)
    for name, band in zip(names, pixels, strict=True):
        (pipe.folder / name).mkdir()
        write(pipe.folder / f"{name}/scene_{name}.tif", band[None])
    model = write_integer_unet(pipe.folder)
    maps = set()
    for number, path in enumerate(("all.tif", "{band}/*_{band}.tif")):
        imagery = {"source": "files", "paths": [path]}
        output = {"to": f"out/{number}", "vectors": False, "preview": False}
        spec = pipe.spec(f"s{number}", imagery=imagery, model=str(model), output=output)
        pipe("check", spec)
        pipe("run", spec)
        maps.add(digest(pipe.folder / f"out/{number}/map.tif"))
    assert len(maps) == 1
