"""What a run would stumble over is found by `check`, and by `plan`, in every pipeline."""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.transform import from_origin

from swath.errors import InfrastructureError, SwathError
from swath.runner.check import CheckLimits, check
from swath.runner.load import load
from swath.runner.plan import plan
from tests.process import ROOT

BANDS = ["blue", "green", "red", "nir"]
FILES = {"source": "files", "paths": ["scene.tif"], "names": BANDS}
RULE = {"source": "expression", "expression": "green > 50", "label": "water", "otherwise": "land"}
DATA = {"imagery": FILES, "labels": RULE}
CLASSES = ["land", "water"]
SPECS: dict[str, dict[str, Any]] = {
    "predict": {"imagery": FILES, "model": "water.pt2"},
    "evaluate": {"model": "water.pt2", "data": DATA},
    "train": {"data": DATA, "classes": CLASSES, "bands": BANDS},
    "change": {
        "before": {"imagery": FILES},
        "after": {"imagery": FILES},
        "rule": {name: value for name, value in RULE.items() if name != "source"} | {"source": "expression"},
    },
    "load": {"imagery": FILES},
}
"""A small spec of each pipeline that reads pixels, without its output."""


def write_scene(path: Path, **profile: Any) -> None:
    pixels: NDArray[Any] = np.random.default_rng(1).integers(1, 99, (4, 128, 128)).astype(np.uint8)
    values = {
        "driver": "GTiff", "photometric": "minisblack", "width": 128, "height": 128, "count": 4, "dtype": "uint8", "crs": "EPSG:32633",
        "transform": from_origin(500000, 5000000, 10, 10), **profile,
    }  # fmt: skip
    with rasterio.open(path, "w", **values) as file:
        file.write(pixels.astype(values["dtype"] if values["dtype"] != "complex_int16" else "complex64"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "swath.yaml").write_text("")
    write_scene(tmp_path / "scene.tif")
    for name in ("water.pt2", "water.json"):
        shutil.copy(ROOT / "models" / name, tmp_path)
    return tmp_path


def errors(project: Path, pipeline: str = "predict", **fields: Any) -> list[str]:
    """The errors that `check` finds in a spec of a pipeline. `plan` must fail when there are some."""
    document = {"pipeline": pipeline, "output": "out", "cluster": "inline", **SPECS[pipeline], **fields}
    (project / "spec.yaml").write_text(json.dumps(document))
    job = load(project / "spec.yaml")
    found = [str(error) for error in check(job)]
    if found:
        with pytest.raises(SwathError):
            plan(job)
    else:
        plan(job)
    assert {path.name for path in project.iterdir() if path.suffix in ("", ".partial")} <= {"afile", "out", ".swath"}
    return found


@pytest.mark.parametrize("pipeline", SPECS)
def test_a_right_spec_has_no_errors_and_nothing_is_written(project: Path, pipeline: str) -> None:
    before = sorted(project.iterdir())
    assert errors(project, pipeline) == []
    assert sorted(project.iterdir()) == sorted([*before, project / "spec.yaml"])


def cut(project: Path) -> None:
    path = project / "scene.tif"
    path.write_bytes(path.read_bytes()[:40000])


def cut_in_blocks(project: Path) -> None:
    write_scene(project / "scene.tif", tiled=True, blockxsize=64, blockysize=64, compress="deflate")
    cut(project)


def cut_png(project: Path) -> None:
    write_scene(project / "scene.png", driver="PNG", photometric=None)
    raw = (project / "scene.png").read_bytes()
    (project / "scene.tif").write_bytes(raw[: len(raw) // 2])
    (project / "scene.tif.aux.xml").write_bytes((project / "scene.png.aux.xml").read_bytes())


def complex_numbers(project: Path) -> None:
    write_scene(project / "scene.tif", dtype="complex64")


def engineering(project: Path) -> None:
    write_scene(project / "scene.tif", crs=CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]'))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (cut, "scene.tif: the file was cut: it has 40,000 bytes, and its pixels go on to byte "),
        (cut_in_blocks, "scene.tif: the file was cut: it has 40,000 bytes"),
        (cut_png, "scene.tif: pixels could not be read (when looking for its last pixel)"),
        (complex_numbers, " has complex pixels (complex64)"),
        (engineering, "scene.tif: its CRS (site, Engineering CRS) has no place on the Earth"),
    ],
)
@pytest.mark.parametrize("pipeline", SPECS)
def test_imagery_that_no_run_can_use_is_named(
    project: Path, pipeline: str, damage: Callable[[Path], None], says: str
) -> None:
    damage(project)
    (found,) = errors(project, pipeline)
    assert says in found


def with_contract(project: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    contract = json.loads((project / "water.json").read_text())
    change(contract)
    (project / "water.json").write_text(json.dumps(contract))


@pytest.mark.parametrize("pipeline", ["predict", "evaluate"])
def test_a_foreign_contract_and_bands_that_do_not_fit_are_named(project: Path, pipeline: str) -> None:
    def fields(bands: list[str]) -> dict[str, Any]:
        imagery = {**FILES, "names": bands}
        return {"imagery": imagery} if pipeline == "predict" else {"data": {**DATA, "imagery": imagery}}

    (found,) = errors(project, pipeline, **fields(["blue", "green", "red", "swir16"]))
    assert "scene.tif: no band 'nir'; it has blue, green, red, swir16" in found
    (found,) = errors(project, pipeline, **fields(["blue", "green"]))
    assert "has 4 bands, imagery.names names 2" in found
    with_contract(project, lambda contract: contract["mlm:input"][0]["bands"].pop())
    (found,) = errors(project, pipeline)
    assert "water.json: mlm:input.0.input.shape: says 4 channels, but bands names 3" in found
    (project / "water.json").write_text('{"a": 1}')
    (found,) = errors(project, pipeline)
    assert "water.json: mlm:input: is missing" in found


def test_physical_values_need_a_scale_in_every_pipeline(project: Path) -> None:
    physical = {**RULE, "units": "reflectance"}
    says = "scene.tif: physical values are needed, and nothing says the scale of band "
    assert says in errors(project, "train", units="reflectance")[0]
    assert says in errors(project, "train", data={**DATA, "labels": physical})[0]
    assert says in errors(project, "load", units="physical")[0]
    with_contract(project, lambda contract: contract.update({"swath:units": "reflectance"}))
    assert says in errors(project, "predict")[0]
    assert says in errors(project, "evaluate")[0]
    assert errors(project, "predict", imagery={**FILES, "scale": 0.01, "offset": 0.0}) == []


def test_a_wrong_crs_and_an_area_elsewhere_are_named(project: Path) -> None:
    for pipeline in ("predict", "change", "load"):
        (found,) = errors(project, pipeline, grid={"crs": "EPSG:99999"})
        assert "grid.crs: 'EPSG:99999' is not a coordinate reference system" in found
    for pipeline in ("predict", "evaluate", "change", "load"):
        (found,) = errors(project, pipeline, area=[50, 10, 51, 11])
        assert "intersect" in found or "has no pixel" in found, found


@pytest.mark.parametrize("pipeline", SPECS)
def test_an_output_that_cannot_be_written_is_named_with_the_other_errors(project: Path, pipeline: str) -> None:
    (project / "afile").write_text("precious")
    assert errors(project, pipeline, output="afile")[0].startswith(
        f"output.to: {project}/afile is a file, not a folder"
    )
    below = errors(project, pipeline, output="afile/below")[0]
    assert f"output.to: {project}/afile/below cannot be written: {project}/afile is a file" in below
    assert "cannot be written" in errors(project, pipeline, output="/proc/map")[0]
    cut(project)
    assert len(errors(project, pipeline, output="afile")) == 2
    assert (project / "afile").read_text() == "precious"


def test_what_is_elsewhere_gets_a_time_limit(project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        document = {
            "pipeline": "predict", "output": "out", "model": "water.pt2",
            "imagery": {"source": "files", "paths": [f"http://127.0.0.1:{port}/scene.tif"]},
        }  # fmt: skip
        (project / "spec.yaml").write_text(json.dumps(document))
        began = time.monotonic()
        (found,) = check(load(project / "spec.yaml"), CheckLimits(remote_s=0.5))
        assert time.monotonic() - began < 5
    assert isinstance(found, InfrastructureError)
    assert str(found).startswith("what the spec names elsewhere was not read within 0.5 s")
