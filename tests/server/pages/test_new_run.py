from __future__ import annotations

import html
import re
from typing import Any

from swath.protocol.inquiries import InquiryAnswer, SpecMistake
from swath.protocol.messages import RunRequest
from tests.server.forms.conftest import schemas
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


def test_who_only_looks_at_a_project_asks_nothing_of_its_agents(pages: Pages) -> None:
    run = pages.run()
    zoe = pages.browser("zoe", "runner", "seas")
    pages.services.users.set_role("lakes", "zoe", "viewer", who="test")
    text = zoe.get(f"/new?from={run}").text
    assert spec_of(text) == SPEC
    assert re.findall(r"<option[^>]*>(lakes|seas)</option>", text) == ["seas"]
    with pages.services.database.reading() as db:
        asked = db.execute("SELECT name FROM inquiries JOIN projects ON projects.id = inquiries.project")
    assert [row["name"] for row in asked] == ["seas"]


def with_schemas(pages: Pages, document: dict[str, Any] | None = None) -> None:
    """An agent has sent the schemas of the project's pipelines."""
    inquiries = pages.services.inquiries
    inquiries.ask("schemas", RunRequest(project="lakes", spec="-"), "test")
    taken = inquiries.take(pages._agent)
    assert taken is not None
    inquiries.answer(pages._agent, taken.id, InquiryAnswer(document=document or schemas()))


def form_of(text: str) -> dict[str, str]:
    """What a browser without scripts sends of the page's form."""
    found = {
        name: html.unescape(value) for name, value in re.findall(r'<input [^>]*name="([^"]*)" value="([^"]*)"', text)
    }
    found |= {
        name: html.unescape(value)
        for name, value in re.findall(r'<textarea [^>]*name="([^"]*)"[^>]*>\n(.*?)</textarea>', text, re.S)
    }
    for name, options in re.findall(r'<select [^>]*name="([^"]*)"[^>]*>(.*?)</select>', text, re.S):
        chosen = re.search(r'<option value="([^"]*)" selected', options)
        found[name] = html.unescape(chosen[1]) if chosen else ""
    return found | {"project": "lakes"}


def test_a_field_of_the_form_is_taken_into_the_text_without_scripts(pages: Pages) -> None:
    ada = pages.browser("ada", "runner")
    assert "once an agent has read" in ada.get("/new").text
    with_schemas(pages)
    page = ada.get("/new").text
    fields = form_of(page)
    assert fields["f/output"] == "out/my-map"
    same = send(ada, "/new", page="/new", **fields, action="form")
    assert spec_of(same.text) == spec_of(page)
    answer = send(ada, "/new", page="/new", **fields | {"f/output": "out/other", "f/budget": "5"}, action="form")
    assert spec_of(answer.text) == spec_of(page).replace("out/my-map", "out/other").replace(
        "imagery:", "budget: 5\nimagery:"
    )
    run = send(ada, "/new", page="/new", **fields | {"f/output": "out/started"}, action="start")
    asked = pages.services.runs.request(run.headers["location"].rpartition("/")[2], None)
    assert asked.spec == spec_of(page).replace("out/my-map", "out/started")


def test_mistakes_stand_at_their_field(pages: Pages) -> None:
    ada = pages.browser("ada", "runner")
    with_schemas(pages)
    fields = form_of(ada.get("/new").text)
    answer = send(
        ada, "/new", page="/new", **fields | {"spec": fields["spec"] + "region: 3\nregion: 4\n"}, action="check"
    )
    assert answer.status_code == 422 or "already on line" in answer.text
    field = answer.text[answer.text.index('name="f/region"') - 900 : answer.text.index('name="f/region"')]
    assert re.search(r'class="message">the key (&#39;|&#34;)region', field)


def test_a_plan_is_made_by_an_agent_and_shown(pages: Pages) -> None:
    ada = pages.browser("ada", "runner")
    request = RunRequest(project="lakes", spec=SPEC)
    inquiry = pages.services.inquiries.ask("plan", request, "ada")
    taken = pages.services.inquiries.take(pages._agent)
    assert taken is not None
    document = {
        "scenes": 12,
        "read_bytes": 3_000_000_000,
        "minutes": [4, 9],
        "note": HOSTILE,
        "each": {"a": 1},
        "cost": None,
    }
    pages.services.inquiries.answer(pages._agent, inquiry, InquiryAnswer(document=document))
    text = send(ada, "/new", project="lakes", spec=SPEC, action="plan").text
    for shown in (
        "<dt>scenes</dt><dd>12</dd>",
        "<dd>4 to 9</dd>",
        "3.0 GB",
        "<dd>not known</dd>",
        "desk (0 of 9 busy)",
    ):
        assert shown in text
    assert "<script>alert" not in text
    assert pages.services.runs.page(None).runs == ()


def test_mistakes_that_a_plan_finds_stand_at_their_line(pages: Pages) -> None:
    ada = pages.browser("ada", "runner")
    inquiry = pages.services.inquiries.ask("plan", RunRequest(project="lakes", spec=SPEC), "ada")
    pages.services.inquiries.take(pages._agent)
    wrong = SpecMistake(line=3, column=1, field="name", message=f"is {HOSTILE}")
    pages.services.inquiries.answer(pages._agent, inquiry, InquiryAnswer(mistakes=(wrong,)))
    text = send(ada, "/new", project="lakes", spec=SPEC, action="plan").text
    assert 'data-line="3" data-column="1"' in text
    assert "<script>alert" not in text


def test_a_hostile_schema_is_text(pages: Pages) -> None:
    ada = pages.browser("ada", "runner")
    evil = f'"><img src=x onerror=alert(1)>{HOSTILE}'
    spec = {
        "properties": {evil: {"description": evil, "enum": [evil]}, "name": {"type": "string", "default": evil}},
        "description": evil,
    }
    with_schemas(pages, {"allOf": [{"if": {"properties": {"pipeline": {"const": "predict"}}}, "then": spec}]})
    text = ada.get("/new").text
    assert "&lt;img src=x" in text
    assert "<img src=x" not in text
    assert "<script>alert" not in text
