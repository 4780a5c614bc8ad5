"""`pipe setup gcp` and `pipe setup aws`: show what an account lacks, ask, and make it; or remove it, or write it for Terraform."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import yaml

from swath.cluster.account.aws import AwsAccount
from swath.cluster.account.google import GoogleProject
from swath.cluster.account.part import (
    AccountPart,
    Planned,
    look_at,
    make_parts,
    remove_parts,
    terraform_module,
    to_remove,
)
from swath.cluster.account.wanted import WantedAccount
from swath.cluster.providers.fleets import fleet_of
from swath.cluster.providers.machine import CloudKind
from swath.errors import StateError, UsageError

MODULE = "main.tf.json"
Wanted: TypeAlias = tuple[str, str, str, tuple[str, ...], str, str, bool, bool]
"""Fields of WantedAccount."""


@dataclass(frozen=True)
class SetupOptions:
    """What is to be done."""

    dry_run: bool = False
    yes: bool = False
    terraform: Path | None = None
    remove: bool = False

    def __post_init__(self) -> None:
        if self.terraform is not None and (self.remove or self.dry_run or self.yes):
            raise UsageError("--terraform only writes files", remedy="leave out --dry-run, --yes and --remove")


def setup_gcp(project: str, wanted: Wanted, options: SetupOptions, *, self_removal: bool) -> int:
    """Set a Google Cloud project up."""
    return _setup(GoogleProject(project, WantedAccount(*wanted), self_removal), options, "gcp", project)


def setup_aws(wanted: Wanted, options: SetupOptions) -> int:
    """Set an AWS account up."""
    return _setup(AwsAccount(WantedAccount(*wanted)), options, "aws", wanted[0])


def _setup(account: AwsAccount | GoogleProject, options: SetupOptions, kind: CloudKind, place: str) -> int:
    if options.terraform is not None:
        return _write_module(account, options.terraform)
    if account.wanted.with_content and not options.remove:
        raise UsageError("--with-content is for --remove", remedy="leave it out")
    planned = look_at(account.parts())
    if options.remove:
        return _remove(planned, options, kind, place)
    for part, state in planned:
        verb = {"there": "there", "missing": "make", "different": "change"}[state.state]
        print(f"{verb:<6}  {part.title}{f' ({state.note})' if state.note else ''}", flush=True)
    count = sum(state.state != "there" for _, state in planned)
    if options.dry_run:
        print(f"{count} to make or change; nothing was done", file=sys.stderr)
        return 0
    if count:
        if not _confirmed(f"make or change {count} in {place}?", options):
            return 1
        make_parts(planned, _said)
    _print_settings(account)
    return 0


def _remove(planned: Planned, options: SetupOptions, kind: CloudKind, place: str) -> int:
    listed = to_remove(planned)
    for part, kept in listed:
        print(f"keep    {part.title}: {kept}" if kept else f"remove  {part.title}", flush=True)
    parts = [part for part, kept in listed if not kept]
    if not parts:
        print("nothing that a setup made is there", file=sys.stderr)
        return 0
    if options.dry_run:
        print(f"{len(parts)} to remove; nothing was done", file=sys.stderr)
        return 0
    if machines := fleet_of(kind, place).machines():
        raise StateError(
            f"machines of runs are in {place}: {', '.join(sorted(each.name for each in machines)[:5])}",
            remedy=f"wait for their runs, or terminate them with `pipe sweep --yes --in {kind}:{place}`",
        )
    if not _confirmed(f"remove {len(parts)} from {place}?", options):
        return 1
    remove_parts(parts, _said)
    return 0


def _said(done: str, part: AccountPart) -> None:
    print(f"{done:<7} {part.title}", file=sys.stderr, flush=True)


def _confirmed(question: str, options: SetupOptions) -> bool:
    if options.yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError("nobody can be asked here, so nothing was done", remedy="add --yes, or look with --dry-run")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    print("nothing was done", file=sys.stderr)
    return False


def _print_settings(account: AwsAccount | GoogleProject) -> None:
    settings = yaml.safe_dump(account.settings(), sort_keys=False, default_flow_style=None, width=110)
    print(f"\n# for swath.yaml\n{settings}", end="")
    print("next: `make image` with that image's name, push it, and `pipe doctor --cluster cloud`", file=sys.stderr)


def _write_module(account: AwsAccount | GoogleProject, folder: Path) -> int:
    file = folder / MODULE
    module = terraform_module(account.parts(offline=True), account.provider())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as out:
            out.write(json.dumps(module, indent=2) + "\n")
    except FileExistsError as error:
        raise UsageError(f"{file} is there already; nothing was written", remedy="choose another folder") from error
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}", remedy="choose another folder") from error
    print(file)
    print(f"next: `terraform -chdir={folder} init`, then `plan` and `apply`", file=sys.stderr)
    return 0
