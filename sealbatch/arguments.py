"""Arguments of the Python API: which types each may have, wherever it is taken."""

import os
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from numbers import Integral, Real
from typing import Any, Final, cast

from sealbatch.errors import OptionTypeError

_NOTHING: Final = type(None)
_MOMENT: Final = ((datetime, str, _NOTHING), "a datetime, or a text such as 2026-11-26T05:00Z")
_FUNCTION: Final = ((Callable,), "a function")
_RELEASES: Final = ((Sequence,), "a list of releases; read_release and Release.of_pcr0 make them")
_TEXT: Final = ((str, _NOTHING), "a text")
_PATH: Final = ((str, os.PathLike, _NOTHING), "a path")
_KINDS: Final[dict[str, tuple[tuple[Any, ...], str]]] = {
    "chunk_size": ((Integral, _NOTHING), "a whole number"),
    "config": _PATH,
    "completion_window": ((timedelta, str, _NOTHING), "a timedelta, or a text such as 8h"),
    "deadline": _MOMENT,
    "delimiter": _TEXT,
    "development_root": _PATH,
    "id_column": _TEXT,
    "idempotency_key": _TEXT,
    "max_problems": ((Integral,), "a whole number"),
    "name": ((str,), "a text"),
    "not_before": _MOMENT,
    "output": ((str, os.PathLike), "a path"),
    "pause": _FUNCTION,
    "progress": _FUNCTION,
    "question_column": _TEXT,
    "receipts": _PATH,
    "releases": _RELEASES,
    "require": _RELEASES,
    "skip_invalid": ((bool,), "True or False"),
    "stop": ((Sequence,), "a list of texts"),
    "ticket": ((str,), "a text"),
    "timeout": ((Real, _NOTHING), "a number of seconds"),
}


def check_types(**arguments: object) -> None:
    """Nothing, if each argument is of a type that it may have.

    Raises:
        OptionTypeError: one is not. A text is no list: each of its letters would be an element.
    """
    for name, value in arguments.items():
        kinds, words = _KINDS[name]
        if not isinstance(value, kinds) or (kinds == (Sequence,) and isinstance(value, str)):
            raise OptionTypeError(name, f"is {words}, and no {type(value).__name__}")
        if (kinds, words) == _RELEASES:
            for one in cast("Sequence[object]", value):
                if not hasattr(one, "pcrs"):
                    raise OptionTypeError(name, f"is {words}; a {type(one).__name__} is in it")
