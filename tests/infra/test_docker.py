"""The Dockerfile of the container image: linted and parsed, not built."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.infra.conftest import ROOT, Tool

DOCKER = ROOT / "infra" / "docker"


def requirements() -> list[str]:
    """Of swath with its extra `worker`, as infra/docker/requirements.py writes them."""
    command = [sys.executable, str(DOCKER / "requirements.py"), str(ROOT / "pyproject.toml"), "worker"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.fixture
def steps() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile, each on one line."""
    text = re.sub(r"^\s*#.*\n", "", (DOCKER / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(word, rest) for line in lines if line for word, _, rest in [line.partition(" ")]]


@pytest.fixture
def last(steps: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of the last stage, which is the image."""
    begins = max(at for at, (word, _) in enumerate(steps) if word == "FROM")
    return steps[begins:]


@pytest.mark.parametrize("file", ["Dockerfile", "server.Dockerfile"])
def test_hadolint_finds_nothing(tool: Callable[[str], Tool], file: str) -> None:
    done = tool("hadolint")("--no-color", f"infra/docker/{file}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_hadolint_would_find_a_mistake(tool: Callable[[str], Tool], tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python:latest\nRUN cd /tmp && sudo pip install swath\n")
    assert tool("hadolint")(str(tmp_path / "Dockerfile")).returncode == 1


def test_the_container_does_not_run_as_root_and_passes_commands_through(last: list[tuple[str, str]]) -> None:
    assert [rest for word, rest in last if word == "USER"] == ["10001:10001"]
    assert [rest for word, rest in last if word == "ENTRYPOINT"] == ['["tini", "-g", "--"]']
    for module in ("distributed.cli.dask_scheduler", "distributed.cli.dask_worker", "distributed.cli.dask_spec"):
        assert find_spec(module), f"clusters start {module} in the container"


def test_the_image_has_labels_with_commit_and_constraints(last: list[tuple[str, str]]) -> None:
    (labels,) = (rest for word, rest in last if word == "LABEL")
    assert 'org.opencontainers.image.revision="$COMMIT"' in labels
    assert 'swath.constraints="$CONSTRAINTS"' in labels
    (manifest,) = (rest for _, rest in last if "swath.cluster.workers.image_manifest" in rest)
    assert '--commit "${COMMIT:?}" --constraints /tmp/constraints.txt > /etc/swath/image.json' in manifest


def test_every_package_but_torch_is_verified_by_its_hash(steps: list[tuple[str, str]]) -> None:
    installs = [rest for word, rest in steps if word == "RUN" and "pip install" in rest]
    assert len(installs) == 4
    hashed, *others = installs
    assert hashed.endswith("pip install --no-deps --require-hashes --requirement worker.lock")
    for each in others:
        assert re.search(r" (torch|/dist/\*\.whl)$", each), each
        assert "--constraint constraints.txt" in each or "--no-deps" in each
    for variant in ("cpu", "gpu"):
        assert ("FROM", f"requirements AS {variant}-packages") in steps


def test_the_lock_has_the_versions_of_the_constraints_and_all_that_the_worker_needs() -> None:
    """`make lock` writes it."""
    lock = (DOCKER / "worker.lock").read_text()
    versions = dict(re.findall(r"^([\w.-]+)==(\S+) ", lock, re.MULTILINE))
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    pinned = {canonicalize_name(name): version for name, version in pins.items()}
    direct = {canonicalize_name(Requirement(line).name) for line in requirements()}
    assert direct - set(versions) == {"torch"}
    different = {
        name: (version, pinned[name]) for name, version in versions.items() if pinned.get(name, version) != version
    }
    assert different == {}
    assert direct - set(pinned) == set()


def test_each_package_of_the_locks_has_hashes_and_no_place() -> None:
    for lock in (DOCKER / "worker.lock", ROOT / "infra/supply/tools.lock"):
        text = re.sub(r"^#.*\n", "", lock.read_text(), flags=re.MULTILINE)
        blocks = [block for block in re.split(r"(?m)^(?=[a-z0-9])", text) if block.strip()]
        assert len(blocks) > 20
        for block in blocks:
            assert re.fullmatch(r"[\w.-]+==\S+ \\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n)+", block), block[:200]


def test_the_base_image_is_built_from_its_digest_or_the_file_says_that_there_is_none(
    steps: list[tuple[str, str]],
) -> None:
    assert ("FROM", "python:${PYTHON}-slim-bookworm${BASE_DIGEST} AS python") in steps
    lines = (DOCKER / "base.digest").read_text().splitlines()
    digests = [line for line in lines if not line.startswith("#")]
    if digests:
        assert len(digests) == 1
        assert re.fullmatch(r"sha256:[0-9a-f]{64}", digests[0])
    else:
        assert any("There is none yet" in line for line in lines)
    assert "base.digest" in (ROOT / "Makefile").read_text()
    assert "BASE_DIGEST=${{ steps.base.outputs.digest }}" in (ROOT / ".github/workflows/images.yml").read_text()


def test_everything_that_is_copied_is_let_through_and_exists(steps: list[tuple[str, str]]) -> None:
    allowed = {
        line[1:] for line in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")
    }
    copied = {
        name for word, rest in steps if word == "COPY" and not rest.startswith("--from") for name in rest.split()[:-1]
    }
    assert copied == allowed
    assert [name for name in copied if not (ROOT / name).exists()] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = project["tool"]["setuptools"]["package-dir"].values()
    assert {*folders, project["project"]["readme"], *project["project"]["license-files"]} <= copied


def test_the_requirements_are_those_of_pyproject_with_its_extra() -> None:
    names = {Requirement(line).name for line in requirements()}
    assert {"dask", "rasterio", "torch", "s3fs", "gcsfs", "onnxruntime"} <= names
    pinned = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert {name.lower() for name in names} <= pinned


@pytest.mark.parametrize("listens", [True, False])
def test_a_container_is_well_while_one_of_its_processes_listens(listens: bool) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if listens:
            server.listen()
        child = subprocess.Popen(
            ["sleep", "60"], pass_fds=[server.fileno()], stdout=subprocess.DEVNULL, env=dict(os.environ)
        )
    try:
        check = [sys.executable, str(DOCKER / "health.py"), str(child.pid)]
        assert subprocess.run(check, check=False, timeout=30).returncode == (0 if listens else 1)
    finally:
        child.kill()
        child.wait()
