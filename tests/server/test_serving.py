from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from swath.errors import InfrastructureError, UsageError
from swath.protocol.tokens import token_kind
from swath.server.serving import ListenAddress, Server
from tests.process import ROOT


def test_an_address_that_others_reach_needs_tls_or_a_proxy_and_a_name(tmp_path: Path) -> None:
    certificate = tmp_path / "cert.pem"
    with pytest.raises(UsageError, match="in the clear"):
        ListenAddress(host="0.0.0.0").check()
    with pytest.raises(UsageError, match="how the server is called"):
        ListenAddress(host="0.0.0.0", behind_proxy=True).check()
    with pytest.raises(UsageError, match="TLS needs both"):
        ListenAddress(certificate=certificate).check()
    ListenAddress(host="0.0.0.0", behind_proxy=True, url="https://swath.example.org").check()
    ListenAddress(host="0.0.0.0", certificate=certificate, key=certificate, url="https://swath.example.org").check()
    assert "swath.example.org" in ListenAddress(url="https://Swath.example.org:8443/x").hosts
    ListenAddress().check()


def test_the_first_start_writes_an_admins_token_that_only_this_user_can_read(tmp_path: Path) -> None:
    server = Server(ListenAddress(port=0), tmp_path / "data")
    file = server.first_token()
    assert file is not None
    assert file.stat().st_mode & 0o777 == 0o600
    token = file.read_text().strip()
    assert token_kind(token) == "user"
    assert server.services.accounts.identify(token).role == "admin"
    assert server.first_token() is None
    assert file.read_text().strip() == token
    server.services.accounts.revoke("admin", who="admin")  # nobody is left who could make another one
    assert server.first_token() == file
    assert server.services.accounts.identify(file.read_text().strip()).role == "admin"
    with pytest.raises(InfrastructureError, match="cannot be listened on"):
        Server(ListenAddress(port=int(server.url.rpartition(":")[2])), tmp_path / "other")
    server.close()


WITHOUT = """
import sys

class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {allowed}:
            return None
        if name.partition(".")[0] in sys.stdlib_module_names or name.startswith(("_", "swath")):
            return None
        raise ModuleNotFoundError(f"{{name}} is not in the image", name=name)

sys.meta_path.insert(0, Refused())
import subprocess
import sys
from pathlib import Path
from swath.protocol.messages import RunRequest
from swath.server.openapi import openapi_text
from swath.server.serving import ListenAddress, Server
from swath.server.spec_text import read_spec
import joserfc.jwt, psycopg_pool, uvicorn
import swath.cli.commands.server
from swath.cli.app import app

assert "/runs" in openapi_text()
server = Server(ListenAddress(port=0), Path(sys.argv[1]))
server.first_token()
server.services.projects.put("lakes", {{"folder": "/lakes"}}, who="test")
request = RunRequest(project="lakes", spec="pipeline: predict")
run, _ = server.services.queue.submit(request, "run", "run", read_spec(request.spec).pipeline, "ada")
triggers = server.services.triggers
triggers.definitions.put("lakes", "nightly", {{"cron": "30 2 * * *", "zone": "Europe/Berlin"}}, request.spec, who="test")
assert triggers.lists.all("lakes").triggers[0].next
print(server.services.runs.get(run, None).state)
"""
IMPORTED = {  # by the packages that infra/docker/server.Dockerfile installs: themselves and what they need
    "annotated_doc", "annotated_types", "anyio", "cffi", "click", "cronsim", "cryptography", "fastapi",
    "h11", "httptools", "idna", "jinja2", "joserfc", "markupsafe",
    "opentelemetry", "psutil", "psycopg",
    "psycopg_binary", "psycopg_pool", "pydantic", "pydantic_core", "shellingham", "sniffio", "starlette", "typer", "tzdata",
    "typing_extensions", "typing_inspection", "urllib3", "uvicorn", "yaml", "cython_runtime", "uvloop", "websockets",
}  # fmt: skip


def test_a_server_works_without_torch_gdal_and_dask(tmp_path: Path) -> None:
    words = [sys.executable, "-c", WITHOUT.format(allowed=sorted(IMPORTED)), str(tmp_path / "data")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "queued\n"), done.stderr[-3000:]


CONNECTING = re.compile(
    r"^\s*(from|import) (urllib3|urllib\.request|http\.client|requests|httpx|aiohttp|fsspec|subprocess|smtplib|swath\.(protocol\.client"
    r"|secret_stores|sensors|launchers|storage\.filesystem))\b|create_connection|open_connection|(?<!sqlite3)\.connect\(",
    re.MULTILINE,
)


def test_only_requests_to_an_identity_provider_open_connections() -> None:
    """The server only answers (ADR 19); its database is beside it."""
    folder = ROOT / "swath" / "server"
    found = {str(file.relative_to(folder)) for file in folder.rglob("*.py") if CONNECTING.search(file.read_text())}
    assert found == {"oidc/provider_requests.py"}
