from __future__ import annotations

import json
from dataclasses import replace

from swath.engine.journal_rows import RunRow
from swath.reporting.spec_diff import ChangedValue, changed_values, text_diff

ROW = RunRow(
    "one", "job", "job", "job.yaml", "pipeline: job\n", (), "inline", "/", "running", 100.0, None, None, "", "host", 1, 1.0, (), {}
)  # fmt: skip


def test_values_of_specs_are_compared_after_overrides_by_their_keys() -> None:
    one = replace(
        ROW,
        spec_text="pipeline: job\nimagery: {bands: [red, green], cloud: 20}\nmodel: a.pt2\nparts: [{n: 1}, {n: 2}]\n# a note\n",
        overrides=("imagery.cloud=30", "cluster=local"),
    )
    other = replace(
        ROW,
        spec_text="imagery:\n  bands: [red, nir]\n  cloud: 30\npipeline: job\nmodel: a.pt2\nparts: [{n: 1}, {n: 3}]\n",
        overrides=("model.factory=unet", "token=${env:TOKEN}"),
    )
    found = tuple(changed_values(one, other))
    assert found == (
        ChangedValue("cluster", '"local"', None),
        ChangedValue("imagery.bands", '["red", "green"]', '["red", "nir"]'),
        ChangedValue("model.factory", None, '"unet"'),
        ChangedValue("parts.1.n", "2", "3"),
        ChangedValue("token", None, '"${env:TOKEN}"'),
    )
    assert "-# a note" in text_diff(one, other)
    assert list(changed_values(one, one)) == []


def test_a_spec_that_is_no_yaml_has_no_values() -> None:
    found = list(changed_values(replace(ROW, spec_text="a: ["), ROW))
    assert [each.key for each in found] == ["pipeline"]
    assert json.loads(found[0].after or "") == "job"
