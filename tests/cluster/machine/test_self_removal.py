"""An orphaned machine on Compute Engine deletes itself, where its account has the right."""

from __future__ import annotations

import contextlib
import dataclasses
import email.message
import urllib.error
import urllib.request
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from swath.cluster.machine import cloud_init, self_removal
from swath.cluster.providers.gcp.launch import GceProvider, instance_name
from tests.clouds.control import Cloud
from tests.cluster.providers.gcp.test_launch import launch_request
from tests.cluster.specs import gce_spec


@pytest.mark.parametrize("allowed", [True, False])
def test_an_orphaned_machine_deletes_itself_where_it_is_allowed(gce_cloud: Cloud, allowed: bool) -> None:
    gce_cloud.self_removal(allowed)
    command = ("python", "-m", "swath.cluster.machine.self_removal", "--after-s", "0")
    boot = cloud_init.BootPlan("swath:1", ("false",), {}, 0, final_command=command)
    name = "run-1-worker-1"
    GceProvider(gce_spec(gce_cloud)).launch(
        dataclasses.replace(launch_request(name), user_data=cloud_init.user_data(boot))
    )
    if allowed:
        assert gce_cloud.until(lambda: not gce_cloud.alive())
        assert [call["who"] for call in gce_cloud.calls() if call["action"] == "instances.delete"] == ["machine"]
    else:
        assert gce_cloud.until(lambda: "may not delete itself" in gce_cloud.console(instance_name(name)))
        assert gce_cloud.names() == [instance_name(name)]


def refused(code: int) -> urllib.error.HTTPError:
    return urllib.error.HTTPError("http://x", code, "no", email.message.Message(), None)


@pytest.mark.parametrize(
    ("answers", "code", "waits"),
    [
        ([None], 0, 0),
        ([refused(500), OSError("no answer"), ValueError("no JSON"), KeyError("access_token"), None], 0, 4),
        ([refused(401), None], 1, 0),
        ([refused(403), None], 1, 0),
        ([refused(402), None], 0, 1),
        ([refused(404), None], 0, 1),
        ([OSError("no answer")] * self_removal.ATTEMPTS + [None], 1, self_removal.ATTEMPTS),
    ],
)
def test_it_is_asked_for_until_it_is_accepted_or_refused(
    monkeypatch: pytest.MonkeyPatch, answers: list[Exception | None], code: int, waits: int
) -> None:
    left, slept = list(answers), list[float]()

    def remove() -> None:
        if (error := left.pop(0)) is not None:
            raise error

    monkeypatch.setattr(self_removal, "remove", remove)
    monkeypatch.setattr(self_removal, "time", SimpleNamespace(sleep=slept.append))  # threads of other tests sleep, too
    assert self_removal.main(["--after-s", "7"]) == code
    assert slept == [7.0, *[self_removal.ATTEMPT_INTERVAL_S] * waits]


@pytest.mark.parametrize("endpoint", ["", "http://127.0.0.1:1/compute/v1/"])
def test_the_machine_deletes_the_instance_that_it_is(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    said = {
        "/computeMetadata/v1/project/project-id": "acme",
        "/computeMetadata/v1/instance/name": "swath-1",
        "/computeMetadata/v1/instance/zone": "projects/1/zones/europe-west4-a",
        "/computeMetadata/v1/instance/service-accounts/default/token": '{"access_token": "t"}',
    }
    asked: list[tuple[str | None, str, str | None, float]] = []

    @contextlib.contextmanager
    def urlopen(request: urllib.request.Request, timeout: float) -> Iterator[Any]:
        asked.append((request.method, request.full_url, request.get_header("Authorization"), timeout))
        yield None

    monkeypatch.setattr(self_removal, "read_metadata", lambda path, headers: said[path])
    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    monkeypatch.setenv(self_removal.ENDPOINT, endpoint)
    self_removal.remove()
    base = endpoint or self_removal.DEFAULT_ENDPOINT
    address = f"{base}projects/acme/zones/europe-west4-a/instances/swath-1"
    assert asked == [("DELETE", address, "Bearer t", self_removal.TIMEOUT_S)]
