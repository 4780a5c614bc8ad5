"""The version of swath, and those of the libraries that it runs on."""

import functools

__version__ = "0.2.0"

LIBRARIES = (
    "dask",
    "distributed",
    "rasterio",
    "odc-geo",
    "numpy",
    "torch",
    "lightning",
    "onnxruntime",
    "openvino",
    "geopandas",
    "pystac",
    "rio-cogeo",
)
"""Distributions whose versions a report, a map's item and a model's record list."""


def versions(libraries: tuple[str, ...] = LIBRARIES) -> dict[str, str]:
    """Versions of swath, Python and the libraries by name; a library that is not installed is left out."""
    import platform  # here: every command imports this module for the version alone

    found = {name: version for name in libraries if (version := _installed(name))}
    return {"swath": __version__, "python": platform.python_version(), **found}


@functools.cache
def _installed(name: str) -> str:
    """The version of a distribution; empty if it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return ""
