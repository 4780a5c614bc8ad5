"""Staging: inputs on this machine are copied to a bucket, so that workers elsewhere reach them.

Objects are named by their content, so that the same file is copied once, and nothing is ever put over anything else.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from swath.errors import CredentialsError, InfrastructureError, SwathError, TaskFailed, UsageError
from swath.models.contract_file import contract_path
from swath.spec.fields.imagery import StacImagery
from swath.spec.fields.model import ModelRef
from swath.spec.validation import reachability
from swath.storage.address import local_path
from swath.storage.filesystem import filesystem_and_path
from swath.storage.upload import PART_BYTES, Upload

if TYPE_CHECKING:
    import pystac

    from swath.spec.base import Spec
    from swath.spec.loading.load import LoadedSpec
    from swath.spec.yaml.document import Path as Place

AT_ONCE = 4
"""Files that are on their way at the same time; each holds a part of an upload in memory."""
TRIES = 3
TELL_EVERY_S = 5.0
NOT_PIXELS = {"metadata", "thumbnail", "overview"}
"""Roles of assets that no worker reads."""


class Staged(NamedTuple):
    """A file and where it is in the bucket."""

    file: Path
    url: str
    size: int
    """Bytes."""
    sent: bool
    """False when it was there already."""

    def __str__(self) -> str:
        how = "staged" if self.sent else "was staged before"
        return f"{self.file} {how} as {self.url} ({self.size:,} bytes)"


def staged(loaded: LoadedSpec, say: Callable[[str], None] = lambda text: None) -> LoadedSpec:
    """The spec with addresses in the bucket in place of inputs on this machine, once they are there; what was copied is told in its
    notes. Without `stage`, or where workers share this machine's disk, it is the spec as it is. `say` hears how far it is.

    Raises UsageError when something cannot be staged, CredentialsError and InfrastructureError when the bucket does not take it.
    """
    _check_catalogues(loaded)
    wanted = wanted_by(loaded)
    if loaded.spec.stage is None or not wanted:
        return loaded
    bucket = loaded.spec.stage.rstrip("/")
    progress = TransferProgress(len(wanted), sum(file.stat().st_size for file in wanted), bucket, say)
    with ThreadPoolExecutor(AT_ONCE, "stage") as pool:
        sent = dict(zip(wanted, pool.map(lambda file: _staged(file, bucket, progress), wanted), strict=True))
    addresses = {file: each[0].url for file, each in sent.items()}

    def there(spec: Spec) -> Spec:
        return reachability.with_inputs(
            _with_contracts(spec), lambda at, value: tuple(addresses[f] for f in files_of(value, at))
        )

    notes = tuple(str(each) for group in sent.values() for each in group)
    variants = tuple(replace(one, spec=there(one.spec)) for one in loaded.variants)
    spec = variants[0].spec if variants else there(loaded.spec)
    return replace(loaded, spec=spec, variants=variants, notes=(*loaded.notes, *notes))


def wanted_by(loaded: LoadedSpec) -> list[Path]:
    """The files that a run would stage, each once. Raises UsageError for what cannot be staged."""
    if loaded.spec.stage is None or loaded.spec.cluster.kind not in reachability.STAGING_KINDS:
        return []
    named = (file for spec in loaded.specs for each in _inputs(spec) for file in files_of(each.value, each.at))
    return list(dict.fromkeys(named))


def plan(loaded: LoadedSpec) -> dict[str, Any]:
    """What `pipe plan` says of it: files and bytes at most, for what is in the bucket already is not copied again."""
    files = wanted_by(loaded)
    return {"staged_files": len(files), "staged_bytes": sum(file.stat().st_size for file in files)} if files else {}


class TransferProgress:
    """Tells of files and bytes that are on their way, not more often than every few seconds. Used by several threads."""

    def __init__(self, files: int, size: int, bucket: str, say: Callable[[str], None]) -> None:
        self._files, self._size, self._say = files, size, say
        self._done, self._bytes, self._told = 0, 0, time.monotonic()
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
        """So much more is there."""
        with self._lock:
            self._bytes, self._done = self._bytes + size, self._done + files
            if time.monotonic() - self._told < TELL_EVERY_S:
                return
            self._told = time.monotonic()
            self._say(f"staging: {self._done} of {self._files} files, {self._bytes:,} of {self._size:,} bytes")


def files_of(pattern: str, at: Place) -> list[Path]:
    """The files that a path or a pattern names, sorted. Raises UsageError for what cannot be staged."""
    import glob

    field = ".".join(map(str, at))
    path = local_path(pattern)
    if path.is_dir() or pattern.startswith("/vsi"):
        what = "a folder" if path.is_dir() else "one of GDAL's virtual paths"
        raise UsageError(
            f"{field}: {pattern} is {what}, which is not staged", remedy="name the files, or copy them to a bucket"
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


def _inputs(spec: Spec) -> Iterator[reachability.LocalPath]:
    return (each for each in reachability.parameter_paths(spec) if not each.output)


def _with_contracts(model: Spec) -> Spec:
    """Contracts stay on this machine, where the client reads them: where weights go, the file beside them has to be named."""
    update = {}
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, ModelRef) and value.contract is None and reachability.is_local(value.path):
            update[name] = value.model_copy(update={"contract": str(contract_path(value.path))})
    return model.model_copy(update=update)


def _check_catalogues(loaded: LoadedSpec) -> None:
    """A catalogue on this machine is read by the client; what its items name has to be elsewhere."""
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


def _staged(file: Path, bucket: str, progress: TransferProgress) -> list[Staged]:
    """Copy a file, and what belongs to it; the file itself comes first in the answer, and last into the bucket."""
    _check_sidecars(file)
    parts = [file, *([data] if (data := Path(f"{file}.data")).is_file() and file.suffix == ".onnx" else [])]
    hashed = [_digest(part) for part in parts]
    name = hashed[0] if len(hashed) == 1 else hashlib.sha256("".join(hashed).encode()).hexdigest()
    sent = [
        _sent(part, f"{bucket}/{name}/{part.name}", sha256, progress)
        for part, sha256 in reversed(list(zip(parts, hashed, strict=True)))
    ]
    progress.add(0, files=1)
    return sent[::-1]


def _sent(file: Path, url: str, sha256: str, progress: TransferProgress) -> Staged:
    """Raises InfrastructureError unless the whole file is there afterwards."""
    size = file.stat().st_size
    for left in reversed(range(TRIES)):
        try:
            files, place = filesystem_and_path(url)
            if files.exists(place) and files.info(place)["size"] == size:
                progress.add(size)
                return Staged(file, url, size, sent=False)
            upload = Upload(url)
            upload.send(progress.counted(_pieces(file, sha256)))
            return Staged(file, url, size, sent=True)
        except PermissionError as error:
            raise CredentialsError(
                f"{url}: may not be written: {error}", remedy="check `stage` and your credentials"
            ) from error
        except SwathError as error:
            if not isinstance(error, TaskFailed):
                raise
            if isinstance(error.__cause__, PermissionError):
                raise CredentialsError(error.message, remedy="check `stage` and your credentials") from error
            trouble: Exception = error
        except Exception as error:  # noqa: BLE001 - clients of stores have errors of their own
            trouble = error
        if not left:
            raise InfrastructureError(
                f"{file} could not be staged as {url}: {trouble}", remedy="check the bucket, and run again"
            ) from trouble
    raise InfrastructureError(f"{file} could not be staged as {url}")


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}", remedy="check the path") from error


def _pieces(file: Path, sha256: str) -> Iterator[bytes]:
    """The file's bytes. Raises UsageError before the last of them when they are not what the name says: nothing appears then."""
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
