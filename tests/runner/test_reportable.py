"""What a pipeline's result offers to the run."""

from __future__ import annotations

from typing import Any

import numpy as np

from swath.graph.ref import SKIPPED
from swath.runner.matrix import table_row
from swath.runner.reportable import Publishing, Reportable, numbers, outputs
from swath.storage.publication import Published


class Result:
    def report(self) -> dict[str, Any]:
        return {"folder": "f", "count": 3, "deep": {"x": 1}, "share": np.float32(0.5), "n": np.int64(4), "ok": True}


def test_a_row_has_the_flat_numbers_of_a_report_of_a_mapping_or_the_number_itself() -> None:
    assert table_row.fn(Result())["numbers"] == {"count": 3, "share": 0.5, "n": 4, "ok": True}
    assert numbers({"f1": 0.5, "name": "x"}, {}) == {"f1": 0.5}
    assert numbers({}, {"numbers": {"a": 1}, "b": 2}) == {"a": 1}
    assert numbers(7, {}) == {"result": 7}
    assert numbers("text", {}) == numbers(None, {}) == {}
    assert table_row.fn(SKIPPED)["skipped"] is True


def test_the_outputs_of_a_result_are_its_files_or_the_values_themselves() -> None:
    assert outputs([None, "a", ["b", 3]]) == ["a", "b", "3"]


def test_what_is_published_is_reportable() -> None:
    published = Published("out", ())
    assert isinstance(published, Reportable)
    assert isinstance(published, Publishing)
