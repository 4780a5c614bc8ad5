"""Plugin of pytest that writes which tests run which lines of a package, and how long they take. SWATH_MUTANTS_MAP is the file to
write (its name gets that of the worker), SWATH_MUTANTS_FOLDER the package's folder."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import coverage
import pytest


class Recorder:
    """Lines and times of the tests of one process."""

    def __init__(self, target: str, folder: Path) -> None:
        self._target, self._folder = target, folder
        self._seconds: dict[str, float] = {}
        self._failed: set[str] = set()
        self._coverage = coverage.Coverage(data_file=None, include=[f"{folder}/*"], config_file=False, messages=False)
        self._coverage.start()
        self._coverage.switch_context("")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        self._coverage.switch_context(item.nodeid)
        try:
            return (yield)
        finally:
            self._coverage.switch_context("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid] = self._seconds.get(report.nodeid, 0.0) + report.duration
        if report.outcome != "passed":
            self._failed.add(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        self._coverage.stop()
        data = self._coverage.get_data()
        lines: dict[str, dict[int, list[str]]] = {}
        for path in data.measured_files():
            found = data.contexts_by_lineno(path)
            lines[os.path.relpath(path, Path.cwd())] = {
                line: sorted(filter(None, tests)) for line, tests in found.items()
            }
        passed = {test: seconds for test, seconds in self._seconds.items() if test not in self._failed}
        Path(self._target).write_text(json.dumps({"lines": lines, "seconds": passed, "failed": sorted(self._failed)}))


def pytest_configure(config: pytest.Config) -> None:
    worker = getattr(config, "workerinput", {}).get("workerid")
    if worker is None and getattr(config.option, "numprocesses", None):
        return
    target = f"{os.environ['SWATH_MUTANTS_MAP']}.{worker or 'main'}"
    config.pluginmanager.register(Recorder(target, Path(os.environ["SWATH_MUTANTS_FOLDER"])), "mutants-recorder")
