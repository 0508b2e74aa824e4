"""Compares the output with the input file, where the reader has it."""

from collections.abc import Iterator
from dataclasses import replace

from results_consumer.errors import Check, IntegrityError
from results_consumer.output import OutputLine


class InputMatch:
    """Walks along the input, one (line, custom_id) for each record of the job, in the order of record numbers."""

    def __init__(self, pairs: Iterator[tuple[int, str]]) -> None:
        self._pairs = pairs

    def matched(self, line: OutputLine) -> OutputLine:
        """The output line of the next record, with the input's line and custom_id where only the input has them.

        Raises:
            IntegrityError: the input has no such record, or another one in its place.
        """
        number, custom_id = next(self._pairs, (0, ""))
        if not number:
            raise IntegrityError(Check.INPUT, f"record {line.number}, which the input does not have")
        if line.attested and (line.line, line.custom_id) != (number, custom_id):
            raise IntegrityError(Check.INPUT, f"record {line.number}, input line {number}")
        return replace(line, line=number, custom_id=custom_id)

    def end(self) -> None:
        """All of the input was used.

        Raises:
            IntegrityError: it has records that the job does not have.
        """
        left = next(self._pairs, None)
        if left is not None:
            raise IntegrityError(Check.INPUT, f"input line {left[0]}, which the job does not have")
