"""The commands `pipe setup gcp` and `pipe setup aws`, with their options. The module that does it is imported when one is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

setup = typer.Typer(
    help="Prepare an account of a cloud for runs, or remove what was prepared.\n\nExample: pipe setup aws --help",
    no_args_is_help=True,
    rich_markup_mode=None,
)

RegionName = Annotated[str, typer.Option("--region", metavar="REGION", help="Where machines and the bucket are.")]
BucketName = Annotated[str, typer.Option("--bucket", metavar="NAME", help="Bucket of results, maps and staged files.")]
Prefix = Annotated[
    str, typer.Option("--prefix", metavar="FOLDER", help="Folder of the bucket to which all rights are limited.")
]
Allow = Annotated[
    list[str] | None,
    typer.Option("--allow", metavar="CIDR", help="Addresses that reach the scheduler, as in 192.0.2.7/32; repeatable."),
]
ClientName = Annotated[
    str, typer.Option("--client", metavar="WHO", help="Who runs pipelines; whoever signs in, where that is known.")
]
NetworkName = Annotated[
    str, typer.Option("--network", metavar="NETWORK", help="Network (AWS: id of a VPC) of machines; else the default.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]
TerraformFolder = Annotated[
    Path | None, typer.Option("--terraform", metavar="DIR", help="Write a Terraform module there, and do nothing else.")
]
Remove = Annotated[bool, typer.Option("--remove", help="Remove what a setup made.")]
WithContent = Annotated[bool, typer.Option("--with-content", help="With --remove: also a bucket that has content.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to `pipe`."""
    app.add_typer(setup, name="setup")


@setup.command("gcp")
def _gcp(
    project: Annotated[str, typer.Option("--project", metavar="PROJECT", help="Id of the project.")],
    region: RegionName,
    bucket: BucketName,
    prefix: Prefix = "runs",
    allow: Allow = None,
    client: ClientName = "",
    network: NetworkName = "",
    self_removal: Annotated[
        bool, typer.Option("--self-removal", help="Let machines delete machines of runs when their client is lost.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    terraform: TerraformFolder = None,
    remove: Remove = False,
    with_content: WithContent = False,
) -> int:
    """Prepare a Google Cloud project: APIs, roles, accounts, bucket, registry, firewall.

    It lists what is missing, asks, and makes it; a second time there is nothing to do. At the end it prints lines for swath.yaml.

    Example: pipe setup gcp --project acme --region europe-west4 --bucket acme-maps --allow 192.0.2.7/32 --client user:me@acme.org
    """
    from swath.cli.commands.setup import SetupOptions, setup_gcp

    options = SetupOptions(dry_run, yes, terraform, remove)
    wanted = (region, bucket, prefix, tuple(allow or ()), client, network, remove, with_content)
    return setup_gcp(project, wanted, options, self_removal=self_removal)


@setup.command("aws")
def _aws(
    region: RegionName,
    bucket: BucketName,
    prefix: Prefix = "runs",
    allow: Allow = None,
    client: ClientName = "",
    network: NetworkName = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    terraform: TerraformFolder = None,
    remove: Remove = False,
    with_content: WithContent = False,
) -> int:
    """Prepare an AWS account: bucket, registry, roles, security group.

    It lists what is missing, asks, and makes it; a second time there is nothing to do. At the end it prints lines for swath.yaml.

    Example: pipe setup aws --region eu-central-1 --bucket acme-maps --allow 192.0.2.7/32
    """
    from swath.cli.commands.setup import SetupOptions, setup_aws

    options = SetupOptions(dry_run, yes, terraform, remove)
    return setup_aws((region, bucket, prefix, tuple(allow or ()), client, network, remove, with_content), options)
