"""How questions are to be asked: what holds where a line says nothing, and what holds for the job."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from producer.chunks import ChunkLimits
from producer.clients import Clients
from producer.fields import read_params
from producer.key_guard import require_images
from producer.pins import Pin
from producer.problem import BadLineError
from producer.settings import ProducerSettings
from producer.submission import SubmitOptions
from results_consumer.trust import Release
from sealbatch.arguments import check_types
from sealbatch.config import Config
from sealbatch.errors import OptionError
from sealbatch.secret import make_idempotency
from sealbatch.times import JobTimes, spell_moment, spell_span
from wire.manifest import Parameters, Retry
from wire.measurement import MODEL_PCR
from wire.payload import Params


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """The arguments of `Client.submit`, which says what each means."""

    max_tokens: int | None = None
    temperature: float = 0.0
    seed: int | None = None
    stop: Sequence[str] = ()
    name: str = ""
    chunk_size: int | None = None
    skip_invalid: bool = False
    deadline: datetime | str | None = None
    completion_window: timedelta | str | None = None
    not_before: datetime | str | None = None
    idempotency_key: str | None = None
    require: Sequence[Release] = ()

    def __post_init__(self) -> None:
        """Refuse what is of a wrong type; what generation takes is checked where lines are.

        Raises:
            OptionError: something is.
        """
        check_types(
            stop=self.stop,
            name=self.name,
            chunk_size=self.chunk_size,
            skip_invalid=self.skip_invalid,
            deadline=self.deadline,
            completion_window=self.completion_window,
            not_before=self.not_before,
            idempotency_key=self.idempotency_key,
            require=self.require,
        )

    def params(self) -> Params:
        """What holds where a line says nothing.

        Raises:
            OptionError: a value is out of range.
        """
        fields = {
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "seed": self.seed,
            "stop": list(self.stop),
        }
        try:
            return read_params(fields, Params())
        except BadLineError as error:
            raise OptionError(error.param or "options", error.message) from None

    def options(
        self, config: Config, *, dry_run: bool, retry: Retry | None = None, retry_key: bytes | None = None
    ) -> SubmitOptions:
        """As the producer takes them; `retry_key` is the first answer key of the job that is repeated.

        Raises:
            OptionError: a value is out of range, or a time is none. ConfigError: there is no secret for the key.
        """
        moments = spell_moment(self.deadline), spell_span(self.completion_window), spell_moment(self.not_before)
        times = JobTimes(*moments)
        try:
            deadline, not_before = times.resolve(time.time_ns() // 1_000_000)
            return SubmitOptions(
                limits=ChunkLimits() if self.chunk_size is None else ChunkLimits(records=self.chunk_size),
                parameters=Parameters(self.name, deadline, not_before, retry),
                skip_invalid=self.skip_invalid or retry is not None,
                dry_run=dry_run,
                idempotency=make_idempotency(config, self.idempotency_key, times),
                retry_key=retry_key,
            )
        except OptionError:
            raise
        except ValueError as error:
            raise OptionError.of(error) from None

    def check_policies(self, settings: ProducerSettings, clients: Clients | None) -> None:
        """If releases are required: the image that is sealed for is one, and neither key's policy admits any other.

        Raises:
            OptionError: the configured image is none of them.
            KeyRefused: a policy admits another. ServiceError: KMS does not give it.
        """
        pins = tuple(pin_of(release) for release in self.require)
        if not pins:
            return
        if settings.image not in {pin.image for pin in pins}:
            raise OptionError(
                "require_pcr0", f"the configured image is {settings.image[:16]}..., which is none of them"
            )
        if clients is not None:
            require_images(clients.kms, settings, pins)


def pin_of(release: Release) -> Pin:
    """The enclave that a release is: PCR0 and, where it is stated, the model's register."""
    model = release.pcrs.get(MODEL_PCR)
    return Pin(release.pcrs[0].hex(), None if model is None else model.hex())
