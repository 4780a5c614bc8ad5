from __future__ import annotations

from pathlib import Path

from swath.server.openapi import openapi_text

FILE = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"


def test_the_description_of_the_api_that_is_committed_is_that_of_the_server() -> None:
    assert FILE.read_text() == openapi_text(), "the API has changed: make schema"
