"""Weights of a torch format as an ONNX file, converted once per user and content, in a process without rights.

The cache is safe under concurrency: files are renamed into place, and a lock lets one process convert while the others wait for it.
That weights cannot be converted is remembered, too.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from swath.errors import MissingExtra, ModelError
from swath.models.contract import Format
from swath.models.safety.first_load import (
    FirstLoad,
    FirstLoadLimits,
    SandboxFailed,
    run_without_rights,
    user_cache,
)
from swath.models.safety.sandbox import SandboxLimits
from swath.models.weights_cache import private_folder
from swath.owned_file import is_own_folder, owned_text
from swath.version import versions

CONVERTED: tuple[Format, ...] = ("pt2", "safetensors", "checkpoint")
"""Formats that are converted."""
LIBRARIES = ("torch", "torch.export", "torch.onnx", "onnx", "onnxscript")
"""Modules to import before rights are given up."""
CONVERTER = 1
"""To be raised when onnx_export.py makes another graph of the same weights."""
IMAGES, OUTPUT = "images", "output"
"""Names of the one input and the one output of a converted file."""
PACKAGES = ("onnx", "onnxscript")
"""What writes ONNX files, beside torch."""
_RECORD_BYTES = 1 << 16
_BY_FACTORY = ("safetensors", "checkpoint")
LIMITS = FirstLoadLimits(
    wall_s=600, forked_s=300, answer_bytes=2 << 30, sandbox=SandboxLimits(cpu_s=600, memory_bytes=6 << 30, files=256)
)


@dataclass(frozen=True)
class ConvertibleWeights:
    """What the conversion of a model depends on."""

    sha256: str
    """Of the weights; see Weights."""
    format: Format
    factory: str
    """See Weights; "" for none."""
    code: str
    """Digest of the factory's code; "" for none."""
    output: str
    """Which output is used where the network gives several."""
    bands: int
    stride: int
    """Measured total stride in pixels: height and width are multiples of it."""
    smallest: int
    """Smallest height and width in pixels."""
    size: int = 0
    """Height and width of the only images that the network takes; 0 for any."""


class NotConverted(ModelError):
    """The weights cannot be converted; torch runs them."""


def converted_weights(
    path: str, weights: ConvertibleWeights, *, cache: Path | None = None, limits: FirstLoadLimits = LIMITS
) -> str:
    """The path of an ONNX file with the network and the weights of the file at `path`. Converts them when no process of this user has
    done so. `cache` is the folder of such files; the user's own when not given.

    Raises NotConverted, with the reason; MissingExtra where a package is not installed that the conversion needs.
    """
    if weights.format not in CONVERTED:
        raise NotConverted(f"{path}: {weights.format} files are not converted to ONNX")
    folder = cache or _folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = {**asdict(weights), "converter": CONVERTER, **_versions()}
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    record, model = folder / f"{key}.json", folder / f"{key}.onnx"
    if (found := _stored(record, model, path)) is not None:
        return found
    for package in PACKAGES:
        if find_spec(package) is None:
            raise MissingExtra(package, "onnx", f"{path}: converting it to ONNX")
    with _lock(folder / f"{key}.lock"):
        if (found := _stored(record, model, path)) is not None:
            return found
        task = FirstLoad(
            path, weights.format, weights.sha256, (str(Path(path).absolute()),), LIBRARIES, "swath.models.onnx_export:export_onnx",
            (weights.factory, weights.code, weights.output, weights.bands, weights.stride, weights.smallest,
             weights.size),
            "swath.models.onnx_export:prepare",
        )  # fmt: skip
        try:
            content = run_without_rights(task, limits, forked=weights.format in _BY_FACTORY)
        except ModelError as error:
            _write(record, json.dumps({"refused": error.message}).encode())
            raise NotConverted(error.message) from error
        except SandboxFailed as error:  # of time or memory, which may be there another time
            raise NotConverted(f"{path}: converting it to ONNX failed: {error}") from error
        _write(model, content)
        _write(record, json.dumps({"sha256": hashlib.sha256(content).hexdigest()}).encode())
    return str(model)


def _stored(record: Path, model: Path, path: str) -> str | None:
    """The path of the converted file when it is there and complete. Raises NotConverted when it is known that there can be none."""
    try:
        found = json.loads(owned_text(record, _RECORD_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    if isinstance(found.get("refused"), str):
        _, _, reason = found["refused"].partition(": ")
        raise NotConverted(f"{path}: {reason}")
    try:
        with model.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
    return str(model) if digest == found.get("sha256") else None


def _versions() -> dict[str, str]:
    return {name: version for name, version in versions(("torch", *PACKAGES)).items() if name != "python"}


def _folder() -> Path:
    """The user's cache, or a folder for temporary files where there is none that this user alone can write: others could put another
    network there."""
    folder = user_cache().parent / "converted"
    if folder.is_absolute():
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if is_own_folder(folder):
                return folder
    return private_folder()


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Inside, no other process of this user converts the same weights. A file system without locks only makes them work twice."""
    with path.open("a") as file:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write(path: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as file:
        try:
            file.write(content)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    Path(file.name).replace(path)
