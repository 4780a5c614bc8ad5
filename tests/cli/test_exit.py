"""The end of `pipe` processes: errors and exit codes."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Pipe


def test_an_unexpected_error_is_one_line_and_its_traceback_is_kept(pipe: Pipe, project: Path) -> None:
    (project / "pipelines" / "squares.py").write_text(
        "from swath import Spec, pipeline\n@pipeline\ndef squares(spec: Spec):\n    raise KeyError('oops')\n"
    )
    done = pipe("run", "squares.yaml")
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "error: unexpected KeyError: 'oops'"
    assert "Traceback" not in done.stderr
    kept = Path(done.stderr.partition("the traceback is in ")[2].partition(";")[0])
    assert "KeyError" in kept.read_text()
    assert "Traceback" in pipe("run", "squares.yaml", "--debug").stderr
