"""A command starts without what it does not need."""

from __future__ import annotations

import sys
from pathlib import Path
from subprocess import run

import pytest

HEAVY = {
    *("torch", "rasterio", "dask", "distributed", "geopandas", "pandas", "numpy", "shapely", "pyproj", "odc", "pystac"),
    *("pystac_client", "pyogrio", "onnxruntime", "fsspec", "cloudpickle", "rich", "jinja2"),
}

PROBE = """
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
