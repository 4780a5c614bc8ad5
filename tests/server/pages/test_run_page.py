from __future__ import annotations

import re
from urllib.parse import quote

from swath.protocol.live import Live, LiveProblem
from swath.server.pages import run_page
from tests.server.pages.conftest import HOSTILE, SPEC, Pages, send
from tests.server.test_live import NODE


def test_a_run_says_how_it_stands(pages: Pages) -> None:
    ada = pages.browser("ada")
    run = pages.run(labels=("gpu",))
    assert "no connected agent has the labels gpu" in ada.get(f"/runs/{run}").text
    pages.services.queue.cancel(run, "ada", "")
    run = pages.run()
    pages.claim("line 1", "it broke", level="error")
    text = ada.get(f"/runs/{run}").text
    assert 'data-events="/runs/' in text
    assert re.search(r"Problems.*it broke", text, re.S)
    pages.end(run, "failed", error="no space on the disk")
    text = ada.get(f"/runs/{run}").text
    assert "no space on the disk" in text
    assert "data-events" not in text
    assert "Resume" in text
    assert ada.get("/runs/nothing").status_code == 404


def test_nodes_and_problems_stand_as_the_run_counts_them(pages: Pages) -> None:
    ada = pages.browser("ada")
    run = pages.run()
    pages.claim()
    problem = LiveProblem(node=HOSTILE, item=7, final=False, count=12, reason=HOSTILE)
    pages.services.live.put(run, 1, Live(nodes=(NODE,), problems=(problem,), workers=3))
    text = ada.get(f"/runs/{run}").text
    assert 'aria-label="1 of 4 done"' in text
    assert 'width="25.00"' in text
    assert "3 workers" in text
    assert "1.0 Mpx/s, 360 km²/h" in text
    assert "12 ×" in text
    assert "<script>alert" not in text
    assert "infer 1 / 4 · 1.0 Mpx/s, 360 km²/h · 3.0 s left" in ada.get("/runs").text


def test_stop_and_resume_are_for_those_who_may(pages: Pages) -> None:
    ada, ben, eve = pages.browser("ada", "runner"), pages.browser("ben", "runner"), pages.browser("eve", "viewer")
    run = pages.run()
    for other in (ben, eve):
        assert "Stop…" not in other.get(f"/runs/{run}").text
        assert send(other, f"/runs/{run}/cancel").status_code == 403
    answer = send(ada, f"/runs/{run}/cancel", reason="wrong area")
    assert answer.headers["location"] == f"/runs/{run}"
    assert "cancelled by ada: wrong area" in ada.get(f"/runs/{run}").text
    assert send(ada, f"/runs/{run}/resume").status_code == 303
    assert pages.services.runs.get(run, None).state == "queued"
    again = send(ada, f"/runs/{run}/resume")
    assert again.status_code == 409
    assert "has not ended" in again.text


def test_a_log_in_pages_by_level_node_and_text(pages: Pages) -> None:
    ada = pages.browser("ada")
    run = pages.run()
    pages.claim(*(f"line {n}" for n in range(1, run_page.LINES + 11)))
    text = ada.get(f"/runs/{run}/log").text
    assert (len(re.findall("<li ", text)), 'id="L11"' in text, 'id="L10"' in text) == (run_page.LINES, True, False)
    assert f'data-last="{run_page.LINES + 10}"' in text
    earlier = ada.get(f"/runs/{run}/log?before=11").text
    assert re.findall(r'<li id="L(\d+)"', earlier) == [str(n) for n in range(1, 11)]
    rows = ada.get(f"/runs/{run}/log?after={run_page.LINES + 8}&rows=1").text
    assert re.findall(r'<li id="L(\d+)"', rows) == [str(run_page.LINES + 9), str(run_page.LINES + 10)]
    assert "<html" not in rows
    assert re.findall(r'<li id="L(\d+)"', ada.get(f"/runs/{run}/log?find=LINE+77").text) == ["77"]
    assert "<li " not in ada.get(f"/runs/{run}/log?level=error").text
    assert "<li " not in ada.get(f"/runs/{run}/log?node=other").text
    raw = ada.get(f"/runs/{run}/log.txt")
    assert raw.text.count("\n") == run_page.LINES + 10
    assert raw.headers["content-disposition"].startswith("attachment")


def test_hostile_text_is_only_text_everywhere(pages: Pages) -> None:
    ada = pages.browser("ada")
    run = pages.run(spec=f"{SPEC}# {HOSTILE}\n", set=(f"name={HOSTILE}",))
    pages.claim(HOSTILE, level="error", node=HOSTILE)
    pages.end(run, "failed", error=HOSTILE, outputs=(f"/out/{HOSTILE}",), files=({"place": f"/out/{HOSTILE}"},))
    for path in ("", "/log", "/spec", "/files", f"/log?find={quote(HOSTILE)}"):
        answer = ada.get(f"/runs/{run}{path}")
        assert answer.status_code == 200, path
        for wrong in ("<script>alert", "\x1b", "\u202e"):
            assert wrong not in answer.text, (path, wrong)
        assert "&lt;script&gt;" in answer.text, path
    assert ada.get(f"/runs/{run}/spec.yaml").text == f"{SPEC}# {HOSTILE}\n"


def test_a_run_of_another_project_is_not_there(pages: Pages) -> None:
    ben = pages.browser("ben", "runner", "seas")
    run = pages.run()
    for path in ("", "/log", "/spec", "/files", "/log.txt", "/spec.yaml", "/events"):
        assert ben.get(f"/runs/{run}{path}").status_code == 404, path
    assert send(ben, f"/runs/{run}/cancel").status_code == 404


def test_events_come_to_the_pages_session(pages: Pages) -> None:
    ada = pages.browser("ada")
    run = pages.run()
    pages.claim("line 1")
    pages.end(run)
    answer = ada.get(f"/runs/{run}/events?after=1")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "event: run" in answer.text
    assert "event: line" not in answer.text
    assert answer.text.endswith("event: end\ndata: {}\n\n")
