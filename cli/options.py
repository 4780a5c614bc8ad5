"""Arguments and options that several commands of `pipe` have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SpecFile = Annotated[
    Path, typer.Argument(metavar="SPEC", help="A run spec: a YAML file, or - for standard input.", show_default=False)
]
RunId = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, the start of one, or `last`.", show_default=False)
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override one value of the spec, as in --set output.to=out/b."),
]
ClusterName = Annotated[
    str | None, typer.Option("--cluster", metavar="NAME", help="Where to run, whatever the spec says.")
]
Timeout = Annotated[
    str | None,
    typer.Option("--timeout", metavar="DURATION", help="Stop the run after 90s, 30m or 2h; it can be resumed."),
]
Detach = Annotated[
    bool, typer.Option("--detach/--wait", help="Print the run's id and let it go on by itself, or wait for its end.")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout, for programs.")]
AsEvents = Annotated[bool, typer.Option("--json", help="One event per line on stdout, as JSON.")]
OnServer = Annotated[bool, typer.Option("--server", help="A run of the server that `pipe login` stored.")]
AllowEnv = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-env",
        metavar="NAME[@HOST]",
        help="Let an untrusted project read this environment variable as ${env:NAME}, and send it to this host.",
    ),
]
