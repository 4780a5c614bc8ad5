"""Staging: copies inputs of this machine to a bucket, so that workers elsewhere can read them.

Objects are named by the SHA-256 of their content: the same file is copied once, and no object is ever overwritten.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from swath.errors import CredentialsError, InfrastructureError, SwathError, TaskFailed, UsageError
from swath.models.contract_file import contract_path
from swath.models.safety.onnx_file import weights_files
from swath.spec.fields.imagery import StacImagery
from swath.spec.fields.model import ModelRef
from swath.spec.fields.paths import BAND
from swath.spec.validation import reachability
from swath.storage.address import local_path
from swath.storage.object_writer import PART_BYTES
from swath.storage.objects import object_size
from swath.storage.upload import Upload

if TYPE_CHECKING:
    import pystac

    from swath.spec.base import Spec
    from swath.spec.loading.load import LoadedSpec
    from swath.spec.yaml.document import Path as FieldPath

NOT_PIXELS = {"metadata", "thumbnail", "overview"}
"""Roles of STAC assets that no worker reads."""


@dataclass(frozen=True)
class StagingLimits:
    """How files are copied."""

    at_once: int = 4
    """Files that are copied at the same time; each has a part of an upload in memory."""
    tries: int = 3
    """Attempts for each file."""
    progress_every_s: float = 5.0
    """Least time between two lines about the progress."""


class StagedFile(NamedTuple):
    """A file and its address in the bucket."""

    file: Path
    url: str
    size: int
    """Bytes."""
    copied: bool
    """False when it was there already."""

    def __str__(self) -> str:
        how = "staged" if self.copied else "was staged before"
        return f"{self.file} {how} as {self.url} ({self.size:,} bytes)"


def staged(
    loaded: LoadedSpec, say: Callable[[str], None] = lambda text: None, limits: StagingLimits = StagingLimits()
) -> LoadedSpec:
    """Copies a spec's inputs on this machine to its bucket. Returns the spec with their addresses there, and a note for each file;
    the spec as it is without `stage`, and where workers share this machine's disk. `say` gets lines about the progress.

    Raises UsageError when something cannot be staged, CredentialsError and InfrastructureError when the bucket refuses it.
    """
    _check_catalogs(loaded)
    files = files_to_stage(loaded)
    if loaded.spec.stage is None or not files:
        return loaded
    bucket = Bucket(loaded.spec.stage.rstrip("/"), files, say, limits)
    with ThreadPoolExecutor(limits.at_once, "stage") as pool:
        copies = dict(zip(files, pool.map(bucket.stage, files), strict=True))
    addresses = {file: parts[0].url for file, parts in copies.items()}

    def with_addresses(spec: Spec) -> Spec:
        return reachability.with_inputs(
            _with_contracts(spec), lambda at, value: tuple(addresses[file] for file in files_of(value, at))
        )

    notes = tuple(str(part) for parts in copies.values() for part in parts)
    variants = tuple(replace(variant, spec=with_addresses(variant.spec)) for variant in loaded.variants)
    spec = variants[0].spec if variants else with_addresses(loaded.spec)
    return replace(loaded, spec=spec, variants=variants, notes=(*loaded.notes, *notes))


def files_to_stage(loaded: LoadedSpec) -> list[Path]:
    """The files that a run would stage, each once. Raises UsageError for what cannot be staged."""
    if loaded.spec.stage is None or loaded.spec.cluster.kind not in reachability.STAGING_KINDS:
        return []
    files = (file for spec in loaded.specs for path in _inputs(spec) for file in files_of(path.value, path.at))
    return list(dict.fromkeys(files))


def plan(loaded: LoadedSpec) -> dict[str, Any]:
    """The lines of a plan about staging: files, and bytes at most, for what is in the bucket already is not copied again."""
    files = files_to_stage(loaded)
    return {"staged_files": len(files), "staged_bytes": sum(file.stat().st_size for file in files)} if files else {}


def files_of(pattern: str, at: FieldPath) -> list[Path]:
    """The files that a path or a pattern names, sorted. at: its field. Raises UsageError for what cannot be staged."""
    import glob

    field = ".".join(map(str, at))
    path = local_path(pattern)
    if path.is_dir() or pattern.startswith("/vsi"):
        what = "a folder" if path.is_dir() else "one of GDAL's virtual paths"
        raise UsageError(
            f"{field}: {pattern} is {what}, which is not staged", remedy="name the files, or copy them to a bucket"
        )
    if BAND in pattern:
        raise UsageError(
            f"{field}: {pattern} names files of one band each, which are not staged",
            remedy="copy them to a bucket, with their names",
        )
    if path.is_file():
        return [path]
    found = sorted(Path(each) for each in glob.iglob(str(path), recursive=True))  # noqa: PTH207 - as imagery.files matches
    files = [each for each in found if each.is_file()]
    if not files:
        raise UsageError(f"{field}: no file matches {pattern}", remedy="check the path")
    if len(files) > 1 and not isinstance(at[-1], int):
        raise UsageError(f"{field}: {len(files)} files match {pattern}", remedy="name one of them")
    return files


class Bucket:
    """A folder of a bucket that files are copied to. Used by several threads."""

    def __init__(self, url: str, files: list[Path], say: Callable[[str], None], limits: StagingLimits) -> None:
        """files: all that will be staged, for the progress."""
        self._url = url
        self._limits = limits
        size = sum(file.stat().st_size for file in files)
        self._progress = TransferProgress(len(files), size, url, say, limits.progress_every_s)

    def stage(self, file: Path) -> list[StagedFile]:
        """Copy a file, and what belongs to it. The file itself comes first in the answer, and last into the bucket.

        Raises UsageError, CredentialsError and InfrastructureError.
        """
        _check_sidecars(file)
        parts = [Path(part) for part in weights_files(str(file))]
        digests = [_sha256(part) for part in parts]
        name = digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
        copies = [
            self.copy(part, f"{self._url}/{name}/{part.name}", sha256)
            for part, sha256 in reversed(list(zip(parts, digests, strict=True)))
        ]
        self._progress.add(0, files=1)
        return copies[::-1]

    def copy(self, file: Path, url: str, sha256: str) -> StagedFile:
        """Copy one file to an address, unless it is there. Raises InfrastructureError unless the whole file is there afterwards,
        CredentialsError when it may not be written, and UsageError when its digest is another by then."""
        size = file.stat().st_size
        remedy = "check `stage` and your credentials"
        for left in reversed(range(self._limits.tries)):
            try:
                if _is_there(url, size):
                    self._progress.add(size)
                    return StagedFile(file, url, size, copied=False)
                Upload(url).send(self._progress.counted(_pieces(file, sha256)))
                return StagedFile(file, url, size, copied=True)
            except PermissionError as error:
                raise CredentialsError(f"{url}: may not be written: {error}", remedy=remedy) from error
            except SwathError as error:
                if not isinstance(error, TaskFailed):
                    raise
                if isinstance(error.__cause__, PermissionError):
                    raise CredentialsError(error.message, remedy=remedy) from error
                last: Exception = error
            except Exception as error:  # noqa: BLE001 - clients of stores have errors of their own
                last = error
            if not left:
                raise InfrastructureError(
                    f"{file} could not be staged as {url}: {last}", remedy="check the bucket, and run again"
                ) from last
        raise InfrastructureError(f"{file} could not be staged as {url}")


class TransferProgress:
    """Says how many files and bytes are copied, not more often than every few seconds. Used by several threads."""

    def __init__(self, files: int, size: int, bucket: str, say: Callable[[str], None], every_s: float) -> None:
        self._files, self._size, self._say, self._every_s = files, size, say, every_s
        self._done, self._bytes, self._last = 0, 0, time.monotonic()
        self._lock = threading.Lock()
        say(f"staging {files} {'file' if files == 1 else 'files'}, {size:,} bytes, below {bucket}")

    def counted(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The same pieces of a file, counted as they go; those of an upload that is given up do not count."""
        sent, whole = 0, False
        try:
            for piece in pieces:
                self.add(len(piece))
                sent += len(piece)
                yield piece
            whole = True
        finally:
            if not whole:
                self.add(-sent)

    def add(self, size: int, files: int = 0) -> None:
        """So many more bytes and files are there."""
        with self._lock:
            self._bytes, self._done = self._bytes + size, self._done + files
            if time.monotonic() - self._last < self._every_s:
                return
            self._last = time.monotonic()
            self._say(f"staging: {self._done} of {self._files} files, {self._bytes:,} of {self._size:,} bytes")


