"""What the enclave is set to. In AWS these are constants of the measured image: the parent changes none of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wire.messages import MAX_SEALED

PRECISIONS: Final = ("auto", "fp32", "bf16", "int8")


@dataclass(frozen=True, slots=True)
class Settings:
    """Limits and budgets of one enclave."""

    model: Path
    """The model's folder."""
    window_chunks: int = 8
    """Chunks that one connection may have outstanding."""
    window_bytes: int = 32 * 1024 * 1024
    """Sealed bytes that one connection may have outstanding."""
    max_connections: int = 4
    """Connections at a time; with the window this bounds the memory that waiting work takes."""
    max_sequences: int = 64
    """Sequences that the engine runs at a time."""
    max_positions: int = 16_384
    """Positions that the engine's keys and values take at a time."""
    deduplicate: bool = True
    """Whether identical questions of one job are computed once."""
    single_tenant: bool = False
    """Whether questions of two tenants are never computed in one batch."""
    precision: str = "auto"
    """`fp32`, `bf16` or `int8`; `auto` is what the model's folder is packed for, else fp32."""
    threads: int = 0
    """Threads that compute; 0 for as many as there are cores."""
    default_max_tokens: int = 128
    """Tokens of an answer to a record that states no limit."""
    unwrap_timeout: float = 30.0
    """Seconds that the courier has for one unwrap."""
    cached_keys: int = 256
    """Data keys that are kept."""
    engine_stall: float = 120.0
    """Seconds that one iteration of the engine may take before its process counts as hung and is killed."""
    engine_start: float = 600.0
    """Seconds that the engine process may take to load its model."""
    report_interval: float = 60.0
    """Seconds that a report of the enclave's state covers; the parent learns nothing finer."""
    grace: float = 30.0
    """Seconds that accepted work may take after a request to stop."""
    debug_allowed: bool = False
    """Serve with an all-zero PCR0, in debug mode: only to look at an image, since no key policy admits it."""

    def __post_init__(self) -> None:
        if min(self.window_chunks, self.max_connections, self.max_sequences, self.max_positions) < 1:
            raise ValueError("windows and budgets are at least 1")
        if self.threads < 0 or self.precision not in PRECISIONS:
            raise ValueError(f"threads is not below 0, and precision one of {', '.join(PRECISIONS)}")
        if self.window_bytes < MAX_SEALED:
            raise ValueError(f"window_bytes is at least {MAX_SEALED}, or the largest chunk could never come")
        if self.default_max_tokens < 1 or self.cached_keys < 1:
            raise ValueError("default_max_tokens and cached_keys are at least 1")
        if min(self.unwrap_timeout, self.engine_stall, self.engine_start, self.report_interval) <= 0 or self.grace < 0:
            raise ValueError("timeouts are above 0 and grace is not below 0")
