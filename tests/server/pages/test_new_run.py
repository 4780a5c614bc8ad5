from __future__ import annotations

import html
import re

from tests.server.pages.conftest import HOSTILE, SPEC, Pages, send


def spec_of(text: str) -> str:
    """What stands in the page's editor, as a browser reads it."""
    found = re.search(r'<textarea id="spec"[^>]*>\n(.*?)</textarea>', text, re.S)
    assert found is not None
    return html.unescape(found[1])


def test_a_run_is_started_once_from_its_text(pages: Pages) -> None:
    ada = pages.browser("ada", "runner")
    fields = {"project": "lakes", "spec": SPEC, "labels": "gpu, eu", "set": "a=1\r\nb=2", "priority": "3", "word": "w1"}
    answers = [send(ada, "/new", action="start", **fields) for _ in range(2)]
    assert len({answer.headers["location"] for answer in answers}) == 1
    run = answers[0].headers["location"].rpartition("/")[2]
    asked = pages.services.runs.request(run, None)
    assert (asked.spec, asked.labels, asked.set, asked.priority) == (SPEC, ("gpu", "eu"), ("a=1", "b=2"), 3)
    other = send(ada, "/new", action="start", **fields | {"spec": f"{SPEC}# more\n"})
    assert other.headers["location"] != answers[0].headers["location"]
    assert len(pages.services.runs.page(None).runs) == 2


def test_mistakes_stand_with_line_and_column_and_the_text_stays_as_it_was(pages: Pages) -> None:
    ada = pages.browser("ada", "runner")
    text = "\npipeline: predict\nname: [1\n  # </textarea> ${env:X} é\t.\n"
    answer = send(ada, "/new", project="lakes", spec=text, action="start")
    assert answer.status_code == 422
    assert re.search(r'data-line="\d+" data-column="\d+"', answer.text)
    assert spec_of(answer.text) == text
    assert pages.services.runs.page(None).runs == ()
    for wrong in ({"labels": "a b!"}, {"priority": "1000"}, {"priority": "x"}, {"name": "<b>"}):
        answer = send(ada, "/new", project="lakes", spec=SPEC, action="start", **wrong)
        assert (answer.status_code, 'role="alert"' in answer.text) == (422, True), wrong


def test_a_check_starts_nothing(pages: Pages) -> None:
    ada = pages.browser("ada", "runner")
    answer = send(ada, "/new", project="lakes", spec=SPEC, action="check")
    assert (answer.status_code, "The YAML is right" in answer.text) == (200, True)
    assert pages.services.runs.page(None).runs == ()


def test_again_has_the_text_of_the_run(pages: Pages) -> None:
    ada = pages.browser("ada")
    run = pages.run(spec=f"{SPEC}# {HOSTILE}\n", labels=("gpu",), set=("a=1",))
    text = ada.get(f"/new?from={run}").text
    assert "<script>alert" not in text
    assert spec_of(text) == f"{SPEC}# {HOSTILE}\n"
    assert 'value="gpu"' in text
    ben = pages.browser("ben", "runner", "seas")
    assert ben.get(f"/new?from={run}").status_code == 404


def test_who_may_not_start_runs_gets_no_form(pages: Pages) -> None:
    eve, ben = pages.browser("eve", "viewer"), pages.browser("ben", "runner", "seas")
    assert eve.get("/new").status_code == 403
    assert send(eve, "/new", project="lakes", spec=SPEC).status_code == 403
    assert send(ben, "/new", project="lakes", spec=SPEC).status_code == 404
    assert "lakes" not in ben.get("/new").text
