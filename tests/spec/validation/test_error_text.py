from __future__ import annotations

import pytest

from tests.spec.samples import mistakes, only


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


def test_a_value_that_is_blamed_already_is_not_blamed_twice() -> None:
    assert only("count: !t x").endswith("tags (!t) are not allowed; put text in quotes")
    assert len(mistakes("pipeline: flood\ncount: *a\nflag: 3")) == 2
