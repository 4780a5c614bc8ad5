"""Platforms that play docker and Vertex AI, and really run the commands of jobs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.clouds.gce import service_account
from tests.launchers.fake_batch import FakeBatch
from tests.launchers.fake_vertex import FakeVertex

PROGRAM = Path(__file__).with_name("fake_docker.py")


def image(folder: Path) -> dict[str, str]:
    """Variables that the image of a job has: this Python with swath, and a folder of its own."""
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[2]), "HOME": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1", "SWATH_AGENT_HOME": str(folder / "home"), "SWATH_TRUST": "1",
    }  # fmt: skip


@dataclass(frozen=True)
class FakeDocker:
    """The folder of the program that plays docker."""

    folder: Path

    def say(self, name: str, text: str) -> None:
        """Set its `fault` or `canary`."""
        (self.folder / name).write_text(text)

    def state(self, name: str) -> dict[str, Any]:
        """What it knows of a container, or of one that was removed."""
        for place in (self.folder / "containers" / name, *self.folder.glob(f"removed-{name}-*")):
            if (place / "state.json").exists():
                found: dict[str, Any] = json.loads((place / "state.json").read_text())
                return found
        return {}

    def names(self) -> list[str]:
        """Containers that were not removed."""
        return [place.name for place in (self.folder / "containers").iterdir()]

    def definitions(self) -> str:
        """All that was ever asked for."""
        files = [*self.folder.glob("*/state.json"), *self.folder.glob("*/*/state.json"), self.folder / "calls"]
        return "\n".join(file.read_text() for file in files if file.exists())

    def close(self) -> None:
        for file in self.folder.glob("containers/*/state.json"):
            about = json.loads(file.read_text())
            if about["Status"] == "running":
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(about["pid"], signal.SIGKILL)


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDocker]:
    folder = tmp_path / "docker"
    (folder / "containers").mkdir(parents=True)
    (folder / "bin").mkdir()
    command = folder / "bin" / "docker"
    command.write_text(f'#!/bin/sh\nFAKE_DOCKER={folder} exec {sys.executable} {PROGRAM} "$@"\n')
    command.chmod(0o755)
    (folder / "image.json").write_text(json.dumps(image(tmp_path)))
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    fake = FakeDocker(folder)
    yield fake
    fake.close()


@pytest.fixture
def vertex(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeVertex]:
    folder = tmp_path / "vertex"
    folder.mkdir()
    fake = FakeVertex(folder, image(tmp_path))
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM", fake.url)
    monkeypatch.setenv(
        "GOOGLE_APPLICATION_CREDENTIALS", str(service_account(tmp_path / "key.json", fake.url.removesuffix("/")))
    )
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    yield fake
    fake.close()


@pytest.fixture
def batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBatch]:
    folder = tmp_path / "batch"
    folder.mkdir()
    fake = FakeBatch(folder, image(tmp_path))
    values = {"ENDPOINT_URL": fake.url, "ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "x", "EC2_METADATA_DISABLED": "true"}
    for name, value in values.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    yield fake
    fake.close()
