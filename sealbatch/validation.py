"""Checks questions without keys, without AWS, and without a configuration."""

from producer.errors import InputInvalid
from producer.validate import DEFAULT_MAX_PROBLEMS, ValidationReport
from producer.validate import validate as validate_stream
from sealbatch.arguments import check_types
from sealbatch.progress import Progress, Told, ignore
from sealbatch.questions import Questions, Source
from wire.payload import Params


def validate(
    questions: Source, *, max_problems: int = DEFAULT_MAX_PROBLEMS, progress: Told = ignore
) -> ValidationReport:
    """What is wrong with which question, and how many there are. Nothing is sent.

    `questions` are as for `Client.submit`. The report holds the first `max_problems` problems and counts all.

    Raises:
        InputFileError: the file cannot be opened. OSError: reading failed. OptionError: as `Questions`.

    >>> from sealbatch import validate
    >>> report = validate(["How many sick days do I have?", {"custom_id": "b", "question": ""}])
    >>> report.records, [(problem.line, problem.param, problem.message) for problem in report.problems]
    (1, [(2, 'question', 'is empty')])
    """
    check_types(max_problems=max_problems, progress=progress)

    def tell(done: int) -> None:
        progress(Progress("checking lines", done, None))

    with Questions.of(questions).open() as (source, form):
        try:
            return validate_stream(source, form, Params(), max_problems=max_problems, progress=tell)
        except InputInvalid as error:  # a table that cannot be read at all
            return error.report
