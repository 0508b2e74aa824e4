"""An input that is hashed while it is read."""

import hashlib
import io

from producer.hashed_source import HashedSource
from producer.lines import read_lines


def test_a_range_gives_and_counts_its_own_bytes_and_no_more() -> None:
    """Whoever seals the range beside it begins where it ends."""
    file = io.BytesIO(b"one\ntwo\nthree\n")
    source = HashedSource(file, 8)
    assert [line.data for line in read_lines(source)] == [b"one\n", b"two\n"]
    assert source.digest() == hashlib.sha256(b"one\ntwo\n").hexdigest()
    assert file.tell() == 8


def test_the_digest_is_of_all_though_reading_ended_early() -> None:
    """An input is known again by all that it holds."""
    data = b"one\n" + bytes(3 << 20)
    source = HashedSource(io.BytesIO(data))
    assert source.readline(10) == b"one\n"
    assert source.digest() == hashlib.sha256(data).hexdigest()
