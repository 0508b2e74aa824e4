"""A Bloom's weights in the form that the engine computes with."""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from enclave_worker.bloom.config import BloomShape
from enclave_worker.bloom.quantize import AT_ONCE, ZERO, Rounded, pack_bytes, pack_floats, pad_outputs, round_weights
from enclave_worker.manifest import ModelError

Fetch = Callable[[str], torch.Tensor]
"""Gives a checkpoint's tensor by its name."""


class Precision(enum.StrEnum):
    """How weights are kept and multiplied. In all of them everything else is computed in 32-bit floats.

    `fp32`: as the checkpoint says; the reference. `bf16`: weights rounded to bfloat16. `int8`: weights and what they
    are multiplied with rounded to 8 bits, products added exactly; the head's token is that of the exact head.
    """

    FP32 = "fp32"
    BF16 = "bf16"
    INT8 = "int8"


@dataclass(frozen=True, slots=True)
class Norm:
    """A layer norm: weight and bias, float32 [hidden]."""

    weight: torch.Tensor
    bias: torch.Tensor


@dataclass(frozen=True, slots=True)
class Linear:
    """A packed matrix [outputs, inputs] and its bias, float32 [outputs].

    In 8 bits `weight` is int8 [outputs / 16, inputs / 4, 16, 4], `scales` float32 [outputs], and `offsets` int32
    [outputs] is 128 times each output's sum of weights. Else `weight` is [outputs / 16, inputs, 16] and both are None.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    scales: torch.Tensor | None = None
    offsets: torch.Tensor | None = None

    @property
    def outputs(self) -> int:
        """Outputs, padding included."""
        return int(self.weight.shape[0]) * 16

    @property
    def inputs(self) -> int:
        """Inputs."""
        return int(self.weight.shape[1]) * (4 if self.scales is not None else 1)


@dataclass(frozen=True, slots=True)
class Layer:
    """One block: attention (queries, keys and values of all heads behind each other) and the two-layer perceptron."""

    input_norm: Norm
    qkv: Linear
    dense: Linear
    output_norm: Norm
    up: Linear
    down: Linear


@dataclass(frozen=True, slots=True)
class Head:
    """The LM head. In 8 bits also what proves that no token is missed.

    `exact` is the head as the checkpoint holds it, [vocabulary, hidden]; `lost` and `kept` are, for each token, the
    lengths of what rounding took from its weights and of what it left, float32.
    """

    linear: Linear
    vocabulary: int
    exact: torch.Tensor | None = None
    lost: torch.Tensor | None = None
    kept: torch.Tensor | None = None


@dataclass(frozen=True, slots=True)
class Weights:
    """All of a Bloom. `embedding` is [vocabulary, hidden], or None where the packed head serves for it."""

    shape: BloomShape
    precision: Precision
    embedding: torch.Tensor | None
    embedding_norm: Norm
    layers: tuple[Layer, ...]
    final_norm: Norm
    head: Head


def pack(fetch: Fetch, shape: BloomShape, precision: Precision) -> dict[str, torch.Tensor]:
    """The packed tensors of the checkpoint behind `fetch`, by their names in a packed file.

    Raises:
        ModelError: the checkpoint's sizes are not those of `shape`.
    """
    packed: dict[str, torch.Tensor] = {}
    _check_sizes(fetch, shape)
    _pack_norm(packed, "embedding_norm", fetch, "word_embeddings_layernorm")
    for number in range(shape.layers):
        ours, theirs = f"layers.{number}", f"h.{number}"
        _pack_norm(packed, f"{ours}.input_norm", fetch, f"{theirs}.input_layernorm")
        _pack_norm(packed, f"{ours}.output_norm", fetch, f"{theirs}.post_attention_layernorm")
        for name, theirs_name in _LINEARS.items():
            weight = fetch(f"{theirs}.{theirs_name}.weight")
            bias = fetch(f"{theirs}.{theirs_name}.bias")
            if name == "qkv":
                weight, bias = _by_kind(weight, shape), _by_kind(bias, shape)
            _pack_linear(packed, f"{ours}.{name}", weight, bias, precision)
    _pack_norm(packed, "final_norm", fetch, "ln_f")
    _pack_ends(packed, fetch, shape, precision)
    return packed


def unpack(packed: Mapping[str, torch.Tensor], shape: BloomShape, precision: Precision) -> Weights:
    """Weights over the tensors of a packed file; nothing is copied.

    Raises:
        KeyError: a tensor is missing.
    """
    layers = tuple(
        Layer(
            input_norm=_norm(packed, f"layers.{number}.input_norm"),
            output_norm=_norm(packed, f"layers.{number}.output_norm"),
            **{name: _linear(packed, f"layers.{number}.{name}") for name in _LINEARS},
        )
        for number in range(shape.layers)
    )
    exact = packed["embedding" if shape.tied else "head.exact"] if precision is Precision.INT8 else None
    return Weights(
        shape=shape,
        precision=precision,
        embedding=packed.get("embedding"),
        embedding_norm=_norm(packed, "embedding_norm"),
        layers=layers,
        final_norm=_norm(packed, "final_norm"),
        head=Head(_linear(packed, "head"), shape.vocabulary, exact, packed.get("head.lost"), packed.get("head.kept")),
    )


_LINEARS = {
    "qkv": "self_attention.query_key_value",
    "dense": "self_attention.dense",
    "up": "mlp.dense_h_to_4h",
    "down": "mlp.dense_4h_to_h",
}


def _check_sizes(fetch: Fetch, shape: BloomShape) -> None:
    """One tensor of each kind says whether configuration and checkpoint belong together."""
    hidden = shape.hidden
    wanted = {
        "word_embeddings.weight": (shape.vocabulary, hidden),
        "h.0.self_attention.query_key_value.weight": (3 * hidden, hidden),
        "h.0.mlp.dense_h_to_4h.weight": (4 * hidden, hidden),
        "ln_f.weight": (hidden,),
    }
    for name, size in wanted.items():
        if tuple(fetch(name).shape) != size:
            raise ModelError(f"weights: 1 mismatched keys ({name})")


def _by_kind(tensor: torch.Tensor, shape: BloomShape) -> torch.Tensor:
    """Bloom interleaves query, key and value head by head; here all queries come first, then keys, then values."""
    split = tensor.view(shape.heads, 3, shape.head_size, *tensor.shape[1:])
    return split.transpose(0, 1).reshape(tensor.shape)


def _pack_norm(packed: dict[str, torch.Tensor], name: str, fetch: Fetch, theirs: str) -> None:
    packed[f"{name}.weight"] = fetch(f"{theirs}.weight").float()
    packed[f"{name}.bias"] = fetch(f"{theirs}.bias").float()


def _pack_linear(
    packed: dict[str, torch.Tensor], name: str, weight: torch.Tensor, bias: torch.Tensor, precision: Precision
) -> None:
    packed[f"{name}.bias"] = pad_outputs(bias.float())
    if precision is not Precision.INT8:
        packed[f"{name}.weight"] = pack_floats(
            weight.to(torch.float32 if precision is Precision.FP32 else torch.bfloat16)
        )
        return
    _pack_rounded(packed, name, weight)


def _pack_rounded(packed: dict[str, torch.Tensor], name: str, weight: torch.Tensor) -> Rounded:
    rounded = round_weights(weight)
    packed[f"{name}.weight"] = pack_bytes(rounded.values)
    packed[f"{name}.scales"] = pad_outputs(rounded.scales)
    packed[f"{name}.offsets"] = pad_outputs(rounded.values.sum(1, dtype=torch.int32) * ZERO)
    return rounded


def _pack_ends(packed: dict[str, torch.Tensor], fetch: Fetch, shape: BloomShape, precision: Precision) -> None:
    """Embedding and head, which are one matrix in most Blooms and then kept once, but for the 8-bit copy."""
    embedding = fetch("word_embeddings.weight")
    head = embedding if shape.tied else fetch("lm_head.weight")
    no_bias = torch.zeros(shape.vocabulary)
    if precision is not Precision.INT8:
        _pack_linear(packed, "head", head, no_bias, precision)
        if not shape.tied:
            packed["embedding"] = embedding.to(packed["head.weight"].dtype).contiguous()
        return
    packed["embedding"] = embedding.contiguous()
    if not shape.tied:
        packed["head.exact"] = head.contiguous()
    rounded = _pack_rounded(packed, "head", head)
    packed["head.bias"] = pad_outputs(no_bias)
    lost, kept = [], []
    for values, scales, exact in zip(
        *(torch.split(tensor, AT_ONCE) for tensor in (rounded.values, rounded.scales, head)), strict=True
    ):
        left = values.double() * scales.double()[:, None]
        # Rounded up, so that the bound made of them stays one.
        lost.append((exact.double() - left).norm(dim=1).mul(1 + 1e-6).float())
        kept.append(left.norm(dim=1).mul(1 + 1e-6).float())
    packed["head.lost"], packed["head.kept"] = pad_outputs(torch.cat(lost)), pad_outputs(torch.cat(kept))


def _norm(packed: Mapping[str, torch.Tensor], name: str) -> Norm:
    return Norm(packed[f"{name}.weight"], packed[f"{name}.bias"])


def _linear(packed: Mapping[str, torch.Tensor], name: str) -> Linear:
    return Linear(
        packed[f"{name}.weight"], packed[f"{name}.bias"], packed.get(f"{name}.scales"), packed.get(f"{name}.offsets")
    )
