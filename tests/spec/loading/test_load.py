"""A spec's text becomes the typed Spec of its pipeline, or every mistake at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from swath.errors import SpecError
from swath.spec.clusters.cluster import LocalCluster
from swath.spec.loading.load import load, parse
from swath.spec.project_file import ProjectFolder
from tests.spec.samples import MAP, find, flood, load_map, mistakes, outcome


def test_a_text_that_is_no_mapping_is_refused() -> None:
    assert mistakes("") == ["f.yaml:1:1: the spec is empty"]
    assert mistakes("- a") == ["f.yaml:1:1: a spec is a mapping of keys to values"]
    assert mistakes("just text") == ["f.yaml:1:1: a spec is a mapping of keys to values"]


def test_without_a_pipeline_what_all_specs_share_is_still_checked() -> None:
    assert mistakes("on_error: maybe\nfoo: 1\n") == [
        "f.yaml:1:1: pipeline: missing; name a pipeline: flood, map",
        "f.yaml:1:11: on_error: expected 'continue' or 'stop'",
    ]
    assert mistakes("pipeline: 3") == ["f.yaml:1:11: pipeline: expected text, got a whole number; put it in quotes"]
    assert mistakes("pipeline: xyzzy") == ["f.yaml:1:11: pipeline: there is no pipeline 'xyzzy'"]


def test_the_run_is_named_after_its_file() -> None:
    assert flood().name == "f"
    assert flood("name: mine").name == "mine"
    assert parse("pipeline: flood", "/a/my spec (2).yaml", find=find).spec.name == "my-spec-2-"


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.text(max_size=60), st.text(max_size=20))
@example("cluster: {kind: [a]}", "cluster.kind={}")
@example("pipeline: [flood]", "a=1")
@example('output: "a\\0b"', 'output.to="\\0"')
@example("cluster: {kind: {a: 1}}", "steps.0.name=1")
@example("output: ${env:A", "output=~nobody-here/x")
def test_garbage_raises_nothing_but_a_spec_error(text: str, override: str) -> None:
    for whole in (text, f"pipeline: flood\n{text}", f"pipeline: map\narea: {text}\nmodel: {text}\nimagery: {text}"):
        for overrides in ([], [override], [f"text={override}"], [f"named.{override}=1"]):
            assert outcome(whole, *overrides)


@settings(deadline=None, max_examples=60)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["path", "bbox", "type", "wkt", "crs", "kind", "source", "to"]), inner)
        ),
        max_leaves=8,
    )
)
def test_any_shape_of_data_in_any_field_raises_nothing_but_a_spec_error(value: Any) -> None:
    import yaml

    for field in ("area", "imagery", "model", "output", "cluster", "name", "pipeline"):
        assert outcome(yaml.safe_dump({"pipeline": "map", field: value}))


def test_what_was_loaded_can_be_parsed_again(project_folder: Path) -> None:
    first = load_map(project_folder, MAP, "output.vectors=false", cluster="pair")
    again = parse(first.text, first.file, first.overrides, find=find, env={})
    assert again == first
    assert again.overrides == ("cluster=pair", "output.vectors=false")


def test_a_cluster_of_the_command_goes_before_all_others(project_folder: Path) -> None:
    loaded = load_map(project_folder, MAP + "cluster: inline\n", "cluster=local", cluster="pair")
    assert loaded.spec.cluster == LocalCluster(workers=2)


def test_a_folder_is_no_spec(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read"):
        load(tmp_path, find=find)


def test_a_project_may_be_given(project_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other") / "spec.yaml"
    other.write_text(MAP)
    loaded = load(other, project=ProjectFolder.find(project_folder, {}), find=find, env={})
    assert loaded.root == project_folder
