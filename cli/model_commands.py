"""The commands of `pipe` about models, and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    """Add the commands to `pipe`."""
    app.command("contract")(_contract)


def _contract(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The model's weights.", show_default=False)],
    item: Annotated[
        Path | None, typer.Option("--item", metavar="FILE", help="A STAC item with mlm: fields of this model.")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Write the proposal beside the model.")] = False,
    scene: Annotated[
        Path | None, typer.Option("--scene", metavar="FILE", help="Run the model on a window of this raster.")
    ] = None,
    names: Annotated[
        str | None, typer.Option("--names", metavar="A,B,...", help="With --scene: names of its bands, if it has none.")
    ] = None,
) -> int:
    """Propose the contract of a model, or check the one it has.

    Without a contract beside the model: prints one with what the file says, and lists what has to be filled in. With one: compares it
    with the file and, with --scene, shows what the network gets and gives.

    Example: pipe contract models/unet.onnx --write
    """
    from swath.cli.commands.contract import print_contract

    return print_contract(model, item, scene, names, write=write)
