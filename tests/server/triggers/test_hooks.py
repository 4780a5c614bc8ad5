"""Hooks by HTTP: signed requests give one run each, and what is not signed, too old, too large or of other types gives none."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.testclient import TestClient

from swath.server.app import create_app
from swath.server.database.database import Database
from swath.server.rate_limit import Rate
from swath.server.services import ServerLimits, Services

SPEC = "pipeline: predict\nname: lake\n"
DEFINITION = {
    "hook": {"day": {"pointer": "/scene/day", "type": "date"}, "cloud": {"pointer": "/cloud", "type": "number"}},
    "set": {"day": "${found:day}", "cloud": "${found:cloud}"},
}
BODY = {"scene": {"day": "2026-11-29"}, "cloud": 12.5}
PLACE = "/api/v1/hooks/lakes/scenes"


class Hook:
    """Another system, which has the key of a hook."""

    def __init__(self, database: Database) -> None:
        self.now = 1_800_000_000.0
        limits = ServerLimits(failures=Rate(per_s=1000, burst=1000))
        self.services = Services.of(database, limits=limits, clock=lambda: self.now)
        self.services.projects.put("lakes", {"folder": "/lakes"}, who="test")
        self.key = self.services.triggers.definitions.put("lakes", "scenes", DEFINITION, SPEC, who="ada")
        self.client = TestClient(create_app(self.services, fire_s=3600), base_url="http://localhost")

    def send(self, identity: str, body: Any = BODY, *, ago: float = 0, place: str = PLACE, **headers: str) -> Any:
        """A request, signed by what the specification says and not by the code under test."""
        content, at = body if isinstance(body, bytes) else json.dumps(body).encode(), str(int(self.now - ago))
        secret = base64.b64decode(self.key.removeprefix("whsec_"))
        digest = hmac.new(secret, f"{identity}.{at}.".encode() + content, hashlib.sha256).digest()
        signed = {
            "webhook-id": identity, "webhook-timestamp": at,
            "webhook-signature": f"v1,{base64.b64encode(b'other key').decode()} v1,{base64.b64encode(digest).decode()}",
        }  # fmt: skip
        return self.client.post(place, content=content, headers=signed | headers)

    def runs(self) -> list[dict[str, Any]]:
        with self.services.database.reading() as db:
            return [json.loads(row["request"]) for row in db.execute("SELECT request FROM runs")]

    def last(self) -> str:
        found = self.services.triggers.lists.one("lakes", "scenes").trigger.last
        return f"{found.outcome} {found.times}: {found.text}" if found else ""


@pytest.fixture
def hook(database: Database) -> Iterator[Hook]:
    hook = Hook(database)
    with hook.client:
        yield hook


def test_a_request_gives_one_run_however_often_it_comes(hook: Hook) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: hook.send("msg_1"), range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert answers[0].json()["run"]
    (asked,) = hook.runs()
    assert asked["set"] == ['day="2026-11-29"', "cloud=12.5"]
    assert hook.send("msg_2").json()["key"] == "msg_2"  # it waits for the run that goes on
    assert len(hook.runs()) == 1


def test_what_is_not_believed_is_counted_and_gives_no_run(hook: Hook) -> None:
    for answer in (
        hook.send("msg_1", **{"webhook-signature": "v1,AAAA"}),
        hook.send("msg_1", **{"webhook-id": "msg_2"}),
        hook.send("msg_1", ago=301),
        hook.send("msg_1", ago=-301),
        hook.send("", **{"webhook-id": ""}),
        hook.send("msg_1", place="/api/v1/hooks/lakes/none"),
        hook.client.post(PLACE, json=BODY),
    ):
        assert answer.status_code == 401
        assert answer.json()["exit_code"] == 4
    hook.services.triggers.definitions.put("lakes", "nightly", {"every": "1d"}, SPEC, who="ada")
    assert hook.send("msg_1", place="/api/v1/hooks/lakes/nightly").status_code == 401  # it has no key
    assert hook.runs() == []
    assert hook.last().startswith("refused 2: the header webhook-id")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"x" * (256 * 1024 + 1), 413), (b"\xff{", 400), (b"[" * 100_000, 400), ({"cloud": 1}, 422),
        ({**BODY, "cloud": "12"}, 422), ({**BODY, "cloud": True}, 422),
        (b'{"scene": {"day": "2026-11-29"}, "cloud": 1e999}', 422), ({**BODY, "scene": {"day": "yesterday"}}, 422),
        ({**BODY, "scene": {"day": "${env:HOME}"}}, 422), ({**BODY, "scene": {"day": {"$": 1}}}, 422),
    ],
)  # fmt: skip
def test_a_body_of_another_form_gives_no_run(hook: Hook, body: Any, status: int) -> None:
    assert hook.send("msg_1", body).status_code == status
    assert hook.runs() == []


def test_a_hook_is_not_fired_too_often_nor_while_it_is_paused(hook: Hook) -> None:
    definitions = hook.services.triggers.definitions
    definitions.pause("lakes", "scenes", who="ada")
    assert hook.send("msg_1").status_code == 409
    assert hook.last() == "skipped 1: the hook scenes is paused"
    definitions.resume("lakes", "scenes", "skip", who="ada")
    assert 429 in [hook.send("msg_1").status_code for _ in range(80)]
    assert len(hook.runs()) == 1


def test_the_key_is_told_once_and_a_change_leaves_it(hook: Hook) -> None:
    definitions = hook.services.triggers.definitions
    assert definitions.put("lakes", "scenes", {**DEFINITION, "labels": ["eu"]}, SPEC, who="ada") == ""
    assert hook.send("msg_1").status_code == 200
    shown = hook.services.triggers.lists.one("lakes", "scenes").model_dump_json()
    assert hook.key not in shown


def test_a_hook_that_became_a_schedule_believes_no_request(hook: Hook) -> None:
    hook.services.triggers.definitions.put("lakes", "scenes", {"every": "1d"}, SPEC, who="ada")
    assert hook.send("msg_1").status_code == 401


def test_a_whole_number_of_any_size_is_a_number(hook: Hook) -> None:
    assert hook.send("msg_1", {**BODY, "cloud": 10**400}).status_code == 200


def test_a_flood_of_requests_that_nobody_signed_writes_little(hook: Hook) -> None:
    answers = [hook.send("msg_1", **{"webhook-signature": "v1,AAAA"}).status_code for _ in range(60)]
    assert set(answers) == {401}
    assert hook.last().startswith("refused 20:")
    hook.now += 5
    hook.send("msg_1", **{"webhook-signature": "v1,AAAA"})
    assert hook.last().startswith("refused 21:")


def test_no_more_wait_than_can_be_looked_at(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swath.server.triggers.hooks.MOST_PENDING", 2)
    assert [hook.send(f"msg_{number}").status_code for number in (1, 2, 3, 1)] == [200, 200, 429, 200]
    assert hook.last() == "skipped 1: 2 runs of the hook scenes have not ended"
