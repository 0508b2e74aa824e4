"""A schedule as `sealbatch.toml` describes it, and the settings of the nights."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from producer.chunks import ChunkLimits
from producer.forms import InputForm
from sealbatch.nightly.cron import Cron
from sealbatch.times import parse_span
from wire.names import KEY_ARN, TENANT
from wire.payload import MAX_STOP, MAX_STOPS, MAX_TOKENS, Params

OWN: Final = ".sealbatch"
NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")
TOPIC: Final = re.compile(r"arn:aws[a-z-]{0,16}:sns:[a-z0-9-]{1,32}:[0-9]{12}:[A-Za-z0-9_.-]{1,256}")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ScheduleParameters(_Strict):
    """What holds for every file of a schedule where its lines say nothing, and how its files are read."""

    max_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = None
    """Longest answer, in tokens; without it the enclave's own."""
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    """0 always takes the likeliest word."""
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    """Seed of the sampling."""
    stop: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=MAX_STOP)], ...], Field(max_length=MAX_STOPS)
    ] = ()
    """An answer ends before any of these texts; four at most, of 64 characters at most."""
    chunk_size: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Records sealed together, if not 32."""
    skip_invalid: bool = False
    """Whether a file with invalid lines is taken, those lines getting an error for an answer."""
    format: Literal["auto", "jsonl", "csv"] = "auto"
    """How files are read; `auto` goes by the name or the first line."""
    id_column: str | None = None
    """CSV column of the custom_id, if not `custom_id`."""
    question_column: str | None = None
    """CSV column of the question, if not `question`."""
    delimiter: Annotated[str, Field(min_length=1, max_length=1, pattern=r'^[^"\r\n\x00]$')] | None = None
    """Character between CSV cells, if not a comma."""

    def params(self) -> Params:
        """As a record takes them."""
        return Params(max_tokens=self.max_tokens, temperature=self.temperature, seed=self.seed, stop=self.stop)

    def form(self, name: str) -> InputForm:
        """How to read the file `name`."""
        return InputForm(self.format, name, self.id_column, self.question_column, self.delimiter)

    def limits(self) -> ChunkLimits:
        """Where a chunk ends."""
        return ChunkLimits() if self.chunk_size is None else ChunkLimits(records=self.chunk_size)


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an http or https URL")
    return value


class Tell(_Strict):
    """Who is told: exactly one of a command, a webhook, an SNS topic. Each is told ids and counts, never content."""

    command: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)] | None = None
    """A program and its arguments; it gets the event on standard input."""
    webhook: Annotated[str, AfterValidator(_web_address)] | None = None
    """An http or https URL; the event is posted to it."""
    sns_topic: Annotated[str, Field(pattern=f"^{TOPIC.pattern}$")] | None = None
    """A topic's ARN; the event is published to it."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(value is not None for value in (self.command, self.webhook, self.sns_topic)) != 1:
            raise ValueError("must have exactly one of command, webhook and sns_topic")
        return self

    @property
    def kind(self) -> str:
        """`command`, `webhook` or `sns`. The address itself may hold a secret and is not shown."""
        return "command" if self.command is not None else "webhook" if self.webhook is not None else "sns"


def _folder(value: str) -> str:
    """An absolute path."""
    if not value.startswith("/"):
        raise ValueError("must be an absolute path")
    return value.rstrip("/") or "/"


def in_s3(place: str) -> bool:
    """Whether a place is in S3, and no folder."""
    return place.startswith("s3://")


def split_place(value: str) -> tuple[str, str]:
    """Bucket and prefix of `s3://bucket/prefix`."""
    bucket, _, prefix = value.removeprefix("s3://").partition("/")
    return bucket, prefix


def _place(value: str) -> str:
    """A directory's absolute path or `s3://bucket/prefix`."""
    if not in_s3(value):
        return _folder(value)
    bucket, prefix = split_place(value)
    if not bucket or not prefix.strip("/"):
        raise ValueError("must be s3://BUCKET/PREFIX")
    return value.rstrip("/")


Duration = Annotated[timedelta, BeforeValidator(lambda value: parse_span(str(value)))]
Folder = Annotated[str, AfterValidator(_folder)]
Place = Annotated[str, AfterValidator(_place)]


