"""OpenAI's batch lines: `{"custom_id", "method"?, "url"?, "body": {"messages", ...}}`.

A field that would change the answer and that we do not have is an error; a field that cannot is ignored. The names of
unknown fields are the user's words, so they are told by position, unless they are the API's own.
"""

from collections.abc import Mapping
from typing import Any, Final

from producer.fields import PARAM_NAMES, check_size, read_params, read_question, read_text, text_bytes
from producer.problem import BadLineError, invalid
from wire.payload import MAX_MESSAGES, ErrorCode, Message, Params

URL: Final = "/v1/chat/completions"

_LINE_FIELDS: Final = frozenset({"custom_id", "method", "url", "body", "metadata"})
_MESSAGE_FIELDS: Final = frozenset({"role", "content", "name"})
_BODY_FIELDS: Final = PARAM_NAMES | {"messages"}
IGNORED: Final = frozenset(
    {
        "metadata",
        "model",
        "parallel_tool_calls",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "stream_options",
        "user",
    }
)
"""Body fields that cannot change an answer of ours, whatever their value. The enclave's model is the only one."""
NEUTRAL: Final[Mapping[str, tuple[object, ...]]] = {
    "frequency_penalty": (0, 0.0),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "n": (1,),
    "presence_penalty": (0, 0.0),
    "response_format": ({"type": "text"},),
    "stream": (False,),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
}
"""Body fields that are accepted with a value that asks for nothing, and refused with any other."""
_UNSUPPORTED: Final = frozenset(
    {
        "audio",
        "best_of",
        "echo",
        "prediction",
        "prompt",
        "reasoning_effort",
        "suffix",
        "verbosity",
        "web_search_options",
    }
)


def read_openai(fields: dict[str, Any], defaults: Params) -> tuple[tuple[Message, ...], Params]:
    """Messages and parameters of a line whose JSON object is `fields`.

    Raises:
        BadLineError: a field is missing, wrong or not supported.
    """
    _refuse_unknown(fields, _LINE_FIELDS, "")
    if fields.get("method") not in (None, "POST"):
        raise invalid("must be POST", "method")
    if fields.get("url") not in (None, URL):
        raise BadLineError(ErrorCode.URL_MISMATCH, f"must be {URL}", "url")
    body = fields.get("body")
    if type(body) is not dict:
        raise invalid("must be an object", "body")
    _check_body(body)
    return _messages(body.get("messages")), read_params(body, defaults, "body.")


def _check_body(body: dict[str, Any]) -> None:
    if body.keys() <= _BODY_FIELDS:
        return
    for name, value in body.items():
        if name in NEUTRAL and value is not None and not any(value == neutral for neutral in NEUTRAL[name]):
            raise invalid("is not supported with this value", f"body.{name}")
    _refuse_unknown(body, _BODY_FIELDS | IGNORED | NEUTRAL.keys(), "body.")


def _refuse_unknown(fields: dict[str, Any], known: frozenset[str], prefix: str) -> None:
    if fields.keys() <= known:
        return
    for position, (name, value) in enumerate(fields.items(), 1):
        if name in known or (name in _UNSUPPORTED and value is None):
            continue
        if name in _UNSUPPORTED:
            raise invalid("is not supported", prefix + name)
        raise invalid(f"field {position} has an unknown name", prefix.rstrip(".") or None)


def _messages(value: object) -> tuple[Message, ...]:
    if type(value) is not list or not 0 < len(value) <= MAX_MESSAGES:
        raise invalid(f"must be a list of 1 to {MAX_MESSAGES} messages", "body.messages")
    messages = tuple(_message(item, f"body.messages[{at}]") for at, item in enumerate(value))
    if not any(message.role == "user" for message in messages):
        raise invalid("has no message of the role user", "body.messages")
    check_size(sum(text_bytes(message.content) for message in messages), "body.messages")
    return messages


def _message(value: object, param: str) -> Message:
    if type(value) is not dict:
        raise invalid("must be an object", param)
    _refuse_unknown(value, _MESSAGE_FIELDS, f"{param}.")
    match value.get("role"):
        case "user":
            return Message("user", read_question(_content(value.get("content"), param), f"{param}.content"))
        case "system" | "assistant" as role:
            return Message(role, read_text(_content(value.get("content"), param), f"{param}.content"))
        case _:
            raise invalid("must be system, user or assistant", f"{param}.role")


def _content(value: object, param: str) -> object:
    """The text of a list of text parts, a line each; anything else as it is."""
    if type(value) is not list:
        return value
    texts = []
    for at, part in enumerate(value):
        place = f"{param}.content[{at}]"
        if type(part) is not dict or part.keys() != {"type", "text"} or part["type"] != "text":
            raise invalid("must be a part of the type text", place)
        texts.append(read_text(part["text"], f"{place}.text"))
    return "\n".join(texts)
