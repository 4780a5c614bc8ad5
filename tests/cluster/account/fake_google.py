"""A Google Cloud project in memory: real clients of Google's APIs on the simulated project of tests/clouds, without a server."""

from __future__ import annotations

import json
import re
import urllib.parse
from functools import cache
from typing import Any

import google.auth.credentials
import googleapiclient.discovery
import httplib2
import pytest

from swath.cluster.providers.gcp.google_api import GoogleApi
from tests.clouds.api_error import ApiError, Json, error_response
from tests.clouds.google_account import ROUTES, GoogleAccount

PROJECT = "acme-project"


class FakeProject(GoogleAccount):
    """The project, with buckets that are empty; and the calls that change something."""

    def __init__(self) -> None:
        super().__init__("", PROJECT)
        self.done: list[str] = []
        self.slow: list[Json] = []
        """Answers to the next questions about operations."""

    def _emulator(self, method: str, path: str, body: Json | None = None) -> Json:
        return {}

    def answer(self, method: str, address: str, body: Json) -> tuple[int, Json]:
        """(HTTP status, body) of the response to a call."""
        parts = urllib.parse.urlsplit(address)
        path = urllib.parse.unquote(parts.path)
        if "/operations/" in path:
            return 200, self.slow.pop(0)
        for verb, pattern, service, action, function in ROUTES:
            if verb == method and (match := re.fullmatch(pattern, path)):
                try:
                    self.check(service, action, match.groupdict(), body)
                    response = function(self, match.groupdict(), urllib.parse.parse_qs(parts.query), body)
                except ApiError as error:
                    return error_response(error.status, error.reason, error.message)
                if method != "GET" and "getIamPolicy" not in action:
                    self.done.append(action)
                return 200, self.slow.pop(0) if self.slow and "name" in response and "done" in response else response
        if method == "GET" and "/regions/" in path:
            zones = [f"https://x/zones/europe-west4-{each}" for each in "cab"]
            return 200, {"name": "europe-west4", "zones": zones}
        return error_response(404, "notFound", f"{method} {path} was not found")


def _anonymous() -> Any:
    credentials: Any = google.auth.credentials  # google.auth has no types for it
    return credentials.AnonymousCredentials()


@cache
def _client(service: str, version: str) -> Any:
    credentials = _anonymous()
    return googleapiclient.discovery.build(service, version, credentials=credentials, static_discovery=True)


def use(project: FakeProject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have all clients of Google's APIs talk to a project."""

    class Connection:
        def __init__(self, timeout: float) -> None:
            self.redirect_codes: set[int] = set()

        def request(
            self, uri: str, method: str = "GET", body: Any = None, headers: Any = None, **options: Any
        ) -> tuple[httplib2.Response, bytes]:
            status, response = project.answer(method, uri, json.loads(body) if body else {})
            return httplib2.Response({"status": str(status)}), json.dumps(response).encode()

        def close(self) -> None:
            """Nothing."""

    credentials = _anonymous()
    monkeypatch.setattr(httplib2, "Http", Connection)
    monkeypatch.setattr(google.auth, "default", lambda scopes: (credentials, PROJECT))
    monkeypatch.setattr(GoogleApi, "service", property(lambda api: _client(api._service_name, api._version)))
