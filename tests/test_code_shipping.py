from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import cloudpickle
import pytest

from swath import code_shipping
from swath.code_shipping import ModuleSource, ProjectCode, ShippedFinder, project_code_id
from swath.project.registry import Registry

ROOT = Path(__file__).resolve().parents[1]
JOB = """
import json
import threading
from functools import cache
import beside
import lib.deep
from . import near
from swath import Spec, pipeline, task

LOCK = threading.Lock()

class Job(Spec):
    n: int = 2

@cache
def cached(x):
    return x

@task
def work(x):
    from lib.inner import lazy
    with LOCK:
        return [near.name(), beside.name(), lib.deep.name(), lazy.name(), cached(x), json.dumps(x)]

@pipeline
def job(spec: Job):
    return work.map(range(spec.n))
"""
FILES = {
    "swath.yaml": "",
    "pipelines/job.py": JOB,
    "pipelines/near.py": "def name(): return 'near'",
    "pipelines/beside.py": "import far, threading\nLOCK = threading.Lock()\ndef name(): return 'beside ' + far.NAME",
    "far.py": "NAME = 'far'",
    "unused.py": "1 / 0",
    "lib/__init__.py": "",
    "lib/deep.py": "from lib import other\nimport lib.other\ndef name(): return 'deep ' + other.name()\ndef back(): return 'back'",
    "lib/other.py": "import lib.deep\ndef name(): return lib.deep.back()",
    "lib/inner/lazy.py": "def name(): return 'lazy'",
    ".venv/lib/python3/site-packages/installed.py": "",
}


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    yield
    code_shipping.remove_projects()


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    found = Registry.discover([write(tmp_path / "project", FILES) / "pipelines"])
    assert "job" in found.names, found.broken
    return found


def test_all_that_a_pipeline_may_import_of_its_project_is_found_and_nothing_else(registry: Registry) -> None:
    package = registry.find("job").fn.__module__.partition(".")[0]
    found = {name.replace(package, "p") for name in ProjectCode.loaded().modules}
    assert found == {
        "p", "p.job", "p.near", "p.beside", "beside", "far", "lib", "lib.deep", "lib.other", "lib.inner", "lib.inner.lazy"
    }  # fmt: skip
    assert "unused" not in sys.modules
    assert "lib.inner.lazy" not in sys.modules


def test_code_runs_in_a_process_that_has_not_the_project(registry: Registry, tmp_path: Path) -> None:
    module = sys.modules[registry.find("job").fn.__module__]
    assert module.work(3) == ["near", "beside far", "deep back", "lazy", 3, "3"]
    data = tmp_path / "data"
    data.write_bytes(cloudpickle.dumps((ProjectCode.loaded(), cloudpickle.dumps((module.work, module.cached)))))
    script = textwrap.dedent("""
        import pickle, sys
        from swath.code_shipping import ShippedFinder
        code, calls = pickle.load(open(sys.argv[1], "rb"))
        ShippedFinder.here().add("me", code)
        work, cached = pickle.loads(calls)
        print(work(3), cached(1))
        import lib.deep
        print(lib.deep.__file__)
        import inspect
        print(inspect.getsource(lib.deep.back))
    """)
    done = subprocess.run(
        [sys.executable, "-c", script, str(data)],
        cwd="/", env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "['near', 'beside far', 'deep back', 'lazy', 3, '3'] 1"
    assert lines[1] == str(tmp_path / "project" / "lib" / "deep.py")
    assert lines[2] == "def back(): return 'back'"


def test_a_project_that_is_loaded_again_is_read_again_and_another_s_modules_are_not_its_own(
    registry: Registry, tmp_path: Path
) -> None:
    old = sys.modules[registry.find("job").fn.__module__]
    assert project_code_id("beside")
    assert not project_code_id("json")
    assert not project_code_id("swath.code_shipping")
    (tmp_path / "project" / "far.py").write_text("NAME = 'further'")
    again = Registry.discover([tmp_path / "project" / "pipelines"])
    module = sys.modules[again.find("job").fn.__module__]
    assert module.work(0)[1] == "beside further"
    assert old.work(0)[1] == "beside far"
    other = {
        "pipelines/job.py": JOB.replace("import lib.deep", "lib = None"),
        "pipelines/beside.py": "",
        "swath.yaml": "",
    }
    Registry.discover([write(tmp_path / "other", {**other, "pipelines/near.py": ""}) / "pipelines"])
    assert "lib.deep" not in ProjectCode.loaded().modules
    assert not project_code_id("lib.deep")


def test_a_pickle_that_names_a_task_is_another_one_when_the_code_is_read_again(
    registry: Registry, tmp_path: Path
) -> None:
    def pickled(found: Registry) -> bytes:
        data: bytes = cloudpickle.dumps(sys.modules[found.find("job").fn.__module__].work)
        return data

    before = pickled(registry)
    assert before == pickled(registry)
    assert before != pickled(Registry.discover([tmp_path / "project" / "pipelines"]))


def test_what_is_installed_goes_before_the_project_s_modules(tmp_path: Path) -> None:
    files = {"swath.yaml": "", "yaml.py": "1 / 0", "pipelines/a.py": "import yaml\nyaml.safe_load('1')"}
    assert Registry.discover([write(tmp_path, files) / "pipelines"]).broken == {}
    assert "yaml" not in ProjectCode.loaded().modules


def test_a_task_without_a_name_of_its_own_travels_by_value(registry: Registry) -> None:
    module = sys.modules[registry.find("job").fn.__module__]
    assert b"near" not in cloudpickle.dumps(module.work)
    near = sys.modules[f"{module.__package__}.near"]
    unnamed = module.task(near.name)
    assert cloudpickle.loads(cloudpickle.dumps(unnamed))() == "near"


def test_two_runs_with_other_code_of_one_name_do_not_mix_and_what_one_leaves_the_other_keeps() -> None:
    def one(text: str, **more: str) -> ProjectCode:
        return ProjectCode(
            {name: ModuleSource(f"/{name}.py", t.encode()) for name, t in {"sent_a": text, **more}.items()}
        )

    sent = ShippedFinder()
    sys.meta_path.insert(0, sent)
    try:
        sent.add("first", one("X = 1"))
        import sent_a  # type: ignore[import-not-found]

        assert sent_a.X == 1
        sent.add("second", one("X = 1", sent_b="Y = 2"))
        with pytest.raises(ValueError, match=r"another run .* other code of the name sent_a"):
            sent.add("third", one("X = 3"))
        sent.remove("first")
        assert sys.modules["sent_a"] is sent_a
        sent.remove("second")
        assert "sent_a" not in sys.modules
        sent.add("third", one("X = 3"))
        import sent_a  # type: ignore[import-not-found]

        assert sent_a.X == 3
    finally:
        sent.remove("third")
        sys.meta_path.remove(sent)


def test_code_that_would_hide_a_module_in_use_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="textwrap is already imported"):
        ShippedFinder().add("me", ProjectCode({"textwrap": ModuleSource("/textwrap.py", b"x = 1")}))
