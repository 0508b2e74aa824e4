"""How a conversation becomes a prompt: data beside the model, whose digest stands in every answer."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from enclave_worker.manifest import ModelError, read_file
from wire.codec import pack
from wire.payload import Message

NAME: Final = "template.json"
FORMAT: Final = 1
MAX_TEMPLATE: Final = 64 * 1024
MAX_STOPS: Final = 8
PLACE: Final = "{content}"

_TEXTS: Final = ("system", "system_turn", "user_turn", "assistant_turn", "prompt_end")


@dataclass(frozen=True, slots=True)
class Template:
    """One text a role, with `{content}` once where the message goes, and what closes the prompt.

    `system` is used when a conversation brings no system message of its own; empty means none at all. `stop` ends an
    answer where the model starts to write the next question itself.
    """

    system: str = ""
    system_turn: str = "{content}\n"
    user_turn: str = "Question: {content}\n"
    assistant_turn: str = "Answer: {content}\n"
    prompt_end: str = "Answer:"
    stop: tuple[str, ...] = ("\nQuestion:",)

    @property
    def digest(self) -> bytes:
        """32 bytes that change with any of the fields."""
        texts = [getattr(self, name) for name in _TEXTS]
        return hashlib.sha256(b"sealbatch/1 template" + pack([FORMAT, *texts, list(self.stop)])).digest()

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt for a conversation."""
        turns = {"system": self.system_turn, "user": self.user_turn, "assistant": self.assistant_turn}
        parts = [turns[message.role].replace(PLACE, message.content) for message in messages]
        if self.system and not any(message.role == "system" for message in messages):
            parts.insert(0, self.system_turn.replace(PLACE, self.system))
        return "".join(parts) + self.prompt_end


def load_template(folder: Path) -> Template:
    """The template in a model folder, or the default one when it has none.

    Raises:
        ModelError: the file is not a template of format 1.
    """
    path = folder / NAME
    if not path.exists():
        return Template()
    return _parse(read_file(path, MAX_TEMPLATE))


def _parse(data: bytes) -> Template:
    try:
        value: object = json.loads(data)
    except (ValueError, RecursionError):
        raise ModelError(f"{NAME}: not JSON") from None
    if not isinstance(value, dict) or value.keys() != {"format", "stop", *_TEXTS} or value["format"] != FORMAT:
        raise ModelError(f"{NAME}: not the fields of format {FORMAT}")
    for name in _TEXTS:
        if not isinstance(value[name], str):
            raise ModelError(f"{NAME}: {name} is not text")
        if name.endswith("_turn") and value[name].count(PLACE) != 1:
            raise ModelError(f"{NAME}: {name} does not hold {PLACE} exactly once")
    stop = value["stop"]
    if not isinstance(stop, list) or len(stop) > MAX_STOPS or not all(isinstance(text, str) and text for text in stop):
        raise ModelError(f"{NAME}: stop is not a list of at most {MAX_STOPS} texts")
    return Template(**{name: value[name] for name in _TEXTS}, stop=tuple(stop))
