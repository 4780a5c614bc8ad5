"""Fixtures: a simulated cloud for a whole session, fresh for each test. Import them in a conftest.py of the folder that uses them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clouds.control import Cloud, started


@pytest.fixture(scope="session")
def ec2_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with started("ec2", tmp_path_factory.mktemp("ec2") / "cloud") as cloud:
        yield cloud


@pytest.fixture(scope="session")
def gce_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with started("gce", tmp_path_factory.mktemp("gce") / "cloud") as cloud:
        yield cloud


@pytest.fixture
def ec2_cloud(ec2_process: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """EC2 and S3, with the environment that leads there. No machine is left after the test."""
    yield from _for_a_test(ec2_process, monkeypatch)


@pytest.fixture
def gce_cloud(gce_process: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """Compute Engine and Google Storage, with the environment that leads there. No machine is left after the test."""
    yield from _for_a_test(gce_process, monkeypatch)


def _for_a_test(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    for name, value in cloud.environment.items():
        monkeypatch.setenv(name, value)
    cloud.reset()
    yield cloud
    cloud.reset()
