"""The verbs that start nothing, as processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from swath.version import __version__
from tests.cli.conftest import Pipe

VERBS = [
    "run",
    "resume",
    "cancel",
    "list",
    "show",
    "check",
    "plan",
    "schema",
    "prune",
    "runs",
    "diff",
    "logs",
    "sweep",
    "init",
    "doctor",
]


def test_the_help_names_every_verb_and_each_has_an_example(pipe: Pipe) -> None:
    text = pipe("--help").stdout
    assert all(f"\n  {verb} " in text for verb in VERBS)
    from typer.main import get_command

    from swath.cli.app import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert set(commands) == set(VERBS)
    assert all("Example: pipe" in command.help for command in commands.values())


def test_the_version_is_printed(pipe: Pipe) -> None:
    assert pipe("--version").stdout == f"swath {__version__}\n"


@pytest.mark.parametrize("words", [["run"], ["lst"], ["run", "x.yaml", "--nonsense"], ["runs", "-n", "0"]])
def test_a_wrong_command_line_exits_2_with_nothing_on_stdout(pipe: Pipe, words: list[str]) -> None:
    done = pipe(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_list_shows_own_and_stock_pipelines_and_warns_of_broken_files(pipe: Pipe, project: Path) -> None:
    (project / "pipelines" / "broken.py").write_text("import nothing_of_that_name\n")
    done = pipe("list")
    assert done.returncode == 0
    assert "squares" in done.stdout
    assert "predict" in done.stdout
    assert "nothing_of_that_name" in done.stderr
    names = [row["name"] for row in json.loads(pipe("list", "--json").stdout)]
    assert names == sorted(names)
    assert {"predict", "squares"} <= set(names)


def test_show_tells_parameters_with_types_defaults_and_docs_and_draws_the_graph(pipe: Pipe) -> None:
    text = pipe("show", "squares", PYTHONIOENCODING="utf-8").stdout
    assert "items  (whole number, default 4)\n      How many calls." in text
    assert "square  [map over numbers]" in text
    assert "●" in text
    assert "o  add" in pipe("show", "squares", PYTHONIOENCODING="ascii").stdout


def test_show_of_a_spec_gives_json_and_dot(pipe: Pipe) -> None:
    found = json.loads(pipe("show", "squares.yaml", "--json").stdout)
    assert [node["name"] for node in found["graph"]["nodes"]] == ["numbers", "square", "add"]
    assert found["graph"]["nodes"][1]["mapped"] is True
    assert '"numbers" -> "square"' in pipe("show", "squares.yaml", "--dot").stdout


def test_show_of_the_stock_pipeline_needs_no_spec(pipe: Pipe) -> None:
    done = pipe("show", "predict")
    assert done.returncode == 0, done.stderr
    assert "imagery" in done.stdout
    assert "predict_region" in done.stdout


def test_an_unknown_pipeline_is_guessed(pipe: Pipe) -> None:
    done = pipe("show", "square")
    assert done.returncode == 2
    assert "did you mean 'squares'?" in done.stderr


def test_check_prints_a_verdict_per_file_and_exits_2_when_one_is_wrong(pipe: Pipe, project: Path) -> None:
    (project / "bad.yaml").write_text("pipeline: squares\nitmes: 3\nwait: soon\n")
    assert pipe("check", "squares.yaml").returncode == 0
    done = pipe("check", "squares.yaml", "bad.yaml", "missing.yaml")
    assert done.returncode == 2
    assert done.stdout.splitlines()[:2] == ["squares.yaml: ok (squares, 3 nodes)", "bad.yaml: 2 mistakes"]
    assert "bad.yaml:2:1" in done.stderr
    rows = json.loads(pipe("check", "squares.yaml", "bad.yaml", "--json").stdout)
    assert [row["ok"] for row in rows] == [True, False]
    assert [mistake["line"] for mistake in rows[1]["mistakes"]] == [2, 3]


def test_the_schema_of_one_pipeline_and_of_all_is_json(pipe: Pipe) -> None:
    one = json.loads(pipe("schema", "squares").stdout)
    assert "items" in one["properties"]
    assert "squares" in json.loads(pipe("schema").stdout)["properties"]["pipeline"]["enum"]


@pytest.mark.slow
def test_runs_and_logs_tell_what_happened(pipe: Pipe) -> None:
    assert "no runs yet" in pipe("runs").stderr
    assert pipe("logs", "last").returncode == 6
    pipe("run", "squares.yaml")
    failed = pipe("run", "squares.yaml", "--set", "bad=2")
    assert failed.returncode in (1, 3)
    rows = json.loads(pipe("runs", "--json").stdout)
    assert [(row["status"] == "done", row["failed"]) for row in rows] == [(False, 1), (True, 0)]
    table = pipe("runs").stdout.splitlines()
    assert len(table) == 3
    assert len(pipe("runs", "-n", "1").stdout.splitlines()) == 2
    shown = pipe("runs", "show", rows[0]["id"])
    assert "square[2]: ValueError: 2 is a bad number" in shown.stdout
    assert f"pipe resume {rows[0]['id']}" in shown.stderr
    lines = pipe("logs", rows[1]["id"]).stdout.splitlines()
    assert [line.partition(": ")[2] for line in lines] == [f"squaring {n}" for n in range(4)]
    assert json.loads(pipe("logs", rows[1]["id"], "--node", "square", "--json").stdout.splitlines()[0])["item"] == 0
    assert pipe("logs", "last", "--level", "loud").returncode == 2
    assert pipe("logs", "nosuchrun").returncode == 6


def test_sweep_finds_nothing_after_runs_that_ended(pipe: Pipe) -> None:
    assert "nothing is left" in pipe("sweep").stderr
    pipe("run", "squares.yaml")
    done = pipe("sweep", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, [])


def test_init_makes_a_project_that_runs_and_does_not_overwrite(pipe: Pipe, tmp_path: Path) -> None:
    done = pipe("init", "mine", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "mine\n")
    mine = tmp_path / "mine"
    ran = pipe("run", "specs/hello.yaml", cwd=mine)
    assert ran.returncode == 0, ran.stderr
    assert (mine / "words.txt").read_text().splitlines()[0].split() == ["6", "a"]
    assert pipe("check", "specs/hello.yaml", cwd=mine).returncode == 0
    again = pipe("init", "mine", cwd=tmp_path)
    assert again.returncode == 2
    assert "nothing was written" in again.stderr


@pytest.mark.slow
def test_doctor_finds_this_machine_able(pipe: Pipe) -> None:
    done = pipe("doctor", "--json")
    found = {finding["what"]: finding["state"] for finding in json.loads(done.stdout)}
    assert done.returncode == 0, done.stdout
    assert found["gdal"] == found["cluster"] == found["journal"] == "ok"
