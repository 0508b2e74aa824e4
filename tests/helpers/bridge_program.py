"""A bridge as a process of its own, for tests of its signals: ENDPOINT QUEUE_URL KEY_ARN ENCLAVE READY_FILE."""

import sys
from pathlib import Path

import boto3

from vsock_bridge.clients import Clients
from vsock_bridge.main import run
from vsock_bridge.settings import BridgeSettings
from wire.address import Address

endpoint, queue_url, key, enclave, ready = sys.argv[1:]
session = boto3.session.Session("testing", "testing", region_name="eu-central-1")
clients = Clients(*(session.client(name, endpoint_url=endpoint) for name in ("kms", "s3", "sqs")))  # type: ignore[call-overload]
settings = BridgeSettings(queue_url, "bucket", key, (Address.parse(enclave),), visibility=600, wait=1, grace=60.0)
sys.exit(run(settings, clients, Path(ready).touch))
