"""Which runtime and precision run a model: measured once for weights and processor, remembered, and changed for a clear margin only.

The candidates stand in a fixed order, first what the file itself says. A later one is chosen when it takes at most MARGIN of the time
of the best before it, and its result agrees. Small maps are not worth a conversion: they stay with the first.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from swath.errors import MissingExtra, ModelError
from swath.geo import Window
from swath.models.contract import ModelInfo, Precision, Runtime, native_runtime
from swath.models.infer import network_output
from swath.models.load import load_model
from swath.models.precision import Agreement, agreement
from swath.models.runtime import RUNTIMES, is_installed, obstacle
from swath.models.safety.first_load import user_cache
from swath.owned_file import owned_text
from swath.version import versions

ORDER: tuple[Runtime, ...] = ("openvino", "onnxruntime", "torch")
"""After the runtime of the file's format."""
MARGIN = 0.85
"""Part of the time of the best so far that a candidate may take at most."""
AUTO_MEGAPIXELS = 12.0
"""Size of a map from which `runtime: auto` measures: a conversion costs as much as ten megapixels of a small network."""
LEAST_AGREEMENT = 0.999
"""Of a runtime in float32 with the file's own, below which its result is wrong."""
_ROUNDS = 2
_MAX_BYTES = 1 << 16


@dataclass(frozen=True)
class RuntimeRequest:
    """What a spec asks for."""

    runtime: Runtime | Literal["auto"] = "auto"
    precision: Precision | Literal["auto"] = "float32"
    agreement: float = 0.9999
    """Least share of pixels that a reduced precision must have in common with float32 for `precision: auto`."""


@dataclass(frozen=True)
class RuntimeChoice:
    """What all calls of a run use."""

    runtime: Runtime
    precision: Precision
    reason: str
    """Why, for the report."""

    def applied(self, info: ModelInfo) -> ModelInfo:
        """The model with this runtime and precision."""
        return replace(info, runtime=self.runtime, precision=self.precision)


@dataclass(frozen=True)
class RuntimeSample:
    """A window of the map's own imagery. Arguments of swath.models.infer.infer."""

    pixels: NDArray[Any]
    valid: NDArray[np.bool_]
    source: Window
    inner: Window


@dataclass(frozen=True)
class _Candidate:
    runtime: Runtime
    precision: Precision

    def __str__(self) -> str:
        return self.runtime if self.precision == "float32" else f"{self.runtime} in {self.precision}"

    def of(self, info: ModelInfo) -> ModelInfo:
        return replace(info, runtime=self.runtime, precision=self.precision)


def needs_sample(info: ModelInfo, request: RuntimeRequest, megapixels: float) -> bool:
    """Whether there is anything to measure."""
    found = _candidates(info, request, megapixels)
    return len(found) > 1 or not found[0].of(info).is_plain


def choose_runtime(
    info: ModelInfo, request: RuntimeRequest, megapixels: float, sample: RuntimeSample | None, cache: Path | None = None
) -> RuntimeChoice:
    """The runtime and precision for a map of so many megapixels, on the machine that this process runs on. `sample` is None where
    there is no valid pixel, or nothing to measure. `cache` is the folder of earlier measurements; the user's own when not given.

    Raises ModelError for a runtime that the spec names and that gives another result than the file's own; what loading raises.
    """
    candidates = _candidates(info, request, megapixels)
    first = candidates[0]
    if sample is None:
        small = request.runtime == "auto" and request.precision != "auto" and megapixels < AUTO_MEGAPIXELS
        return RuntimeChoice(first.runtime, first.precision, "the map is small" if small else "")
    if len(candidates) == 1:
        if not first.of(info).is_plain:
            found = _agreement(first.of(info), sample)
            if first.precision == "float32" and found.pixels and found.share < LEAST_AGREEMENT:
                raise ModelError(
                    f"{info.path}: runtime {first.runtime} gives another class than {native_runtime(info.format)} for "
                    f"{found.pixels - found.same} of {found.pixels} pixels",
                    remedy="leave model.runtime out",
                )
        return RuntimeChoice(first.runtime, first.precision, "")
    seconds, obstacles = _measured(info, candidates, sample, cache)
    if first not in seconds:
        raise ModelError(f"{info.path}: {first} cannot run it: {obstacles.get(first, '')}")
    notes = [f"{candidate}: {why}" for candidate, why in obstacles.items()]
    left = [each for each in candidates[1:] if each in seconds]
    while True:
        best = first
        for candidate in left:
            if seconds[candidate] <= MARGIN * seconds[best]:
                best = candidate
        if best.of(info).is_plain:
            break
        found, least = _agreement(best.of(info), sample), LEAST_AGREEMENT
        if best.precision != "float32" and request.precision == "auto":
            least = request.agreement
        if best == first or (found.pixels and found.share >= least):
            break
        notes.append(f"{best}: only {100 * found.share:.4f} % of {found.pixels} pixels agree")
        left.remove(best)
    notes = [
        f"{candidate} takes {seconds[candidate] / seconds[first]:.2f} of the time of {first}"
        for candidate in candidates[1:]
        if candidate in seconds
    ] + notes
    return RuntimeChoice(best.runtime, best.precision, "; ".join(notes))


