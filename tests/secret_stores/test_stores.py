"""Values of secrets from their stores, and clear words without values where they cannot be had."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import botocore.session
import pytest
from moto.server import ThreadedMotoServer

from swath.agent.agent_file import REFERENCES, read_agent_file
from swath.errors import CredentialsError, InfrastructureError, SwathError, UsageError
from swath.secret_stores.stores import taken
from tests.clouds.gce import service_account

CANARY = "canary-4711"


def take(reference: dict[str, object], project: str = "lakes", **env: str) -> str:
    found = taken(REFERENCES.validate_json(json.dumps({"API_KEY": reference})), project, env)
    return found["API_KEY"]


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    values = {
        "ENDPOINT_URL": f"http://{host}:{port}",
        "ACCESS_KEY_ID": "x",
        "SECRET_ACCESS_KEY": "x",
        "DEFAULT_REGION": "eu-central-1",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    yield
    server.stop()


class SecretManager:
    """Plays Google Secret Manager."""

    def __init__(self) -> None:
        self.values = {"projects/p/secrets/slack/versions/latest": CANARY, "projects/p/secrets/slack/versions/1": "old"}
        self.status = 200
        service = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *words: Any) -> None:
                return

            def do_GET(self) -> None:
                value = service.values.get(self.path.split("?")[0].removeprefix("/v1/").removesuffix(":access"))
                status = service.status if service.status != 200 else 200 if value is not None else 404
                data = base64.b64encode((value or "").encode()).decode()
                self.reply(
                    status,
                    {"payload": {"data": data}} if status == 200 else {"error": {"code": status, "message": "no"}},
                )

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.reply(200, {"access_token": "fake", "expires_in": 3600, "token_type": "Bearer"})

            def reply(self, status: int, content: object) -> None:
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(content).encode())

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def google(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SecretManager]:
    manager = SecretManager()
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER", f"{manager.url}/")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(service_account(tmp_path / "key.json", manager.url)))
    yield manager
    manager.server.shutdown()
    manager.server.server_close()


def test_variables_and_files(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{CANARY}\n")
    assert take({"env": "MY_KEY"}, MY_KEY=CANARY) == CANARY
    assert take({"file": str(tmp_path / "key")}) == CANARY


def test_google_secret_manager_with_its_versions(google: SecretManager) -> None:
    assert take({"gcp": "projects/p/secrets/slack"}) == CANARY
    assert take({"gcp": "projects/p/secrets/slack", "version": "1"}) == "old"
    with pytest.raises(UsageError, match="API_KEY: projects/p/secrets/other/versions/latest"):
        take({"gcp": "projects/p/secrets/other"})
    google.status = 403
    with pytest.raises(CredentialsError, match="HTTP 403") as caught:
        take({"gcp": "projects/p/secrets/slack"})
    assert "secretAccessor" in caught.value.remedy
    google.status = 503
    with pytest.raises(InfrastructureError):
        take({"gcp": "projects/p/secrets/slack"})


def test_aws_secrets_their_fields_and_parameters(aws: None) -> None:
    session = botocore.session.get_session()
    secrets = session.create_client("secretsmanager")
    arn = secrets.create_secret(Name="stac", SecretString=json.dumps({"key": CANARY, "n": 1}))["ARN"]
    session.create_client("ssm").put_parameter(Name="/swath/db", Value=CANARY, Type="SecureString")
    assert (
        take({"aws": "stac", "field": "key"})
        == take({"aws": arn, "field": "key"})
        == take({"ssm": "/swath/db"})
        == CANARY
    )
    with pytest.raises(UsageError, match="no JSON with a field 'other'"):
        take({"aws": "stac", "field": "other"})
    with pytest.raises(UsageError, match="ResourceNotFoundException"):
        take({"aws": "missing"})
    with pytest.raises(UsageError, match="ParameterNotFound"):
        take({"ssm": "/missing"})


def test_secrets_of_kubernetes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through its client: tests/testing/kubernetes_suites.py."""
    stored = {"data": {"token": base64.b64encode(b"pass").decode(), "picture": base64.b64encode(b"\xff").decode()}}

    class Api:
        def __init__(self, place: str) -> None:
            self.place = place

        def get(self, kind: str, name: str) -> dict[str, Any] | None:
            if name == "denied":
                raise CredentialsError("Kubernetes does not allow it")
            return stored if (self.place, kind, name) == ("swath", "Secret", "earthdata") else None

    monkeypatch.setattr("swath.secret_stores.kubernetes.KubernetesApi", Api)
    assert take({"kubernetes": "swath/earthdata", "key": "token"}) == "pass"
    for place, key, text in (
        ("swath/earthdata", "other", "no key other at swath/earthdata"),
        ("seas/earthdata", "token", "nothing at seas/earthdata"),
        ("swath/earthdata", "picture", "not UTF-8"),
    ):
        with pytest.raises(UsageError, match=f"the secret API_KEY: .*{text}"):
            take({"kubernetes": place, "key": key})
    with pytest.raises(CredentialsError, match="does not allow") as caught:
        take({"kubernetes": "swath/denied", "key": "token"})
    assert "right to get the secret denied" in caught.value.remedy


def test_secrets_go_to_the_projects_that_they_are_for() -> None:
    with pytest.raises(KeyError):
        take({"env": "MY_KEY", "projects": ["lakes"]}, project="seas", MY_KEY=CANARY)
    assert take({"env": "MY_KEY", "projects": ["lakes"]}, MY_KEY=CANARY) == CANARY


@pytest.mark.parametrize("reference", [{"env": "MISSING"}, {"file": "/nowhere"}, {"env": "NUL"}])
def test_an_error_names_the_secret_and_never_its_value(reference: dict[str, object]) -> None:
    with pytest.raises(SwathError, match="the secret API_KEY") as caught:
        take(reference, NUL=f"{CANARY}\0")
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("name", ["PATH", "SWATH_TRUST", "LD_PRELOAD", "PYTHONPATH", "GIT_SSH_COMMAND", "a b"])
def test_names_that_would_change_what_a_run_executes_are_refused(tmp_path: Path, name: str) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(f"secrets:\n  {name!r}: {{env: X}}\n")
    with pytest.raises(UsageError, match=r"agent\.yaml:2:"):
        read_agent_file(file)