class Schedule(_Strict):
    """One nightly job: when, from where, how, where to, and who is told."""

    name: Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
    """What it is called; stands once."""
    cron: str
    """When it fires: five fields."""
    time_zone: str
    """Whose clock `cron` reads, such as `Europe/Berlin`."""
    inbox: Place
    """Absolute path of a folder on a disk that all workers see, or `s3://BUCKET/PREFIX` with sealed files."""
    inbox_key: Annotated[str, Field(pattern=f"^{KEY_ARN.pattern}$")] | None = None
    """For an inbox in S3: the KMS key of its files."""
    work: Folder | None = None
    """For an inbox in S3: a folder that all workers see, for what an inbox in a folder keeps in itself."""
    answers: Place
    """Such a folder, or `s3://BUCKET/PREFIX`, written with the reader's profile and encrypted under KMS."""
    tenant: Annotated[str, Field(pattern=f"^{TENANT.pattern}$")] | None = None
    """Whose questions these are; without it the file's own `tenant`."""
    deadline: Duration | None = None
    """From the firing; what is not answered by then is expired."""
    settle: Duration = timedelta(seconds=60)
    """A file is taken when it has not changed for so long."""
    pick_up_for: Duration = timedelta(minutes=15)
    """Files that settle until so long after the firing belong to it."""
    parameters: ScheduleParameters = ScheduleParameters()
    """How its files are read and answered; below."""
    tell: tuple[Tell, ...] = ()
    """Who is told when a run has ended or needs a person; below."""

    @model_validator(mode="after")
    def _inbox_is_whole(self) -> Self:
        there = self.inbox_key is not None, self.work is not None
        if self.in_s3 and there != (True, True):
            raise ValueError("an inbox in S3 needs inbox_key and work beside it")
        if not self.in_s3 and there != (False, False):
            raise ValueError("inbox_key and work are for an inbox in S3")
        return self

    @field_validator("time_zone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError('must be a time zone such as "America/New_York" or "UTC"') from None
        return value

    @field_validator("cron")
    @classmethod
    def _cron_fires(cls, value: str) -> str:
        Cron(value, ZoneInfo("UTC"))
        return value

    @property
    def when(self) -> Cron:
        """Its firings."""
        return Cron(self.cron, ZoneInfo(self.time_zone))

    @property
    def in_s3(self) -> bool:
        """Whether its inbox is in S3."""
        return in_s3(self.inbox)

    @property
    def own(self) -> Path:
        """The folder of its records, and of files while they are worked on."""
        return Path(self.work or self.inbox) / OWN / self.name


def _size(value: Any) -> Any:
    """Bytes, from a number or a text such as `64 MB`."""
    match = re.fullmatch(r"([1-9][0-9]{0,8})\s*([KMG])B", value.strip()) if isinstance(value, str) else None
    return value if match is None else int(match[1]) * 1000 ** (" KMG".index(match[2]))


class NightlySettings(_Strict):
    """What all schedules share."""

    redis_url: Annotated[str, Field(pattern=r"^(rediss?://[^\s]+|unix:///[^\s]+)$")] = "redis://127.0.0.1:6379/0"
    """Any Redis or Valkey with `maxmemory-policy noeviction`: `redis://`, `rediss://` or `unix:///path`."""
    tick: Duration = timedelta(seconds=30)
    """How often beat looks at what is to be done."""
    lost_after: Annotated[Duration, Field(ge=timedelta(seconds=3))] = timedelta(seconds=30)
    """The work of a worker that gives no sign of life for so long is given to another."""
    range_size: Annotated[int, BeforeValidator(_size), Field(ge=1_000_000)] = 32_000_000
    """Bytes, or `"64 MB"`; a larger file of JSON lines is cut into ranges that many workers seal."""
    keep_runs: Annotated[Duration, Field(ge=timedelta(days=1))] = timedelta(days=90)
    """How long records of closed runs are kept."""
    max_attempts: Annotated[int, Field(ge=1, le=1000)] = 5
    """How often a step on a file may end the worker that runs it before the file is set aside."""
