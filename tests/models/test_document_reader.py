"""A document's reader gives typed values, and collects every mistake with its field."""

from __future__ import annotations

import pytest

from swath.models.document_reader import DocumentReader, is_number


def test_mistakes_are_collected_with_document_and_field() -> None:
    reader = DocumentReader("model.json")
    document = {"name": 3, "size": "big", "mode": "valeus", "items": [1, 2]}
    assert reader.text(document, "name") == ""
    assert reader.number(document, "size") is None
    assert reader.one_of(document, "mode", ("classes", "values")) == "classes"
    assert reader.single(document, "items") == {}
    assert reader.text(document, "nane") == ""
    assert reader.mistakes == [
        "model.json: name: must be a text, not 3",
        'model.json: size: must be a number, not "big"',
        'model.json: mode: must be one of classes, values, not "valeus" (did you mean values?)',
        "model.json: items: must be a list with one object, not 2 entries: "
        "swath runs models with one input and one output",
        "model.json: nane: is missing (did you mean name?)",
    ]


def test_values_without_a_mistake_are_given_back() -> None:
    reader = DocumentReader("model.json")
    document = {"name": "water", "size": 2.5, "items": [{"a": 1}]}
    assert reader.text(document, "name") == "water"
    assert reader.number(document, "size") == 2.5
    assert reader.number(document, "missing", default=4) == 4
    assert reader.one_of(document, "mode", ("classes", "values"), "values") == "values"
    assert reader.single(document, "items") == {"a": 1}
    assert not reader.mistakes


@pytest.mark.parametrize(("value", "number"), [(1, True), (0.5, True), (True, False), ("1", False), (None, False)])
def test_true_and_false_are_no_numbers(value: object, number: bool) -> None:
    assert is_number(value) is number


def test_an_integer_that_no_float_can_hold_is_no_number() -> None:
    reader = DocumentReader("contract.json")
    assert reader.number({"size": 10**400}, "size") is None
    assert len(reader.mistakes) == 1
    assert reader.mistakes[0].startswith("contract.json: size: must be a number, not 1000")
