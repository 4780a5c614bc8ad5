"""`auto` stands for the region of the bucket of results; where that is not known, or is more than one, the error says what to give."""

from __future__ import annotations

from typing import Any

import pytest

from swath.cluster.providers.aws.api import AwsApi
from swath.cluster.providers.bucket_region import in_region_of_bucket, region_on_aws, zones_on_google
from swath.cluster.providers.gcp.google_api import GoogleApi
from swath.errors import CredentialsError, UsageError
from swath.spec.clusters.cloud import AwsCluster, GcpCluster

GCP = GcpCluster(kind="gcp", project="acme-maps", zone="auto", image="x")
AWS = AwsCluster(kind="aws", region="auto", image="x", security_groups=["sg-1"])
ZONES = "https://www.googleapis.com/compute/v1/projects/acme-maps/zones"


class Asked:
    """A client of an API that notes which methods are called."""

    def __init__(self) -> None:
        self.methods: list[str] = []
        self.fields: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        def method(**fields: Any) -> Asked:
            self.methods.append(name)
            self.fields |= fields
            return self

        return method


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Answers of Google's APIs by the kind of resource; an answer that is an error is raised."""
    answers: dict[str, Any] = {
        "buckets": {"location": "EUROPE-WEST4", "locationType": "region"},
        "regions": {"zones": [f"{ZONES}/europe-west4-{letter}" for letter in "cab"]},
    }

    def call(self: GoogleApi, request: Any) -> Any:
        asked = Asked()
        request(asked)
        answer = answers[asked.methods[0]]
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(GoogleApi, "call", call)
    zones_on_google.cache_clear()
    return answers


def test_a_cluster_on_google_cloud_is_in_all_zones_of_the_buckets_region(google: dict[str, Any]) -> None:
    found = in_region_of_bucket(GCP, ["/tmp/results", "gs://maps/rivers"])
    assert isinstance(found, GcpCluster)
    assert (found.zone, found.zones) == ("europe-west4-a", ["europe-west4-b", "europe-west4-c"])
    assert in_region_of_bucket(found, []) == found, "a cluster with a zone is asked nothing"


def test_a_bucket_in_several_regions_has_no_zone(google: dict[str, Any]) -> None:
    google["buckets"] = {"location": "EU", "locationType": "multi-region"}
    with pytest.raises(UsageError, match="gs://maps is in EU, which is more than one region") as caught:
        in_region_of_bucket(GCP, ["gs://maps/rivers"])
    assert "cluster.zone" in caught.value.remedy


def test_a_bucket_that_may_not_be_looked_at_is_named_with_what_to_give(google: dict[str, Any]) -> None:
    google["buckets"] = CredentialsError("storage.buckets.get is denied", remedy="ask for it")
    with pytest.raises(CredentialsError, match=r"the region of gs://maps, .*: auto, is not known.*denied") as caught:
        in_region_of_bucket(GCP, ["gs://maps/rivers"])
    assert caught.value.remedy == "give cluster.zone; ask for it"


@pytest.mark.parametrize(
    ("answer", "region"),
    [
        ({"BucketRegion": "eu-central-1"}, "eu-central-1"),
        ({"ResponseMetadata": {"HTTPHeaders": {"x-amz-bucket-region": "eu-west-1"}}}, "eu-west-1"),
    ],
)
def test_a_cluster_on_aws_is_in_the_buckets_region(
    monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], region: str
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(AwsApi, "call", lambda self, *call: asked.append(call) or answer)
    region_on_aws.cache_clear()
    for _ in range(2):
        found = in_region_of_bucket(AWS, ["gs://other", "s3://maps/rivers"])
        assert isinstance(found, AwsCluster)
        assert found.region == region
    assert asked == [("s3", "head_bucket", {"Bucket": "maps"})], "it is asked once"


@pytest.mark.parametrize(("spec", "said"), [(GCP, "gs://BUCKET/PREFIX"), (AWS, "s3://BUCKET/PREFIX")])
def test_without_a_bucket_of_that_cloud_auto_is_an_error(spec: AwsCluster | GcpCluster, said: str) -> None:
    with pytest.raises(UsageError, match=r"cluster\.(zone|region): auto stands for") as caught:
        in_region_of_bucket(spec, ["az://maps/rivers", "/tmp"])
    assert said in caught.value.remedy
