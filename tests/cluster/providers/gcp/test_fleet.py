from __future__ import annotations

from swath.cluster.providers.gcp.fleet import GceFleet, machine_of
from swath.cluster.providers.machine import Machine


def test_a_stopped_machine_and_one_with_labels_that_cannot_be_read_are_machines_too() -> None:
    listed = {
        "id": "42",
        "name": "swath-w1",
        "status": "TERMINATED",
        "machineType": "https://host/compute/v1/projects/p/zones/z/machineTypes/n2-standard-4",
        "labels": {"swath-run": "r", "swath-role": "worker", "swath-expires": "1767225601"},
    }
    assert machine_of("z", listed) == Machine(
        "42", "swath-w1", "r", "worker", 1767225601, "z", "TERMINATED", "n2-standard-4"
    )
    assert machine_of("z", {"name": "n", "labels": {"swath-expires": "soon"}}).expires == 0


def test_the_command_that_removes_a_machine_by_hand_names_project_and_zone() -> None:
    machine = Machine("42", "swath-w1", "r", "worker", 0, "europe-west4-a", "RUNNING")
    command = GceFleet("acme-maps").removal_command(machine)
    assert command == "gcloud compute instances delete swath-w1 --project=acme-maps --zone=europe-west4-a --quiet"
