"""`pipe show` as a process."""

from __future__ import annotations

import json

from tests.cli.conftest import Pipe


def test_show_tells_parameters_with_types_defaults_and_docs_and_draws_the_graph(pipe: Pipe) -> None:
    text = pipe("show", "squares", PYTHONIOENCODING="utf-8").stdout
    assert "items  (whole number, default 4)\n      How many calls." in text
    assert "square  [map over numbers]" in text
    assert "●" in text
    assert "o  add" in pipe("show", "squares", PYTHONIOENCODING="ascii").stdout


def test_show_of_a_spec_gives_json_and_dot(pipe: Pipe) -> None:
    found = json.loads(pipe("show", "squares.yaml", "--json").stdout)
    assert [node["name"] for node in found["graph"]["nodes"]] == ["numbers", "square", "add"]
    assert found["graph"]["nodes"][1]["mapped"] is True
    assert '"numbers" -> "square"' in pipe("show", "squares.yaml", "--dot").stdout


def test_show_of_the_stock_pipeline_needs_no_spec(pipe: Pipe) -> None:
    done = pipe("show", "predict")
    assert done.returncode == 0, done.stderr
    assert "imagery" in done.stdout
    assert "predict_region" in done.stdout


def test_show_is_short_and_all_prints_the_keys_of_mappings(pipe: Pipe) -> None:
    short, whole = pipe("show", "predict").stdout, pipe("show", "predict", "--all").stdout
    assert len(short.splitlines()) < 50 < 150 < len(whole.splitlines())
    assert (
        "imagery  (mapping with source: files or source: stac, required)\n      What to read: raster files, or STAC items.\n"
        in short
    )
    assert "Parameters (with all their keys: pipe show predict --all)" in short
    assert "cloud_cover  (number)" in whole
    assert "cloud_cover  (number)" not in short
    assert '"cloud_cover"' in pipe("show", "predict", "--json").stdout


def test_an_unknown_pipeline_is_guessed(pipe: Pipe) -> None:
    done = pipe("show", "square")
    assert done.returncode == 2
    assert "did you mean 'squares'?" in done.stderr
