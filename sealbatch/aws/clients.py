"""boto3 clients for each role, from the configuration; the only place that makes any."""

from io import BytesIO
from typing import Any, Final

import boto3
import botocore.session
from botocore.exceptions import BotoCoreError, ProfileNotFound

from producer.clients import Clients as ProducerClients
from sealbatch.aws.calls import OPTIONS, PATIENCE, Calls
from sealbatch.aws.clock import SkewWatch
from sealbatch.aws.credentials import keep_fresh
from sealbatch.config import Config, ConfigError
from vsock_bridge.clients import Clients as BridgeClients

BRIDGE_PATIENCE: Final = 20.0
"""Seconds: a bridge's messages come again by themselves, it ends in a stated time, and enclaves wait 30 s for a key."""
SMALL: Final = 1 << 20
"""Bytes of an object that are sent without asking first."""


class Connector:
    """Makes clients for one role's profile."""

    def __init__(self, config: Config, profile: str | None, *, patience: float = PATIENCE) -> None:
        """Read the profile; `patience` is how many seconds a call is tried again.

        Raises:
            ConfigError: there is no such profile.
        """
        core = botocore.session.Session(profile=profile)
        if config.resources.credentials_file is not None:
            core.set_config_variable("credentials_file", config.resources.credentials_file)
        try:
            keep_fresh(core)
            events = core.get_component("event_emitter")
            events.register("after-call", SkewWatch().look)
            events.register_last("before-call.s3", put_at_once)
            self._session = boto3.session.Session(botocore_session=core, region_name=config.resources.region)
        except ProfileNotFound:
            raise ConfigError(f"{config.source}: AWS has no profile {profile}") from None
        self._config = config
        self._calls = Calls(core.get_credentials, patience=patience)

    def client(self, service: Any) -> Any:
        """A client of one service.

        Raises:
            ConfigError: the region or the endpoint is missing or wrong.
        """
        try:
            client: Any = self._session.client(
                service, endpoint_url=self._config.resources.endpoint_url, config=OPTIONS
            )
        except (BotoCoreError, ValueError) as error:
            raise ConfigError(
                f"{self._config.source}: no AWS client for {service} ({type(error).__name__}): "
                "check region, endpoint_url and profiles"
            ) from None
        self._calls.attach(client)
        return client


def put_at_once(params: dict[str, Any], **_: Any) -> None:
    """Send a small object with its headers; botocore asks S3 first whether it wants the body of any, a round trip more.

    It is called by botocore before each call, and with a tenth of a large job's processor time saved by it.
    """
    body = params["body"]
    if isinstance(body, BytesIO) and body.tell() == 0 and body.getbuffer().nbytes <= SMALL:
        params["body"] = body.getvalue()
        params["headers"].pop("Expect", None)


def producer_clients(config: Config) -> ProducerClients:
    """Clients with the producer's role."""
    connector = Connector(config, config.resources.profiles.producer)
    return ProducerClients(*(connector.client(service) for service in ("kms", "s3", "sqs")))


def bridge_clients(config: Config) -> BridgeClients:
    """Clients with the bridge's role."""
    connector = Connector(config, config.resources.profiles.bridge, patience=BRIDGE_PATIENCE)
    return BridgeClients(*(connector.client(service) for service in ("kms", "s3", "sqs")))


def reader_s3(config: Config) -> Any:
    """S3 with the reader's role."""
    return Connector(config, config.resources.profiles.reader).client("s3")


def reader_kms(config: Config) -> Any:
    """KMS with the reader's role."""
    return Connector(config, config.resources.profiles.reader).client("kms")
