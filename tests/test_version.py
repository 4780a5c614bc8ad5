from __future__ import annotations

import platform
from importlib.metadata import version

from swath.version import __version__, versions


def test_versions_are_those_of_swath_python_and_the_installed_libraries() -> None:
    found = versions()
    assert found["swath"] == __version__
    assert found["python"] == platform.python_version()
    assert found["rasterio"] == version("rasterio")


def test_a_library_that_is_not_installed_is_left_out() -> None:
    assert set(versions(("no-such-library", "numpy"))) == {"swath", "python", "numpy"}
