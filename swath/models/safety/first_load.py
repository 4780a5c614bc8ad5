"""Load a model for the first time in a process without rights: what fails, crashes or never ends there does so there.

The process is a fork of this one, in which the libraries are there already (a hundredth of a second; torch takes seconds to import).
A fork of a process with threads can hang, so one that dies, is late or lacks something of the system is tried again in a new
interpreter, and that one's answer counts. What the loader itself raises about the file is an answer. The checksums of files that
passed are stored per user; all other checks run each time a model is loaded.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import logging
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from pickle import PickleError
from typing import Any, NoReturn

from swath.errors import ModelError, SwathError
from swath.models.safety.sandbox import SandboxLimits, detach, restrict
from swath.owned_file import owned_text
from swath.version import __version__

log = logging.getLogger(__name__)

_PIECE_BYTES = 1 << 16
_STARTER = (
    "import json, sys; task = json.loads(sys.argv[1]); sys.path[:] = task['search']; "
    "from swath.models.safety.first_load import answer; answer(task)"
)
_SYSTEM = (
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/etc/ld.so.cache",
    "/proc",
    "/sys/devices/system",
)
"""What libraries read when they are loaded."""


_OF_THE_FILE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    TypeError,
    ValueError,
    PickleError,
)
"""Errors that a loader raises for what it finds in a file, and a new interpreter would raise again, seconds later."""


@dataclass(frozen=True)
class FirstLoad:
    """A model that this process is about to load."""

    path: str
    format: str
    sha256: str
    files: tuple[str, ...]
    """All files of the model, absolute."""
    libraries: tuple[str, ...]
    """Modules that are imported before rights are given up."""
    loader: str
    """`module:function`, which is called with path, format and `arguments`, and raises ModelError."""
    arguments: tuple[str | int, ...] = ()
    prepare: str = ""
    """`module:function`, which is called before rights are given up: it makes libraries import what they import when they are used."""


@dataclass(frozen=True)
class FirstLoadLimits:
    """What the process may use."""

    wall_s: float = 150
    forked_s: float = 30
    """Of a fork, which may hang: a new interpreter takes longer to begin."""
    answer_bytes: int = 1 << 16
    """Most that it may send back."""
    sandbox: SandboxLimits = field(default_factory=SandboxLimits)


def load_first(model: FirstLoad, limits: FirstLoadLimits | None = None, cache: Path | None = None) -> None:
    """Return at once when a file of this checksum has passed before; else load it in a process without rights.

    `cache` is the folder of what has passed; the user's own when not given. Raises ModelError when it does not load there.
    """
    limits = limits or FirstLoadLimits()
    versions = {name: str(getattr(importlib.import_module(name), "__version__", "")) for name in model.libraries}
    facts = {"weights": model.sha256, "format": model.format, "swath": __version__, **versions}
    record = (cache or user_cache()) / f"{hashlib.sha256(json.dumps(facts).encode()).hexdigest()}.json"
    if _read(record) == facts:
        return
    given = _forked(model, limits) if sys.platform == "linux" else _started(model, limits)
    if "failed" in given and not given.get("final") and sys.platform == "linux":
        given = _started(model, limits)
    if "failed" in given:
        raise ModelError(
            f"{model.path}: cannot be loaded: {given['failed']}",
            remedy="the file is damaged or malicious: export the model again",
        )
    if "refused" in given:
        raise ModelError(str(given["refused"]), remedy=str(given.get("remedy", "")))
    if not {"landlock", "seccomp"} & set(given.get("protections", ())):
        log.warning(
            "%s was loaded for the first time with limits only: there is no Landlock and no seccomp here", model.path
        )
    _write(record, facts)


def run_without_rights(model: FirstLoad, limits: FirstLoadLimits, *, forked: bool = False) -> bytes:
    """What the loader returns, as bytes, from a process without rights: a new interpreter, or `forked` a fork of this process, which
    has the modules that are loaded here. Raises ModelError where the loader does; SandboxFailed where the process died or was late."""
    given = _forked(model, limits) if forked and sys.platform == "linux" else _started(model, limits)
    if "refused" in given:
        raise ModelError(str(given["refused"]), remedy=str(given.get("remedy", "")))
    payload = given.get("payload")
    if not isinstance(payload, bytes):
        raise SandboxFailed(str(given.get("failed", "no outcome")))
    return payload


class SandboxFailed(Exception):
    """A process without rights died, was late, or ran into one of its limits."""


def user_cache() -> Path:
    """The folder of checksums of models that have passed."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path(os.path.expanduser("~/.cache"))) / "swath" / "models"  # noqa: PTH111


def answer(task: Mapping[str, Any]) -> None:
    """What a new interpreter does: load the model of the task without rights, and print the outcome."""
    limits = FirstLoadLimits(sandbox=SandboxLimits(**task["sandbox"]))
    model = FirstLoad(**task["model"])
    for library in model.libraries:
        importlib.import_module(library)
    _load_without_rights(model, limits, os.dup(1))


