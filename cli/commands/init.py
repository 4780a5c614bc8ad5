"""`pipe init`: a new project that runs, small enough to be read in a minute."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from swath.errors import UsageError
from swath.project.trust import TrustedFolders

FILES = {
    "swath.yaml": '''\
# What belongs to the whole project. Paths are relative to this file.
pipelines: [pipelines]     # folders with your own pipelines
state: .swath              # runs, logs and results of finished calls

# Places to run, for `cluster: NAME` in a spec or `pipe run SPEC --cluster NAME`.
clusters:
  two: {kind: local, workers: 2}
''',
    "pipelines/hello.py": '''\
"""Count how often each word stands in some texts: one call per text, and one that adds up."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from swath import OutputPath, Spec, pipeline, task


class Hello(Spec):
    texts: tuple[str, ...]
    """Texts to read."""
    least: int = 2
    """Leave out words that stand fewer times than this."""
    to: OutputPath
    """File to write."""


@task
def count_words(text: str) -> dict[str, int]:
    """How often each word stands in one text."""
    return dict(Counter(re.findall(r"\\w+", text.lower())))


@task(cache=False)
def write_table(counts: list[dict[str, int]], *, least: int, to: str) -> str:
    """Add the counts up and write them, most frequent first. Returns the file's path."""
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    rows = [f"{number:>4} {word}" for word, number in total.most_common() if number >= least]
    Path(to).write_text("\\n".join(rows) + "\\n")
    print(f"{len(rows)} words in {to}")
    return to


@pipeline
def hello(spec: Hello):
    """Count the words of some texts."""
    counts = count_words.map(spec.texts)
    return write_table(counts, least=spec.least, to=spec.to)
''',
    "specs/hello.yaml": '''\
pipeline: hello
texts:
  - A satellite sees a strip of ground in one pass.
  - The strip is called a swath, and a swath is a strip of ground.
  - Many passes make a map of the ground.
least: 2
to: words.txt
cluster: inline            # this process; `local` uses every core of this machine
''',
    ".gitignore": """\
.swath/
words.txt
__pycache__/
""",
}  # fmt: skip
"""Path in the project -> text."""


def make_project(folder: Path) -> int:
    """Write a new project. Raises UsageError when that would overwrite anything."""
    taken = [name for name in FILES if (folder / name).exists() or (folder / name).is_symlink()]
    if taken:
        raise UsageError(
            f"{folder} has {', '.join(taken)} already; nothing was written", remedy="choose another folder"
        )
    try:
        for name, text in FILES.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("x", encoding="utf-8") as out:
                out.write(text)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be created: {error.strerror}: {error.filename}", remedy="choose another folder"
        ) from error
    try:
        TrustedFolders.of_user().add(folder)
    except UsageError as error:
        print(f"warning: the project is not trusted yet: {error}", file=sys.stderr)
    print(folder)
    steps = ["pipe run specs/hello.yaml", "pipe show hello", "pipe runs"]
    if folder.resolve() != Path(os.curdir).resolve():
        steps.insert(0, f"cd {shlex.quote(str(folder))}")
    print("next:", *(f"  {step}" for step in steps), sep="\n", file=sys.stderr)
    return 0
