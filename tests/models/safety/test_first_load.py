"""The first load of a model: in a process without rights, whose failure is reported, and only once per file."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from swath.errors import ModelError
from swath.models.safety import first_load
from swath.models.safety.first_load import (
    FirstLoad,
    FirstLoadLimits,
    SandboxFailed,
    load_first,
    run_without_rights,
    user_cache,
)
from swath.models.safety.sandbox import SandboxLimits

LIMITS = FirstLoadLimits(wall_s=20, forked_s=10)


def model(tmp_path: Path, behaviour: str, sha256: str = "a" * 64) -> FirstLoad:
    path = tmp_path / "model.bin"
    path.write_bytes(b"weights")
    return FirstLoad(str(path), behaviour, sha256, (str(path),), (), f"{__name__}:load")


def load(path: str, behaviour: str, *arguments: int) -> bytes | None:
    """A loader whose behaviour is the model's format; it runs in the child."""
    assert Path(path).read_bytes() == b"weights"
    match behaviour.partition(":"):
        case "good", *_:
            return None
        case "bytes", *_:
            return bytes(arguments[0]) + b"\n{}"
        case "prepared", *_:
            return str(PREPARED).encode()
        case "refused", _, what:
            raise ModelError(f"{path}: {what}", remedy="do better")
        case "crash", *_:
            os.kill(os.getpid(), signal.SIGSEGV)
            raise AssertionError("killing is not allowed here") from None
        case "abort", *_:
            signal.signal(signal.SIGABRT, signal.SIG_DFL)
            os.abort()
        case "hang", *_:
            time.sleep(1000)
        case "spin", *_:
            while True:
                pass
        case "memory", *_:
            bytes(20 << 30)
        case "exit", *_:
            os._exit(3)
        case "hang-forked", *_:
            if not sys.flags.isolated:  # a new interpreter is
                time.sleep(1000)
        case "late-import", *_:
            importlib.import_module("swath.models.safety.onnx_message")
        case "write", _, where:
            Path(where).write_text("written")
        case "damaged", *_:
            raise IndexError("pop from empty list")
        case "loud", *_:
            raise RuntimeError("x" * 1_000_000)
    return None


PREPARED: list[int] = []


def prepare() -> None:
    """Called while there are all rights."""
    with tempfile.TemporaryFile():
        PREPARED.append(1)


def test_swaths_own_modules_are_read_also_where_an_editable_install_has_them_in_no_folder_of_the_search_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path(first_load.__file__).parents[3]
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each and not source.is_relative_to(each)])
    monkeypatch.delitem(sys.modules, "swath.models.safety.onnx_message", raising=False)
    load_first(model(tmp_path, "late-import"), LIMITS, tmp_path / "cache")


def test_a_model_that_loads_is_loaded_once(tmp_path: Path) -> None:
    this, cache = model(tmp_path, "good"), tmp_path / "cache"
    load_first(this, LIMITS, cache)
    (record,) = cache.iterdir()
    facts = json.loads(record.read_text())
    assert facts["weights"] == this.sha256
    assert oct(cache.stat().st_mode & 0o777) == "0o700"
    Path(this.path).unlink()  # the second time, nothing is loaded
    load_first(this, LIMITS, cache)