def _inputs(spec: Spec) -> Iterator[reachability.LocalPath]:
    return (path for path in reachability.parameter_paths(spec) if not path.output)


def _with_contracts(spec: Spec) -> Spec:
    """The spec with the contract of each model. Contracts stay on this machine, where the client reads them: where only the
    weights are copied, the file beside them has to be named."""
    update = {}
    for name in type(spec).model_fields:
        value = getattr(spec, name)
        if not isinstance(value, ModelRef) or value.contract is not None or value.path is None:
            continue
        if reachability.is_local(value.path):
            update[name] = value.model_copy(update={"contract": str(contract_path(value.path))})
    return spec.model_copy(update=update)


def _check_catalogs(loaded: LoadedSpec) -> None:
    """A catalog on this machine is read by the client; the assets of its items have to be elsewhere."""
    if loaded.spec.cluster.kind not in reachability.REMOTE_KINDS:
        return
    from swath.imagery.sources.stac_items import find_items

    for spec in loaded.specs:
        for name in type(spec).model_fields:
            value = getattr(spec, name)
            if isinstance(value, StacImagery) and value.catalog is not None and reachability.is_local(value.catalog):
                for item in find_items(value, None):
                    _check_item(item, f"{name}.catalog")


def _check_item(item: pystac.Item, field: str) -> None:
    for key, asset in item.assets.items():
        href = asset.get_absolute_href() or asset.href
        if reachability.is_local(href) and not set(asset.roles or ()) & NOT_PIXELS:
            raise UsageError(
                f"{field}: asset {key} of item {item.id} is on this machine, where workers cannot read it: {href}",
                remedy="copy catalogue and files to a bucket and name that, or list the files: source: files",
            )


def _is_there(url: str, size: int) -> bool:
    try:
        return object_size(url) == size
    except FileNotFoundError:
        return False


def _sha256(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}", remedy="check the path") from error


def _pieces(file: Path, sha256: str) -> Iterator[bytes]:
    """The file's bytes. Raises UsageError before the upload is complete when their digest is another: no object appears then."""
    state = hashlib.sha256()
    with file.open("rb") as opened:
        while piece := opened.read(PART_BYTES):
            state.update(piece)
            yield piece
    if state.hexdigest() != sha256:
        raise UsageError(f"{file} changed while it was copied", remedy="run again when it is finished")


def _check_sidecars(file: Path) -> None:
    """Of rasters elsewhere no other file is read: what changes the pixels or their place cannot be left behind."""
    beside = [Path(f"{file}.msk"), *(file.with_suffix(ending) for ending in (".tfw", ".tifw", ".wld"))]
    found = next((each for each in beside if file.suffix.lower() in (".tif", ".tiff") and each.is_file()), None)
    if found is not None:
        raise UsageError(
            f"{file}: {found.name} belongs to it, and would not be read in a bucket",
            remedy="put both into one file: gdal_translate -of COG",
        )
