from __future__ import annotations

from swath.protocol.triggers import FoundThing, LookAnswer, ReportedTrigger, TriggersRead
from tests.server.pages.conftest import HOSTILE, SPEC, Pages, send

PLACE = "/triggers/lakes/news"


def looked(pages: Pages, *found: str, text: str = "") -> None:
    """An agent reads a sensor of the project `lakes` when it has not, and looks."""
    looks = pages.services.triggers.looks
    while (work := looks.claim(pages._agent, "session 1")) is not None:
        if work.trigger:
            things = tuple(FoundThing(key=key) for key in found)
            looks.answer(
                work.id, pages._agent, LookAnswer(session="session 1", fence=work.fence, found=things, text=text)
            )
            return
        sensor = {"kind": "sensor", "sensor": "stac", "existing": "run", "spec": "specs/lake.yaml"}
        told = (ReportedTrigger(name="news", fingerprint="1", definition=sensor, spec=SPEC),)
        triggers = told if work.project == "lakes" else ()
        looks.read(work.id, pages._agent, TriggersRead(session="session 1", fence=work.fence, triggers=triggers))


def test_a_trigger_says_why_nothing_was_started_and_what_was(pages: Pages) -> None:
    ada, sailor = pages.browser("ada"), pages.browser("sailor", "viewer", "seas")
    assert "No agent has read" in ada.get("/triggers").text
    looked(pages, text=f"2026-11-28: 3 items cover 0.54 of the area {HOSTILE}")
    for place in ("/triggers", PLACE):
        text = ada.get(place).text
        assert "sensor stac" in text
        assert "3 items cover 0.54 of the area" in text
        assert "<script>alert" not in text
    assert "news" not in sailor.get("/triggers").text
    assert sailor.get(PLACE).status_code == 404
    assert send(ada, f"{PLACE}/fire").headers["location"] == PLACE
    looked(pages, f"key {HOSTILE[:20]}", "key 2")
    text = ada.get(PLACE).text
    assert "<script>alert" not in text
    assert text.count("/runs/2") == 1
    again = send(ada, f"{PLACE}/fire", key="key 2").headers["location"]
    assert again == PLACE  # it waits for the run that goes on


def test_runners_fire_and_keepers_pause_and_resume(pages: Pages) -> None:
    pages.services.triggers.definitions.put("lakes", "nightly", {"every": "1d"}, SPEC, who="ada")
    viewer, runner, keeper = (pages.browser(role, role, "lakes") for role in ("viewer", "runner", "keeper"))
    place = "/triggers/lakes/nightly"
    for browser, buttons in ((viewer, ()), (runner, ("Run now",)), (keeper, ("Run now", "Pause"))):
        text = browser.get(place).text
        assert [word for word in ("Run now", "Pause") if f">{word}</button>" in text] == list(buttons)
    assert send(viewer, f"{place}/fire").status_code == 403
    assert send(runner, f"{place}/pause").status_code == 403
    run = send(runner, f"{place}/fire").headers["location"]
    assert runner.get(run).status_code == 200
    assert send(keeper, f"{place}/pause").status_code == 303
    assert "paused by keeper" in viewer.get(place).text
    assert send(keeper, f"{place}/pause").status_code == 409
    assert send(keeper, f"{place}/resume", missed="none").status_code == 422
    assert send(keeper, f"{place}/resume", missed="last").status_code == 303
    assert "paused by" not in viewer.get(place).text
