"""Texts and files that would steer a terminal or never end: escapes in specs, and named pipes and devices in place of files."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import shapely

from tests.cli.conftest import Pipe
from tests.imagery.rasters import write
from tests.process import ROOT

UNSAFE = ("\x1b", "\x07", "\x9b", "\u202e", "\u2066")
SPEC = 'pipeline: squares\ncluster: inline\n"k\\e]0;title\\a\\e[31m\\u202e": 1\nname: "n\\u009b2J"\n'


@pytest.mark.parametrize("words", [("check",), ("show",), ("plan",), ("run",), ("run", "--explain")], ids=" ".join)
def test_control_characters_of_a_spec_are_written_as_escapes(pipe: Pipe, project: Path, words: tuple[str, ...]) -> None:
    (project / "s.yaml").write_text(SPEC)
    done = pipe(*words, "s.yaml")
    assert done.returncode == 2
    assert not any(char in done.stdout + done.stderr for char in UNSAFE)
    assert "k\\x1b]0;title\\x07\\x1b[31m\\u202e" in done.stderr


def test_control_characters_in_the_command_and_in_file_names_are_written_as_escapes(pipe: Pipe) -> None:
    for words in (("check", "a\x1b[2J.yaml"), ("show", "a\x1b[2J"), ("logs", "a\x1b[2J"), ("run", "--no\x1b[2J")):
        done = pipe(*words)
        assert done.returncode != 0
        assert not any(char in done.stdout + done.stderr for char in UNSAFE)


def test_json_of_such_a_spec_keeps_its_values(pipe: Pipe, project: Path) -> None:
    (project / "s.yaml").write_text(SPEC)
    done = pipe("check", "--json", "s.yaml")
    assert not any(char in done.stdout for char in UNSAFE)
    fields = {mistake["field"] for mistake in json.loads(done.stdout)[0]["mistakes"]}
    assert any("k\x1b]0;title\x07\x1b[31m\u202e" in field for field in fields)


@pytest.mark.parametrize("kind", ["a named pipe", "a device"])
@pytest.mark.parametrize("where", ["spec", "swath.yaml", "area", "imagery", "model"])
def test_a_named_pipe_or_a_device_is_refused_at_once(pipe: Pipe, project: Path, kind: str, where: str) -> None:
    names = {
        "spec": "s.yaml",
        "swath.yaml": "swath.yaml",
        "area": "area.geojson",
        "imagery": "i.tif",
        "model": "m.onnx",
    }
    for name in ("i.tif", "m.onnx", "area.geojson"):
        (project / name).write_text("")
    (project / "s.yaml").write_text(
        "pipeline: predict\nimagery: {source: files, paths: [i.tif]}\nmodel: m.onnx\narea: area.geojson\noutput: out\n"
    )
    file = project / names[where]
    file.unlink()
    if kind == "a device":
        file.symlink_to("/dev/zero")
    else:
        os.mkfifo(file)
    done = pipe("check", "s.yaml")
    assert done.returncode == 2, done.stderr
    assert kind in done.stderr
    assert file.name in done.stderr


@pytest.mark.parametrize("name", ["i.tif.aux.xml", "i.tfw", "i.tif.msk", "area.prj", "area.dbf", "water.json"])
def test_a_named_pipe_beside_a_file_is_refused_at_once(pipe: Pipe, project: Path, name: str) -> None:
    write(project / "i.tif", np.zeros((4, 32, 32), np.uint8), names=("blue", "green", "red", "nir"))
    for file in ("water.pt2", "water.json"):
        shutil.copy(ROOT / "models" / file, project)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wkb = shapely.to_wkb([shapely.box(500_050, 4_999_750, 500_200, 4_999_900)])
        pyogrio.raw.write(
            project / "area.shp", wkb, field_data=[], fields=[], geometry_type="Polygon", crs="EPSG:32633", driver="ESRI Shapefile"
        )  # fmt: skip
    (project / "s.yaml").write_text(
        "pipeline: predict\nimagery: {source: files, paths: [i.tif]}\nmodel: water.pt2\narea: area.shp\noutput: out\n"
    )
    assert pipe("plan", "s.yaml").returncode == 0
    (project / name).unlink(missing_ok=True)
    os.mkfifo(project / name)
    done = pipe("plan", "s.yaml")
    assert done.returncode == 2, done.stderr
    assert "a named pipe" in done.stderr
    assert name in done.stderr
