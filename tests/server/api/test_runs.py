"""Runs by a spec's text, and runs that are resumed."""

from __future__ import annotations

from tests.server.test_app import SPEC, Caller, Site, claimed, site

__all__ = ["site"]


def test_a_specs_text_as_the_body_asks_for_a_run(site: Site) -> None:
    token = site.services.accounts.create("user", "ada", "runner", who="test")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-www-form-urlencoded"}  # as curl says
    address = "/api/v1/projects/lakes/runs"
    answer = site.client.post(f"{address}?set=region%3D512&label=gpu", content=SPEC.encode(), headers=headers)
    assert answer.status_code == 201
    assert (answer.json()["name"], answer.json()["labels"], answer.json()["project"]) == ("lake", ["gpu"], "lakes")
    assert answer.headers["location"] == f"/api/v1/runs/{answer.json()['id']}"
    agent, identity = site.agent("desk", labels=["gpu"])
    work = claimed(agent, identity, "desk")
    assert (work["request"]["spec"], work["request"]["set"]) == (SPEC, ["region=512"])
    for content, told in (
        (b"", "spec: "), (b"\xff\xfe", "not UTF-8"), (b"x" * 300_000, "spec: "), (b"name: x", "names its pipeline"),
    ):  # fmt: skip
        wrong = site.client.post(address, content=content, headers=headers)
        assert (wrong.status_code, wrong.headers["content-type"]) == (422, "application/problem+json")
        assert told in wrong.json()["detail"]
    assert site.client.post("/api/v1/projects/none/runs", content=SPEC, headers=headers).status_code == 404
    again = [site.client.post(address, content=SPEC, headers={**headers, "Idempotency-Key": "k"}) for _ in range(2)]
    assert again[0].json()["id"] == again[1].json()["id"]


def test_a_run_that_failed_is_queued_again_and_a_done_one_is_not(site: Site) -> None:
    ada, bob, eve = site.user("ada", "runner"), site.user("bob", "runner"), site.user("eve", "keeper")
    run = site.submit(ada)
    agent, identity = site.agent("desk")

    def end(number: int, status: str, exit_code: int) -> None:
        work = claimed(agent, identity, "desk")
        assert (work["run"], work["number"]) == (run, number)
        attempt = Caller(site.client, work["token"])
        attempt("POST", f"/attempts/{run}/{number}/beat", {})
        file = {"place": "/lakes/out/map.tif", "media": "image/tiff", "bytes": 4, "sha256": "0" * 64}
        said = {"status": status, "exit_code": exit_code, "outputs": [file["place"]], "files": [file]}
        attempt("POST", f"/attempts/{run}/{number}/end", said, 204)

    assert "has not ended" in ada("POST", f"/runs/{run}/resume", status=409)["detail"]
    end(1, "failed", 1)
    assert ada("GET", f"/runs/{run}")["files"][0]["bytes"] == 4
    bob("POST", f"/runs/{run}/resume", status=403)
    queued = ada("POST", f"/runs/{run}/resume")
    assert (queued["state"], queued["status"], queued["exit_code"], queued["files"]) == ("queued", "", None, [])
    end(2, "partial", 3)
    eve("POST", f"/runs/{run}/resume")
    end(3, "done", 0)
    assert "nothing to resume" in ada("POST", f"/runs/{run}/resume", status=409)["detail"]
    told = [(entry["who"], entry["action"]) for entry in site.admin("GET", "/audit")["entries"]]
    assert told[:2] == [("eve", "resume run"), ("ada", "resume run")]


def test_a_limit_is_set_shown_and_taken_away(site: Site) -> None:
    ada = site.user("ada", "runner")
    site.admin("PUT", "/projects/lakes/limits/api", {"most": 1}, 204)
    assert site.admin("GET", "/projects")[0]["limits"] == {"api": 1}
    first, second = site.submit(ada, limit_key="api"), site.submit(ada, limit_key="api")
    agent, identity = site.agent("desk")
    assert claimed(agent, identity, "desk")["run"] == first
    claimed(agent, identity, "desk", status=204)
    site.admin("PUT", "/projects/lakes/limits/api", {"most": None}, 204)
    assert claimed(agent, identity, "desk")["run"] == second
    site.admin("PUT", "/projects/none/limits/api", {"most": 1}, 404)


def test_metrics_are_for_those_who_see_all_projects(site: Site) -> None:
    site.submit(site.user("ada", "runner"))
    for who, status in ((site.user("eve", "viewer"), 200), (site.user("lake", "admin", "lakes"), 403)):
        answer = site.client.get("/api/v1/metrics", headers=who._headers)
        assert answer.status_code == status
    text = site.client.get("/api/v1/metrics", headers=site.admin._headers).text
    assert 'swath_runs{state="queued"} 1' in text
    assert 'swath_http_requests_total{method="POST",status="201"} 1.0' in text
