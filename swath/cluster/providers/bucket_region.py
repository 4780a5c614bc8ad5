"""The region of a bucket, and a cluster that is launched there: what `region: auto` (AWS) and `zone: auto` (Google Cloud) stand for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from swath.errors import SwathError, UsageError
from swath.spec.clusters.cloud import AUTO, AwsCluster, GcpCluster

SCHEMES = {"aws": "s3://", "gcp": "gs://"}
FIELDS = {"aws": "region", "gcp": "zone"}


def in_region_of_bucket(spec: AwsCluster | GcpCluster, folders: Sequence[str]) -> AwsCluster | GcpCluster:
    """A cluster with its region: one that says `auto` in the region of the first of these folders that is in a bucket of its cloud. On
    Google Cloud in all zones there.

    Raises UsageError where there is no such bucket, or it is in several regions, and CredentialsError and InfrastructureError when it
    cannot be looked at.
    """
    if AUTO not in (spec.region if isinstance(spec, AwsCluster) else spec.zone,):
        return spec
    scheme, field = SCHEMES[spec.kind], FIELDS[spec.kind]
    found = next((each for each in folders if each.startswith(scheme)), None)
    if found is None:
        raise UsageError(
            f"cluster.{field}: auto stands for the region of the bucket of results, and there is none",
            remedy=f"set `results: {scheme}BUCKET/PREFIX` in swath.yaml, or give cluster.{field}",
        )
    bucket = found.removeprefix(scheme).partition("/")[0]
    try:
        if isinstance(spec, AwsCluster):
            return spec.model_copy(update={"region": region_on_aws(bucket)})
        first, *others = zones_on_google(spec.project, bucket)
    except SwathError as error:
        if isinstance(error, UsageError):
            raise
        raise type(error)(
            f"the region of {scheme}{bucket}, for cluster.{field}: auto, is not known: {error.message}",
            remedy=f"give cluster.{field}; {error.remedy}" if error.remedy else f"give cluster.{field}",
        ) from error
    return spec.model_copy(update={"zone": first, "zones": others})


@cache
def region_on_aws(bucket: str) -> str:
    """The region of a bucket on S3."""
    from swath.cluster.providers.aws.api import AwsApi, AwsLimits

    there = AwsApi("us-east-1", AwsLimits(read_s=30, attempts=2)).call("s3", "head_bucket", {"Bucket": bucket})
    headers = there.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return str(there.get("BucketRegion") or headers.get("x-amz-bucket-region") or "us-east-1")


@cache
def zones_on_google(project: str, bucket: str) -> tuple[str, ...]:
    """The zones of the region of a bucket on Google Cloud. Raises UsageError for one that is in several regions."""
    from swath.cluster.providers.gcp.api import GceApi
    from swath.cluster.providers.gcp.google_api import GoogleApi

    storage = GoogleApi(project, "storage", "v1", "Cloud Storage")
    there = storage.call(lambda api: api.buckets().get(bucket=bucket))
    region = str(there.get("location", "")).lower()
    if there.get("locationType", "region") != "region" or "-" not in region:
        raise UsageError(
            f"gs://{bucket} is in {there.get('location')}, which is more than one region: cluster.zone: auto has no answer",
            remedy="give cluster.zone, and cluster.zones",
        )
    zones = GceApi(project).call(lambda api: api.regions().get(project=project, region=region)).get("zones", [])
    if not zones:
        raise UsageError(f"{project} has no zone in {region}, the region of gs://{bucket}", remedy="give cluster.zone")
    return tuple(sorted(str(each).rpartition("/")[2] for each in zones))
