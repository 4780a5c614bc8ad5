"""What a process that loads a model may still do: compute, and read the libraries and the model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from swath.models.safety import sandbox
from tests.process import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Landlock and seccomp are Linux's")

TRIES = """
import json, os, socket, subprocess, sys, threading
from swath.models.safety.sandbox import SandboxLimits, detach, restrict
folder, readable, skip = sys.argv[1], sys.argv[2], sys.argv[3]
if skip:
    from swath.models.safety import sandbox
    setattr(sandbox, skip, lambda *_: False)
to = os.dup(1)
secret = os.open(folder + "/secret", os.O_RDONLY)
pid = os.getpid()
def connect():
    socket.create_connection(("127.0.0.1", 9), 1)
tries = {
    "read library": lambda: open(os.__file__).read(10),
    "read model": lambda: open(readable).read(),
    "compute": lambda: sum(range(1000)),
    "read other": lambda: open(folder + "/secret").read(),
    "read open file": lambda: os.read(secret, 5),
    "list folder": lambda: os.listdir(folder),
    "write": lambda: open(folder + "/new", "w"),
    "append": lambda: open(readable, "a"),
    "change": lambda: os.open(readable, os.O_RDWR),
    "truncate": lambda: os.truncate(readable, 0),
    "make folder": lambda: os.mkdir(folder + "/new"),
    "remove": lambda: os.unlink(readable),
    "rename": lambda: os.rename(readable, folder + "/new"),
    "link": lambda: os.symlink("/etc/passwd", folder + "/new"),
    "rights": lambda: os.chmod(readable, 0o777),
    "connect": connect,
    "socket": lambda: socket.socket(socket.AF_UNIX),
    "pair": lambda: socket.socketpair(),
    "process": lambda: os.fork() or os._exit(0),
    "program": lambda: os.execv("/bin/true", ["true"]),
    "thread": lambda: threading.Thread(target=print).start(),
    "signal": lambda: os.kill(pid, 0),
    "parent": lambda: os.kill(os.getppid(), 0),
    "memory": lambda: len(bytearray(8 << 30)),
}
detach([to])
found = {"active": restrict([sys.prefix, sys.base_prefix, *[each for each in sys.path if each], readable], 100)}
for name, attempt in tries.items():
    try:
        attempt()
        found[name] = "done"
    except BaseException as error:
        found[name] = type(error).__name__
found["environment"] = dict(os.environ)
os.write(to, json.dumps(found).encode())
os._exit(0)
"""


def tried(tmp_path: Path, without: str = "") -> dict[str, object]:
    """What came of each attempt, in a process without rights."""
    model, secret = tmp_path / "model", tmp_path / "secret"
    model.write_text("weights")
    secret.write_text("secret")
    done = subprocess.run(
        [sys.executable, "-c", TRIES, str(tmp_path), str(model), without],
        cwd=ROOT, env={"PYTHONPATH": str(ROOT), "SECRET": "1"}, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (model.read_text(), secret.read_text()) == ("weights", "secret")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "swath-home") == ["model", "secret"]
    found: dict[str, object] = json.loads(done.stdout)
    return found


ALLOWED = {"read library", "read model", "compute"}


def test_what_is_available_is_what_holds(tmp_path: Path) -> None:
    assert list(sandbox.available()) == tried(tmp_path)["active"]


def test_nothing_but_reading_the_model_and_computing(tmp_path: Path) -> None:
    found = tried(tmp_path)
    if found["active"] != ["landlock", "seccomp", "limits"]:
        pytest.skip(f"this kernel has {found['active']} only")
    assert {name for name, outcome in found.items() if outcome == "done"} == ALLOWED
    assert found["environment"] == {}


@pytest.mark.parametrize(
    ("without", "then_possible"),
    [
        ("_landlock", {"read other", "list folder"}),
        ("_seccomp", {"socket", "pair"}),
    ],
)
def test_one_alone_still_keeps_it_from_writing(tmp_path: Path, without: str, then_possible: set[str]) -> None:
    found = tried(tmp_path, without)
    if len(found["active"]) < 2:  # type: ignore[arg-type]
        pytest.skip(f"this kernel has {found['active']} only")
    possible = {name for name, outcome in found.items() if outcome == "done"}
    if without == "_seccomp":  # what Landlock does not know of
        possible -= {"signal", "rights", "process", "program", "thread", "parent", "connect"}
    assert possible == ALLOWED | then_possible


def test_the_numbers_of_system_calls_are_this_machines(tmp_path: Path) -> None:
    """A wrong number would allow another call: compared with the kernel's own list, where it is installed."""
    headers = [Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), Path("/usr/include/asm/unistd_64.h")]
    header = next((path for path in headers if path.is_file()), None)
    if header is None:
        pytest.skip("the kernel's headers are not installed")
    known = dict(line.split()[1:3] for line in header.read_text().splitlines() if line.startswith("#define __NR_"))
    assert {name: int(known[f"__NR_{name}"]) for name in sandbox._X86.calls} == sandbox._X86.calls
    for name in (
        "socket",
        "connect",
        "execve",
        "fork",
        "clone",
        "unlink",
        "rename",
        "mkdir",
        "ptrace",
        "kill",
        "open",
        "openat",
    ):
        assert name not in sandbox._X86.calls
        assert name not in sandbox._ARM64.calls
