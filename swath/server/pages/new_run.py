"""The page that starts a run: a spec's text and the form made of it are one document. The text is the truth; mistakes stand at their
line and at their field."""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from swath.errors import Mistake
from swath.protocol.messages import RunRequest
from swath.server.agents import ALIVE_S
from swath.server.api import runs as api
from swath.server.api.requests import Server
from swath.server.identity import Identity
from swath.server.pages.page_session import Fields, Looker, Visitor
from swath.server.pages.render import page
from swath.server.pages.run_plan import RunPlan, plan_of
from swath.server.pages.spec_document import SpecDocuments
from swath.server.refusals import Refusal
from swath.server.services import Services

router = APIRouter()
Text = Annotated[str, Query(max_length=200)]
START = """pipeline: predict
name: my-map
imagery:
  source: files
  paths: [data/scene.tif]
model: models/model.pt2
output: out/my-map
"""
"""What stands in the page where the project has no specs that the server knows."""


@dataclass(frozen=True)
class Draft:
    """A run that somebody is about to start, as the form has it."""

    project: str
    spec: str
    name: str = ""
    labels: str = ""
    set: str = ""
    priority: str = "0"
    ref: str = ""
    word: str = ""
    """Makes two sends of one form one run."""

    def request(self) -> RunRequest:
        """What is asked for. Raises ValidationError."""
        return RunRequest.model_validate(
            {
                "project": self.project, "spec": self.spec, "name": self.name.strip(), "priority": int(self.priority or 0),
                "ref": self.ref.strip() or None,
                "labels": [label for label in re.split(r"[\s,]+", self.labels) if label],
                "set": [line.strip() for line in self.set.splitlines() if line.strip()],
            }
        )  # fmt: skip

    def key(self) -> str:
        """Idempotency key: the same form with the same content."""
        return hashlib.sha256(repr(self).encode()).hexdigest()


@dataclass(frozen=True)
class Said:
    """What the page says about a draft."""

    mistakes: Sequence[Mistake] = ()
    problem: str = ""
    checked: bool = False
    plan: RunPlan | None = None
    status: int = 200


@router.get("/new")
async def new_page(
    request: Request,
    server: Server,
    visitor: Looker,
    project: Text = "",
    template: Text = "",
    run: Annotated[str, Query(alias="from", max_length=200)] = "",
) -> Response:
    """The form: with the spec of another run, a spec of the project, or an example."""
    who = visitor.identity
    who.require("runner", project or None)
    names = await run_in_threadpool(_projects, server, who)
    if run:
        asked = await run_in_threadpool(server.runs.request, run, who.projects)
        draft = Draft(  # a run of a project in which somebody only looks is started in another one
            asked.project if asked.project in names else names[0], asked.spec, asked.name, " ".join(asked.labels),
            "\n".join(asked.set), str(asked.priority), asked.ref or "",
        )  # fmt: skip
    else:
        chosen = project or (names[0] if names else "")
        templates = await run_in_threadpool(server.checks.templates, chosen)
        draft = Draft(chosen, templates.get(template) or START)
    if draft.project:
        with contextlib.suppress(Refusal):  # too many wait, or the project has gone: there is no form then
            await run_in_threadpool(
                server.inquiries.ask, "schemas", RunRequest(project=draft.project, spec="-"), who.name
            )
            server.wakeup.notify()
    return await run_in_threadpool(_form, request, server, visitor, names, draft, Said(), template=template)


@router.post("/new")
async def new_run(request: Request, server: Server, visitor: Looker, fields: Fields) -> Response:
    """Take the form's changes into the text; then check or plan it, or start the run where nothing is wrong with it."""
    who = visitor.identity
    draft = Draft(**{name: fields.get(name, "")[:300_000] for name in Draft.__dataclass_fields__})
    who.require("runner", draft.project)
    names = await run_in_threadpool(_projects, server, who)
    documents = await run_in_threadpool(SpecDocuments, server.inquiries, draft.project)

    async def answer(draft: Draft, said: Said) -> Response:
        return await run_in_threadpool(_form, request, server, visitor, names, draft, said)

    text, refused = await run_in_threadpool(
        documents.changed, fields.get("shown", "")[:300_000], draft.spec, fields, fields.get("do", "")
    )
    draft = replace(draft, spec=text)
    action = "form" if fields.get("do") or refused else fields.get("action")
    try:
        asked = draft.request()
    except (ValidationError, ValueError) as error:
        return await answer(draft, Said(refused, _words(error), status=422))
    if action == "form":
        return await answer(draft, Said(refused, status=422 if refused else 200))
    if action == "plan":
        plan = await plan_of(server, asked, who.name)
        return await answer(draft, Said(plan.mistakes, plan=plan))
    checking = action == "check"
    mistakes = await run_in_threadpool(lambda: server.checks.mistakes(asked, thorough=checking))
    if mistakes or checking:
        said = Said(mistakes, checked=not mistakes, status=422 if mistakes else 200)
        return await answer(draft, said)
    try:
        info = await api.submit(asked, server, who, Response(), draft.key())
    except Refusal as error:
        return await answer(draft, Said(problem=error.message, status=error.status))
    return RedirectResponse(f"/runs/{info.id}", 303)


def _words(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors()[:10]
        )
    return "the priority is no whole number"


def _projects(server: Services, who: Identity) -> list[str]:
    """The projects in which somebody may start runs."""
    found = [each["name"] for each in server.projects.all()]
    return [name for name in found if who.role_in(name) in ("runner", "keeper", "admin")]


def _form(
    request: Request,
    server: Services,
    visitor: Visitor,
    projects: list[str],
    draft: Draft,
    said: Said,
    *,
    template: str = "",
) -> Response:
    document = SpecDocuments(server.inquiries, draft.project).document(draft.spec, said.mistakes)
    lines = draft.spec.split("\n")
    shown = [
        (each, lines[each.line - 1] if each.file == "spec" and 0 < each.line <= len(lines) else "")
        for each in document.mistakes
    ]
    agents = [
        agent for agent in server.agents.all() if agent.seen_s < ALIVE_S and agent.project in (None, draft.project)
    ]
    return page(
        request, "new_run", said.status, visitor=visitor, csrf=visitor.csrf, projects=projects, draft=draft, mistakes=shown,
        problem=said.problem, checked=said.checked, plan=said.plan, document=document,
        templates=list(server.checks.templates(draft.project)) if draft.project else [],
        areas=server.checks.areas(draft.project) if draft.project else [],
        chosen=template, whole=server.checks.whole, agents=agents, word=secrets.token_hex(8),
    )  # fmt: skip
