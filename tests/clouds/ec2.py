"""Simulated EC2 (and S3): moto's, where every instance is a machine that boots from its user data. `python -m tests.clouds.ec2`."""

from __future__ import annotations

import argparse
import base64
import datetime
import io
import itertools
import json
import logging
import re
import sys
import threading
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from tests.clouds.control import serve, until_closed
from tests.clouds.faults import Fault
from tests.clouds.machine import Machine
from tests.clouds.simulator import Simulator
from tests.infra.policy import Policy, requests

REGION = "us-east-1"
ACCOUNT = "123456789012"
USER_DATA_BYTES = 16384
Environ = dict[str, Any]
Start = Callable[..., Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder for all files of the simulation; is emptied")
    simulator = Simulator(parser.parse_args().root)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    cloud = Ec2(simulator)
    ready = {
        "kind": "ec2",
        "root": str(simulator.root),
        "control": serve(cloud.functions()),
        "endpoint": cloud.endpoint,
        "environment": cloud.environment("client"),
        "network": cloud.network,
    }
    until_closed(ready, sys.stdin, sys.stdout)
    simulator.reset()


class Ec2:
    """moto's server, with a log of calls, faults, and a machine for each instance."""

    def __init__(self, simulator: Simulator) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
        from werkzeug.serving import make_server

        self._simulator = simulator
        self._addresses = (f"{simulator.prefix}.{n // 250 + 64}.{n % 250 + 1}" for n in itertools.count())
        self._instances: dict[str, Any] = {}
        self._user = ""
        self._by_token: dict[str, Any] = {}
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._tie_instances()
        server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=MotoRequestHandler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{server.port}"
        simulator.environment = self.environment("machine")
        self.network = self._network()
        self._add_managed_policy("AmazonEC2ContainerRegistryPullOnly")
        simulator.watch(self._powered_off)

    def environment(self, who: str) -> dict[str, str]:
        """Variables that lead there; the access key's id says who calls."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": who,
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    # --- control

    def functions(self) -> dict[str, Callable[..., Any]]:
        own = {"alive": self.alive, "reclaim": self.reclaim, "reset": self.reset, "act_as": self.act_as}
        return self._simulator.functions() | own

    def act_as(self, who: str) -> None:
        """From now on, clients have only the rights of a user's policies, and machines those of the role swath-worker. Empty: all."""
        self._user = who

    def alive(self) -> list[dict[str, Any]]:
        return [
            self._simulator.describe(instance.id)
            | {
                "name": labels.get("Name", ""),
                "labels": labels,
                "state": instance.state,
                "type": instance.instance_type,
            }
            for instance in list(self._instances.values())
            if instance.state != "terminated"
            for labels in [{tag["key"]: tag["value"] for tag in instance.get_tags()}]
        ]

    def reclaim(self, machine: str, notice_s: float = 0.0) -> None:
        from moto.ec2.models.instances import StateReason

        def take() -> None:
            instance = self._instances[machine]
            if instance.state != "terminated":
                instance.terminate()
                instance._reason = "Server.SpotInstanceTermination"
                instance.state_reason = StateReason(
                    "Server.SpotInstanceTermination: Spot instance termination", "Server.SpotInstanceTermination"
                )

        if not notice_s:
            return take()
        at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=notice_s)
        self._simulator.machines[machine].notice = at.strftime("%Y-%m-%dT%H:%M:%SZ")
        timer = threading.Timer(notice_s, take)
        timer.daemon = True
        return timer.start()

    def reset(self) -> None:
        from moto.ec2 import ec2_backends

        with self._simulator.lock:
            for instance in list(self._instances.values()):
                if instance.state != "terminated":
                    instance.terminate()
            for backend in ec2_backends[ACCOUNT].values():
                backend.reservations.clear()
            self._instances.clear()
            self._by_token.clear()
        self._user = ""
        self._simulator.reset()

    # --- moto's instances

    def _network(self) -> dict[str, Any]:
        from moto.ec2 import ec2_backends

        backend = ec2_backends[ACCOUNT][REGION]
        vpc = backend.create_vpc("10.0.0.0/16")
        subnet = backend.create_subnet(vpc.id, "10.0.0.0/20")
        group = backend.create_security_group("swath", "machines of clusters", vpc.id)
        rules: tuple[tuple[str, str, dict[str, Any]], ...] = (
            ("8786", "8786", {"ip_ranges": [{"CidrIp": "192.0.2.0/24"}]}),
            ("0", "65535", {"ip_ranges": [], "source_groups": [{"GroupId": group.id}]}),
        )
        for first, last, who in rules:
            backend.authorize_security_group_ingress(group.id, "tcp", first, last, vpc_id=vpc.id, **who)
        image = next(each for each in backend.describe_images() if "ubuntu" in each.name)
        return {
            "region": REGION,
            "vpc": vpc.id,
            "subnet": subnet.id,
            "security_group": group.id,
            "image": image.id,
        }

    def _add_managed_policy(self, name: str) -> None:
        """One of AWS's own policies; moto has all of them or none."""
        from moto.iam import iam_backends
        from moto.iam.aws_managed_policies import aws_managed_policies_data
        from moto.iam.models import AWSManagedPolicy

        policy = AWSManagedPolicy.from_data(name, ACCOUNT, "us-east-1", json.loads(aws_managed_policies_data)[name])
        iam_backends[ACCOUNT]["aws"].managed_policies[policy.arn] = policy

    def _tie_instances(self) -> None:
        """Have moto's instances boot, and end, on their own addresses. As on EC2, and other than in moto, the same client token
        gives the same instance, and what has ended can be ended again."""
        from moto.ec2.models.instances import Instance, InstanceBackend

        run, terminate, stop = InstanceBackend.run_instances, Instance.terminate, Instance.stop

        def run_instances(backend: Any, *arguments: Any, **options: Any) -> Any:
            token = options.get("client_token")
            with self._simulator.lock:
                if token and token in self._by_token:
                    return self._by_token[token]
                reservation = run(backend, *arguments, **options)
                for instance in reservation.instances:
                    address = next(self._addresses)
                    nic = instance.nics[0]
                    nic.private_ip_address = address
                    for each in nic.private_ip_addresses:
                        if each.get("Primary", True):
                            each["PrivateIpAddress"] = address
                    nic.public_ip = address if nic.public_ip_auto_assign else None
                    self._simulator.add(instance.id, address, base64.b64decode(str(instance.user_data or "")))
                    self._instances[instance.id] = instance
                if token:
                    self._by_token[token] = reservation
                return reservation

        def terminate_once(instance: Any) -> Any:
            with self._simulator.lock:
                before = instance._state if instance.state == "terminated" else terminate(instance)
            self._simulator.end(instance.id)
            return before

        def stop_machine(instance: Any) -> Any:
            before = stop(instance)
            self._simulator.end(instance.id)
            return before

        vars_of: Any = InstanceBackend
        vars_of.run_instances = run_instances
        methods: Any = Instance
        methods.terminate, methods.stop = terminate_once, stop_machine

    def _powered_off(self, machine: Machine) -> None:
        instance = self._instances.get(machine.id)
        if instance is None:  # everything was reset at that moment
            return
        if instance.instance_initiated_shutdown_behavior == "terminate":
            instance.terminate()
        else:
            instance.stop()

    # --- calls

    def _answer(self, environ: Environ, start: Start) -> Iterable[bytes]:
        who, service, action, parameters = called(environ)
        if not action:
            return self._moto(environ, start)
        if refused := self._refused(who, service, action, parameters):
            self._simulator.calls.add(who, service, action, without_secrets(parameters), 403, None)
            code = "UnauthorizedOperation" if service == "ec2" else "AccessDenied"
            return xml(start, 403, error(service, Fault(action, code, message=refused)))
        fault = self._simulator.faults.of(action)
        code = fault.code if fault else None
        statuses: list[int] = []

        def noting(status: str, headers: Any, problem: Any = None) -> Any:
            statuses.append(int(status.split()[0]))
            return start(status, headers, problem) if problem else start(status, headers)

        if fault is None:
            if service == "ec2" and (own := self._own_answer(action, parameters)):
                status, text = own
                body: Iterable[bytes] = xml(start, status, text)
                statuses.append(status)
            else:
                body = self._moto(environ, noting)
        else:
            if fault.when == "after":
                unseen = self._moto(environ, lambda status, headers, problem=None: None)
                b"".join(unseen)
            body = xml(start, fault.status, error(service, fault))
            statuses.append(fault.status)
        self._simulator.calls.add(
            who, service, action, without_secrets(parameters), statuses[0] if statuses else 0, code
        )
        return body

    def _refused(self, who: str, service: str, action: str, parameters: dict[str, Any]) -> str:
        """Why a call is not allowed; empty when it is."""
        from moto.iam import iam_backends

        if not self._user or who not in ("client", "machine"):
            return ""
        iam = iam_backends[ACCOUNT]["aws"]
        if who == "client":
            attached = iam.get_user(self._user).managed_policies.values()
            documents = [next(each.document for each in policy.versions if each.is_default) for policy in attached]
        else:
            documents = list(iam.get_role("swath-worker").policies.values())
        policies = [Policy(who, json.loads(each)["Statement"]) for each in documents]
        call = {"service": service, "action": action, "parameters": parameters}
        for request in requests(call, REGION):
            if not any(policy.allows(request) for policy in policies):
                return f"{who} is not allowed to {request.action} on {request.resource}"
        return ""

    def _own_answer(self, action: str, parameters: dict[str, Any]) -> tuple[int, str] | None:
        """The response to calls that moto answers otherwise than EC2."""
        if action == "RunInstances":
            size = len(base64.b64decode(parameters.get("UserData", "")))
            if size > USER_DATA_BYTES:
                message = f"User data is limited to {USER_DATA_BYTES} bytes"
                return 400, error("ec2", Fault(action, "InvalidParameterValue", message=message))
        machine = self._simulator.machines.get(parameters.get("InstanceId", ""))
        if action == "GetConsoleOutput" and machine is not None:
            output = base64.b64encode(machine.console.encode()[-65536:]).decode()
            now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
            return 200, (
                '<GetConsoleOutputResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>simulated</requestId>'
                f"<instanceId>{machine.id}</instanceId><timestamp>{now}</timestamp><output>{output}</output>"
                "</GetConsoleOutputResponse>"
            )
        return None


