"""A spec's text becomes the typed Spec of its pipeline, or every mistake at once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import Field

from swath.errors import Mistake, PipelineError, SpecError
from swath.spec.base import Spec
from swath.spec.clusters.cluster import AddressCluster, InlineCluster, LocalCluster
from swath.spec.fields.area import Area
from swath.spec.fields.imagery import FilesImagery, Imagery, StacImagery
from swath.spec.fields.model import ModelRef
from swath.spec.fields.output import Output
from swath.spec.loading.load import LoadedSpec, load, parse
from swath.spec.project_file import ProjectFolder
from swath.spec.secrets import scrub
from swath.spec.spec_model import SpecModel

CANARY = "canary-7f3a9"


class Step(SpecModel):
    """One step."""

    name: str
    size: int = Field(default=1, ge=1)


class Flood(Spec):
    """A small pipeline's spec."""

    threshold: float = 0.5
    count: int = 1
    bands: tuple[str | int, ...] = ()
    steps: tuple[Step, ...] = ()
    named: dict[str, Step] = Field(default_factory=dict)
    how: Literal["fast", "exact"] = "fast"
    flag: bool = False
    text: str = ""
    output: Output | None = None


class Map(Spec):
    """All nouns."""

    area: Area
    imagery: Imagery
    model: ModelRef
    output: Output


KINDS: dict[str, type[Spec]] = {"flood": Flood, "map": Map}


def find(name: str) -> type[Spec]:
    if name not in KINDS:
        raise PipelineError(f"there is no pipeline {name!r}")
    return KINDS[name]


def read(text: str, *overrides: str, env: dict[str, str] | None = None, **said: Any) -> LoadedSpec:
    return parse(text, "f.yaml", overrides, find=find, names=list(KINDS), env=env or {}, **said)


def flood(text: str = "", *overrides: str, **said: Any) -> Any:
    """The Flood that a text describes."""
    return read(f"pipeline: flood\n{text}", *overrides, **said).spec


def mistakes(text: str, *overrides: str, **said: Any) -> list[str]:
    with pytest.raises(SpecError) as caught:
        read(text, *overrides, **said)
    return str(caught.value).splitlines()


def fate(text: str, *overrides: str) -> LoadedSpec | list[Mistake]:
    """What becomes of a text: loaded, or mistakes."""
    try:
        return read(text, *overrides)
    except SpecError as error:
        return error.mistakes


