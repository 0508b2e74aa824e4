"""What the enclave and its engine process say to each other: strict msgpack in frames, never code.

Both ends are of the measured image, but the engine is where a hostile question meets a large native library: what comes
back from it is parsed as strictly as what comes from the parent.
"""

from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

from enclave_worker.engine import Completion, FinishReason, Prompt, Room, SamplingParams
from enclave_worker.settings import Settings
from wire.codec import Value, fields_of, pack, unpack
from wire.errors import CodecError, MessageError
from wire.fields import Fields
from wire.framing import MAX_FRAME
from wire.keys import KEY_SIZE

MAX_TEXT: Final = 8 * 1024 * 1024
MAX_TOKENS_BYTES: Final = 4 * 1024 * 1024
MAX_SEQUENCES: Final = 65_536
MAX_REASON: Final = 200
MAX_STOPS: Final = 16
MAX_STOP: Final = 4096
"""The template adds stops of its own to a record's."""
TEXT: Final = b"T"
"""A frame is never empty, and a text may be: each is sent behind this byte, and so are its tokens."""
_UINT32: Final = "I"
_FINISH_REASONS: Final[tuple[FinishReason, ...]] = ("stop", "length")


@dataclass(frozen=True, slots=True)
class Profile:
    """What an engine is: its model and its limits. The same for every process that is started."""

    model_name: str
    model_digest: bytes
    context_length: int
    room: Room


@dataclass(frozen=True, slots=True)
class CannotStart:
    """The engine process could not load its model; the reason speaks of files."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stepped:
    """An iteration is over: what finished by it, and what may be admitted now."""

    completions: tuple[Completion, ...]
    room: Room


@dataclass(frozen=True, slots=True)
class Failed:
    """The iteration raised an error of this type; its text may quote content and stays where it is."""

    error: str


Greeting = Profile | CannotStart
Reply = Stepped | Failed


def encode_settings(settings: Settings) -> bytes:
    """All fields by name."""
    return pack({name: str(value) if isinstance(value, Path) else value for name, value in asdict(settings).items()})


def decode_settings(data: bytes) -> Settings:
    """The settings in `data`.

    Raises:
        MessageError: they are not exactly the fields of `Settings`.
    """
    try:
        values = unpack(data, max_size=MAX_FRAME)
    except CodecError as error:
        raise MessageError(f"settings: {error}") from None
    if not isinstance(values, dict) or set(values) != {field.name for field in fields(Settings)}:
        raise MessageError("settings: not the fields of this version")
    return Settings(**(values | {"model": Path(str(values["model"]))}))  # type: ignore[arg-type]


def encode_greeting(greeting: Greeting) -> bytes:
    """The engine process's first message."""
    match greeting:
        case Profile(name, digest, context_length, room):
            return pack([1, name, digest, context_length, *fields_of(room)])
        case CannotStart(reason):
            return pack([2, reason[:MAX_REASON]])


def decode_greeting(data: bytes) -> Greeting:
    """The greeting in `data`.

    Raises:
        MessageError: it is none.
    """
    with Fields.parse(data, max_size=MAX_FRAME, error=MessageError, what="greeting") as taken:
        if taken.number("type", low=1, high=2) == 1:
            name, digest = taken.text("model_name", longest=128), taken.data("model_digest", size=32)
            return Profile(name, digest, taken.number("context_length", low=1), _read_room(taken))
        return CannotStart(taken.text("reason", longest=MAX_REASON))


@dataclass(frozen=True, slots=True)
class Step:
    """Forget everything first if `reset`, and the sequences `cancelled`; take `prompts`, and do one iteration."""

    prompts: Sequence[Prompt]
    cancelled: Sequence[int] = ()
    reset: bool = False


def encode_step(step: Step) -> bytes:
    """What the engine process is to do next."""
    return pack([step.reset, list(step.cancelled), [_prompt_values(prompt) for prompt in step.prompts]])


def decode_step(data: bytes) -> Step:
    """The step in `data`.

    Raises:
        MessageError: it is no step.
    """
    with Fields.parse(data, max_size=MAX_FRAME, error=MessageError, what="step") as taken:
        reset = taken.take("reset")
        if not isinstance(reset, bool):
            raise MessageError("step: reset is no truth value")
        cancelled = taken.array("cancelled", longest=MAX_SEQUENCES)
        if not all(type(key) is int for key in cancelled):
            raise MessageError("step: cancelled is not a list of numbers")
        prompts = [_read_prompt(value) for value in taken.array("prompts", longest=MAX_SEQUENCES)]
    return Step(prompts, tuple(cancelled), reset)  # type: ignore[arg-type]


def encode_reply(reply: Reply) -> bytes:
    """What came of a step."""
    match reply:
        case Stepped(completions, room):
            return pack([1, completions, *fields_of(room)])
        case Failed(error):
            return pack([2, error[:MAX_REASON]])


def decode_reply(data: bytes) -> Reply:
    """The reply in `data`.

    Raises:
        MessageError: it is none.
    """
    with Fields.parse(data, max_size=MAX_FRAME, error=MessageError, what="reply") as taken:
        if taken.number("type", low=1, high=2) == 1:
            done = tuple(_read_completion(value) for value in taken.array("completions", longest=MAX_SEQUENCES))
            return Stepped(done, _read_room(taken))
        return Failed(taken.text("error", longest=MAX_REASON))


def encode_tokens(tokens: Sequence[int]) -> bytes:
    """Token ids as 32-bit numbers in this machine's order, since both ends are on it."""
    return array(_UINT32, tokens).tobytes()


def decode_tokens(data: bytes) -> Sequence[int]:
    """The token ids in `data`.

    Raises:
        MessageError: it is not a number of 32-bit numbers.
    """
    if len(data) % 4 or len(data) > MAX_TOKENS_BYTES:
        raise MessageError("tokens: cut off or too many")
    return array(_UINT32, data)


def _prompt_values(prompt: Prompt) -> list[object]:
    # Whose question it is stays on this side: the engine is told what may be shared and no more.
    return [prompt.key, encode_tokens(prompt.tokens), prompt.scope, *fields_of(prompt.params)]


def _read_prompt(value: Value) -> Prompt:
    with Fields(value, MessageError, "prompt") as taken:
        return Prompt(
            key=taken.number("key"),
            tokens=decode_tokens(taken.data("tokens", longest=MAX_TOKENS_BYTES)),
            scope=taken.data("scope", longest=KEY_SIZE),
            params=SamplingParams(
                max_tokens=taken.number("max_tokens", low=1),
                temperature=taken.real("temperature", low=0.0, high=2.0),
                top_p=taken.real("top_p", low=0.0, high=1.0),
                seed=taken.number("seed", high=2**63 - 1),
                stop=tuple(_read_stop(item) for item in taken.array("stop", longest=MAX_STOPS)),
                top_k=taken.number("top_k"),
                repetition_penalty=taken.real("repetition_penalty", low=0.0, high=2.0),
            ),
        )


def _read_stop(value: Value) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_STOP:
        raise MessageError("prompt: stop has a wrong type or size")
    return value


def _read_completion(value: Value) -> Completion:
    with Fields(value, MessageError, "completion") as taken:
        return Completion(
            key=taken.number("key"),
            text=taken.text("text", longest=MAX_TEXT),
            finish_reason=taken.one_of("finish_reason", _FINISH_REASONS),
            completion_tokens=taken.number("completion_tokens"),
        )


def _read_room(taken: Fields) -> Room:
    return Room(taken.number("sequences"), taken.number("positions"), taken.number("page", low=1))
