"""The Python API: what a program does with Sealbatch, and what the command itself does it with."""

import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

from producer.clients import Clients as ProducerClients
from producer.submission import Phase, Submission, SubmitProgress
from producer.submit import submit
from results_consumer.trust import Release
from sealbatch.arguments import check_types
from sealbatch.aws.clients import producer_clients, reader_kms, reader_s3
from sealbatch.config import Config, load_config
from sealbatch.errors import OptionError
from sealbatch.intake import Intake
from sealbatch.job import Job
from sealbatch.progress import Progress, Told, ignore
from sealbatch.questions import Questions, Source
from sealbatch.tickets import Kept, TicketBook, own_tickets
from wire.manifest import Retry

_PHASES: Final = {Phase.SEAL: "sealing records", Phase.UPLOAD: "storing chunks", Phase.SEND: "sending chunks"}


class Client:
    """Asks questions, and reads the answers. Threads may share one.

    Args:
        config: a configuration file; None finds it as the command does: `SEALBATCH_CONFIG`, `./sealbatch.toml`, the
            user's own, or that of a running development stack.
        settings: settings over the file's and the environment's, such as `tenant="benefits"`.

    Raises:
        ConfigError: the configuration is wrong. What is missing of it is told when it is needed.

    >>> from sealbatch import Client
    >>> client = Client()
    >>> job = client.submit(["How many weeks of parental leave can I take?"])
    >>> for result in job.results(timeout=60):
    ...     print(result.outcome, "week" in result.answer)
    succeeded True
    """

    def __init__(self, config: "str | os.PathLike[str] | Config | None" = None, **settings: str) -> None:
        if isinstance(config, Config):
            if settings:  # they would be passed over
                raise OptionError(min(settings), "goes over a configuration file; this configuration was read already")
            self.config = config
        else:
            check_types(config=config)
            path = None if config is None else Path(config)
            self.config = load_config(path, [f"{name}={value}" for name, value in settings.items()])

    @cached_property
    def s3(self) -> Any:
        """S3 with the reader's role."""
        return reader_s3(self.config)

    @cached_property
    def kms(self) -> Any:
        """KMS with the reader's role."""
        return reader_kms(self.config)

    @cached_property
    def producer(self) -> ProducerClients:
        """KMS, S3 and SQS with the producer's role."""
        return producer_clients(self.config)

    @cached_property
    def tickets(self) -> TicketBook:
        """This user's tickets, which the command keeps too."""
        return own_tickets()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        made = vars(self)
        producer = made.get("producer")
        parts = () if producer is None else (producer.kms, producer.s3, producer.sqs)
        for client in (made.get("s3"), made.get("kms"), *parts):
            if client is not None:
                client.close()

    def submit(
        self,
        questions: Source,
        *,
        max_tokens: int | None = None,
        temperature: float = 0.0,
        seed: int | None = None,
        stop: Sequence[str] = (),
        name: str = "",
        chunk_size: int | None = None,
        skip_invalid: bool = False,
        deadline: datetime | str | None = None,
        completion_window: timedelta | str | None = None,
        not_before: datetime | str | None = None,
        idempotency_key: str | None = None,
        require: Sequence[Release] = (),
        progress: Told = ignore,
    ) -> Job:
        """Check and seal questions, and send them; nothing is sent unless all are valid.

        Args:
            questions: a path, an open binary file, a table such as a DataFrame, or an iterable of texts, mappings and
                dataclass instances; `Questions` says how to read what is not plain.
            max_tokens: longest answer. This, `temperature`, `seed` and `stop` hold where a question names none.
            temperature: 0 always takes the likeliest word.
            seed: of the sampling.
            stop: texts before which an answer ends.
            name: of the job. The host can read it.
            chunk_size: records that are sealed together, 1 to 4096.
            skip_invalid: submit the valid questions; an invalid one gets an error for an answer.
            deadline: what is not answered by then is expired: a datetime, or text as the command takes it.
            completion_window: the same as a span from now, or from `not_before`: a timedelta, or text such as `8h`.
            not_before: nothing is answered before then.
            idempotency_key: submit once under this key, however often it is called.
            require: seal only if the keys' policies admit no images but those of these releases.
            progress: is told how far it is; what it raises ends the submission, and nothing was sent.

        Raises:
            InputInvalid: a question is none; its `report` says which and why.
            OptionError: an argument cannot be. InputFileError: the file cannot be opened. ConfigError: as it says.
            KeyReused: the idempotency key stands for other questions. KeyRefused: a key's policy admits another image.
            ServiceError: AWS refuses, or does not answer. SpoolError: there is no room for the sealed chunks.
            SendIncomplete: the job exists, and not all its messages are known to be in the queue.
        """
        intake = Intake(
            max_tokens=max_tokens,
            temperature=temperature,
            seed=seed,
            stop=stop,
            name=name,
            chunk_size=chunk_size,
            skip_invalid=skip_invalid,
            deadline=deadline,
            completion_window=completion_window,
            not_before=not_before,
            idempotency_key=idempotency_key,
            require=require,
        )
        return Job(self, self.send(questions, intake, progress=progress).sent_ticket())

    def send(
        self,
        questions: Source,
        intake: Intake,
        *,
        dry_run: bool = False,
        retry: Retry | None = None,
        retry_key: bytes | None = None,
        progress: Told = ignore,
    ) -> Submission:
        """`submit` with its options in one, and all that there is to say of what was sent.

        A `dry_run` does all but ask KMS, store and send. `retry` says what of which job is asked again.
        """
        check_types(progress=progress)
        settings = self.config.producer()
        options = intake.options(self.config, dry_run=dry_run, retry=retry, retry_key=retry_key)
        params = intake.params()
        clients = None if dry_run else self.producer
        intake.check_policies(settings, clients)
        kept = False

        def tell(state: SubmitProgress) -> None:
            nonlocal kept
            if state.ticket is not None and not kept:
                # Before the first message goes out: whatever happens now, the job can be found again.
                kept = True
                self.tickets.keep(state.ticket, intake.name, 0)
            progress(Progress(_PHASES[state.phase], state.done, state.total))

        with Questions.of(questions).open() as (source, form):
            return submit(source, form, params, options, settings, clients, tell)

    def job(self, ticket: str) -> Job:
        """The job of a ticket, or of one of this user's whose job id begins with `ticket`. AWS is not asked.

        Raises:
            TicketError: it is mistyped. NoSuchJobError: no job of this user's begins so, or several do.
            OptionError: it is no text.
        """
        check_types(ticket=ticket)
        return Job(self, self.tickets.find(ticket))

    def jobs(self) -> list[Kept]:
        """The tickets of this user, newest first."""
        return self.tickets.all()[::-1]
