"""A machine of a simulated cloud: its cloud-init run as local processes, on a loopback address of its own."""

from __future__ import annotations

import base64
import contextlib
import gzip
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.clouds.faults import Behaviour

REPOSITORY = Path(__file__).resolve().parents[2]
MARK = "CLOUD_MACHINE"
"""Environment variable of every process of a machine: its folder."""
SHIMS = (
    *("docker", "shutdown", "poweroff", "halt", "reboot", "systemd-run", "systemctl", "sudo", "logger", "nvidia-smi"),
    *("apt-get", "apt", "apt-key", "add-apt-repository", "ubuntu-drivers", "lsb_release", "curl", "sysctl", "gcloud"),
)
"""Commands of a machine that are played by shim.py; all others are those of this host."""
RESERVED_PORT = 47
BLOCKS = range(1, 255)


def block() -> tuple[socket.socket, str]:
    """127.N.0.0/16 for one simulator: (what holds it until it is closed, "127.N")."""
    for step in range(len(BLOCKS)):
        prefix = f"127.{BLOCKS[(os.getpid() + step) % len(BLOCKS)]}"
        held = socket.socket()
        try:
            held.bind((f"{prefix}.0.1", 20000 + RESERVED_PORT))
            held.listen(1)
        except OSError:
            held.close()
            continue
        return held, prefix
    raise RuntimeError("there are 254 simulated clouds on this host already")


def write_shims(root: Path) -> None:
    """The commands of all machines of a cloud, in root/bin."""
    folder = root / "bin"
    folder.mkdir()
    shim = Path(__file__).with_name("shim.py")
    for name in SHIMS:
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {shim} {name} "$@"\n')
        path.chmod(0o755)
    for name in ("python", "python3"):  # of the container's image
        (folder / name).write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        (folder / name).chmod(0o755)


@dataclass
class Machine:
    """One machine. `boot` and `end` are called by one thread, the others by any."""

    id: str
    folder: Path
    address: str
    user_data: bytes
    behaviour: Behaviour
    environment: Mapping[str, str]
    """Of the containers' image, beside what docker run gives."""
    made: float = field(default_factory=time.monotonic)
    process: subprocess.Popen[bytes] | None = None
    ended: bool = False
    notice: str = ""
    """When it is preempted (ISO 8601); empty without a notice."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Metadata that only its cloud knows: path and text."""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.console_path.touch()

    @property
    def console_path(self) -> Path:
        return self.folder / "console"

    @property
    def console(self) -> str:
        return self.console_path.read_text(errors="replace")

    @property
    def due(self) -> bool:
        """Whether it is time to boot."""
        return (
            self.process is None
            and not self.ended
            and self.behaviour.boot == "boots"
            and time.monotonic() - self.made >= self.behaviour.boot_delay_s
        )

    @property
    def off(self) -> bool:
        """Whether it has asked to be powered off."""
        return (self.folder / "poweroff").exists()

    def power_off(self) -> None:
        """As from within."""
        (self.folder / "poweroff").touch()

    def kill_containers(self) -> None:
        for path in (self.folder / "containers").glob("*.pid"):
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(path.read_text()), signal.SIGKILL)

    def boot(self) -> None:
        """Run the user data, the way cloud-init does: boot commands, files, commands. What it cannot read, it only complains of."""
        try:
            document = config_of(self.user_data)
            script = script_of(document, self.folder)
        except (ValueError, OSError, yaml.YAMLError) as error:
            self._say(f"cloud-init: WARNING: failed loading user data: {error}")
            script = "exec sleep 1000000000\n"
        path = self.folder / "init.sh"
        path.write_text(script)
        python = Path(sys.executable).parent
        environment = {
            "PATH": f"{self.folder.parent.parent / 'bin'}:{python}:/usr/bin:/bin",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            MARK: str(self.folder),
            "MACHINE_ID": self.id,
            "MACHINE_ADDRESS": self.address,
            "CLOUD_ROOT": str(self.folder.parent.parent),
            "CLOUD_CONTAINER": self.behaviour.container,
            "PYTHONPATH": str(REPOSITORY),
            **self.environment,
        }
        with self.console_path.open("ab") as console:
            self.process = subprocess.Popen(
                ["/bin/sh", str(path)],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )

    def end(self) -> None:
        """Kill all its processes, at once."""
        self.ended = True
        if self.process is not None:
            self.process.kill()  # by its pid: one that becomes another program has no environment for a moment
            kill_marked(self.folder)
            self.process.wait()

    def _say(self, text: str) -> None:
        with self.console_path.open("a") as console:
            console.write(text + "\n")


