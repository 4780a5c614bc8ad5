"""A server with a project, and browsers that are signed in to its pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from swath.protocol.messages import AgentRegistration, End, Line, RunRequest
from swath.run_id import new_run_id
from swath.server.app import create_app
from swath.server.database.open import open_database
from swath.server.rate_limit import Rate
from swath.server.services import ServerLimits, Services

SPEC = "# of a lake\npipeline: predict\nname: lake\n"
HOSTILE = "<script>alert(1)</script>\x1b[31mred\x1b[0m\u202egnp.exe"
"""Text that would act in a page or a terminal, and a direction mark."""


class Pages:
    """The pages of a server, as browsers see them."""

    def __init__(self, services: Services, client: TestClient) -> None:
        self.services = services
        self.client = client
        for name in ("lakes", "seas"):
            services.projects.put(name, {"folder": f"/{name}"}, who="test")
        token = services.accounts.create("agent", "box", "runner", who="test")
        self._agent = services.agents.register(
            AgentRegistration(name="desk", session="session 1", slots=9, version="0.2.0"),
            services.accounts.identify(token),
        )

    def browser(self, name: str, role: str = "admin", project: str | None = None) -> TestClient:
        """A browser in which somebody has signed in, with a role in one project or in all."""
        self.services.users.add(name, who="test", admin=role == "admin")
        for each in (project,) if project else ("lakes", "seas"):
            if role != "admin":
                self.services.users.set_role(each, name, role, who="test")
        browser = TestClient(self.client.app, base_url="http://localhost", follow_redirects=False)
        link = self.services.sign_in.new_link(name, who="test")
        answer = browser.post("/sign-in", data={"link": link}, headers={"Origin": "http://localhost"})
        assert answer.status_code == 303
        return browser

    def run(self, project: str = "lakes", who: str = "ada", name: str = "lake", spec: str = SPEC, **asked: Any) -> str:
        """A queued run."""
        run = new_run_id(name)
        self.services.queue.submit(RunRequest(project=project, spec=spec, **asked), run, name, "predict", who)
        return run

    def claim(self, *lines: str, level: str = "info", node: str = "infer") -> str:
        """The next run is claimed, and heard of with some lines."""
        work = self.services.queue.claim(self._agent, f"claim of {new_run_id('x')}")
        assert work is not None
        self.services.queue.beat(work.run, work.number)
        each = [Line(id=n, time=5.0, level=level, node=node, text=text) for n, text in enumerate(lines, 1)]  # type: ignore[arg-type]
        self.services.queue.add_lines(work.run, work.number, each)
        return work.run

    def end(self, run: str, status: str = "done", **end: Any) -> None:
        """The run's first attempt ends."""
        self.services.queue.end(run, 1, End(status=status, exit_code=0 if status == "done" else 1, **end))


def word_of(text: str) -> str:
    """The word that the forms of a page carry."""
    found = re.search(r'name="csrf" value="(\w+)"', text)
    assert found is not None
    return found[1]


def send(browser: TestClient, address: str, page: str = "/runs", **fields: str) -> Any:
    """Send a form of a page."""
    word = word_of(browser.get(page).text)
    return browser.post(address, data={"csrf": word, **fields}, headers={"Origin": "http://localhost"})


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[Pages]:
    database = open_database(str(tmp_path / "server" / "server.sqlite"))
    services = Services.of(database, limits=ServerLimits(failures=Rate(per_s=1000, burst=1000)))
    with TestClient(create_app(services), base_url="http://localhost", follow_redirects=False) as client:
        yield Pages(services, client)
    database.close()