def test_a_record_counts_for_its_file_only(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    good = model(tmp_path, "good")
    load_first(good, LIMITS, cache)
    (record,) = cache.iterdir()
    for changed in ({"weights": "b" * 64}, {"swath": "0.0.1"}, {"format": "onnx"}):
        record.write_text(json.dumps(json.loads(record.read_text()) | changed))
        Path(good.path).write_bytes(b"other")
        with pytest.raises(ModelError, match=r"model\.bin: cannot be loaded: AssertionError"):
            load_first(good, LIMITS, cache)
    for damaged in ("", "{", "[]", "null", "[" * 20_000):
        record.write_text(damaged)
        with pytest.raises(ModelError, match=r"model\.bin: cannot be loaded: AssertionError"):
            load_first(good, LIMITS, cache)


def test_a_record_that_another_user_could_have_written_does_not_count(tmp_path: Path) -> None:
    this, cache = model(tmp_path, "good"), tmp_path / "cache"
    load_first(this, LIMITS, cache)
    (record,) = cache.iterdir()
    record.chmod(0o666)
    Path(this.path).write_bytes(b"other")
    with pytest.raises(ModelError, match=r"model\.bin: cannot be loaded: AssertionError"):
        load_first(this, LIMITS, cache)


def test_what_the_loader_refuses_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        load_first(model(tmp_path, "refused:calls the operator x"), LIMITS, tmp_path / "cache")
    assert (caught.value.message.partition(": ")[2], caught.value.remedy) == ("calls the operator x", "do better")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ("abort", "cannot be loaded: the process that loads it ends with SIG(ABRT|SEGV|KILL)"),
        ("exit", "cannot be loaded: the process that loads it ends with exit code 3"),
        ("memory", "cannot be loaded: it needs far more memory than its files are large"),
        ("loud", "cannot be loaded: RuntimeError: xxx"),
    ],
)
def test_what_ends_the_process_is_reported(tmp_path: Path, behaviour: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        load_first(model(tmp_path, behaviour), LIMITS, tmp_path / "cache")
    assert len(caught.value.message) < 2000
    assert not (tmp_path / "cache").exists()


def test_what_never_ends_is_ended(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(ModelError, match=r"cannot be loaded: it takes more than 1 s"):
        load_first(model(tmp_path, "hang"), FirstLoadLimits(wall_s=1, forked_s=1), tmp_path / "cache")
    with pytest.raises(ModelError, match=r"takes more than (1 s of the processor|8 s)"):
        load_first(
            model(tmp_path, "spin"),
            FirstLoadLimits(wall_s=8, forked_s=8, sandbox=SandboxLimits(cpu_s=1)),
            tmp_path / "cache",
        )
    assert time.monotonic() - began < 30


def test_a_fork_that_hangs_is_tried_again_in_a_new_interpreter(tmp_path: Path) -> None:
    load_first(model(tmp_path, "hang-forked"), FirstLoadLimits(wall_s=20, forked_s=0.5), tmp_path / "cache")


@pytest.mark.skipif(sys.platform != "linux", reason="Landlock and seccomp are Linux's")
def test_it_writes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with pytest.raises(ModelError, match=r"cannot be loaded: PermissionError"):
        load_first(model(tmp_path, f"write:{target}"), LIMITS, tmp_path / "cache")
    assert not target.exists()


def test_it_works_from_a_thread_beside_others(tmp_path: Path) -> None:
    """As in a worker of Dask: forked by a thread while others run."""
    stop = threading.Event()
    models = [model(tmp_path, "good", f"{index:064d}") for index in range(6)]
    with ThreadPoolExecutor(4) as busy, ThreadPoolExecutor(6) as loading:
        for _ in range(4):
            busy.submit(lambda: [sum(range(100)) for _ in iter(stop.is_set, True)])
        try:
            list(loading.map(lambda each: load_first(each, LIMITS, tmp_path / "cache"), models))
        finally:
            stop.set()
    assert len(list((tmp_path / "cache").iterdir())) == 6


def test_a_folder_that_cannot_be_written_costs_the_record_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    load_first(model(tmp_path, "good"), LIMITS, tmp_path / "file/cache")


def test_records_are_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "swath/models"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/someone")
    assert user_cache() == Path("/home/someone/.cache/swath/models")


@pytest.mark.parametrize("forked", [True, False])
def test_bytes_come_back_whole(tmp_path: Path, forked: bool) -> None:
    limits = replace(LIMITS, answer_bytes=1 << 24)
    this = replace(model(tmp_path, "bytes"), arguments=(3_000_000,))
    assert run_without_rights(this, limits, forked=forked) == bytes(3_000_000) + b"\n{}"
    with pytest.raises(SandboxFailed):
        run_without_rights(this, LIMITS, forked=forked)


@pytest.mark.parametrize("forked", [True, False])
def test_what_ends_a_process_that_is_to_give_bytes_is_no_result(tmp_path: Path, forked: bool) -> None:
    with pytest.raises(SandboxFailed, match="exit code 3"):
        run_without_rights(model(tmp_path, "exit"), LIMITS, forked=forked)
    with pytest.raises(SandboxFailed, match="no outcome"):
        run_without_rights(model(tmp_path, "good"), LIMITS, forked=forked)
    with pytest.raises(ModelError, match="calls the operator x"):
        run_without_rights(model(tmp_path, "refused:calls the operator x"), LIMITS, forked=forked)


def test_libraries_are_prepared_before_rights_are_given_up(tmp_path: Path) -> None:
    this = replace(model(tmp_path, "prepared"), prepare=f"{__name__}:prepare")
    assert run_without_rights(this, LIMITS) == b"[1]"


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux the first process is a fork")
@pytest.mark.parametrize(("behaviour", "starts"), [("damaged", 0), ("refused:no", 0), ("loud", 1), ("crash", 1)])
def test_what_a_file_does_to_its_loader_is_not_tried_again_in_a_new_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behaviour: str, starts: int
) -> None:
    started: list[FirstLoad] = []

    def start(model: FirstLoad, limits: FirstLoadLimits) -> dict[str, str]:
        started.append(model)
        return {"failed": "in a new interpreter too"}

    monkeypatch.setattr(first_load, "_started", start)
    with pytest.raises(ModelError) as caught:
        load_first(model(tmp_path, behaviour), LIMITS, tmp_path / "cache")
    assert len(started) == starts
    assert ("in a new interpreter too" in caught.value.message) == bool(starts)