def _candidates(info: ModelInfo, request: RuntimeRequest, megapixels: float) -> list[_Candidate]:
    """In their order; at least one. Which are installed counts for `auto` only."""
    native = native_runtime(info.format)
    precisions: tuple[Precision, ...] = ("float32", "bfloat16") if request.precision == "auto" else (request.precision,)
    if request.runtime != "auto":
        runtimes: tuple[Runtime, ...] = (request.runtime,)
    elif info.device != "cpu" or (megapixels < AUTO_MEGAPIXELS and request.precision != "auto"):
        runtimes = (native,)
    else:
        runtimes = (native, *(each for each in ORDER if each != native and is_installed(each)))
    found = [
        _Candidate(runtime, precision)
        for precision in precisions
        for runtime in runtimes
        if not obstacle(runtime, info.format, precision, info.device)
    ]
    return found or [_Candidate(runtimes[0], precisions[0])]


def _measured(
    info: ModelInfo, candidates: list[_Candidate], sample: RuntimeSample, cache: Path | None
) -> tuple[dict[_Candidate, float], dict[_Candidate, str]]:
    """Seconds of each candidate for the sample, and why others cannot run: measured, or remembered of an earlier run."""
    facts = {
        "weights": [info.sha256, info.format, info.factory, info.code, info.contract.output_name, info.device],
        "sample": sample.source.shape,
        "candidates": [asdict(each) for each in candidates],
        "processor": processor(),
        "versions": versions(("torch", *(runtime.package for runtime in RUNTIMES.values()))),
    }
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    record = (cache or user_cache().parent / "runtimes") / f"{key}.json"
    remembered = _read(record, len(candidates))
    if remembered is None:
        remembered = [_time(each.of(info), sample) for each in candidates]
        _write(record, remembered)
        remembered = _read(record, len(candidates)) or remembered  # that of another process, if it was first
    seconds = {each: found for each, found in zip(candidates, remembered, strict=True) if isinstance(found, float)}
    obstacles = {each: found for each, found in zip(candidates, remembered, strict=True) if isinstance(found, str)}
    return seconds, obstacles


def _time(info: ModelInfo, sample: RuntimeSample) -> float | str:
    """Seconds of the processor (of a GPU: of the wall clock) for the sample; why it cannot run otherwise."""
    clock = time.process_time if info.device == "cpu" else time.perf_counter
    try:
        predictor = load_model(info)
        rounds = []
        for _ in range(1 + _ROUNDS):
            began = clock()
            network_output(predictor, info, sample.pixels, sample.valid, sample.source, sample.inner)
            rounds.append(clock() - began)
    except MissingExtra as error:
        return error.message
    except (ModelError, MemoryError) as error:
        return str(error).splitlines()[0].removeprefix(f"{info.path}: ")[:300]
    return max(min(rounds[1:]), 1e-6)


def _agreement(info: ModelInfo, sample: RuntimeSample) -> Agreement:
    return agreement(info, sample.pixels, sample.valid, sample.source, sample.inner)


def processor() -> str:
    """Name and abilities of the processor, as far as the system says."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        wanted = ("model name", "flags", "Features", "CPU part", "CPU implementer")
        found = {line.partition(":")[0].strip(): line for line in reversed(lines)}
        if text := "\n".join(found[name] for name in wanted if name in found):
            return hashlib.sha256(text.encode()).hexdigest()
    return f"{platform.machine()} {platform.processor()}"


def _read(record: Path, count: int) -> list[float | str] | None:
    try:
        found = json.loads(owned_text(record, _MAX_BYTES))
    except OSError:
        return None
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, list) and len(found) == count and all(isinstance(each, float | str) for each in found):
        return found
    with contextlib.suppress(OSError):  # a damaged one makes place
        record.unlink()
    return None


def _write(record: Path, found: list[float | str]) -> None:
    if not record.is_absolute():  # a user without a home
        return
    with contextlib.suppress(OSError):  # a home that cannot be written: measured again next time
        record.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=record.parent, suffix=".partial", delete=False) as file:
            json.dump(found, file)
        try:
            record.hardlink_to(file.name)  # the first of several at the same time counts for all
        except FileExistsError:
            pass
        finally:
            Path(file.name).unlink()
