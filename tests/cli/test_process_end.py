"""A command's process ends at once, with its exit code, after everything that is registered at exit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import atexit, os, sys, threading, time
{before}

class Torn:
    def __del__(self, write=os.write):
        write(1, b"torn down\\n")

torn = Torn()

done = threading.Event()

def late():
    done.wait()
    time.sleep(0.3)
    print("thread ended")

from swath.cli import main
if __name__ == "__main__":
    threading.Thread(target=late).start()
    code = main()
    atexit.register(print, "at exit")
    done.set()
    sys.exit(code)
"""


def ended(folder: Path, name: str, words: list[str], before: str = "") -> subprocess.CompletedProcess[str]:
    (folder / name).write_text(SCRIPT.format(before=before))
    return subprocess.run([sys.executable, name, *words], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("words", "code"), [(["--version"], 0), (["run", "missing.yaml"], 2)])
def test_threads_and_handlers_have_ended_and_nothing_is_torn_down(tmp_path: Path, words: list[str], code: int) -> None:
    done = ended(tmp_path, "pipe", words)
    assert done.returncode == code, done.stderr
    assert done.stdout.splitlines()[-2:] == ["thread ended", "at exit"]


def test_another_program_and_one_with_earlier_handlers_end_as_always(tmp_path: Path) -> None:
    assert ended(tmp_path, "program.py", ["--version"]).stdout.splitlines()[-1] == "torn down"
    early = ended(tmp_path, "pipe", ["--version"], "atexit.register(print, 'early')").stdout.splitlines()
    assert early[-3:] == ["at exit", "early", "torn down"]
