from __future__ import annotations

from pathlib import Path

from swath.spec.clusters.cluster import AddressCluster
from swath.spec.secrets import scrub
from tests.spec.samples import CANARY, MAP, load_map, read


def test_a_loaded_spec_does_not_show_its_secrets_by_itself() -> None:
    loaded = read("pipeline: flood\nname: a", env={"S": CANARY})
    assert "secrets" not in repr(loaded)


def test_others_can_scrub_with_the_secrets() -> None:
    assert scrub(f"failed at '{CANARY}'", {CANARY}) == "failed at '${env:...}'"
    assert scrub("abc", {"a"}) == "abc"


def test_secrets_of_swath_yaml_are_secrets_of_the_run(project_folder: Path) -> None:
    (project_folder / "swath.yaml").write_text("clusters: {far: {kind: address, url: 'tcp://${env:HOST_NAME}:1'}}\n")
    loaded = load_map(project_folder, MAP, cluster="far", env={"HOST_NAME": CANARY})
    assert loaded.spec.cluster == AddressCluster(url=f"tcp://{CANARY}:1")
    assert set(loaded.secrets) == {CANARY}
