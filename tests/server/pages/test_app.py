from __future__ import annotations

from tests.server.pages.conftest import Pages


def test_errors_are_pages_for_people_and_json_for_programs(pages: Pages) -> None:
    page = pages.client.get("/nothing")
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "there is no such page" in page.text
    api = pages.client.get("/api/v1/nothing")
    assert (api.status_code, api.headers["content-type"]) == (404, "application/problem+json")
    assert pages.client.get("/").headers["location"] == "/runs"