def called(environ: Environ) -> tuple[str, str, str, dict[str, Any]]:
    """(who, service, action, parameters) of a request; the action is empty where none was found. The body can be read again."""
    signed = re.search(r"Credential=([^/]*)/[^/]*/[^/]*/([^/]*)/", environ.get("HTTP_AUTHORIZATION", ""))
    who, service = signed.groups() if signed else ("anonymous", "s3")
    if service == "s3":
        return who, service, *of_s3(environ)
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(length)
    environ["wsgi.input"] = io.BytesIO(body)
    if target := environ.get("HTTP_X_AMZ_TARGET", ""):
        return who, service, target.rpartition(".")[2], {"body": body.decode(errors="replace")}
    form = dict(urllib.parse.parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
    form |= dict(urllib.parse.parse_qsl(environ.get("QUERY_STRING", "")))
    action = form.pop("Action", "")
    form.pop("Version", None)
    return who, service, action, form


def of_s3(environ: Environ) -> tuple[str, dict[str, Any]]:
    """(action, parameters) of a request to S3, addressed by path."""
    bucket, _, key = environ.get("PATH_INFO", "/").lstrip("/").partition("/")
    query = dict(urllib.parse.parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    method, of = environ["REQUEST_METHOD"], "Object" if key else "Bucket"
    parameters = {"Bucket": bucket, **({"Key": key} if key else {}), **query}
    if not bucket:
        return ("ListBuckets" if method == "GET" else ""), parameters
    parts = {
        "POST": "CompleteMultipartUpload",
        "PUT": "UploadPart",
        "DELETE": "AbortMultipartUpload",
        "GET": "ListParts",
    }
    if "uploadId" in query:
        return parts.get(method, ""), parameters
    if method == "POST":
        return (
            "CreateMultipartUpload" if "uploads" in query else "DeleteObjects" if "delete" in query else ""
        ), parameters
    if method == "GET" and not key:
        kinds = {
            "location": "GetBucketLocation",
            "versioning": "GetBucketVersioning",
            "uploads": "ListMultipartUploads",
        }
        named = next((action for part, action in kinds.items() if part in query), None)
        return named or ("ListObjectsV2" if query.get("list-type") == "2" else "ListObjects"), parameters
    if method == "PUT" and key and "HTTP_X_AMZ_COPY_SOURCE" in environ:
        return "CopyObject", parameters | {"CopySource": environ["HTTP_X_AMZ_COPY_SOURCE"]}
    if method == "PUT" and not key:
        return "CreateBucket", parameters
    return {"GET": "Get", "HEAD": "Head", "PUT": "Put", "DELETE": "Delete"}.get(method, "") + of, parameters


def without_secrets(parameters: dict[str, Any]) -> dict[str, Any]:
    """User data contains TLS keys: only its size is logged."""
    if "UserData" not in parameters:
        return parameters
    return parameters | {"UserData": f"{len(base64.b64decode(parameters['UserData']))} bytes"}


def error(service: str, fault: Fault) -> str:
    """Body of an error response of EC2 or S3."""
    inner = f"<Code>{escape(fault.code)}</Code><Message>{escape(fault.message)}</Message>"
    if service == "s3":
        return f"<Error>{inner}<RequestId>simulated</RequestId></Error>"
    return f"<Response><Errors><Error>{inner}</Error></Errors><RequestID>simulated</RequestID></Response>"


def xml(start: Start, status: int, text: str) -> Iterator[bytes]:
    body = f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode()
    start(f"{status} status", [("Content-Type", "text/xml;charset=UTF-8"), ("Content-Length", str(len(body)))])
    return iter([body])


if __name__ == "__main__":
    main()