def only(text: str, *overrides: str, **said: Any) -> str:
    """The one mistake of a Flood."""
    (found,) = mistakes(f"pipeline: flood\n{text}", *overrides, **said)
    return found


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A project with everything that a Map needs."""
    (tmp_path / "swath.yaml").write_text("clusters: {pair: {kind: local, workers: 2}}\n")
    (tmp_path / "areas").mkdir()
    (tmp_path / "areas" / "a.geojson").write_text(
        '{"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]}'
    )
    (tmp_path / "imagery").mkdir()
    (tmp_path / "imagery" / "one.tif").write_bytes(b"")
    (tmp_path / "water.pt2").write_bytes(b"")
    (tmp_path / "specs").mkdir()
    return tmp_path


MAP = """\
pipeline: map
area: areas/a.geojson
imagery: {source: files, paths: [imagery/*.tif]}
model: water.pt2
output: out/map
"""


def load_map(place: Path, text: str = MAP, *overrides: str, cluster: str | None = None, env: Any = None) -> Any:
    file = place / "specs" / "run.yaml"
    file.write_text(text)
    return load(file, overrides, cluster, find=find, names=list(KINDS), env=env or {})


# Places and words


def test_five_mistakes_give_five_lines_sorted_by_place() -> None:
    text = "pipeline: flod\nthreshhold: 0.5\ncount: two\nflag: yes\nhow: fst\ncount: 3\nsteps: [{size: 0}]\n"
    assert mistakes(text) == [
        "f.yaml:1:11: pipeline: there is no pipeline 'flod' (did you mean 'flood'?)",
        "f.yaml:2:1: threshhold: unknown key (did you mean 'threshold'?)",
        "f.yaml:3:8: count: expected a whole number, got text",
        "f.yaml:4:7: flag: expected true or false, got text (did you mean true?)",
        "f.yaml:5:6: how: expected 'fast' or 'exact' (did you mean 'fast'?)",
        "f.yaml:6:1: count: the key 'count' is on line 6, and already on line 3",
        "f.yaml:7:9: steps.0.name: missing; it must be given",
        "f.yaml:7:16: steps.0.size: expected at least 1",
    ]


def test_a_missing_field_is_placed_at_the_mapping_that_misses_it() -> None:
    assert only("steps:\n  - size: 2\n") == "f.yaml:3:5: steps.0.name: missing; it must be given"
    assert only("named:\n  a: {}\n") == "f.yaml:3:6: named.a.name: missing; it must be given"


def test_keys_are_guessed_at_any_depth() -> None:
    assert only("steps: [{name: a, sise: 2}]").endswith("steps.0.sise: unknown key (did you mean 'size'?)")
    assert only("named: {a: {name: a, sise: 2}}").endswith("named.a.sise: unknown key (did you mean 'size'?)")
    assert only("output: {to: /out, vectrs: true}").endswith("unknown key (did you mean 'vectors'?)")
    assert only("cluster: {kind: local, wokers: 2}").endswith("unknown key (did you mean 'workers'?)")
    assert only("zzz: 1").endswith("zzz: unknown key")


def test_guesses_come_from_the_alternative_that_the_mapping_chose() -> None:
    text = "pipeline: map\narea: [0, 0, 1, 1]\nmodel: /\noutput: /out\n"
    (found,) = mistakes(text + "imagery: {source: stac, api: 'https://x', colections: [a]}")
    assert found.endswith("imagery.colections: unknown key (did you mean 'collections'?)")
    (found,) = mistakes(text + "imagery: {source: files, paths: [/], colections: [a]}")
    assert found.endswith("imagery.colections: unknown key")


def test_a_discriminator_is_blamed_by_its_own_name() -> None:
    text = "pipeline: map\narea: [0, 0, 1, 1]\nmodel: /\noutput: /out\n"
    (found,) = mistakes(text + "imagery: {source: fils, paths: [a]}")
    assert found == "f.yaml:5:19: imagery.source: expected 'files' or 'stac' (did you mean 'files'?)"
    (found,) = mistakes(text + "imagery: {paths: [a]}")
    assert found == "f.yaml:5:10: imagery.source: missing; expected 'files'"
    (found,) = mistakes(text + "imagery: {bands: [1]}")
    assert found == "f.yaml:5:10: imagery.source: missing; expected 'files' or 'stac'"


def test_a_rule_over_several_fields_is_placed_at_their_mapping() -> None:
    text = "pipeline: map\narea: [0, 0, 1, 1]\nmodel: /\noutput: /out\nimagery: {source: stac}"
    assert mistakes(text) == ["f.yaml:5:10: imagery: give either catalog or api"]


def test_alternatives_of_a_type_are_one_mistake() -> None:
    assert only("bands: [1.5]").endswith("bands.0: expected text or a whole number, got a number")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("count: '2'", "expected a whole number, got text; leave out the quotes"),
        ("count: 2.0", "expected a whole number, got a number"),
        ("count: true", "expected a whole number, got true or false"),
        ("count:", "expected a whole number, got nothing"),
        ("threshold: '1'", "expected a number, got text; leave out the quotes"),
        ("text: 7", "expected text, got a whole number; put it in quotes"),
        ("text: [a]", "expected text, got a list"),
        ("flag: 1", "expected true or false, got a whole number"),
        ("flag: off", "expected true or false, got text (did you mean false?)"),
        ("steps: {}", "expected a list, got a mapping"),
        ("steps: [a]", "expected a mapping, got text"),
        ("named: [1]", "expected a mapping, got a list"),
        ("name: a b", "has the wrong form; it must match ^[A-Za-z0-9._-]*$"),
        ("how: 3", "expected 'fast' or 'exact'"),
    ],
)
def test_types_are_strict_and_said_in_plain_words(text: str, message: str) -> None:
    assert only(text).partition(": ")[2].partition(": ")[2] == message


def test_a_whole_number_is_a_number_and_a_list_is_a_tuple() -> None:
    spec = flood("threshold: 1\nbands: [red, 2]\nsteps: [{name: a}]")
    assert (spec.threshold, spec.bands, spec.steps) == (1.0, ("red", 2), (Step(name="a"),))


def test_lists_are_taken_for_tuples_in_plain_python_too() -> None:
    assert FilesImagery(paths=["a.tif"], bands=["red", 1]).paths == ("a.tif",)  # type: ignore[arg-type]
    assert Output.model_validate({"to": "x", "vectors": {"background": ["land"]}}).background == ("land",)


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


def test_a_value_that_is_blamed_already_is_not_blamed_twice() -> None:
    assert only("count: !t x").endswith("tags (!t) are not allowed; put text in quotes")
    assert len(mistakes("pipeline: flood\ncount: *a\nflag: 3")) == 2


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
            assert fate(whole, *overrides)


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
        assert fate(yaml.safe_dump({"pipeline": "map", field: value}))


# Overrides


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


def test_an_override_reaches_below_a_short_form(place: Path) -> None:
    loaded = load_map(
        place, MAP + "cluster: pair\n", "output.vectors=false", "cluster.memory_gb=2", "model.factory=a:b"
    )
    assert loaded.spec.output == Output(to=str(place / "out/map"), vectors=False)
    assert loaded.spec.cluster == LocalCluster(workers=2, memory_gb=2)
    assert loaded.spec.model.factory == "a:b"
    assert load_map(place, MAP, "area.crs=EPSG:32633").spec.area.crs == "EPSG:32633"
    assert (
        load_map(place, MAP.replace("areas/a.geojson", "[0, 0, 9, 9]"), "area.crs=EPSG:32633").spec.area.crs
        == "EPSG:32633"
    )
    assert load_map(place, MAP, "cluster.workers=3").spec.cluster == LocalCluster(workers=3)


def test_an_override_can_name_the_pipeline() -> None:
    assert read("{}", "pipeline=flood").pipeline == "flood"
    assert read("pipeline: nonsense", "pipeline=flood").pipeline == "flood"
    assert mistakes("pipeline: flood", "pipeline=flod") == [
        "--set pipeline:1:1: pipeline: there is no pipeline 'flod' (did you mean 'flood'?)"
    ]


def test_an_override_takes_a_mistake_of_the_text_away() -> None:
    assert flood("count: two", "count=2").count == 2


def test_what_was_loaded_can_be_parsed_again(place: Path) -> None:
    first = load_map(place, MAP, "output.vectors=false", cluster="pair")
    again = parse(first.text, first.file, first.overrides, find=find, env={})
    assert again == first
    assert again.overrides == ("cluster=pair", "output.vectors=false")


# Clusters


@pytest.mark.parametrize(
    ("text", "cluster"),
    [
        ("", LocalCluster()),
        ("cluster: local", LocalCluster()),
        ("cluster: inline", InlineCluster()),
        ("cluster: {kind: local, workers: 3}", LocalCluster(workers=3)),
        ("cluster: {workers: 3}", LocalCluster(workers=3)),
        ("cluster: {kind: address, url: 'tcp://a:1'}", AddressCluster(url="tcp://a:1")),
        ("cluster: tcp://a:1", AddressCluster(url="tcp://a:1")),
    ],
)
def test_a_cluster_has_short_forms(text: str, cluster: Any) -> None:
    assert flood(text).cluster == cluster


def test_a_cluster_of_the_command_goes_before_all_others(place: Path) -> None:
    loaded = load_map(place, MAP + "cluster: inline\n", "cluster=local", cluster="pair")
    assert loaded.spec.cluster == LocalCluster(workers=2)


def test_an_unknown_cluster_is_guessed(place: Path) -> None:
    with pytest.raises(SpecError, match=r"no cluster 'pear'; known are local, inline, pair \(did you mean 'pair'\?\)"):
        load_map(place, MAP, cluster="pear")


@pytest.mark.parametrize("kind", ["gcp", "aws", "kubernetes"])
def test_clouds_say_what_must_be_given(kind: str) -> None:
    with pytest.raises(SpecError, match=r"f\.yaml:2:10: cluster\.image: missing; it must be given"):
        read(f"pipeline: flood\ncluster: {{kind: {kind}, workers: 2}}")
    assert f"there is no cluster '{kind}'; known are local, inline" in only(f"cluster: {kind}")


# The environment


def test_references_are_resolved_in_text() -> None:
    loaded = read("pipeline: flood\ntext: a-${env:A}-${env:B}", env={"A": "x", "B": "${env:A}"})
    assert loaded.spec.text == "a-x-${env:A}"  # type: ignore[attr-defined]
    assert set(loaded.secrets) == {"x", "${env:A}"}
    assert "${env:A}" in loaded.text
    assert flood("text: $${env:A}", env={"A": "x"}).text == "${env:A}"
    assert flood("", "text=${env:A}", env={"A": "x"}).text == "x"
    assert flood("bands: ['${env:A}']", env={"A": "7"}).bands == ("7",)


def test_a_variable_that_is_not_set_is_named() -> None:
    assert only("text: ${env:NOPE}") == "f.yaml:2:7: text: the environment variable NOPE is not set"
    assert only("count: ${env:NOPE}") == "f.yaml:2:8: count: the environment variable NOPE is not set"
    assert "is written ${env:NAME}" in only("text: ${env:not a name}")
    assert "is written ${env:NAME}" in only("text: ${env:A")


def test_a_reference_can_only_stand_for_text() -> None:
    for text, what in (("count", "a whole number"), ("threshold", "a number"), ("flag", "true or false")):
        assert only(f"{text}: ${{env:N}}", env={"N": "7"}).endswith(
            f"{text}: expected {what}; ${{env:N}} is allowed only where text is expected"
        )


@pytest.mark.parametrize(
    "text",
    [
        "pipeline: ${env:S}",
        "pipeline: flood\ncount: ${env:S}",
        "pipeline: flood\nname: a b ${env:S}",
        "pipeline: flood\nhow: ${env:S}",
        "pipeline: flood\non_error: ${env:S}",
        "pipeline: flood\ncluster: ${env:S}",
        "pipeline: flood\ncluster: {kind: '${env:S}'}",
        "pipeline: flood\ncluster: {kind: address, url: '${env:S}'}",
        "pipeline: flood\noutput: ../${env:S}",
        "pipeline: flood\noutput: out/${env:S}/../../..",
        "pipeline: flood\nsteps: '${env:S}'",
        "pipeline: map\narea: ${env:S}",
        "pipeline: map\narea: .//${env:S}",
        "pipeline: map\narea: {path: '${env:S}'}",
        "pipeline: map\narea: {path: /, layer: '${env:S}'}",
        "pipeline: map\narea: POLYGON (( ${env:S}",
        "pipeline: map\narea: {bbox: [0, 0, 1, 1], crs: '${env:S}'}",
        "pipeline: map\narea: {type: Polygon, coordinates: ['${env:S}']}",
        "pipeline: map\nmodel: ${env:S}",
        "pipeline: map\nmodel: {path: '${env:S}', contract: 'a/${env:S}'}",
        "pipeline: map\nimagery: {source: files, paths: ['${env:S}*']}",
        "pipeline: map\nimagery: {source: '${env:S}'}",
        "pipeline: map\nimagery: {source: stac, catalog: '${env:S}'}",
    ],
)
@pytest.mark.parametrize("secret", [CANARY, f"x/../{CANARY}", f"~/{CANARY}/", f"//{CANARY}", f"é'{CANARY}\"\n"])
def test_what_the_environment_gave_is_in_no_message(text: str, secret: str) -> None:
    assert CANARY not in "\n".join(mistakes(text, env={"S": secret}))


def test_a_loaded_spec_does_not_show_its_secrets_by_itself() -> None:
    loaded = read("pipeline: flood\nname: a", env={"S": CANARY})
    assert "secrets" not in repr(loaded)


def test_others_can_scrub_with_the_secrets() -> None:
    assert scrub(f"failed at '{CANARY}'", {CANARY}) == "failed at '${env:...}'"
    assert scrub("abc", {"a"}) == "abc"


# Paths


def test_relative_paths_start_at_the_project_s_root(place: Path) -> None:
    loaded = load_map(place)
    spec = loaded.spec
    assert loaded.root == place
    assert spec.output.to == str(place / "out" / "map")
    assert spec.model.path == str(place / "water.pt2")
    assert spec.imagery.paths == (str(place / "imagery" / "*.tif"),)
    assert spec.area.source == "areas/a.geojson"


def test_without_a_swath_yaml_paths_start_at_the_spec_s_own_folder(place: Path) -> None:
    (place / "swath.yaml").unlink()
    with pytest.raises(SpecError) as caught:
        load_map(place)
    assert str(place / "specs" / "water.pt2") in str(caught.value)


def test_urls_are_left_alone_and_home_is_expanded(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(place))
    text = MAP.replace("out/map", "s3://bucket/../map").replace("water.pt2", "~/water.pt2")
    text = text.replace("imagery/*.tif", "https://example.org/a*.tif")
    spec = load_map(place, text).spec
    assert spec.output.to == "s3://bucket/../map"
    assert spec.model.path == str(place / "water.pt2")
    assert spec.imagery.paths == ("https://example.org/a*.tif",)


@pytest.mark.parametrize("to", ["../out", "out/../../x", "..", "link/out", "link/../link"])
def test_a_relative_output_may_not_leave_the_project(
    place: Path, to: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (place / "link").symlink_to(tmp_path_factory.mktemp("elsewhere"))
    with pytest.raises(SpecError, match="write an absolute path if that is meant"):
        load_map(place, MAP.replace("out/map", to))


def test_an_output_may_be_anywhere_when_its_path_is_absolute(
    place: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (place / "link").symlink_to(elsewhere)
    assert load_map(place, MAP.replace("out/map", str(elsewhere))).spec.output.to == str(elsewhere)
    assert load_map(place, MAP.replace("out/map", str(place / "link"))).spec.output.to == str(place / "link")


def test_a_project_that_is_reached_through_a_link_is_no_escape(
    place: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    link = tmp_path_factory.mktemp("links") / "project"
    link.symlink_to(place)
    assert load_map(link).spec.output.to == str(link / "out" / "map")


def test_the_project_s_own_folder_is_no_output(place: Path) -> None:
    with pytest.raises(SpecError, match="name a folder in it"):
        load_map(place, MAP.replace("out/map", "."))


def test_what_is_not_there_is_a_mistake_at_its_place(place: Path) -> None:
    text = MAP.replace("a.geojson", "b.geojson").replace("*.tif", "*.jp2").replace("water", "fire")
    with pytest.raises(SpecError) as caught:
        load_map(place, text)
    file = place / "specs" / "run.yaml"
    assert str(caught.value).splitlines() == [
        f"{file}:2:7: area: there is no such file: {place}/areas/b.geojson",
        f"{file}:3:34: imagery.paths.0: no file matches {place}/imagery/*.jp2",
        f"{file}:4:8: model: there is no such file: {place}/fire.pt2",
    ]


def test_plain_python_leaves_paths_as_they_are() -> None:
    assert ModelRef(path="nowhere.pt2").path == "nowhere.pt2"
    assert Output(to="../x").to == "../x"
    assert StacImagery(catalog="c.json").catalog == "c.json"


def test_a_folder_is_no_spec(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read"):
        load(tmp_path, find=find)


def test_a_project_may_be_given(place: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other") / "spec.yaml"
    other.write_text(MAP)
    loaded = load(other, project=ProjectFolder.find(place, {}), find=find, env={})
    assert loaded.root == place


def test_secrets_of_swath_yaml_are_secrets_of_the_run(place: Path) -> None:
    (place / "swath.yaml").write_text("clusters: {far: {kind: address, url: 'tcp://${env:HOST_NAME}:1'}}\n")
    loaded = load_map(place, MAP, cluster="far", env={"HOST_NAME": CANARY})
    assert loaded.spec.cluster == AddressCluster(url=f"tcp://{CANARY}:1")
    assert set(loaded.secrets) == {CANARY}


def test_the_process_s_own_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "SWATH_TEST_TEXT", "here")
    loaded = parse("pipeline: flood\ntext: ${env:SWATH_TEST_TEXT}", "f.yaml", find=find)
    assert loaded.spec.text == "here"  # type: ignore[attr-defined]


# Areas in a spec


def test_notes_of_areas_reach_the_run(place: Path) -> None:
    loaded = load_map(place, MAP.replace("areas/a.geojson", "'POLYGON ((0 0, 1 1, 1 0, 0 1, 0 0))'"))
    assert loaded.notes == ("area: repaired: Self-intersection[0.5 0.5]",)


@pytest.mark.parametrize(
    "area",
    [
        "areas/a.geojson",
        "{path: areas/a.geojson}",
        "[0, 0, 1, 1]",
        "{bbox: [0, 0, 1, 1]}",
        "{bbox: [0, 0, 1, 1], crs: EPSG:4326}",
        "POLYGON ((0 0, 1 0, 1 1, 0 1, 0 0))",
        "{wkt: 'POLYGON ((0 0, 1 0, 1 1, 0 1, 0 0))'}",
        "{type: Polygon, coordinates: [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]}",
        "{type: Feature, geometry: {type: Polygon, coordinates: [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]}}",
        "{type: FeatureCollection, features: [{type: Feature, geometry: {type: Polygon, coordinates: "
        "[[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]}}]}",
    ],
)
def test_an_area_can_be_written_in_many_ways(place: Path, area: str) -> None:
    spec = load_map(place, MAP.replace("areas/a.geojson", area)).spec
    assert spec.area.wkt == "POLYGON ((0 0, 0 1, 1 1, 1 0, 0 0))"
    assert spec.area.crs == "EPSG:4326"


@pytest.mark.parametrize(
    ("area", "message"),
    [
        ("[1, 2, 3]", "area: item 4 of the list is missing"),
        ("[1, 2, 3, 4, 5, 6]", "area: expected at most 4 items"),
        ("[0, 0, 1, x]", "area.3: expected a number, got text"),
        ("{bbox: [0, 0, 1, 1], srs: a}", "area.srs: unknown key (did you mean 'crs'?)"),
        ("{bbox: [0, 1, 1, 0]}", "area.bbox: south (1.0) is not below north (0.0)"),
        ("{bbox: [0, 0, 1, 1], crs: EPSG:9}", "area.crs: there is no coordinate reference system 'EPSG:9'"),
        ("{path: areas/a.geojson, lyer: a}", "area.lyer: unknown key (did you mean 'layer'?)"),
        ("{path: areas/a.geojson, layer: b}", "area.layer: areas/a.geojson has no layer 'b'"),
        ("{path: 3}", "area.path: expected text, got a whole number; put it in quotes"),
        ("7", "area: expected an area: a path, [west, south, east, north], WKT, GeoJSON or a mapping"),
        ("{}", "area.wkt: missing"),
        ("POINT (1 2)", "area: WKT: expected polygons, found a Point"),
        ("[0, 0, 500000, 5000000]", "area: bbox: 0, 0, 500000, 5e+06 are not degrees"),
    ],
)
def test_a_wrong_area_is_blamed_where_it_is_wrong(place: Path, area: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_map(place, MAP.replace("areas/a.geojson", area))
    (found,) = caught.value.mistakes
    assert f"{found.field}: {found.message}".startswith(message)
    assert found.line == 2


def test_an_area_that_was_read_can_be_validated_again(place: Path) -> None:
    area = load_map(place, MAP.replace("areas/a.geojson", "[179, 0, -179, 1]")).spec.area
    assert Area.model_validate(area.model_dump()) == area
    assert Area.model_validate_json(area.model_dump_json()) == area


def test_a_short_form_is_understood_in_every_field_that_has_it() -> None:
    class Pair(SpecModel):
        one: Area | None = None
        other: Area | None = None

    box = [0.0, 0.0, 1.0, 1.0]
    for field in ("one", "other"):
        assert Pair.model_validate_json(json.dumps({field: box})).model_dump()[field] is not None