def _forked(model: FirstLoad, limits: FirstLoadLimits) -> dict[str, Any]:
    reading, writing = os.pipe()
    try:
        with warnings.catch_warnings():  # of forks of processes with threads: one that hangs is tried again
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
    except OSError as error:  # no memory, or no more processes
        os.close(reading)
        os.close(writing)
        return {"failed": str(error)}
    if child == 0:
        _load_without_rights(model, limits, writing)
    os.close(writing)
    try:
        text = _received(reading, limits.forked_s, limits.answer_bytes)
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    return _outcome(text, os.waitstatus_to_exitcode(status), limits)


def _started(model: FirstLoad, limits: FirstLoadLimits) -> dict[str, Any]:
    task = {
        "model": asdict(model),
        "wall_s": limits.wall_s,
        "sandbox": asdict(limits.sandbox),
        "search": _search_path(),
    }
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", _STARTER, json.dumps(task)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={"PATH": os.defpath}, cwd="/",
    )  # fmt: skip
    with process:
        try:
            text = _received(process.stdout.fileno(), limits.wall_s, limits.answer_bytes) if process.stdout else None
        finally:
            process.kill()
    return _outcome(text, process.returncode, limits)


def _received(reading: int, wall_s: float, most: int) -> bytes | None:
    """All that comes until the other side closes; None when that is not within the time, or is `most` bytes or more."""
    end, text = time.monotonic() + wall_s, bytearray()
    readiness = select.poll()
    readiness.register(reading, select.POLLIN)
    while (left := end - time.monotonic()) > 0 and len(text) < most:
        if readiness.poll(1000 * left):
            piece = os.read(reading, _PIECE_BYTES)
            if not piece:
                return bytes(text)
            text += piece
    return None


def _outcome(text: bytes | None, code: int, limits: FirstLoadLimits) -> dict[str, Any]:
    if text is None:
        return {"failed": f"it takes more than {limits.wall_s:g} s"}
    head, _, payload = text.partition(b"\n")
    with contextlib.suppress(ValueError):
        found = json.loads(head)
        if isinstance(found, dict):
            if found.get("payload") != len(payload):
                found.pop("payload", None)
            else:
                found["payload"] = payload
            return found
    if code == -signal.SIGXCPU:
        return {"failed": f"it takes more than {limits.sandbox.cpu_s} s of the processor"}
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return {"failed": f"the process that loads it ends with {how}"}


def _load_without_rights(model: FirstLoad, limits: FirstLoadLimits, to: int) -> NoReturn:
    """In the child: give up all rights, load, write the outcome, end."""
    found: dict[str, Any] = {"failed": "no outcome"}
    payload = b""
    try:
        search = _search_path()
        detach([to])
        load = _function(model.loader)
        if model.prepare:
            _function(model.prepare)()
        size = sum(os.stat(each).st_size for each in model.files)  # noqa: PTH116
        readable = (
            sys.prefix,
            sys.base_prefix,
            sys.exec_prefix,
            *search,
            *_code_folders(model),
            *_SYSTEM,
            *model.files,
        )
        protections = restrict(readable, size, limits.sandbox)
        found = {"protections": protections}
        returned = load(model.path, model.format, *model.arguments)
        if isinstance(returned, bytes):
            payload, found = returned, {"protections": protections, "payload": len(returned)}
    except SwathError as error:
        found = {"refused": error.message, "remedy": error.remedy}
    except MemoryError:
        found = {"failed": "it needs far more memory than its files are large"}
    except BaseException as error:  # noqa: BLE001 -- reported by the parent
        final = isinstance(error, _OF_THE_FILE)
        found = {"failed": f"{type(error).__name__}: {str(error)[:1000]}", "final": final}
    finally:
        with contextlib.suppress(BaseException):
            _send(to, json.dumps(found).encode()[:_PIECE_BYTES], payload)
        os._exit(0)


def _function(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


def _send(to: int, head: bytes, payload: bytes) -> None:
    for part in (head, b"\n" + payload) if payload else (head,):
        view = memoryview(part)
        while view:
            view = view[os.write(to, view) :]


def _code_folders(model: FirstLoad) -> list[str]:
    """Folders of swath and the libraries: an editable install has them in no folder of the search path."""
    packages = [importlib.import_module(each.partition(".")[0]) for each in (__name__, *model.libraries)]
    return [folder for package in packages for folder in getattr(package, "__path__", ())]


def _search_path() -> list[str]:
    return [each for each in sys.path if os.path.isabs(each)]  # noqa: PTH117


def _read(record: Path) -> object:
    try:
        return json.loads(owned_text(record, _PIECE_BYTES))
    except (OSError, ValueError, RecursionError):
        return None


def _write(record: Path, facts: Mapping[str, str]) -> None:
    if not record.is_absolute():  # a user without a home
        return
    with contextlib.suppress(OSError):  # a home that cannot be written: the model is looked at again next time
        record.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=record.parent, suffix=".partial", delete=False) as file:
            json.dump(facts, file)
        Path(file.name).replace(record)
