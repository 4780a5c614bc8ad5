"""What `import swath` promises."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import swath


def test_every_public_name_is_listed_loaded_and_known_to_type_checkers() -> None:
    assert sorted(swath.__all__) == sorted({*swath._PLACES, "__version__"})
    for name in swath.__all__:
        assert getattr(swath, name) is not None
    tree = ast.parse(Path(swath.__file__).read_text())
    typed = {a.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for a in node.names}
    assert set(swath._PLACES) <= typed


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        _ = swath.nothing


def test_importing_swath_loads_nothing_heavy() -> None:
    code = "import swath, sys; swath.task, swath.pipeline, swath.Spec; print(sorted({m.partition('.')[0] for m in sys.modules}))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for heavy in ("numpy", "torch", "rasterio", "dask", "geopandas", "shapely", "yaml", "rich", "typer"):
        assert f"'{heavy}'" not in found
