"""The last command of a machine on Compute Engine: it deletes its own instance, when it has not been deleted before.

    python -m swath.cluster.machine.self_removal --after-s 120

An instance that is powered off is still paid for. This needs the right to delete (infra/iam/gcp-self-removal.yaml); without it the
instance stays until its time limit. Normally the client deletes its machines, or else its guardian.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence

from swath.cluster.machine.metadata import GOOGLE, read_metadata

AFTER_S = 120.0
"""Time for the client or the guardian to read its console and delete it."""
ENDPOINT = "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE"
"""Environment variable with the address of another Compute Engine, as the gcloud command reads it."""
DEFAULT_ENDPOINT = "https://compute.googleapis.com/compute/v1/"
TIMEOUT_S = 30.0
ATTEMPTS = 10
ATTEMPT_INTERVAL_S = 30.0
log = logging.getLogger(__name__)


def remove() -> None:
    """Ask Compute Engine to delete this instance. Raises OSError (urllib's HTTPError when that is not allowed)."""
    instance, project = "/computeMetadata/v1/instance", read_metadata("/computeMetadata/v1/project/project-id", GOOGLE)
    name, zone = read_metadata(f"{instance}/name", GOOGLE), read_metadata(f"{instance}/zone", GOOGLE).rpartition("/")[2]
    token = json.loads(read_metadata(f"{instance}/service-accounts/default/token", GOOGLE))["access_token"]
    address = f"{os.environ.get(ENDPOINT) or DEFAULT_ENDPOINT}projects/{project}/zones/{zone}/instances/{name}"
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {token}"}, method="DELETE")
    with urllib.request.urlopen(request, timeout=TIMEOUT_S):
        return


def main(arguments: Sequence[str]) -> int:
    """Wait, then ask until the request is accepted or refused. Returns an exit code."""
    parser = argparse.ArgumentParser(prog="python -m swath.cluster.machine.self_removal")
    parser.add_argument("--after-s", type=float, default=AFTER_S)
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    time.sleep(parser.parse_args(arguments).after_s)
    for _ in range(ATTEMPTS):
        try:
            remove()
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                log.warning("this machine may not delete itself, and stays until its time limit: %s", error)
                return 1
            log.warning("this machine could not delete itself: %s", error)
        except (OSError, ValueError, KeyError) as error:
            log.warning("this machine could not delete itself: %s", error)
        else:
            return 0
        time.sleep(ATTEMPT_INTERVAL_S)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
