"""Whatever comes over the socket to or from the engine process is parsed strictly or refused."""

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave_worker import engine_wire as ew
from enclave_worker.engine import Completion, Prompt, Room, SamplingParams
from enclave_worker.settings import Settings
from wire.codec import pack
from wire.errors import MessageError

numbers = st.integers(0, 2**32 - 1)
params = st.builds(
    SamplingParams,
    max_tokens=st.integers(1, 4096),
    temperature=st.floats(0, 2),
    top_p=st.floats(0, 1),
    seed=st.integers(0, 2**63 - 1),
    stop=st.lists(st.text(min_size=1, max_size=8), max_size=4).map(tuple),
    top_k=numbers,
    repetition_penalty=st.floats(0.1, 2),
)
prompts = st.builds(
    Prompt,
    key=numbers,
    tokens=st.lists(numbers, max_size=20),
    params=params,
    scope=st.binary(max_size=32),
)
rooms = st.builds(Room, numbers, numbers, st.integers(1, 2**32 - 1))
completions = st.builds(
    Completion,
    key=numbers,
    text=st.text(),
    finish_reason=st.sampled_from(["stop", "length"]),
    completion_tokens=numbers,
)
greetings = st.one_of(
    st.builds(
        ew.Profile,
        st.text(max_size=64),
        st.binary(min_size=32, max_size=32),
        st.integers(1, 65_536),
        rooms,
    ),
    st.builds(ew.CannotStart, st.text(max_size=100)),
)
replies = st.one_of(
    st.builds(ew.Stepped, st.lists(completions, max_size=4).map(tuple), rooms),
    st.builds(ew.Failed, st.text(max_size=40)),
)


@given(st.lists(prompts, max_size=4), st.lists(numbers, max_size=4), st.booleans())
def test_steps_survive_the_wire(sent: list[Prompt], cancelled: list[int], reset: bool) -> None:
    """Keys, tokens, parameters and scopes come out as they went in; whose they are stays behind."""
    got = ew.decode_step(ew.encode_step(ew.Step([replace(prompt, tenant="t") for prompt in sent], cancelled, reset)))
    assert (got.reset, list(got.cancelled)) == (reset, cancelled)
    assert [replace(prompt, tokens=list(prompt.tokens)) for prompt in got.prompts] == sent


@given(greetings)
def test_greetings_survive_the_wire(greeting: ew.Greeting) -> None:
    """Both kinds."""
    assert ew.decode_greeting(ew.encode_greeting(greeting)) == greeting


@given(replies)
def test_replies_survive_the_wire(reply: ew.Reply) -> None:
    """Both kinds."""
    assert ew.decode_reply(ew.encode_reply(reply)) == reply


def test_settings_survive_the_wire() -> None:
    """By name, and a version with other fields is refused."""
    settings = Settings(Path("/model"), max_sequences=7)
    assert ew.decode_settings(ew.encode_settings(settings)) == settings
    with pytest.raises(MessageError):
        ew.decode_settings(pack({"model": "/model"}))


def test_a_room_of_pages_without_positions_is_refused() -> None:
    """What fits into it could not be counted."""
    with pytest.raises(MessageError, match="page"):
        ew.decode_reply(pack([1, [], 4, 4096, 0]))


@given(st.binary(max_size=64))
def test_garbage_is_one_error(data: bytes) -> None:
    """No other exception comes out of the decoders, whatever the bytes."""
    for decode in (ew.decode_settings, ew.decode_greeting, ew.decode_step, ew.decode_reply, ew.decode_tokens):
        with contextlib.suppress(MessageError):
            decode(data)


@given(replies, st.data())
def test_a_changed_reply_is_another_reply_or_an_error(reply: ew.Reply, data: st.DataObject) -> None:
    """A flipped byte never ends in anything but a strict reading."""
    encoded = bytearray(ew.encode_reply(reply))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        changed = ew.decode_reply(bytes(encoded))
    except MessageError:
        return
    assert ew.encode_reply(changed) == bytes(encoded)
