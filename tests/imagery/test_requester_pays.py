"""Buckets whose readers pay: what the environment says goes with every request, and a refusal names the variable.

The simulated clouds do not tell who pays, so a server stands in that refuses what does not say so, as the real ones do.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from swath.errors import CredentialsError
from swath.imagery.remote import object_store
from tests.imagery.servers import Asked, Fault, web

PAYS = {"s3": ("AWS_REQUEST_PAYER", "requester"), "gs": ("GS_USER_PROJECT", "my-project")}
HEADER = {"s3": ("x-amz-request-payer", "requester"), "gs": ("x-goog-user-project", "my-project")}
DATA = bytes(range(256)) * 4


def refused(kind: str) -> Fault:
    name = "AccessDenied" if kind == "s3" else "UserProjectMissing"
    return Fault(403 if kind == "s3" else 400, body=f"<Error><Code>{name}</Code></Error>".encode())


@pytest.mark.parametrize("kind", ["s3", "gs"])
def test_only_who_says_that_he_pays_reads_and_a_refusal_names_the_variable(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pixels").mkdir()
    (tmp_path / "pixels/a.tif").write_bytes(DATA)

    def rule(asked: Asked) -> Fault | None:
        name, value = HEADER[kind]
        return None if asked.headers.get(name) == value else refused(kind)

    with web(tmp_path, rule) as server:
        for name, value in {
            "AWS_ENDPOINT_URL": server.address,
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_REGION": "us-east-1",
            "STORAGE_EMULATOR_HOST": server.address,
            "GS_NO_SIGN_REQUEST": "YES",
        }.items():
            monkeypatch.setenv(name, value)
        for name, _ in PAYS.values():
            monkeypatch.delenv(name, raising=False)
        object_store._store.cache_clear()
        with pytest.raises(CredentialsError) as caught:
            object_store.fetch_object(f"{kind}://pixels/a.tif", 10, 20)
        assert PAYS[kind][0] in caught.value.remedy
        monkeypatch.setenv(*PAYS[kind])
        object_store._store.cache_clear()
        answer = object_store.fetch_object(f"{kind}://pixels/a.tif", 10, 20)
        assert answer.data == DATA[10:20]
        if kind == "s3":
            signed = server.asked[-1].headers["authorization"]
            assert "x-amz-request-payer" in signed, "the signature holds it"
    object_store._store.cache_clear()
