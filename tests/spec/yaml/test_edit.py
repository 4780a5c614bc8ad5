"""A value in the text of a spec is changed, and nothing else."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.errors import SpecError
from swath.spec.yaml.document import parse
from swath.spec.yaml.edit import EditRefused, remove_value, set_value
from swath.spec.yaml.write import block, flow

SPECS = sorted((Path(__file__).resolve().parents[3] / "specs").glob("*.yaml"))
TEXT = """\
# of a lake
pipeline: predict   # the stock one
name: "lake"
imagery:  # what is read
  source: files
  # two of them
  paths:
    - a.tif
    - b.tif  # the newer one
classes:
- {name: land, color: E6DFC8}
- name: water
  color: 2B7BBA
output: {to: out/lake, vectors: false}  # short

area:
"""


def lines(text: str) -> set[str]:
    return set(text.splitlines())


@pytest.mark.parametrize(
    ("path", "value", "gone", "new"),
    [
        (("name",), "sea", {'name: "lake"'}, {"name: sea"}),
        (("imagery", "paths", 1), "c.tif", {"    - b.tif  # the newer one"}, {"    - c.tif  # the newer one"}),
        (("imagery", "paths", 2), "c.tif", set(), {"    - c.tif"}),
        (("imagery", "names"), ["red", "nir"], set(), {"  names: [red, nir]"}),
        (("classes", 1, "color"), "FFFFFF", {"  color: 2B7BBA"}, {"  color: FFFFFF"}),
        (("classes", 2), {"name": "ice", "color": "EEEEEE"}, set(), {"- {name: ice, color: EEEEEE}"}),
        (("classes", 0, "name"), "ground", {"- {name: land, color: E6DFC8}"}, {"- {name: ground, color: E6DFC8}"}),
        (("output", "preview"), True, {"output: {to: out/lake, vectors: false}  # short"},
         {"output: {to: out/lake, vectors: false, preview: true}  # short"}),
        (("output",), "out/b", {"output: {to: out/lake, vectors: false}  # short"}, {"output: out/b  # short"}),
        (("area",), [1.5, 2, 3, 4], {"area:"}, {"area: [1.5, 2, 3, 4]"}),
        (("area", "type"), "Polygon", set(), {"  type: Polygon"}),
        (("name", "a"), 1, {'name: "lake"'}, {"name:", "  a: 1"}),
        (("pipeline",), {"a": 1}, {"pipeline: predict   # the stock one"}, {"pipeline:   # the stock one", "  a: 1"}),
        (("imagery",), None, {"imagery:  # what is read", "  source: files", "  # two of them", "  paths:", "    - a.tif",
         "    - b.tif  # the newer one"}, {"imagery: null  # what is read"}),
    ],
)  # fmt: skip
def test_one_value_is_changed_and_the_other_lines_stay(path: Any, value: Any, gone: set[str], new: set[str]) -> None:
    changed = set_value(TEXT, path, value)
    assert (lines(TEXT) - lines(changed), lines(changed) - lines(TEXT)) == (gone, new)


@pytest.mark.parametrize(
    ("path", "gone", "new"),
    [
        (("name",), {'name: "lake"'}, set()),
        (("imagery", "paths", 0), {"    - a.tif"}, set()),
        (("classes", 1, "name"), {"- name: water", "  color: 2B7BBA"}, {"- color: 2B7BBA"}),
        (("classes", 0), {"- {name: land, color: E6DFC8}"}, set()),
        (("output", "to"), {"output: {to: out/lake, vectors: false}  # short"}, {"output: {vectors: false}  # short"}),
        (("output", "vectors"), {"output: {to: out/lake, vectors: false}  # short"}, {"output: {to: out/lake}  # short"}),
        (("area",), {"area:"}, set()),
    ],
)  # fmt: skip
def test_one_value_is_removed_and_the_other_lines_stay(path: Any, gone: set[str], new: set[str]) -> None:
    changed = remove_value(TEXT, path)
    assert (lines(TEXT) - lines(changed), lines(changed) - lines(TEXT)) == (gone, new)


def test_a_new_key_comes_behind_those_before_it() -> None:
    order = ("pipeline", "name", "budget", "imagery")
    assert set_value("name: a  # b\nimagery: c\n", ("budget",), 5, order) == "name: a  # b\nbudget: 5\nimagery: c\n"
    assert set_value("# only\n", ("name",), "a") == "# only\nname: a\n"
    assert remove_value("# only\nname: a  # b\n", ("name",)) == "# only\n  # b\n"


def test_what_cannot_be_changed_alone_is_refused() -> None:
    with pytest.raises(EditRefused):
        set_value("? a\n: b\n", ("c",), 1)
    with pytest.raises(SpecError):
        set_value("a: [", ("a",), 1)


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["yes", "0x1f", "1e3", "010", "0o14", "~", "", "null", "a: b", "a #b", "- a", "EPSG:4326", "s3://b/c", "${env:X}", "a,b", "1_0"]
)  # fmt: skip
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words
keys = st.sampled_from(["name", "a b", "yes", "12", "x.y", "#", "é", ": "])
data = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8
)
documents = st.dictionaries(keys, data, min_size=1, max_size=4)


def places(value: Any, path: Any = ()) -> list[Any]:
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(each for key, inner in below for each in places(inner, (*path, key)))]


@settings(max_examples=40, deadline=None)
@given(documents, scalars)
def test_data_is_written_so_that_it_is_read_back(document: Any, value: Any) -> None:
    assert parse(block(document, 0), "spec").data == document
    assert parse(f"- {flow(value)}\n- [{flow(value)}]", "spec").data == [value, [value]]


@settings(max_examples=40, deadline=None)
@given(documents, data, st.data())
def test_any_value_of_any_document_is_set_and_removed(document: Any, value: Any, draw: Any) -> None:
    text = block(document, 0).replace("\n", "  # why\n# above\n") + "  # last\n"
    path = draw.draw(st.sampled_from(places(document)[1:]))
    expected = copy.deepcopy(document)
    holder = expected
    for segment in path[:-1]:
        holder = holder[segment]
    holder[path[-1]] = value
    assert parse(set_value(text, path, value), "spec").data == expected
    del holder[path[-1]]
    assert parse(remove_value(text, path), "spec").data == (expected or None)


@pytest.mark.parametrize("file", SPECS, ids=lambda file: file.name)
def test_every_value_of_the_specs_that_come_with_it_is_set_and_put_back(file: Path) -> None:
    text = file.read_text("utf-8")
    document = parse(text, file.name).data
    for path in places(document)[1:]:
        value = parse(text, file.name).at(path)
        if not isinstance(value, (dict, list)):
            there = set_value(text, path, "something else")
            assert len(lines(there) - lines(text)) == 1
            assert parse(set_value(there, path, value), file.name).data == document
