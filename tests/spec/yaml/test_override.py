from __future__ import annotations

from pathlib import Path

import pytest

from swath.spec.clusters.cluster import LocalCluster
from swath.spec.fields.output import Output
from tests.spec.samples import MAP, Step, flood, load_map, mistakes, only, read


def test_overrides_are_typed_by_the_spec() -> None:
    assert flood("count: 1", "count=2").count == 2
    assert flood("", "bands=[red, 2]").bands == ("red", 2)
    assert flood("", "steps.0.name=a", "steps.1.name=b").steps == (Step(name="a"), Step(name="b"))
    assert flood("", "named.x={name: a}").named == {"x": Step(name="a")}
    assert flood("text: a", 'text=""').text == ""
    assert flood("count: 1", "count=2", "count=3").count == 3


def test_an_override_s_mistake_has_the_override_as_its_place() -> None:
    assert only("count: 1", "count=two") == "--set count:1:1: count: expected a whole number, got text"
    assert only("", "steps.0={name: a, sise: 1}") == (
        "--set steps.0:1:11: steps.0.sise: unknown key (did you mean 'size'?)"
    )
    assert only("", "steps.0.size=0", "steps.0.name=a").startswith("--set steps.0.size:1:1: steps.0.size: expected at")
    assert only("", "thresold=1") == "--set thresold:1:1: thresold: unknown key (did you mean 'threshold'?)"
    assert only("", "text=*a").startswith("--set text:1:1: text: aliases (*a) are not allowed")
    assert only("", "text=[a").startswith("--set text:1:")


@pytest.mark.parametrize("override", ["count", "=1", "a..b=1", ".a=1", "", "." * 40 + "a=1", "a" + ".a" * 40 + "=1"])
def test_a_malformed_override_is_a_mistake(override: str) -> None:
    assert "expected key=value" in only("", override)


def test_an_override_that_reaches_into_a_value_is_a_mistake() -> None:
    assert only("count: 1", "count.a=1").endswith("count.a: count is a single value; no field of it can be set")
    assert only("bands: [a]", "bands.7=b").endswith("bands.7: bands is a list of 1; 7 is not in it")
    assert only("bands: [a]", f"bands.{'9' * 5000}=b").endswith("is not in it")
    assert only("text: a", "text.b=1").endswith("text is a single value; no field of it can be set")


def test_an_override_reaches_below_a_short_form(project_folder: Path) -> None:
    loaded = load_map(
        project_folder, MAP + "cluster: pair\n", "output.vectors=false", "cluster.memory_gb=2", "model.factory=a:b"
    )
    assert loaded.spec.output == Output(to=str(project_folder / "out/map"), vectors=False)
    assert loaded.spec.cluster == LocalCluster(workers=2, memory_gb=2)
    assert loaded.spec.model.factory == "a:b"
    assert load_map(project_folder, MAP, "area.crs=EPSG:32633").spec.area.crs == "EPSG:32633"
    assert (
        load_map(project_folder, MAP.replace("areas/a.geojson", "[0, 0, 9, 9]"), "area.crs=EPSG:32633").spec.area.crs
        == "EPSG:32633"
    )
    assert load_map(project_folder, MAP, "cluster.workers=3").spec.cluster == LocalCluster(workers=3)


def test_an_override_can_name_the_pipeline() -> None:
    assert read("{}", "pipeline=flood").pipeline == "flood"
    assert read("pipeline: nonsense", "pipeline=flood").pipeline == "flood"
    assert mistakes("pipeline: flood", "pipeline=flod") == [
        "--set pipeline:1:1: pipeline: there is no pipeline 'flod' (did you mean 'flood'?)"
    ]


def test_an_override_takes_a_mistake_of_the_text_away() -> None:
    assert flood("count: two", "count=2").count == 2
