"""An enclave knows its own image, and refuses to serve as a debug enclave."""

from pathlib import Path

import pytest

from enclave_worker.attestor import AttestorError, own_image
from enclave_worker.settings import Settings


class Registers:
    """An attestor with one register."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def attest(self, *, public_key: bytes | None, user_data: bytes | None, nonce: bytes | None) -> bytes:
        """Not asked for here."""
        raise AssertionError(public_key, user_data, nonce)

    def pcr(self, index: int) -> bytes:
        """The register 0."""
        assert index == 0
        return self._content


def test_the_image_is_the_register_in_hexadecimal() -> None:
    """As key policies spell it."""
    assert own_image(Registers(bytes(47) + b"\xab")) == "00" * 47 + "ab"


@pytest.mark.parametrize(("content", "words"), [(bytes(48), "debug mode"), (b"", "0 bytes"), (b"x" * 32, "32 bytes")])
def test_an_enclave_without_a_measurement_does_not_start(content: bytes, words: str) -> None:
    """The parent reads the console and the memory of a debug enclave: no key may ever be asked for it."""
    with pytest.raises(AttestorError, match=words):
        own_image(Registers(content))


@pytest.mark.parametrize(
    "bent",
    [
        {"window_chunks": 0},
        {"max_connections": 0},
        {"max_sequences": 0},
        {"max_positions": 0},
        {"window_bytes": 1},
        {"default_max_tokens": 0},
        {"cached_keys": 0},
        {"unwrap_timeout": 0.0},
        {"grace": -1.0},
    ],
)
def test_settings_that_could_not_serve_are_refused(bent: dict[str, float]) -> None:
    """They are measured into the image: better found when it is built."""
    with pytest.raises(ValueError, match=r"at least|above 0"):
        Settings(model=Path("/model"), **bent)  # type: ignore[arg-type]
