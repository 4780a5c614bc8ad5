"""The code of a task as a fingerprint, with modules of a project as they are on disk."""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from swath.engine.code_hash import code_fingerprint

NUMBERS = itertools.count()
Known = Callable[[Mapping[str, str]], str]


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Known]:
    """The fingerprint of `f` in job.py of a project with these files; each time read anew."""
    names: set[str] = set()

    def find(files: Mapping[str, str], *, load: tuple[str, ...] = ()) -> str:
        folder = tmp_path / f"version{next(NUMBERS)}"
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        for name in [name for name in sys.modules if name.partition(".")[0] in names]:
            del sys.modules[name]
        names.update(Path(path).parts[0].removesuffix(".py") for path in files)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(folder))
            for name in load:
                importlib.import_module(name)
            return code_fingerprint(importlib.import_module("job_of_test_code").f)

    yield find
    for name in [name for name in sys.modules if name.partition(".")[0] in names]:
        del sys.modules[name]


JOB, HELP = "job_of_test_code.py", "help_of_test_code.py"
WHOLE = "import help_of_test_code as helpers\ndef f(x): return helpers.g(x)"
PARTS = "from help_of_test_code import g\ndef f(x): return g(x)"
LATE = "def f(x):\n    import help_of_test_code\n    return help_of_test_code.g(x)"
LATE_PARTS = "def f(x):\n    from help_of_test_code import g\n    return g(x)"
CLASS = "import help_of_test_code as helpers\ndef f(x): return helpers.G().run(x)"
IMPORTS = [WHOLE, PARTS, LATE, LATE_PARTS]
IDS = ["module", "name", "module inside the function", "name inside the function"]


@pytest.mark.parametrize("job", IMPORTS, ids=IDS)
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("def g(x): return 1", "def g(x): return 2"),
        ("def h(x): return 1\ndef g(x): return h(x)", "def h(x): return 2\ndef g(x): return h(x)"),
        ("K = 1\ndef g(x): return K", "K = 2\ndef g(x): return K"),
        ("def g(x, y=1): return y", "def g(x, y=2): return y"),
        ("def g(x): return [v for v in x if v]", "def g(x): return [v for v in x if not v]"),
    ],
    ids=["function", "function that it calls", "constant", "default", "nested code"],
)
def test_a_change_in_a_sibling_module_is_a_change_of_the_task(known: Known, job: str, before: str, after: str) -> None:
    assert known({JOB: job, HELP: before}) != known({JOB: job, HELP: after})


@pytest.mark.parametrize("job", IMPORTS, ids=IDS)
def test_a_comment_a_docstring_or_a_moved_line_in_a_sibling_is_none(known: Known, job: str) -> None:
    before = "def g(x):\n    'One.'\n    return x\n"
    after = "# why\n\n\ndef g(x):\n    'Two, longer.'\n    # how\n    return x\n"
    assert known({JOB: job, HELP: before}) == known({JOB: job, HELP: after})


@pytest.mark.parametrize("job", [WHOLE, PARTS], ids=IDS[:2])
def test_what_the_task_does_not_name_is_none(known: Known, job: str) -> None:
    assert known({JOB: job, HELP: "def g(x): return x"}) == known(
        {JOB: job, HELP: "def g(x): return x\ndef other(): 1"}
    )


@pytest.mark.parametrize("job", [LATE, LATE_PARTS], ids=IDS[2:])
def test_whether_a_module_was_imported_before_is_none(known: Known, job: str) -> None:
    """Else what a call before has imported would tell whether the next node is computed again."""
    files = {JOB: job, HELP: "def g(x): return x"}
    assert known(files) == known(files, load=("help_of_test_code",))


def test_a_change_behind_two_imports_is_a_change(known: Known) -> None:
    far = "far_of_test_code.py"
    near = "import far_of_test_code\ndef g(x): return far_of_test_code.h(x)"
    for job in IMPORTS:
        first, second = ({JOB: job, HELP: near, far: f"def h(x): return {number}"} for number in (1, 2))
        assert known(first) != known(second), job


def test_modules_that_import_each_other_have_a_fingerprint(known: Known) -> None:
    help_ = "import job_of_test_code\ndef g(x): return job_of_test_code.f(x) if x else 0"
    for job in (WHOLE, LATE):
        assert known({JOB: job, HELP: help_}) == known({JOB: job, HELP: help_})


