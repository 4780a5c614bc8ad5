"""Checks of this machine, each with what to do when it is not in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from swath.cluster.doctor.finding import Finding
from swath.project.project import Project
from swath.runner.machine_checks import LIBRARIES, MachineLimits, machine_checks

USUAL = MachineLimits()


def findings(name: str, project: Project, limits: MachineLimits = USUAL) -> list[Finding]:
    """Of one of the checks."""
    return list(dict(machine_checks(project, project.root, limits))[name]())


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, tmp_path / ".swath")


def test_libraries_are_named_with_their_versions(project: Project) -> None:
    found = findings("libraries", project)
    assert tuple(each.what for each in found) == LIBRARIES
    assert all(each.state == "ok" and each.message[0].isdigit() for each in found)


@pytest.mark.parametrize(("free", "state"), [(0, "ok"), (1e30, "warn")])
def test_little_memory_or_disk_is_a_warning(project: Project, free: float, state: str) -> None:
    limits = MachineLimits(disk_bytes=free, memory_bytes=free)
    _, memory = findings("machine", project, limits)
    assert memory.state == state
    assert ("workers: 1" in memory.message) == (state == "warn")
    assert [each.state for each in findings("disk", project, limits)] == [state] * 2


@pytest.mark.parametrize(
    ("protections", "state", "message"),
    [
        (("landlock", "seccomp", "limits"), "ok", "models are first loaded with landlock, seccomp, limits"),
        (("seccomp", "limits"), "ok", "seccomp, limits"),
        (("limits",), "warn", "limits of memory and time only"),
    ],
)
def test_how_models_are_first_loaded_is_reported(
    project: Project, monkeypatch: pytest.MonkeyPatch, protections: tuple[str, ...], state: str, message: str
) -> None:
    monkeypatch.setattr("swath.models.safety.sandbox.available", lambda: protections)
    (found,) = findings("model sandbox", project)
    assert found.state == state
    assert message in found.message


def test_a_library_that_ends_its_process_is_a_failure_with_its_last_line(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.root / "rasterio.py").write_text("raise ImportError('libgdal.so is missing')\n")
    monkeypatch.setenv("PYTHONPATH", str(project.root))
    (found,) = findings("gdal", project)
    assert (found.state, found.message, found.exit_code) == (
        "fail", "ImportError: libgdal.so is missing: install swath again", 1,
    )  # fmt: skip


def test_a_pipeline_that_cannot_be_loaded_is_a_warning_with_its_file(project: Project) -> None:
    folder = project.root / "pipelines"
    folder.mkdir()
    (folder / "broken.py").write_text("import nothing_of_that_name\n")
    found = findings("pipelines", Project(project.root, project.state, (folder,), trusted=True))
    assert [each.state for each in found] == ["ok", "warn"]
    assert "broken.py could not be loaded: ModuleNotFoundError" in found[1].message


def test_traces_are_named_by_the_variable_that_asks_for_them(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert findings("traces", project) == []
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    (found,) = findings("traces", project)
    assert found.message.startswith("asked for by OTEL_TRACES_EXPORTER")


def test_a_state_folder_without_runs_says_so(project: Project) -> None:
    assert [each.message for each in findings("state", project)] == [f"{project.state}: no runs yet"]


def test_no_module_of_the_current_folder_is_imported(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`pipe doctor` is called in folders of other people."""
    monkeypatch.chdir(tmp_path)
    for name in ("torch", "rasterio"):
        Path(f"{name}.py").write_text(f"raise SystemExit('{name} of the current folder')\n")
    for check in ("gdal", "gpu"):
        (found,) = findings(check, project)
        assert (found.state, "current folder" in found.message) == ("ok", False)
