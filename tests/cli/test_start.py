"""A command starts without what it does not need."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from subprocess import run

import pytest

HEAVY = {
    *("torch", "rasterio", "dask", "distributed", "geopandas", "pandas", "numpy", "shapely", "pyproj", "odc", "pystac"),
    *("pystac_client", "pyogrio", "onnxruntime", "fsspec", "cloudpickle", "rich", "jinja2"),
}

PROBE = """
import os
import sys
from swath.cli import main
code = main({words!r})
loaded = sorted({{name.partition(".")[0] for name in sys.modules}} & set({heavy!r}))
print("loaded", *loaded, file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["list"], ["list", "--json"], ["run", "--help"]])
def test_help_and_list_import_nothing_heavy(project: Path, env: dict[str, str], words: list[str]) -> None:
    code = PROBE.format(words=words, heavy=sorted(HEAVY))
    done = run(
        [sys.executable, "-c", code], cwd=project, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert done.stderr.splitlines()[-1] == "loaded"


STARTED = """
import os
import sys
from swath.cli import main
code = main({words!r})
print("loaded", *sorted(name for name in sys.modules if name.startswith("swath.pipelines.") or name in ("pydantic", "typer")),
      file=sys.stderr)
sys.exit(code)
"""


def started(words: list[str], project: Path, env: dict[str, str]) -> set[str]:
    """The pipelines' modules, and of pydantic and typer, that a command imports."""
    done = run(
        [sys.executable, "-c", STARTED.format(words=words)],
        cwd=project, env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split()[1:])


def test_a_second_list_imports_no_pipeline_and_no_model(project: Path, env: dict[str, str], tmp_path: Path) -> None:
    env |= {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    for file in (project / "pipelines").glob("*.py"):
        os.utime(file, (1_600_000_000, 1_600_000_000))
    assert "swath.pipelines.train" in started(["list"], project, env)
    assert started(["list"], project, env) == set()
    assert started(["list", "--json"], project, env) == set()


def test_a_pipeline_that_is_shown_is_the_only_one_that_is_imported(
    project: Path, env: dict[str, str], tmp_path: Path
) -> None:
    env |= {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    started(["list"], project, env)
    loaded = started(["show", "load"], project, env)
    assert {name for name in loaded if name.startswith("swath.pipelines.")} == {"swath.pipelines.load"}
