"""A process that has imported the libraries of swath, but not swath, and forks once for each mutant: runs its tests and says how they
ended. Requests and answers are lines of JSON on standard input and output."""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import select
import signal
import sys
import time
import traceback
import warnings
from contextlib import suppress
from typing import Any

import psutil
import pytest

_LIBRARIES = (
    "numpy shapely pyproj pydantic rasterio odc.geo odc.geo.geobox odc.geo.xr pystac pystac_client geopandas pandas PIL.Image yaml "
    "fsspec requests cryptography.x509 dask distributed tornado.web torch jinja2 rich.console typer jsonschema"
)
NO_TESTS = 70
"""Exit code where pytest did not come to run."""
_PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in _LIBRARIES.split():
            with suppress(ImportError):
                importlib.import_module(name)
    if any(name == "swath" or name.startswith("swath.") for name in sys.modules):
        raise RuntimeError("a library has imported swath")
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line))), flush=True)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _test(request)
    code, status = None, 0
    descriptor = os.pidfd_open(child)
    if select.select([descriptor], [], [], request["limit_s"])[0]:
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
    os.close(descriptor)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    _end_children()
    return {"code": code, "seconds": time.monotonic() - began}


def _end_children() -> None:
    """End what the tests left: this process adopts it."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    while True:
        try:
            if os.waitpid(-1, 0)[0] == 0:
                return
        except ChildProcessError:
            return


def _test(request: dict[str, Any]) -> None:
    code = NO_TESTS
    try:
        os.setsid()
        output = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for number in (1, 2):
            os.dup2(output, number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        options = ["-x", "-q", "--no-header", "--tb=line", "-p", "no:cacheprovider", "-p", "no:xdist"]
        options += ["-p", "no:rerunfailures", f"--basetemp={request['temporary']}"]
        code = int(pytest.main([*options, *request["tests"]]))
    except BaseException:  # noqa: BLE001 - the next line tells it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
