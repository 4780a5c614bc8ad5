"""A machine on Compute Engine has itself deleted when its container has ended and nobody deletes it.

    python -m swath.cluster.machine.self_removal --after-s 120

Powered off it would still be paid for. It takes the right to delete (infra/iam/gcp-self-removal.yaml); without it the machine stays
until its time limit. This is the last brake but one: a client deletes its machines, and so does its guardian.
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

from swath.cluster.machine.metadata import GOOGLE, asked

AFTER_S = 120.0
"""What a client or a guardian has for deleting it, and for reading its console."""
ENDPOINT = "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE"
"""Environment variable with the address of another Compute Engine, as the gcloud command reads it."""
GOOGLES = "https://compute.googleapis.com/compute/v1/"
TIMEOUT_S = 30.0
TRIES = 10
EVERY_S = 30.0
log = logging.getLogger(__name__)


def remove() -> None:
    """Ask Compute Engine to delete this machine. Raises OSError (urllib's HTTPError when it may not)."""
    instance, project = "/computeMetadata/v1/instance", asked("/computeMetadata/v1/project/project-id", GOOGLE)
    name, zone = asked(f"{instance}/name", GOOGLE), asked(f"{instance}/zone", GOOGLE).rpartition("/")[2]
    token = json.loads(asked(f"{instance}/service-accounts/default/token", GOOGLE))["access_token"]
    address = f"{os.environ.get(ENDPOINT) or GOOGLES}projects/{project}/zones/{zone}/instances/{name}"
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {token}"}, method="DELETE")
    with urllib.request.urlopen(request, timeout=TIMEOUT_S):
        return


def main(words: Sequence[str]) -> int:
    """Wait, then ask until it is taken or refused."""
    parser = argparse.ArgumentParser(prog="python -m swath.cluster.machine.self_removal")
    parser.add_argument("--after-s", type=float, default=AFTER_S)
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    time.sleep(parser.parse_args(words).after_s)
    for _ in range(TRIES):
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
        time.sleep(EVERY_S)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
