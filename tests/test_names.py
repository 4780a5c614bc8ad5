"""Names and sizes of files: one class name, one meaning; packages by subject; tests beside their modules."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CODE = ("swath", "cli", "pipelines")
FLAT = {
    "__init__",
    "client",
    "code_shipping",
    "crashpoint",
    "errors",
    "events",
    "file_identity",
    "owned_file",
    "geo",
    "module_code",
    "run_id",
    "units",
    "version",
}
"""Modules directly in swath/: each is used by many packages and belongs to none of them; `client` is for programs."""
LONGEST = 400
"""Lines of a file, unless its docstring says why it is longer: `Longer than usual because ...`."""
SEVERAL_MODULES = {
    "cli/test_commits": "runs of commits, as processes",
    "cli/test_hostile_text": "control characters and special files, in all verbs",
    "cli/test_matrix": "commands on a spec with a matrix",
    "cli/test_standard_input": "specs that are no file, in all verbs",
    "cli/test_start": "imports at the start of the command",
    "cluster/cloud/test_bounded_waits": "limits of waits, on simulated clouds",
    "cluster/cloud/test_lost_connection": "a cluster's connection to its scheduler, which `test_vm_cluster.py` has no room for",
    "cluster/cloud/test_regions": "a cluster that moves to the next region: its leases, guardians, and a kill",
    "cluster/cloud/test_simulated_clouds": "clusters on simulated clouds, as processes",
    "cluster/test_runs": "runs on clusters",
    "collection/test_load_flags": "loads of flags and classes, from plan to files",
    "engine/test_property": "random graphs against a reference",
    "server/pages/test_browser": "the pages in a real browser",
    "server/test_kills": "server processes that are killed in requests",
    "server/test_roles": "every route, asked by everybody",
    "server/test_several_servers": "servers on one database",
    "storage/test_faulty_stores": "all that is read from and written to stores that fail",
    "engine/test_reduce": "what a reduce reads back of its run",
    "engine/test_streaming": "maps over maps",
    "imagery/reading/test_flags": "flags and classes, from names to pixels",
    "imagery/test_remote_run": "runs on imagery on servers",
    "models/safety/test_networks": "networks in common use, in every format",
    "runner/test_damaged_results": "runs after stored results were damaged",
    "runner/test_state_0_1": "a state folder of version 0.1",
}
"""Test files below tests/PACKAGE/ that cover several modules or whole runs."""


def files(*folders: str) -> list[Path]:
    """Python files below folders of the repository. swath/cli and swath/pipelines are links and seen once."""
    return [
        file
        for folder in folders
        for file in sorted((ROOT / folder).rglob("*.py"))
        if "__pycache__" not in file.parts and not {"swath/cli", "swath/pipelines"} & set(map(str, parents(file)))
    ]


def parents(file: Path) -> list[Path]:
    return list(file.relative_to(ROOT).parents)


def test_a_public_class_name_has_one_meaning() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for file in files(*CODE):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(file.relative_to(ROOT)))
    several = {name: found for name, found in places.items() if len(found) > 1}
    assert several == {}


def test_only_agreed_modules_lie_directly_in_swath() -> None:
    assert {file.stem for file in (ROOT / "swath").glob("*.py")} == FLAT


def test_a_long_file_says_why_it_is_long() -> None:
    texts = {str(file.relative_to(ROOT)): file.read_text() for file in files(*CODE, "bench", "demo", "tests")}
    long = {name: text for name, text in texts.items() if len(text.splitlines()) > LONGEST}
    assert [
        name
        for name, text in long.items()
        if "Longer than usual because" not in (ast.get_docstring(ast.parse(text)) or "")
    ] == []


def test_a_test_file_of_a_package_has_the_module_that_it_tests_at_the_same_path() -> None:
    packages = {folder.name for folder in (ROOT / "swath").iterdir() if folder.is_dir()}
    names = {
        found[1]
        for file in files("tests")
        if (found := re.fullmatch(r"tests/(\w+/(?:\w+/)*test_\w+)\.py", str(file.relative_to(ROOT))))
        and found[1].partition("/")[0] in packages
    }
    alone = {name for name in names if not (ROOT / "swath" / f"{name.replace('/test_', '/')}.py").exists()}
    assert alone == set(SEVERAL_MODULES)
