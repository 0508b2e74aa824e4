"""No matter what bytes come, and in what pieces, the decoder gives the frames or one FramingError."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.errors import FramingError
from wire.framing import CLOSED, MAX_FRAME, NEED_DATA, FrameDecoder, Signal, encode_frame

bodies = st.lists(st.binary(min_size=1, max_size=300), max_size=6)


def decode(stream: bytes, cuts: list[int], *, end: bool = True) -> list[bytes | Signal | str]:
    """Everything that a decoder says about `stream` delivered in pieces cut at `cuts`."""
    decoder = FrameDecoder(max_frame=1000)
    said: list[bytes | Signal | str] = []
    edges = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    pieces = [stream[a:b] for a, b in itertools.pairwise(edges)] + ([b""] if end else [])
    for piece in pieces:
        decoder.receive_data(piece)
        while True:
            try:
                frame = decoder.next_frame()
            except FramingError as error:
                return [*said, str(error)]
            if not isinstance(frame, bytes):
                last = frame
                break
            said.append(frame)
    return [*said, last] if end else said


@given(bodies, st.lists(st.integers(0, 2000), max_size=12))
def test_frames_survive_any_cutting(frames: list[bytes], cuts: list[int]) -> None:
    """Frames come out as they went in, however the stream is cut."""
    stream = b"".join(encode_frame(body) for body in frames)
    assert decode(stream, cuts) == [*frames, CLOSED]


@given(bodies)
def test_frames_survive_delivery_byte_by_byte(frames: list[bytes]) -> None:
    """A stream that trickles one byte at a time gives the same frames."""
    stream = b"".join(encode_frame(body) for body in frames)
    assert decode(stream, list(range(len(stream)))) == [*frames, CLOSED]


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=8))
def test_garbage_is_read_the_same_whole_and_in_pieces(stream: bytes, cuts: list[int]) -> None:
    """Any bytes give frames, then a clean end or one FramingError; how they are cut changes nothing."""
    assert decode(stream, cuts) == decode(stream, [])


@given(bodies.filter(bool), st.data())
def test_a_stream_cut_inside_a_frame_is_an_error(frames: list[bytes], data: st.DataObject) -> None:
    """An end inside a frame is never taken for a short frame."""
    stream = b"".join(encode_frame(body) for body in frames)
    last = len(frames[-1]) + 4
    cut = data.draw(st.integers(len(stream) - last + 1, len(stream) - 1))
    assert decode(stream[:cut], []) == [*frames[:-1], "the stream ended inside a frame"]


def test_a_length_above_the_limit_is_refused_before_its_body_comes() -> None:
    """The four bytes of the length are enough; nothing is kept for the body."""
    decoder = FrameDecoder(max_frame=10)
    decoder.receive_data((11).to_bytes(4, "big"))
    with pytest.raises(FramingError, match="frame of 11 bytes"):
        decoder.next_frame()
    assert not decoder._buffer


def test_a_decoder_stays_dead_after_an_error() -> None:
    """Good bytes after bad ones are not trusted."""
    decoder = FrameDecoder()
    decoder.receive_data(bytes(4))
    for _ in range(2):
        with pytest.raises(FramingError):
            decoder.next_frame()
        decoder.receive_data(encode_frame(b"good"))


@pytest.mark.parametrize("size", [0, MAX_FRAME + 1])
def test_we_make_no_frame_that_a_peer_would_refuse(size: int) -> None:
    """Our own misuse is a ValueError, not a broken peer."""
    with pytest.raises(ValueError, match="a frame has"):
        encode_frame(bytes(size))


def test_an_open_stream_without_a_frame_needs_data() -> None:
    """Nothing is an end until the stream says so."""
    decoder = FrameDecoder()
    assert decoder.next_frame() is NEED_DATA
    decoder.receive_data(b"")
    assert decoder.next_frame() is CLOSED
    with pytest.raises(RuntimeError):
        decoder.receive_data(b"late")
