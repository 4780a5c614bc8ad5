from __future__ import annotations

from pathlib import Path

from swath.errors import Mistake
from swath.protocol.messages import RunRequest
from swath.server.database.database import Database
from swath.server.projects import Projects
from swath.server.published_files import PublishedFiles
from swath.server.spec_checks import TEMPLATE_BYTES, SpecChecks

WRONG = Mistake("spec", 1, 1, "x", "wrong")


def local(folder: Path, request: RunRequest, *, thorough: bool) -> tuple[Mistake, ...]:
    return (WRONG,)


def test_a_spec_is_checked_as_far_as_its_project_is_there(database: Database, tmp_path: Path) -> None:
    projects = Projects(database)
    projects.put("lakes", {"folder": str(tmp_path)}, who="test")
    right, broken = (RunRequest(project="lakes", spec=text) for text in ("pipeline: predict\n", "name: [\n"))
    here = SpecChecks(PublishedFiles(projects, here=True), local)
    assert here.mistakes(right) == (WRONG,)
    assert here.mistakes(broken)[0].line == 2
    elsewhere = SpecChecks(PublishedFiles(projects, here=False), local)
    assert (elsewhere.whole, elsewhere.mistakes(right)) == (False, ())
    assert elsewhere.mistakes(broken)
    assert elsewhere.templates("lakes") == {}


def test_templates_are_the_small_texts_of_the_projects_specs(database: Database, tmp_path: Path) -> None:
    projects = Projects(database)
    projects.put("lakes", {"folder": str(tmp_path)}, who="test")
    checks = SpecChecks(PublishedFiles(projects, here=True))
    assert checks.templates("lakes") == {}
    specs = tmp_path / "specs"
    specs.mkdir()
    (specs / "lake.yaml").write_text("pipeline: predict\n")
    (specs / "large.yaml").write_text("#" * (TEMPLATE_BYTES + 1))
    (specs / "binary.yaml").write_bytes(b"\xff\xfe")
    (specs / "link.yaml").symlink_to("/etc/hostname")
    (specs / "folder.yaml").mkdir()
    assert checks.templates("lakes") == {"specs/lake.yaml": "pipeline: predict\n"}
    assert checks.templates("other") == {}
