"""No secret that a machine knows leaves it in a bundle, wherever it stands and however it is spelled."""

import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealbatch.support import log_lines
from sealbatch.support.redactor import REMOVED, SHORTEST, Redactor

SECRETS = st.one_of(
    st.binary(min_size=12, max_size=64),
    st.text(min_size=12, max_size=64).map(lambda text: text.encode("utf-8", "replace")),
)


@given(SECRETS, st.binary(max_size=7), st.binary(max_size=7), st.text(max_size=20))
def test_a_known_secret_is_taken_out_in_every_spelling(secret: bytes, before: bytes, after: bytes, around: str) -> None:
    """As text, in hexadecimal, and in both kinds of base64, with whatever stands around it and within one encoding."""
    redactor = Redactor([secret])
    whole = before + secret + after
    spelled = [
        whole.hex(),
        whole.hex().upper(),
        base64.b64encode(whole).decode(),
        base64.urlsafe_b64encode(whole).decode(),
    ]
    for text in spelled:
        cleaned = redactor.clean(f"{around} {text} {around}")
        assert REMOVED in cleaned
        assert secret.hex() not in cleaned.lower()
    try:
        plain = secret.decode()
    except UnicodeDecodeError:
        return
    assert plain not in redactor.clean(f"{around}{plain}{around}")
    for spelling in (quote(plain, safe=""), json.dumps(plain), json.dumps(plain, ensure_ascii=False)):
        assert redactor.clean(spelling).strip('"') == REMOVED


@given(st.text(alphabet="abcdefghijklmnop qrstuvwxyz0123456789=:,.", max_size=200))
def test_plain_words_stay(text: str) -> None:
    """A log line of ids and counts is what it was."""
    assert Redactor([]).clean(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "enclave connected address=vsock://16:5005 image=" + "0a" * 48,
        "chunk answered job=abcdefghijklmnop chunk=0 first=0 n=4",
        "/usr/local/libexec/sealbatch-drain: AWS.SimpleQueueService.NonExistentQueue",
        "sealbatch_enclave_memory_bytes 107374182400.0",
        "not reached: /run/sealbatch/enclave-1.sock: connection refused",
    ],
)
def test_what_helps_stays(text: str) -> None:
    """Digests, job ids, paths, codes and numbers."""
    assert Redactor([b"x" * (SHORTEST - 1), b"another secret"]).clean(text) == text


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("redis://user:pass@host:6379/0", "redis://[removed]@host:6379/0"),
        (
            "https://sqs.eu-central-1.amazonaws.com/123456789012/q",
            "https://sqs.eu-central-1.amazonaws.com/********9012/q",
        ),
        (
            "arn:aws:sts::123456789012:assumed-role/r/ann@example.org",
            "arn:aws:sts::********9012:assumed-role/r/[removed]",
        ),
        (
            "arn:aws:sts::123456789012:assumed-role/sealbatch-BridgeRole-1A2B3C4D5E6F/i-0123456789abcdef0",
            "arn:aws:sts::********9012:assumed-role/sealbatch-BridgeRole-1A2B3C4D5E6F/[removed]",
        ),
        ("arn:aws:iam::123456789012:user/ann", "arn:aws:iam::********9012:user/[removed]"),
        ("AKIAIOSFODNN7EXAMPLE", "[removed]"),
        ("sb1-" + "a" * 48, "sb1-[removed]"),
        ("key=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "key=[removed]"),
    ],
)
def test_what_looks_like_a_secret_goes(text: str, cleaned: str) -> None:
    """Also if nobody told of it."""
    assert Redactor([]).clean(text) == cleaned


def test_no_line_is_cut_before_it_is_cleaned(tmp_path: Path) -> None:
    """The first half of a secret at the end of a long line was no known secret any more, and went along."""
    secret = "correct horse battery staple"
    line = f"2026-11-27 01:00:00,000 INFO sealbatch.bridge {'x' * 340} {secret}"
    (tmp_path / "bridge.log").write_text(f"{line}\n{line}{'y' * log_lines.LONGEST}\n")
    cleaned = Redactor([secret.encode()]).clean(log_lines.of_file(tmp_path / "bridge.log"))
    assert cleaned.splitlines()[0].endswith(f"x {REMOVED}")
    assert "correct" not in cleaned
    assert "of another form: 1)" in cleaned
