"""Resources of the simulated Compute Engine beside instances: zones, networks, images, quotas, ..."""

from __future__ import annotations

import re

from tests.clouds.api_error import ApiError, Json

ZONES = {"us-central1": "abcf", "us-east1": "bcd", "europe-west4": "abc"}
MISSING = "missing"
"""Networks, images, machine types and projects whose names begin with it do not exist; all others do."""


class Catalogue:
    """All resources. `used` returns the number of instances."""

    def used(self) -> int:
        raise NotImplementedError

    def looked_up(self, path: dict[str, str], query: dict[str, str], body: Json) -> Json:
        """A resource; it exists unless its name begins with `missing`."""
        kind, name = path["kind"], path["name"]
        known = {"zones": all_zones(), "regions": list(ZONES)}.get(kind)
        if name.startswith(MISSING) or (known is not None and name not in known):
            raise ApiError(
                404, "notFound", f"The resource 'projects/{path['project']}/.../{kind}/{name}' was not found"
            )
        resource: Json = {"kind": f"compute#{kind.removesuffix('s')}", "name": name, "id": "1", "status": "READY"}
        cpus = re.search(r"-(\d+)$", name)
        if kind == "subnetworks":
            resource |= {"network": self._default(path), "ipCidrRange": "10.128.0.0/20", "privateIpGoogleAccess": True}
        if kind == "machineTypes":
            resource |= {"guestCpus": int(cpus[1]) if cpus else 2, "memoryMb": 4096 * (int(cpus[1]) if cpus else 2)}
        if kind in ("zones", "regions"):
            resource["status"] = "UP"
        if kind == "regions":
            base = f"https://www.googleapis.com/compute/v1/projects/{path['project']}/zones"
            resource["zones"] = [f"{base}/{name}-{letter}" for letter in ZONES[name]]
        if kind == "regions":
            metrics = {
                "CPUS": 72.0,
                "PREEMPTIBLE_CPUS": 72.0,
                "N2_CPUS": 72.0,
                "INSTANCES": 720.0,
                "SSD_TOTAL_GB": 2048.0,
                "NVIDIA_T4_GPUS": 1.0,
                "IN_USE_ADDRESSES": 8.0,
            }
            used = float(self.used())
            resource["quotas"] = [{"metric": key, "limit": limit, "usage": used} for key, limit in metrics.items()]
        return resource

    def family(self, path: dict[str, str], query: dict[str, str], body: Json) -> Json:
        return self.looked_up(path | {"kind": "images"}, query, body)

    def project(self, path: dict[str, str], query: dict[str, str], body: Json) -> Json:
        return {
            "kind": "compute#project",
            "name": path["project"],
            "defaultServiceAccount": f"1-compute@{path['project']}.iam.gserviceaccount.com",
            "quotas": [{"metric": "CPUS_ALL_REGIONS", "limit": 96.0, "usage": float(self.used())}],
        }

    def _default(self, path: dict[str, str]) -> str:
        return f"https://www.googleapis.com/compute/v1/projects/{path['project']}/global/networks/default"

    def account(self, path: dict[str, str], query: dict[str, str], body: Json) -> Json:
        return {"email": path["name"], "name": f"projects/{path['project']}/serviceAccounts/{path['name']}"}


def all_zones() -> list[str]:
    return [f"{region}-{letter}" for region, letters in ZONES.items() for letter in letters]
