"""Write the dependencies of a pyproject.toml, with some of its extras, as a requirements.txt: python requirements.py FILE EXTRA..."""

import sys
import tomllib
from pathlib import Path

file, *extras = sys.argv[1:]
project = tomllib.loads(Path(file).read_text(encoding="utf-8"))["project"]
requirements = [
    *project["dependencies"],
    *(each for extra in extras for each in project["optional-dependencies"][extra]),
]
sys.stdout.write("".join(f"{each}\n" for each in requirements))
