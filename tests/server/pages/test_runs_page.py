from __future__ import annotations

import re

from starlette.testclient import TestClient

from swath.server.pages import runs_page
from tests.server.pages.conftest import HOSTILE, Pages


def shown(browser: TestClient, address: str) -> list[str]:
    answer = browser.get(address)
    assert answer.status_code == 200, answer.text
    return re.findall(r'class="name" href="/runs/([^"]+)"', answer.text)


def test_filters(pages: Pages) -> None:
    ada = pages.browser("ada")
    first = pages.run(name="first")
    pages.end(pages.claim())
    second = pages.run(name="second", who="ben")
    pages.end(pages.claim(), "failed", error="no space")
    third = pages.run(name="third_", project="seas")
    assert shown(ada, "/runs") == [third, second, first]
    assert shown(ada, "/runs?show=queued") == [third]
    assert shown(ada, "/runs?show=done") == [first]
    assert shown(ada, "/runs?show=failed") == [second]
    assert shown(ada, "/runs?by=ben") == [second]
    assert shown(ada, "/runs?project=seas") == [third]
    assert shown(ada, "/runs?find=SECOND") == [second]
    assert shown(ada, "/runs?find=d_") == [third]
    assert shown(ada, "/runs?find=%25") == []
    assert ada.get("/runs?show=other").status_code == 422
    assert "no space" in ada.get("/runs").text


def test_pages_of_older_runs(pages: Pages) -> None:
    ada = pages.browser("ada")
    made = [pages.run() for _ in range(runs_page.ROWS + 1)]
    text = ada.get("/runs").text
    older = re.search(r'rel="next" href="([^"]+)"', text)
    assert older is not None
    assert shown(ada, older[1].replace("&amp;", "&")) == made[:1]
    assert 'rel="next"' not in ada.get(older[1].replace("&amp;", "&")).text


def test_somebody_of_one_project_sees_no_other(pages: Pages) -> None:
    ben = pages.browser("ben", "viewer", "seas")
    pages.run()
    sea = pages.run(project="seas")
    assert shown(ben, "/runs") == [sea]
    assert ben.get("/runs?project=lakes").status_code == 404
    assert "lakes" not in ben.get("/runs").text


def test_hostile_text_is_only_text(pages: Pages) -> None:
    ada = pages.browser("ada")
    pages.run(who=HOSTILE)
    pages.end(pages.claim(), "failed", error=HOSTILE)
    answer = ada.get("/runs")
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;red[U+202E]gnp.exe" in answer.text
    assert "\x1b" not in answer.text
    assert "\u202e" not in answer.text.replace("%E2%80%AE", "")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
