"""One submission under an idempotency key: found again if it was made before, refused if the key means another."""

import hmac
import json
from dataclasses import asdict

from producer.errors import KeyReused
from producer.forms import InputForm
from producer.hashed_source import HashedSource
from producer.lines import LineSource
from producer.lookup import Idempotency, Lookup
from producer.settings import ProducerSettings
from producer.store import JobStore
from producer.submission import SubmitOptions
from wire.payload import Params
from wire.ticket import Ticket


class Once:
    """The submission of a source with these options under a key; the questions are read out of `input`.

    `lookup` is the key's place in the bucket.
    """

    def __init__(  # noqa: PLR0917 - where, and what of: each is one value
        self,
        store: JobStore,
        settings: ProducerSettings,
        idempotency: Idempotency,
        source: LineSource,
        form: InputForm,
        defaults: Params,
        options: SubmitOptions,
    ) -> None:
        self.lookup = Lookup(store, settings.tenant, idempotency)
        self._key = idempotency
        self._hashed = HashedSource(source)
        self._form = form
        self._defaults = defaults
        self._options = options
        self.input: LineSource = source if idempotency.any_input else self._hashed

    def find(self) -> Ticket | None:
        """The ticket of what was submitted under the key, if anything was; the input is read to its end then.

        Raises:
            KeyReused: that was another input, or had other options.
            ServiceError: S3 does not answer, or what lies there was not written by the producer.
            OSError: reading the input failed.
        """
        claim = self.lookup.find()
        if claim is not None and not hmac.compare_digest(claim.mark, self.lookup.mark(self._content())):
            raise KeyReused(claim.ticket.job)
        return None if claim is None else claim.ticket

    def claim(self, ticket: Ticket) -> bool:
        """Make `ticket` the key's job; False if another one is already.

        Raises:
            ServiceError: S3 does not answer.
        """
        return self.lookup.claim(ticket, self._content())

    def _content(self) -> bytes:
        """By what the same submission is known again: the input's digest and all options."""
        if self._key.any_input:
            return b""
        form, options, retry = self._form, self._options, self._options.parameters.retry
        fields = {
            "input": self._hashed.digest(),
            "form": [form.kind, form.id_column, form.question_column, form.separator],
            "defaults": asdict(self._defaults),
            "limits": asdict(options.limits),
            "skip_invalid": options.skip_invalid,
            "name": options.parameters.name,
            "retry": None if retry is None else [str(retry.parent), retry.ranges],
            "typed": self._key.typed,
        }
        return json.dumps(fields, sort_keys=True).encode()
