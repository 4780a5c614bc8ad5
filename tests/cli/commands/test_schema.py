"""`pipe schema` as a process."""

from __future__ import annotations

import json

from tests.cli.conftest import Pipe


def test_the_schema_of_one_pipeline_and_of_all_is_json(pipe: Pipe) -> None:
    one = json.loads(pipe("schema", "squares").stdout)
    assert "items" in one["properties"]
    assert "squares" in json.loads(pipe("schema").stdout)["properties"]["pipeline"]["enum"]
