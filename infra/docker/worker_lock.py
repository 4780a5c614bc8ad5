"""Write the lock of the container's packages: python worker_lock.py UV PYPROJECT CONSTRAINTS > worker.lock

Needs uv and a package index. torch and the packages of CUDA are left out: see the first lines of the lock.
"""

import re
import subprocess
import sys
from pathlib import Path

HEADER = """\
# Versions and SHA-256 of the packages in the containers of clusters, for pip's --require-hashes. `make lock` writes it from
# pyproject.toml and constraints.txt; do not edit.
# torch is not here: builds for CPUs and with CUDA have one version and different files, and those for CPUs are on PyTorch's own index.
# Its version is in constraints.txt. Nor are the packages of CUDA, which only the gpu variant has.
"""
LEFT_OUT = re.compile(r"(torch|triton)==|(nvidia|cuda)-")


def main(uv: str, pyproject: str, constraints: str) -> None:
    """Compile the dependencies with the extra `worker`."""
    list_file = Path(__file__).with_name("requirements.py")
    wanted = subprocess.run(
        [sys.executable, list_file, pyproject, "worker"], capture_output=True, text=True, check=True
    )
    command = [uv, "pip", "compile", "-", "--quiet", "--constraint", constraints, "--generate-hashes", "--no-header"]
    command += ["--no-annotate", "--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_28"]
    done = subprocess.run(command, input=wanted.stdout, stdout=subprocess.PIPE, text=True, check=True)
    blocks = [block for block in re.split(r"(?m)^(?=[a-z0-9])", done.stdout) if block.strip()]
    sys.stdout.write(HEADER + "".join(block for block in blocks if not LEFT_OUT.match(block)))


if __name__ == "__main__":
    main(*sys.argv[1:])
