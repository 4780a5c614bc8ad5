"""Errors of the connection to Compute Engine: missing credentials, and no response."""

from __future__ import annotations

from pathlib import Path

import pytest

from swath.cluster.providers.gcp.fleet import GceFleet
from swath.cluster.providers.gcp.google_api import GoogleLimits
from swath.errors import CredentialsError, SwathError
from tests.clouds.control import Cloud


def test_missing_credentials_are_an_error_with_the_login_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(
        "google.auth.compute_engine._metadata._NO_GCE_CHECK", True
    )  # as NO_GCE_CHECK=true, read at import
    with pytest.raises(CredentialsError, match="gcloud auth"):
        GceFleet("acme-maps").machines()


def test_a_compute_engine_that_does_not_answer_is_an_error(gce_cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", "http://127.0.0.1:9/compute/v1/")
    with pytest.raises(SwathError, match="does not answer") as caught:
        GceFleet("acme-maps", GoogleLimits(retries=0)).machines()
    assert caught.value.exit_code == 5
