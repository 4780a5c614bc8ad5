"""Document to form to document: nothing is lost, and nothing is changed but what somebody has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.server.forms.form_changes import with_form
from swath.server.forms.form_field import FormField, spec_form
from swath.server.forms.spec_schema import SpecSchema
from swath.spec.yaml.document import parse
from tests.server.forms.conftest import FILES, schemas

SCHEMA = SpecSchema(schemas())
TEXT = """\
pipeline: predict   # the stock one
name: lake
imagery:
  source: files
  paths: [a.tif]  # one
model: models/water.pt2
output: out/lake
"""


def form_of(text: str) -> FormField:
    found = spec_form(SCHEMA, parse(text, "spec"))
    assert found is not None
    return found


def sent(text: str, button: str = "", **changed: str) -> str:
    """A text after somebody has changed fields of its form."""
    inputs = form_of(text).inputs | {
        name.replace("__", "/").replace("_at_", "."): value for name, value in changed.items()
    }
    found = with_form(SCHEMA, text, text, inputs, button)
    assert found.mistakes == ()
    return found.text


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_form_that_nobody_has_touched_changes_nothing(file: Path) -> None:
    text = file.read_text("utf-8")
    assert sent(text) == text


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_form_says_all_that_the_document_says(file: Path) -> None:
    """What its form has, filled into an empty one, gives the same document."""
    data = parse(file.read_text("utf-8"), "spec").data
    wanted = form_of(file.read_text("utf-8"))
    text = f"pipeline: {data['pipeline']}\n"
    for _ in range(20):
        before, form = text, form_of(text)
        there = {field.pointer: field for field in form.fields}
        text = with_form(SCHEMA, text, text, {k: v for k, v in wanted.inputs.items() if k in form.inputs}, "").text
        for field in wanted.fields:
            short = there.get(field.pointer)
            if (
                field.kind == "items"
                and short is not None
                and short.kind == "items"
                and len(short.children) < len(field.children)
            ):
                text = with_form(SCHEMA, before, text, {}, f"add{field.pointer}").text
        if text == before:
            break
    assert parse(text, "spec").data == data


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_change_of_one_field_changes_that_value_alone_and_can_be_taken_back(draw: Any) -> None:
    text = draw.draw(st.sampled_from(FILES)).read_text("utf-8")
    form = form_of(text)
    field = draw.draw(st.sampled_from([each for each in form.fields if each.kind == "text" and each.given]))
    value = draw.draw(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=12))
    changed = with_form(SCHEMA, text, text, form.inputs | {f"f{field.pointer}": value}, "")
    assert changed.mistakes == ()
    before, after = parse(text, "spec"), parse(changed.text, "spec")
    assert str(after.at(field.path)) == value or isinstance(after.at(field.path), (int, float))
    assert [len(line.partition(" #")[2]) for line in text.splitlines()] == [
        len(line.partition(" #")[2]) if "#" in old else 0
        for line, old in zip(changed.text.splitlines(), text.splitlines(), strict=True)
    ]
    back = with_form(SCHEMA, changed.text, changed.text, form.inputs, "").text
    assert parse(back, "spec").data == before.data


def test_ways_to_write_a_value_are_changed_and_keep_what_fits() -> None:
    form = form_of(TEXT)
    output = next(field for field in form.fields if field.path == ("output",))
    assert [name for _, name in output.ways] == ["Folder, local or an fsspec URL", "output"]
    text = sent(TEXT, **{"k__output": "1"})
    assert text.endswith("output:\n  to: out/lake\n")
    assert sent(text, **{"k__output": "0"}) == TEXT
    stac = sent(TEXT, **{"k__imagery": "1"})
    assert parse(stac, "spec").data["imagery"]["source"] == "stac"


def test_fields_are_added_cleared_and_typed() -> None:
    text = sent(TEXT, f__budget="20 USD", f__imagery__nodata="0", f__imagery__paths="a.tif\nb c.tif", f__name="")
    assert text == (
        "pipeline: predict   # the stock one\nbudget: 20 USD\nimagery:\n  source: files\n  paths: [a.tif, b c.tif]  # one\n"
        "  nodata: 0\nmodel: models/water.pt2\noutput: out/lake\n"
    )
    assert parse(sent(text, f__budget="35"), "spec").data["budget"] == 35
    assert "on_error: stop" in sent(TEXT, f__on_error='"stop"')


def test_items_of_lists_are_added_and_removed() -> None:
    text = "pipeline: train\nclasses:  # all\n  - {name: land, color: E6DFC8}\n"
    more = sent(text, "add/classes")
    assert [each["name"] for each in parse(more, "spec").data["classes"]] == ["land", ""]
    assert sent(more, "remove/classes/1") == text


def test_an_area_is_drawn_typed_or_chosen() -> None:
    box = sent(TEXT, a__area="[-112.7, 40.74, -112.62, 40.81]")
    assert "area: [-112.7, 40.74, -112.62, 40.81]\n" in box
    assert "area: [1, 2, 3, 4]\n" in sent(box, a__area="1, 2, 3, 4")
    drawn = sent(box, a__area='{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,0]]]}')
    assert "area:\n  type: Polygon\n  coordinates: [[[0, 0], [1, 0], [1, 1], [0, 0]]]\n" in drawn
    assert "area: specs/areas/ponds.geojson\n" in sent(drawn, p__area="specs/areas/ponds.geojson")


def test_text_that_was_changed_beside_the_form_keeps_both_changes() -> None:
    found = with_form(SCHEMA, TEXT, TEXT.replace("out/lake", "out/b"), form_of(TEXT).inputs | {"f/name": "sea"}, "")
    assert found.text == TEXT.replace("out/lake", "out/b").replace("name: lake", "name: sea")
    broken = with_form(SCHEMA, TEXT, "pipeline: [", form_of(TEXT).inputs | {"f/name": "sea"}, "")
    assert (broken.text, [each.field for each in broken.mistakes]) == ("pipeline: [", ["name"])


def test_a_schema_that_goes_round_or_is_none_makes_no_endless_form() -> None:
    node: dict[str, Any] = {"$ref": "#/definitions/A"}
    then = {"properties": {"a": node, "b": {"$ref": "#/x"}}, "required": ["a", 5]}
    round_ = {
        "allOf": [{"if": {"properties": {"pipeline": {"const": "p"}}}, "then": then}],
        "definitions": {
            "A": {"type": "object", "additionalProperties": False, "properties": {"a": node}, "required": ["a"], "allOf": [node]}
        },
    }  # fmt: skip
    form = spec_form(SpecSchema(round_), parse("pipeline: p\n", "spec"))
    assert form is not None
    assert len(list(form.fields)) < 50
    for nonsense in ([], {"allOf": [1, {"if": 3, "then": {"properties": []}}]}, {"allOf": {"x": 1}}):
        assert spec_form(SpecSchema(nonsense), parse("pipeline: p\n", "spec")) is None


def test_a_schema_that_names_itself_again_and_again_has_an_end() -> None:
    again, lists = {"$ref": "#/definitions/again"}, {"$ref": "#/definitions/list"}
    spec = {"if": {"properties": {"pipeline": {"const": "a"}}}, "then": {"properties": {"x": again, "y": lists}}}
    definitions = {"again": {"allOf": [again] * 9, "anyOf": [again] * 9}, "list": {"type": "array", "items": lists}}
    schema = SpecSchema({"allOf": [spec], "definitions": definitions})
    text = "pipeline: a\nx: 1\ny: [[[]]]\n"
    form = spec_form(schema, parse(text, "spec"))
    assert form is not None
    assert [each.label for each in form.children] == ["pipeline", "x", "y"]
    assert with_form(schema, text, text, form.inputs | {"f/x": "2"}).text == "pipeline: a\nx: 2\ny: [[[]]]\n"
