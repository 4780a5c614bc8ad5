"""What is in the wheel, and that it works where there is no repository."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

import swath
from swath.version import __version__

REPOSITORY = Path(__file__).resolve().parents[1]
LINKS = {"swath/cli": "cli", "swath/pipelines": "pipelines"}
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "swath", "cli", "pipelines")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from a copy so that nothing left in the repository gets into it."""
    copy, made = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(made), str(copy)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = made.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, installed into a folder of its own."""
    target = tmp_path_factory.mktemp("site")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    done = subprocess.run(
        [*install, "--no-deps", "--target", str(target), str(wheel)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def folders_with_modules() -> set[str]:
    """Every folder of the source tree that holds Python modules, by the name it is imported under."""
    names = set()
    for top, package in (("swath", "swath"), *((folder, link.replace("/", ".")) for link, folder in LINKS.items())):
        for folder, inner, files in os.walk(REPOSITORY / top):  # does not enter the links
            inner[:] = [name for name in inner if name != "__pycache__"]
            if any(name.endswith(".py") for name in files):
                names.add(".".join([package, *Path(folder).relative_to(REPOSITORY / top).parts]))
    return names


def imported_packages() -> set[str]:
    """Top-level names that swath imports from elsewhere, at any depth of its modules."""
    names: set[str] = set()
    for package in folders_with_modules():
        for path in (REPOSITORY / package.replace(".", "/")).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, ast.Import):
                    names |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names.add(node.module.split(".")[0])
    return names - sys.stdlib_module_names - {"swath"}


def plain(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def run_installed(site: Path, cwd: Path, *code: str) -> subprocess.CompletedProcess[str]:
    # -P and a foreign folder keep the repository away; the installed copy stands before an editable one.
    environment = {**os.environ, "PYTHONPATH": str(site), "SWATH_HOME": str(cwd / "home")}
    return subprocess.run(
        [sys.executable, "-P", *code],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_the_package_list_names_every_folder_with_modules(project: dict[str, Any]) -> None:
    listed = project["tool"]["setuptools"]["packages"]
    assert listed == sorted(set(listed))
    assert set(listed) == folders_with_modules()


def test_every_folder_of_modules_has_an_init_file() -> None:
    for name in folders_with_modules():
        assert (REPOSITORY / name.replace(".", "/") / "__init__.py").is_file(), name


@pytest.mark.parametrize(("link", "folder"), LINKS.items())
def test_the_links_show_tools_what_the_package_dirs_install(link: str, folder: str, project: dict[str, Any]) -> None:
    assert (REPOSITORY / link).is_symlink()
    assert (REPOSITORY / link).resolve() == REPOSITORY / folder
    assert project["tool"]["setuptools"]["package-dir"][link.replace("/", ".")] == folder


def test_the_version_is_the_newest_in_the_changelog() -> None:
    changelog = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## (\S+)", changelog, flags=re.MULTILINE)
    assert versions[0] == __version__ == swath.__version__


def test_every_direct_dependency_has_an_exact_version(project: dict[str, Any]) -> None:
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    assert pins == sorted(pins, key=str.lower)
    pinned = {plain(pin.split("==")[0]) for pin in pins}
    extras = project["project"]["optional-dependencies"].values()
    for requirement in [*project["project"]["dependencies"], *(line for extra in extras for line in extra)]:
        match = re.match(r"[\w.-]+", requirement)
        assert match, requirement
        assert plain(match[0]) in pinned, requirement


def test_every_imported_package_is_declared(project: dict[str, Any]) -> None:
    extras = project["project"]["optional-dependencies"]
    requirements = [
        *project["project"]["dependencies"],
        *(line for name in sorted(extras.keys() - {"dev"}) for line in extras[name]),
    ]
    declared = {plain(match[0]) for line in requirements if (match := re.match(r"[\w.-]+", line))}
    declared.add("pydantic-core")  # pydantic pins it exactly and documents its errors as part of its own interface
    found = packages_distributions()
    missing = {name for name in imported_packages() if not declared & {plain(dist) for dist in found.get(name, [name])}}
    assert not missing


@pytest.mark.slow
def test_the_wheel_puts_only_swath_into_site_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"swath", f"swath-{__version__}.dist-info"}
    assert len(names) == len(set(names))


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_template(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("swath/")}
    expected = {"swath/py.typed"}
    for package in folders_with_modules():
        folder = REPOSITORY / package.replace(".", "/")
        inside = [path.name for path in folder.iterdir() if path.suffix in {".py", ".j2", ".yaml"}]
        expected |= {f"{package.replace('.', '/')}/{name}" for name in inside}
    for pattern in ("pages/templates/*", "static/*", "static/vendor/*"):  # of the server's pages
        files = [path for path in (REPOSITORY / "swath/server").glob(pattern) if path.is_file()]
        assert files, pattern
        expected |= {str(path.relative_to(REPOSITORY)) for path in files}
    expected |= {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "swath/cluster/account/iam").iterdir()}
    assert packed == expected


@pytest.mark.slow
def test_an_installed_wheel_lists_the_stock_pipelines_away_from_the_repository(site: Path, tmp_path: Path) -> None:
    where = run_installed(
        site, tmp_path, "-c", "import swath.cli as c, swath.pipelines as p; print(c.__file__, p.__file__)"
    )
    assert where.stdout.split() == [str(site / "swath" / name / "__init__.py") for name in ("cli", "pipelines")], (
        where.stderr
    )
    listed = run_installed(site, tmp_path, str(site / "bin" / "pipe"), "list")
    assert listed.returncode == 0, listed.stderr
    assert re.search(r"^\W*predict\b", listed.stdout, flags=re.MULTILINE), listed.stdout


@pytest.mark.slow
def test_a_users_own_pipelines_module_is_not_hidden(site: Path, tmp_path: Path) -> None:
    done = run_installed(
        site,
        tmp_path,
        "-c",
        "import importlib.util as u, sys\n"
        f"sys.path = [p for p in sys.path if p != {str(REPOSITORY)!r}]\n"
        "print(u.find_spec('pipelines'), u.find_spec('cli'))",
    )
    assert done.stdout.split() == ["None", "None"], done.stdout + done.stderr
