"""The pages below docs/ agree with the code: packages, layers, paths, decisions."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [
    *sorted(DOCS.rglob("*.md")),
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    ROOT / "bench/README.md",
]


def folders(package: Path) -> list[str]:
    """Names of the packages in a package."""
    return sorted(each.parent.name for each in package.glob("*/__init__.py"))


def layers() -> list[str]:
    """The layers of pyproject.toml, from the top."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return next(list(each["layers"]) for each in contracts if each["id"] == "layers")


def test_the_architecture_page_draws_the_layers_of_the_import_contract() -> None:
    drawing = (DOCS / "architecture.md").read_text().partition("## Packages")[2].split("```")[1]
    assert [line.strip() for line in drawing.splitlines() if line.strip()] == layers()


def test_the_architecture_page_lists_every_package_in_the_order_of_the_layers_with_its_folders() -> None:
    table = (DOCS / "architecture.md").read_text().partition("| package | subject | folders |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    listed = {row[0].strip("`"): re.findall(r"`(\w+)`", row[2]) for row in rows}
    assert listed == {name: folders(ROOT / "swath" / name) for name in folders(ROOT / "swath")}
    order = [name for layer in layers() for name in re.findall(r"\w+", layer)]
    assert list(listed) == sorted(listed, key=order.index)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_and_links_in_a_page_exist(page: Path) -> None:
    text = page.read_text()
    for path in re.findall(r"`((?:swath|cli|pipelines|tests|bench|docs|infra|specs|models|demo)/[\w./-]*)`", text):
        assert (ROOT / path).exists(), f"{page.name} names {path}"
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_each_decision_has_a_date_and_a_state_and_a_row_in_the_list() -> None:
    rows = ["| number | decision | date | state |", "|---|---|---|---|"]
    for page in sorted((DOCS / "decisions").glob("[0-9]*.md")):
        title, _, dated, *_ = page.read_text().splitlines()
        number, name = re.fullmatch(r"# (\d+)\. (.+)", title).groups()  # type: ignore[union-attr]
        date, state = re.fullmatch(r"Date: (\d{4}-\d\d-\d\d)\. State: (accepted|replaced by \d+)\.", dated).groups()  # type: ignore[union-attr]
        assert page.name.startswith(f"{int(number):04d}-")
        rows.append(f"| {number} | [{name}]({page.name}) | {date} | {state} |")
    text = (DOCS / "decisions/README.md").read_text()
    assert [line for line in text.splitlines() if line.startswith("|")] == rows


@pytest.mark.parametrize("page", ["security.md", "faults.md"])
def test_each_test_that_a_page_names_exists(page: str) -> None:
    named = re.findall(r"`(tests/[\w/.]+)::(\w+)`", (DOCS / page).read_text())
    assert len(named) > 30
    for file, name in named:
        assert re.search(rf"^ *(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE), f"{file}::{name}"


def test_each_fault_names_a_test_that_is_collected() -> None:
    rows = [line for line in (DOCS / "faults.md").read_text().splitlines() if line.startswith("| ")]
    rows = [row for row in rows if not row.startswith("| fault |")]
    assert len(rows) >= 43
    assert [row for row in rows if "::test_" not in row] == []
    named = sorted(set(re.findall(r"`(tests/[\w/.]+::\w+)`", "\n".join(rows))))
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *named]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert set(named) <= {line.partition("[")[0] for line in done.stdout.splitlines()}


def test_each_row_of_the_security_page_s_inputs_names_a_test() -> None:
    table = (DOCS / "security.md").read_text().partition("## Inputs")[2].partition("## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    assert len(rows) > 15
    assert [row for row in rows if "::test_" not in row] == []