def test_a_package_of_the_project_counts_like_a_module(known: Known) -> None:
    job = "from pack_of_test_code.deep import g\ndef f(x): return g(x)"
    late = "def f(x):\n    from pack_of_test_code.deep import g\n    return g(x)"
    whole = "import pack_of_test_code.deep\ndef f(x): return pack_of_test_code.deep.g(x)"
    for text in (job, late, whole):
        first, second = (
            {JOB: text, "pack_of_test_code/__init__.py": "", "pack_of_test_code/deep.py": f"def g(x): return {number}"}
            for number in (1, 2)
        )
        assert known(first) != known(second), text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("class G:\n    def run(self, x): return 1", "class G:\n    def run(self, x): return 2"),
        (
            "class G:\n    K = 1\n    def run(self, x): return self.K",
            "class G:\n    K = 2\n    def run(self, x): return self.K",
        ),
        (
            "class B:\n    def run(self, x): return 1\nclass G(B): pass",
            "class B:\n    def run(self, x): return 2\nclass G(B): pass",
        ),
        (
            "class G:\n    @property\n    def k(self): return 1\n    def run(self, x): return self.k",
            "class G:\n    @property\n    def k(self): return 2\n    def run(self, x): return self.k",
        ),
        (
            "class G:\n    @staticmethod\n    def run(x): return 1",
            "class G:\n    @staticmethod\n    def run(x): return 2",
        ),
    ],
    ids=["method", "constant", "method of the class above", "property", "static method"],
)
def test_a_change_in_a_class_is_a_change_of_the_task_that_uses_it(known: Known, before: str, after: str) -> None:
    assert known({JOB: CLASS, HELP: before}) != known({JOB: CLASS, HELP: after})


def test_a_task_that_the_task_calls_is_part_of_it(known: Known) -> None:
    text = "from swath import task\n@task\ndef g(x): return {number}"
    assert known({JOB: WHOLE, HELP: text.format(number=1)}) != known({JOB: WHOLE, HELP: text.format(number=2)})


def test_an_installed_package_is_no_part_of_it(known: Known) -> None:
    job = "import json\nimport numpy\ndef f(x):\n    import yaml\n    return yaml.dump(json.dumps(numpy.sum(x)))"
    assert known({JOB: job}) == known({JOB: job})


def make(source: str) -> Any:
    space: dict[str, Any] = {"__name__": "project_x.file"}
    exec(source, space)
    return space["f"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("def f(x): return x + 1", "def f(x): return x + 2"),
        ("def g(x): return 1\ndef f(x): return g(x)", "def g(x): return 2\ndef f(x): return g(x)"),
        ("K = 1\ndef f(x): return K", "K = 2\ndef f(x): return K"),
        ("def f(x, y=1): return y", "def f(x, y=2): return y"),
        ("def f(x): return [v + 1 for v in x]", "def f(x): return [v + 2 for v in x]"),
        ("def f(x): return x.real", "def f(x): return x.imag"),
    ],
    ids=["body", "function it names", "constant it names", "default", "nested code", "attribute"],
)
def test_a_change_of_code_changes_its_fingerprint(before: str, after: str) -> None:
    assert code_fingerprint(make(before)) != code_fingerprint(make(after))
    assert code_fingerprint(make(before)) == code_fingerprint(make(before))


def test_comments_docstrings_and_place_do_not_change_a_codes_fingerprint() -> None:
    assert code_fingerprint(make("def f(x):\n    'one'\n    return x")) == code_fingerprint(
        make("# moved\n\n\ndef f(x):\n    'two'\n    # why\n    return x")
    )


def test_a_folder_without_init_in_a_package_is_found(known: Known) -> None:
    """Python imports such a module; so its code is part of the fingerprint, also before the package is imported."""
    job = "def f(x):\n    from package_of_test_code.sub.mod import g\n    return g(x)"

    def files(number: int) -> dict[str, str]:
        return {
            JOB: job,
            "package_of_test_code/__init__.py": "",
            "package_of_test_code/sub/mod.py": f"def g(x): return {number}",
        }

    assert known(files(1)) == known(files(1))
    assert known(files(1)) != known(files(2))


@pytest.mark.parametrize("folder", ["site-packages", "dist-packages"])
def test_installed_packages_are_no_part_of_a_fingerprint_wherever_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    """Of the user or the system, beside those of this environment."""
    place = tmp_path / "lib" / folder
    place.mkdir(parents=True)
    source = "def f(x):\n    import installed_of_test_code\n    return installed_of_test_code.g(x)"
    monkeypatch.syspath_prepend(str(place))
    seen = set()
    for number in (1, 2):
        (place / "installed_of_test_code.py").write_text(f"def g(x): return {number}")
        importlib.invalidate_caches()
        seen.add(code_fingerprint(make(source)))
    assert len(seen) == 1
