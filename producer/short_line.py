"""The short form: `{"custom_id"?, "question", "context"?}` and parameters of generation beside them."""

from typing import Any, Final

from producer.fields import PARAM_NAMES, check_size, read_params, read_question, text_bytes
from producer.problem import invalid
from wire.payload import Message, Params

_FIELDS: Final = PARAM_NAMES | {"custom_id", "question", "context"}


def read_short(fields: dict[str, Any], defaults: Params) -> tuple[tuple[Message, ...], Params]:
    """Messages and parameters of a line whose JSON object is `fields`.

    A context goes before the question in one message of the user's.

    Raises:
        BadLineError: a field is missing, wrong or unknown.
    """
    if not fields.keys() <= _FIELDS:
        position = next(at for at, name in enumerate(fields, 1) if name not in _FIELDS)
        raise invalid(f"field {position} has an unknown name")
    text = read_question(fields["question"], "question")
    if fields.get("context") is not None:
        text = f"{read_question(fields['context'], 'context')}\n\n{text}"
    check_size(text_bytes(text), "question")
    return (Message("user", text),), read_params(fields, defaults)
