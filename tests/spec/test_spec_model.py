from __future__ import annotations

from swath.spec.base import Spec
from swath.spec.fields.imagery import FilesImagery
from swath.spec.fields.output import Output
from swath.spec.spec_model import field_docs
from tests.spec.samples import Step, flood


def test_a_whole_number_is_a_number_and_a_list_is_a_tuple() -> None:
    spec = flood("threshold: 1\nbands: [red, 2]\nsteps: [{name: a}]")
    assert (spec.threshold, spec.bands, spec.steps) == (1.0, ("red", 2), (Step(name="a"),))


def test_lists_are_taken_for_tuples_in_plain_python_too() -> None:
    assert FilesImagery(paths=["a.tif"], bands=["red", 1]).paths == ("a.tif",)  # type: ignore[arg-type]
    assert Output.model_validate({"to": "x", "vectors": {"background": ["land"]}}).background == ("land",)


def test_a_class_without_source_has_no_descriptions() -> None:
    assert set(field_docs(type("Bare", (Spec,), {}))) == set(Spec.model_fields)
