"""All checks in their order: AWS by role, what is near this machine, and whether all name one image."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from producer.pins import Pin
from sealbatch.aws.clients import Connector
from sealbatch.config import Config, ConfigError
from sealbatch.doctor import Role, aws, host
from sealbatch.doctor.finding import Finding, Status
from sealbatch.fleet.allocator import ALLOCATOR
from wire.address import Address

PATIENCE: Final = 10.0
"""Seconds for which a call is tried again: who asks what is wrong does not want to wait for it to pass."""
NEEDED: Final = ("tenant", "bucket", "queue_url", "question_key", "answer_key", "image")


@dataclass(frozen=True, slots=True)
class Examination:
    """What is looked at, with the rights of `roles`, against the `pins` of releases or else the configured image."""

    config: Config
    roles: Sequence[Role] = tuple(Role)
    pins: Sequence[Pin] = ()
    enclaves: Sequence[Address] = ()
    allocator: Path = ALLOCATOR
    eif: Path | None = None

    def findings(self) -> Iterator[Finding]:
        """Each check's finding as soon as it is made; changes nothing."""
        yield from self._aws()
        yield from self._host()
        yield from host.check_image(self.config.resources.image, [pin.image for pin in self.pins], self.eif)

    def _wanted(self) -> Sequence[Pin]:
        image = self.config.resources.image
        return self.pins or ((Pin(image),) if image else ())

    def _aws(self) -> Iterator[Finding]:
        config = self.config
        if lacking := list(aws.required(config, NEEDED)):
            yield from lacking
            return
        yield from aws.check_region(config)
        for role in self.roles:
            try:
                connector = Connector(config, getattr(config.resources.profiles, role), patience=PATIENCE)
                found = list(aws.check_credentials(role, connector.client("sts")))
            except ConfigError as error:
                mend = f"correct profiles.{role}, or leave out the role"
                yield Finding(f"credentials {role}", Status.ERROR, str(error), mend)
                continue
            # The clock is one, whoever looks at it.
            yield from (one for one in found if one.check != "clock" or role == self.roles[0])
            if found[0].status is not Status.OK:
                continue
            if role is Role.PRODUCER:
                yield from aws.check_keys(config, connector.client("kms"), self._wanted())
            if role is Role.BRIDGE:
                yield from aws.check_queues(config, connector.client("sqs"))
                yield from aws.check_bucket(config, connector.client("s3"))

    def _host(self) -> Iterator[Finding]:
        resources = self.config.resources
        if resources.nightly or resources.schedules:
            from sealbatch.nightly.schedule import NightlySettings

            yield from host.check_redis(str(resources.nightly.get("redis_url", NightlySettings().redis_url)))
        for address in self.enclaves:
            yield from host.check_enclave(address, [pin.image for pin in self._wanted()])
        if "bridge" in self.roles or self.allocator != ALLOCATOR:
            yield from host.check_allocator(self.allocator, self.eif)
        yield from host.check_versions()
