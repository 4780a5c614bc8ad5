"""`pipe contract` as a process: from a file without a contract to one that is checked on a scene."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.cli.conftest import Pipe
from tests.imagery.rasters import write
from tests.models.tiny_models import write_integer_unet


def test_a_contract_is_proposed_written_refused_while_it_has_blanks_and_checked(pipe: Pipe, tmp_path: Path) -> None:
    model = write_integer_unet(tmp_path)
    contract = tmp_path / "integer.json"
    complete = contract.read_text()
    contract.unlink()
    printed = pipe("contract", str(model))
    document = json.loads(printed.stdout)
    assert document["mlm:input"][0]["input"]["shape"] == [-1, 3, -1, -1]
    assert len(document["mlm:output"][0]["classification:classes"]) == 3
    assert "mlm:input.0.bands: names of the bands" in printed.stderr
    assert not contract.exists()
    assert pipe("contract", str(model), "--write").returncode == 0
    assert json.loads(contract.read_text()) == document
    refused = pipe("contract", str(model))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "swath:units: must be one of reflectance, dn" in refused.stderr
    contract.write_text(complete)
    pixels = np.random.default_rng(0).integers(1, 200, (3, 80, 80)).astype(np.uint8)
    scene = write(tmp_path / "scene.tif", pixels)
    checked = pipe("contract", str(model), "--scene", str(scene), "--names", "red,green,blue")
    assert checked.returncode == 0, checked.stderr
    assert "red, green, blue (dn) become class-0, class-1, class-2" in checked.stdout
    assert "maps are exact" in checked.stdout
    assert "value_scaling or swath:units may be wrong" in checked.stderr


def test_a_model_that_is_not_there_is_named(pipe: Pipe) -> None:
    done = pipe("contract", "nothing.onnx")
    assert (done.returncode, done.stdout) == (2, "")
    assert "nothing.onnx: there is no such file" in done.stderr
