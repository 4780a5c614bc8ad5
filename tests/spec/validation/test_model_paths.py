from __future__ import annotations

import json

from swath.spec.fields.area import Area
from swath.spec.spec_model import SpecModel
from tests.spec.samples import mistakes, only


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


def test_a_short_form_is_understood_in_every_field_that_has_it() -> None:
    class Pair(SpecModel):
        one: Area | None = None
        other: Area | None = None

    box = [0.0, 0.0, 1.0, 1.0]
    for field in ("one", "other"):
        assert Pair.model_validate_json(json.dumps({field: box})).model_dump()[field] is not None
