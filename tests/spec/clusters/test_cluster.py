from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from swath.errors import SpecError
from swath.project.registry import Registry
from swath.spec.clusters.cloud import AwsCluster, GcpCluster
from swath.spec.clusters.cluster import AddressCluster, AutoCluster, Cluster, InlineCluster, LocalCluster, TlsFiles
from swath.spec.clusters.workers import Workers
from swath.spec.loading.load import load
from tests.spec.samples import MAP, flood, load_map, only, read

HELLO = """
from swath import Spec, pipeline, task
class Hello(Spec):
    pass
@task
def greet():
    return "hello"
@pipeline
def hello(spec: Hello):
    return greet()
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "swath.yaml").write_text("")
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "hello.py").write_text(HELLO)
    for name in ("ca", "cert", "key"):
        (tmp_path / f"{name}.pem").write_text("")
    return tmp_path


def cluster(place: Path, text: str) -> Cluster:
    from swath.project.project import Project

    spec = place / "spec.yaml"
    spec.write_text(f"pipeline: hello\ncluster: {text}\n")
    registry = Registry.discover([place / "pipelines"])
    return load(spec, project=Project.find(spec), find=registry.spec_class, names=registry.names).spec.cluster


def test_workers_are_a_number_or_limits(place: Path) -> None:
    assert cluster(place, "{workers: 3}") == LocalCluster(workers=Workers(min=3, max=3))
    assert cluster(place, "{workers: {max: 8}}") == LocalCluster(workers=Workers(min=1, max=8))
    found = cluster(place, "{kind: local, workers: {min: 2, max: 8}, resources: {gpu: 1}}")
    assert isinstance(found, LocalCluster)
    assert found.workers is not None
    assert found.workers.elastic
    assert found.resources == {"gpu": 1.0}


def test_tls_files_are_found_from_the_project_s_folder(place: Path) -> None:
    text = "{kind: address, url: 'tls://a:1', tls: {ca: ca.pem, cert: cert.pem, key: key.pem}}"
    files = TlsFiles(**{name: str(place / f"{name}.pem") for name in ("ca", "cert", "key")})
    assert cluster(place, text) == AddressCluster(url="tls://a:1", tls=files)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{workers: {min: 3, max: 2}}", "cluster.workers: min is 3, more than max, which is 2"),
        ("{workers: 0}", "cluster.workers: expected at least 1"),
        ("{workers: {min: 1}}", "cluster.workers.max: "),
        ("{workers: many}", "cluster.workers: "),
        ("{resources: {cpu: 2}}", "cluster.resources.cpu: every worker offers cpu by itself; leave it out"),
        ("{resources: {gpu: 0}}", "cluster.resources.gpu: "),
        ("tls://a:1", "a tls:// address needs the files to connect with: write tls: {ca: ..., cert: ..., key: ...}"),
        ("{url: 'wss://a:1'}", "cluster.url: a wss:// address needs the files to connect with"),
        (
            "{url: 'tls://a:1', tls: {ca: ca.pem, cert: no.pem, key: key.pem}}",
            "cluster.tls.cert: there is no such file",
        ),
        ("{url: 'tls://a:1', tls: {ca: ca.pem}}", "cluster.tls.cert: "),
        (
            "{url: 'tcp://a:1', tls: {ca: ca.pem, cert: cert.pem, key: key.pem}}",
            "cluster.url: a tcp:// address is not encrypted; write tls:// or wss://",
        ),
    ],
)
def test_mistakes_say_what_to_write(place: Path, text: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        cluster(place, text)
    assert said in caught.value.message
    assert caught.value.exit_code == 2
    assert "spec.yaml:2:" in caught.value.message


@pytest.mark.parametrize(
    ("text", "cluster"),
    [
        ("", AutoCluster()),
        ("cluster: auto", AutoCluster()),
        ("cluster: {kind: auto, workers: 3}", AutoCluster(workers=3)),
        ("cluster: local", LocalCluster()),
        ("cluster: inline", InlineCluster()),
        ("cluster: {kind: local, workers: 3}", LocalCluster(workers=3)),
        ("cluster: {workers: 3}", LocalCluster(workers=3)),
        ("cluster: {kind: address, url: 'tcp://a:1'}", AddressCluster(url="tcp://a:1")),
        ("cluster: tcp://a:1", AddressCluster(url="tcp://a:1")),
    ],
)
def test_a_cluster_has_short_forms(text: str, cluster: Any) -> None:
    assert flood(text).cluster == cluster


def test_auto_brings_up_the_workers_that_it_describes() -> None:
    auto = AutoCluster(workers=3, memory_gb=2, resources={"gpu": 1})
    assert auto.local() == LocalCluster(workers=3, memory_gb=2, resources={"gpu": 1})


def test_an_unknown_cluster_is_guessed(project_folder: Path) -> None:
    with pytest.raises(
        SpecError, match=r"no cluster 'pear'; known are auto, local, inline, pair \(did you mean 'pair'\?\)"
    ):
        load_map(project_folder, MAP, cluster="pear")


@pytest.mark.parametrize("kind", ["gcp", "aws", "kubernetes"])
def test_clouds_say_what_must_be_given(kind: str) -> None:
    with pytest.raises(SpecError, match=r"f\.yaml:2:10: cluster\.image: missing; it must be given"):
        read(f"pipeline: flood\ncluster: {{kind: {kind}, workers: 2}}")
    assert f"there is no cluster '{kind}'; known are auto, local, inline" in only(f"cluster: {kind}")


@pytest.mark.parametrize("machine", ["n2-standard-8", "g2-standard-8", "e2-standard-4", "n1-standard-8"])
def test_gpus_are_added_to_machines_of_the_family_n1_only(machine: str) -> None:
    """Compute Engine: GPUs attach to N1; A2, A3, A4, G2 and G4 come with theirs, and no other family has any."""
    fields: dict[str, Any] = {
        "kind": "gcp",
        "project": "acme",
        "zone": "europe-west4-a",
        "image": "x",
        "machine": machine,
        "machine_image": "swath-gpu-1",
    }
    if machine.startswith("n1-"):
        GcpCluster(**fields, gpus={"type": "nvidia-tesla-t4"})
        return
    with pytest.raises(ValidationError, match=f"family n1 only, and {machine} is none"):
        GcpCluster(**fields, gpus={"type": "nvidia-tesla-t4"})


@pytest.mark.parametrize(
    ("kind", "machine", "gpus"),
    [
        *(
            ("gcp", name, True)
            for name in ("g2-standard-8", "a2-highgpu-1g", "a3-highgpu-8g", "a4-highgpu-8g", "g4-standard-48")
        ),
        *(("gcp", name, False) for name in ("n2-standard-8", "c4a-standard-4", "e2-medium")),
        *(
            ("aws", name, True)
            for name in ("g4dn.xlarge", "g5.xlarge", "g6e.2xlarge", "gr6.4xlarge", "p3.2xlarge", "p4d.24xlarge")
        ),
        *(("aws", name, False) for name in ("m7i.xlarge", "g4ad.xlarge", "inf2.xlarge", "c7gn.large")),
    ],
)
def test_gpus_need_a_machine_image_with_their_driver(kind: str, machine: str, gpus: bool) -> None:
    """Images of Ubuntu have no driver of NVIDIA, on either cloud: refused when the spec is read, before anything is asked for."""
    place = {
        "gcp": {"project": "acme", "zone": "europe-west4-a"},
        "aws": {"region": "eu-central-1", "security_groups": ["sg-1"]},
    }
    cluster = {"gcp": GcpCluster, "aws": AwsCluster}[kind]
    fields: dict[str, Any] = {"kind": kind, "image": "x", "machine": machine, **place[kind]}
    cluster(**fields, machine_image="swath-gpu-1")
    if not gpus:
        cluster(**fields)
        return
    with pytest.raises(
        ValidationError, match=rf"{machine} has GPUs, and Ubuntu's own machine image has no driver.*VARIANT=gpu"
    ):
        cluster(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {
                "zones": ["europe-west4-b", "us-central1-a"],
                "subnetwork": "projects/p/regions/europe-west4/subnetworks/s",
            },
            "us-central1-a is not in europe-west4, the region of subnetwork",
        ),
        ({"on_demand": True}, "set spot: true, too"),
    ],
)
def test_a_subnetwork_of_one_region_is_not_for_others_and_on_demand_is_for_spot(
    fields: dict[str, Any], message: str
) -> None:
    place: dict[str, Any] = {"kind": "gcp", "image": "x", "project": "acme", "zone": "europe-west4-a"}
    GcpCluster(**place, zones=["europe-west4-b"], spot=True, on_demand=True)
    with pytest.raises(ValidationError, match=message):
        GcpCluster(**place, **fields)


def test_more_subnets_follow_a_first_one() -> None:
    place: dict[str, Any] = {"kind": "aws", "image": "x", "region": "eu-central-1", "security_groups": ["sg-1"]}
    AwsCluster(**place, subnet="subnet-1", subnets=["subnet-2"])
    with pytest.raises(ValidationError, match="set it to the first one"):
        AwsCluster(**place, subnets=["subnet-2"])


@pytest.mark.parametrize(
    ("kind", "machine", "other", "what"),
    [
        ("gcp", "n2-standard-4", "g2-standard-4", "g2-standard-4 has GPUs, n2-standard-4 has not"),
        ("gcp", "n2-standard-4", "c4a-standard-4", "c4a-standard-4 has Arm processors, n2-standard-4 has not"),
        ("aws", "m7g.xlarge", "m7i.xlarge", "m7g.xlarge has Arm processors, m7i.xlarge has not"),
        ("aws", "m7i.xlarge", "g5.xlarge", "g5.xlarge has GPUs, m7i.xlarge has not"),
    ],
)
def test_one_container_is_started_on_all_machine_types(kind: str, machine: str, other: str, what: str) -> None:
    place: dict[str, Any] = {"gcp": {"project": "acme", "zone": "europe-west4-a"}}.get(
        kind, {"region": "eu-central-1", "security_groups": ["sg-1"]}
    )
    cluster = {"gcp": GcpCluster, "aws": AwsCluster}[kind]
    fields: dict[str, Any] = {"kind": kind, "image": "x", "machine_image": "swath-gpu-1", "machine": machine, **place}
    assert cluster(**fields, machines=[machine]).worker_machines == [machine]
    with pytest.raises(ValidationError, match=what):
        cluster(**fields, machines=[other])


def test_a_cluster_is_in_one_region_at_a_time_with_what_it_needs_there() -> None:
    zones = ["europe-west4-b", "us-central1-a", "europe-west4-a", "us-central1-b"]
    gcp = GcpCluster(kind="gcp", image="x", project="acme", zone="europe-west4-a", zones=zones)
    assert [(each.zone, each.zones) for each in gcp.in_regions()] == [
        ("europe-west4-a", ["europe-west4-b"]),
        ("us-central1-a", ["us-central1-b"]),
    ]
    there: dict[str, Any] = {"region": "eu-west-1", "security_groups": ["sg-2"]}
    fields: dict[str, Any] = {
        "kind": "aws", "image": "x", "region": "eu-central-1", "security_groups": ["sg-1"], "subnet": "subnet-1",
    }  # fmt: skip
    first, second = AwsCluster(**fields, machine_image="family/swath", regions=[there]).in_regions()
    assert (first.region, first.subnet, first.regions) == ("eu-central-1", "subnet-1", [])
    assert (second.region, second.subnet, second.security_groups) == ("eu-west-1", None, ["sg-2"])
    assert second.machine_image == "family/swath"
    with pytest.raises(ValidationError, match="ami-1 is an image of eu-central-1: give machine_image of eu-west-1"):
        AwsCluster(**fields, machine_image="ami-1", regions=[there])
    *_, own = AwsCluster(**fields, machine_image="ami-1", regions=[{**there, "machine_image": "ami-2"}]).in_regions()
    assert own.machine_image == "ami-2"
    with pytest.raises(ValidationError, match="security_groups"):
        AwsCluster(**fields, regions=[{"region": "eu-west-1"}])


def test_auto_is_one_region_and_all_of_its_zones() -> None:
    gcp: dict[str, Any] = {"kind": "gcp", "image": "x", "project": "acme", "zone": "auto"}
    aws: dict[str, Any] = {"kind": "aws", "image": "x", "region": "auto", "security_groups": ["sg-1"]}
    GcpCluster(**gcp)
    AwsCluster(**aws)
    with pytest.raises(ValidationError, match="zone: auto has all zones"):
        GcpCluster(**gcp, zones=["europe-west4-a"])
    with pytest.raises(ValidationError, match="region: auto is one region"):
        AwsCluster(**aws, regions=[{"region": "eu-west-1", "security_groups": ["sg-2"]}])
