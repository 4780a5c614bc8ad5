"""Objects of S3 and Google Storage, simulated: read as local files are, and failures as those of web servers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import urllib3

from swath.errors import CredentialsError, ImageryError, ReadFailed
from swath.file_identity import is_unknown
from swath.imagery.remote import object_store
from swath.imagery.remote.identities import identity
from swath.imagery.remote.object_store import _explain
from swath.imagery.remote.request_policy import POLICY
from swath.imagery.remote.response import TransientError
from tests.imagery.remote.client import QUICK, Client
from tests.imagery.servers import Asked, Fault, Web, simulated_gs, simulated_s3, web


def use(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def check_identity(href: str, address: str, folder: Path, method: str = "PUT") -> None:
    """The identity of an object stays until it is overwritten by one of the same size."""
    before = identity(href)
    assert identity(href) == before
    assert not is_unknown(before)
    data = (folder / "a.tif").read_bytes()
    unsigned = {"Authorization": "AWS4-HMAC-SHA256 Credential=testing/20200101/us-east-1/s3/aws4_request"}
    assert urllib3.request(method, address, body=data[:-1] + b"x", headers=unsigned).status == 200
    assert identity(href) != before


@pytest.mark.slow
def test_objects_of_s3_are_read_as_local_files_are(
    folder: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with simulated_s3(folder) as environment:
        use(monkeypatch, environment)
        client.check("s3://pixels/a.tif", folder)
        check_identity("s3://pixels/a.tif", f"{environment['AWS_ENDPOINT_URL']}/pixels/a.tif", folder)
        with pytest.raises(ImageryError, match=r"s3://pixels/none\.tif: no such object"):
            client.scenes("s3://pixels/none.tif")
        with pytest.raises(ImageryError, match="no such object"):
            client.scenes("s3://nobucket/none.tif")


@pytest.mark.slow
def test_objects_of_google_storage_are_read_as_local_files_are(
    folder: Path, tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with simulated_gs(folder, tmp_path / "gs") as environment:
        use(monkeypatch, environment)
        client.check("gs://pixels/a.tif", folder)
        upload = f"{environment['STORAGE_EMULATOR_HOST']}/upload/storage/v1/b/pixels/o?uploadType=media&name=a.tif"
        check_identity("gs://pixels/a.tif", upload, folder, "POST")
        with pytest.raises(ImageryError, match=r"gs://pixels/none\.tif: no such object"):
            client.scenes("gs://pixels/none.tif")


@pytest.mark.parametrize(("fault", "tries"), [(Fault(503), 4), (Fault(hang=True), 4), (Fault(403), 1), (Fault(404), 1)])
@pytest.mark.parametrize("kind", ["s3", "gs"])
def test_a_store_that_fails_is_asked_as_often_as_a_web_server(
    server: Web, monkeypatch: pytest.MonkeyPatch, fault: Fault, tries: int, kind: str
) -> None:
    use(
        monkeypatch,
        {"AWS_ENDPOINT_URL": server.address, "AWS_NO_SIGN_REQUEST": "YES", "AWS_DEFAULT_REGION": "us-east-1"},
    )
    use(monkeypatch, {"STORAGE_EMULATOR_HOST": server.address})
    server.rule = lambda _: fault
    bucket = f"b{fault.status}{kind}{server.address.rpartition(':')[2]}"  # clients of stores are cached by bucket
    expected = {403: CredentialsError, 404: ImageryError}.get(fault.status, ReadFailed)
    with pytest.raises(expected, match=r"a\.tif"):
        Client(replace(QUICK, stall_s=0.3)).scenes(f"{kind}://{bucket}/a.tif")
    assert len(server.asked) == tries


def test_a_store_s_answer_is_its_status_and_not_a_number_or_word_of_its_text() -> None:
    error = "Error performing GET http://127.0.0.1:41603/credentials/redirect.tif in 1.416ms - "
    busy = _explain("s3://credentials/redirect.tif", "s3", f"{error}Server returned non-2xx status code: 503 Busy")
    assert isinstance(busy, TransientError)
    assert "503" in str(busy)
    assert isinstance(_explain("s3://b/a.tif", "s3", f"{error}HTTP error: operation timed out"), TransientError)
    empty = _explain("s3://b/a.tif", "s3", f"{error}Server returned non-2xx status code: 416 Range Not Satisfiable")
    assert "empty object" in str(empty)


# Buckets whose readers pay. The simulated clouds do not tell who pays, so a server stands in that refuses requests without the
# header, as the real ones do.

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
        use(
            monkeypatch,
            {
                "AWS_ENDPOINT_URL": server.address,
                "AWS_ACCESS_KEY_ID": "a",
                "AWS_SECRET_ACCESS_KEY": "b",
                "AWS_REGION": "us-east-1",
                "STORAGE_EMULATOR_HOST": server.address,
                "GS_NO_SIGN_REQUEST": "YES",
            },
        )
        for name, _ in PAYS.values():
            monkeypatch.delenv(name, raising=False)
        object_store._store.cache_clear()
        with pytest.raises(CredentialsError) as caught:
            object_store.fetch_object(f"{kind}://pixels/a.tif", 10, 20, POLICY)
        assert PAYS[kind][0] in caught.value.remedy
        monkeypatch.setenv(*PAYS[kind])
        object_store._store.cache_clear()
        response = object_store.fetch_object(f"{kind}://pixels/a.tif", 10, 20, POLICY)
        assert response.data == DATA[10:20]
        if kind == "s3":
            signed = server.asked[-1].headers["authorization"]
            assert "x-amz-request-payer" in signed, "the signature holds it"
    object_store._store.cache_clear()
