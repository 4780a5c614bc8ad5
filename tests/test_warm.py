"""A forked `pipe` is to a test what a new interpreter is: exit code, streams, folder, environment, and a time limit that holds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import warm
from tests.process import ROOT

pytestmark = pytest.mark.skipif(not warm.POSSIBLE, reason="interpreters are started for all runs")

WORK = """
import os, sys, time
from swath import Spec, pipeline, task


class Tell(Spec):
    wait: float = 0


@task(cache=False)
def say(wait: float) -> str:
    time.sleep(wait)
    main = sys.modules["__main__"]
    print("heard", os.environ["WORD"], os.getcwd(), sys.argv[1:], getattr(main.__spec__, "name", None), file=sys.stderr)
    raise ValueError("as asked")


@pipeline
def tell(spec: Tell):
    \"\"\"Says where it is, and fails.\"\"\"
    return say(spec.wait)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "swath.yaml").touch()
    (tmp_path / "pipelines/tell.py").write_text(WORK)
    (tmp_path / "tell.yaml").write_text("pipeline: tell\ncluster: inline\n")
    return tmp_path


def told(err: str) -> list[str]:
    return [line.partition("heard")[2] for line in err.splitlines() if "heard" in line]


@pytest.mark.parametrize("cluster", ["inline", "local"])
def test_a_forked_pipe_ends_and_tells_as_a_new_interpreter_does(project: Path, cluster: str) -> None:
    words = ["run", "tell.yaml", "--set", f"cluster={cluster}"]
    env = os.environ | {"PYTHONPATH": str(ROOT), "WORD": "once"}
    forked = warm.run(words, project, env, 60)
    command = [sys.executable, "-m", "swath.cli", *words]
    fresh = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert forked.returncode == fresh.returncode == 1
    assert forked.stdout == fresh.stdout
    assert told(forked.stderr) == told(fresh.stderr) != []


def test_what_takes_too_long_is_killed_and_the_next_is_not_disturbed(project: Path) -> None:
    env = os.environ | {"PYTHONPATH": str(ROOT), "WORD": "twice"}
    with pytest.raises(subprocess.TimeoutExpired):
        warm.run(["run", "tell.yaml", "--set", "wait=30"], project, env, 4)
    assert warm.run(["run", "nothing.yaml"], project, env, 60).returncode == 2
