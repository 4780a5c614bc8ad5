from __future__ import annotations

from tests.server.pages.conftest import Pages, send


def test_agents_are_shown_and_admins_pause_them(pages: Pages) -> None:
    ada, ben = pages.browser("ada"), pages.browser("ben", "runner", "lakes")
    assert "desk" in ben.get("/agents").text
    assert "Pause" not in ben.get("/agents").text
    assert send(ben, "/agents/desk/pause", paused="1").status_code == 403
    assert send(ada, "/agents/desk/pause", paused="1").status_code == 303
    assert "paused" in ada.get("/agents").text
    assert send(ada, "/agents/desk/pause", paused="0").status_code == 303
    assert not pages.services.agents.all()[0].paused
    assert send(ada, "/agents/nobody/pause", paused="1").status_code == 404
