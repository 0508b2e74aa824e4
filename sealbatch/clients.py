"""boto3 clients for each role, from the configuration; the only place that makes any."""

from typing import Any

import boto3
import botocore.session
from botocore.config import Config as BotoConfig
from botocore.exceptions import BotoCoreError, ProfileNotFound

from producer.clients import Clients as ProducerClients
from sealbatch.clock import SkewWatch
from sealbatch.config import Config, ConfigError
from sealbatch.credentials import keep_fresh
from vsock_bridge.bridge import Clients as BridgeClients

# botocore's standard mode retries with jitter, three attempts in all; nothing is stacked on it.
_OPTIONS = BotoConfig(
    retries={"mode": "standard", "total_max_attempts": 3},
    connect_timeout=10,
    read_timeout=60,
    max_pool_connections=32,
)


class Connector:
    """Makes clients for one role's profile."""

    def __init__(self, config: Config, profile: str | None) -> None:
        """Read the profile.

        Raises:
            ConfigError: there is no such profile.
        """
        core = botocore.session.Session(profile=profile)
        if config.resources.credentials_file is not None:
            core.set_config_variable("credentials_file", config.resources.credentials_file)
        try:
            keep_fresh(core)
            core.get_component("event_emitter").register("after-call", SkewWatch().look)
            self._session = boto3.session.Session(botocore_session=core, region_name=config.resources.region)
        except ProfileNotFound:
            raise ConfigError(f"{config.source}: AWS has no profile {profile}") from None
        self._config = config

    def client(self, service: Any) -> Any:
        """A client of one service.

        Raises:
            ConfigError: the region or the endpoint is missing or wrong.
        """
        try:
            return self._session.client(service, endpoint_url=self._config.resources.endpoint_url, config=_OPTIONS)
        except (BotoCoreError, ValueError) as error:
            raise ConfigError(
                f"{self._config.source}: no AWS client for {service} ({type(error).__name__}): "
                "check region, endpoint_url and profiles"
            ) from None


def producer_clients(config: Config) -> ProducerClients:
    """Clients with the producer's role."""
    connector = Connector(config, config.resources.profiles.producer)
    return ProducerClients(*(connector.client(service) for service in ("kms", "s3", "sqs")))


def bridge_clients(config: Config) -> BridgeClients:
    """Clients with the bridge's role."""
    connector = Connector(config, config.resources.profiles.bridge)
    return BridgeClients(*(connector.client(service) for service in ("kms", "s3", "sqs")))


def reader_s3(config: Config) -> Any:
    """S3 with the reader's role."""
    return Connector(config, config.resources.profiles.reader).client("s3")


def reader_kms(config: Config) -> Any:
    """KMS with the reader's role."""
    return Connector(config, config.resources.profiles.reader).client("kms")
