"""Whole runs in each runtime: the same map of whole numbers, a certificate that names the runtime, and a choice that stays."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from swath.models.runtime import RUNTIMES
from tests.models.tiny_models import write_integer_unet
from tests.process import Pipe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # a conversion takes ten seconds of a quiet machine


def spec_of(pipe: Pipe, shared: Path, name: str, model: dict[str, Any], **more: Any) -> str:
    return pipe.spec(
        name,
        imagery={"source": "files", "paths": [str(shared / "data/imagery/bahamas_rgb.tif")], "names": ["red", "green", "blue"]},
        model={"path": str(write_integer_unet(pipe.folder)), "device": "cpu", **model},
        output={"to": f"out/{name}", "vectors": False, "preview": False}, region=512, **more,
    )  # fmt: skip


def seams(pipe: Pipe, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((pipe.folder / f"out/{name}/report.json").read_text())["seams"]
    return found


def test_every_runtime_gives_the_same_map_and_is_named(pipe: Pipe, shared: Path) -> None:
    digests = set()
    for runtime in RUNTIMES:
        cluster = {"kind": "local", "workers": 2} if runtime == "openvino" else "inline"
        done = pipe("run", spec_of(pipe, shared, runtime, {"runtime": runtime}, cluster=cluster), "--json", timeout=600)
        assert done.count("call_done", node="predict_region", reused=False) > 1
        digests.add(hashlib.sha256((pipe.folder / f"out/{runtime}/map.tif").read_bytes()).hexdigest())
        found = seams(pipe, runtime)
        assert (found["exact"], found["runtime"], found["precision"]) == (True, runtime, "float32")
        assert found.get("agreement") == (None if runtime == "torch" else 1.0)
    assert len(digests) == 1  # whole numbers have no last bits
    text = (pipe.folder / "out/openvino/report.html").read_text()
    assert "computed by openvino in float32: 100 % of" in text


def test_a_choice_stays_and_says_why(pipe: Pipe, shared: Path) -> None:
    """Whichever it is on this machine."""
    spec = spec_of(pipe, shared, "auto", {"precision": "auto", "runtime": "torch"}, cluster="inline")
    pipe("run", spec, timeout=600)
    first = seams(pipe, "auto")
    assert first["precision"] in ("float32", "bfloat16")
    assert "torch in bfloat16 takes " in first["runtime_reason"]
    again = pipe("run", spec, "--json", timeout=600)
    assert again.count("call_done", node="predict_region", reused=False) == 0
    assert again.count("call_done", node="choose_runtime", reused=False) == 0
    pipe("run", spec, "--fresh", timeout=600)
    assert seams(pipe, "auto")["precision"] == first["precision"]
    pipe("run", spec_of(pipe, shared, "small", {}), timeout=600)
    assert (seams(pipe, "small")["runtime"], seams(pipe, "small")["runtime_reason"]) == ("torch", "the map is small")


def test_a_runtime_that_cannot_do_it_is_an_error_before_anything_runs(pipe: Pipe, shared: Path) -> None:
    done = pipe("run", spec_of(pipe, shared, "no", {"runtime": "onnxruntime", "precision": "bfloat16"}), code=2)
    assert "runtime onnxruntime does not compute in bfloat16" in done.err
    assert not (pipe.folder / "out/no/map.tif").exists()