def kill_marked(folder: Path) -> None:
    """Kill every process of a machine, or of all machines below a folder, until none is seen, twice."""
    end = time.monotonic() + 20
    quiet = 0
    while quiet < 2:
        marked = processes(folder)
        quiet = 0 if marked else quiet + 1
        for pid in marked:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > end:
            raise RuntimeError(f"processes of {folder} do not end: {marked}")
        time.sleep(0.005)


def processes(folder: Path) -> list[int]:
    """The processes of a machine, or of all machines below a folder. Those that have ended and wait for their parent are none."""
    exact, below = f"{MARK}={folder}".encode(), f"{MARK}={folder}/".encode()
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            with contextlib.suppress(OSError):
                variables = (path / "environ").read_bytes().split(b"\0")
                if any(variable == exact or variable.startswith(below) for variable in variables):
                    found.append(int(path.name))
    return found


def config_of(user_data: bytes) -> dict[str, Any]:
    """The cloud-config in user data. Raises ValueError and yaml.YAMLError."""
    text = (gzip.decompress(user_data) if user_data[:2] == b"\x1f\x8b" else user_data).decode()
    if not text.startswith("#cloud-config"):
        raise ValueError(f"it does not begin with #cloud-config but with {text[:20]!r}")
    document = yaml.safe_load(text) or {}
    if not isinstance(document, dict):
        raise ValueError("it is no mapping")
    return document


def script_of(document: Mapping[str, Any], folder: Path) -> str:
    """What init runs. Files of the machine lie in folder/root; their paths are rewritten where the commands and the other
    files name them, since nothing is mounted."""
    root, staged = folder / "root", folder / "staged"
    files = [(entry, str(entry["path"])) for entry in document.get("write_files") or []]
    moved = sorted({path for _, path in files} | {str(Path(path).parent) for _, path in files}, key=len, reverse=True)
    places = [place for place in moved if place.count("/") > 1]  # /etc/x is the machine's, /etc is not

    def placed(text: str) -> str:
        for place in places:
            text = text.replace(place, f"\0{places.index(place)}\0")
        for index, place in enumerate(places):
            text = text.replace(f"\0{index}\0", str(root) + place)
        return text

    staged.mkdir()
    for entry, path in files:
        content = content_of(entry)
        with contextlib.suppress(UnicodeDecodeError):
            content = placed(content.decode()).encode()
        target = staged / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("ab" if entry.get("append") else "wb") as file:
            file.write(content)
        target.chmod(int(str(entry.get("permissions", "0644")), 8))
    first, last = (placed(commands(document.get(key))) for key in ("bootcmd", "runcmd"))
    (folder / "bootcmd.sh").write_text(first)
    (folder / "runcmd.sh").write_text(last)
    quoted = [shlex.quote(str(path)) for path in (folder / "bootcmd.sh", staged, root, folder / "runcmd.sh")]
    return f"sh {quoted[0]}\nmv {quoted[1]} {quoted[2]}\nsh {quoted[3]}\necho 'cloud-init: finished'\nexec sleep 1000000000\n"


def content_of(entry: Mapping[str, Any]) -> bytes:
    """Of one of write_files."""
    text, encoding = str(entry.get("content", "")), str(entry.get("encoding", "text"))
    if encoding in ("b64", "base64"):
        return base64.b64decode(text)
    if encoding in ("gz+b64", "gz+base64", "gzip+b64", "gzip+base64"):
        return gzip.decompress(base64.b64decode(text))
    if encoding not in ("text", "text/plain"):
        raise ValueError(f"write_files: encoding {encoding!r}")
    return text.encode()


def commands(listed: object) -> str:
    """A shell script of bootcmd or runcmd: a text is a line of it, a list is one command with its arguments."""
    if not isinstance(listed, list | None):
        raise ValueError("bootcmd and runcmd are lists")
    lines = []
    for command in listed or []:
        if isinstance(command, str):
            lines.append(command)
        elif isinstance(command, list):
            lines.append(" ".join(shlex.quote(str(word)) for word in command))
        else:
            raise ValueError(f"a command is a text or a list, not {type(command).__name__}")
    return "\n".join(lines) + "\n"
