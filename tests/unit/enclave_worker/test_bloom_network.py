"""The forward pass: as transformers computes it, compiled or not, and with the same bits in any company."""

import random

import pytest
import torch
from bloom_samples import make_oracle, make_weights, outputs
from compiled import compiled
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.own_engine import logits
from enclave_worker.bloom.config import BloomShape
from enclave_worker.bloom.native import SETS, computes_exactly, use
from enclave_worker.bloom.native_operations import NativeOperations, suits
from enclave_worker.bloom.network import Network
from enclave_worker.bloom.torch_operations import TorchOperations
from enclave_worker.bloom.weights import Precision, Weights

VOCABULARY = 203
SHAPES = {
    "heads of 8": BloomShape(2, 32, 4, VOCABULARY, 512, 1e-5, tied=True),
    "six heads of 24": BloomShape(2, 144, 6, VOCABULARY, 512, 1e-5, tied=True),
    "heads of 80, untied": BloomShape(2, 160, 2, VOCABULARY, 512, 1e-5, tied=False),
    "heads of 128": BloomShape(1, 256, 2, VOCABULARY, 512, 1e-5, tied=True),
}
ODD = BloomShape(2, 30, 3, VOCABULARY, 512, 1e-5, tied=True)
"""Sizes that the compiled operations do not know; 8 bits want a multiple of 4."""
CLOSE = {Precision.FP32: 1e-4, Precision.BF16: 0.05, Precision.INT8: 0.2}
"""How far logits may be from the oracle's: the root of the mean square, relative to that of the oracle's."""


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """How far `one` is from `other`."""
    return float((one - other).square().mean().sqrt() / other.square().mean().sqrt())


def tokens(count: int, seed: int = 0) -> list[int]:
    """Tokens of the vocabulary."""
    rng = random.Random(seed)
    return [rng.randrange(VOCABULARY) for _ in range(count)]


def oracle_logits(shape: BloomShape, prompt: list[int]) -> torch.Tensor:
    """What transformers computes."""
    with torch.inference_mode():
        logits: torch.Tensor = make_oracle(shape)(torch.tensor([prompt])).logits[0]
    return logits


@pytest.mark.parametrize("precision", list(Precision))
@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("kind", ["compiled", "torch"])
def test_logits_are_transformers_logits(name: str, precision: Precision, kind: str) -> None:
    """All layers, for prompts over several pages: closely in fp32, as closely as rounding allows in the others."""
    shape = SHAPES[name]
    weights = make_weights(make_oracle(shape), shape, precision)
    operations = NativeOperations(compiled(), precision, 1) if kind == "compiled" else TorchOperations(precision, 1)
    prompt = tokens(53)
    expected = oracle_logits(shape, prompt)
    got = logits(Network(weights, operations), prompt)
    assert distance(got, expected) < CLOSE[precision]
    # The closeness means something: another prompt's logits are far away.
    assert distance(got, oracle_logits(shape, tokens(53, seed=1))) > 0.5


def test_sizes_that_compiled_code_does_not_know_are_left_to_torch() -> None:
    """`suits` says so, and plain torch computes them."""
    assert not suits(ODD)
    assert all(suits(shape) for shape in SHAPES.values())
    weights = make_weights(make_oracle(ODD), ODD, Precision.FP32)
    prompt = tokens(20)
    got = logits(Network(weights, TorchOperations(Precision.FP32, 1)), prompt)
    assert torch.allclose(got, oracle_logits(ODD, prompt), atol=1e-4)


@pytest.mark.parametrize("precision", list(Precision))
def test_compiled_and_plain_operations_agree(precision: Precision) -> None:
    """The same layers through both: apart by float rounding only, and in 8 bits by what that tips over."""
    shape = SHAPES["six heads of 24"]
    weights = make_weights(make_oracle(shape), shape, precision)
    prompts = [tokens(length, length) for length in (1, 16, 17, 40)]
    fast = outputs(weights, NativeOperations(compiled(), precision, 1), prompts)
    slow = outputs(weights, TorchOperations(precision, 1), prompts)
    tolerance = 0.05 if precision is Precision.INT8 else 1e-4
    for one, other in zip(fast, slow, strict=True):
        assert distance(one, other) < tolerance


@pytest.fixture(scope="module", params=list(Precision))
def weights(request: pytest.FixtureRequest) -> Weights:
    """One model in each precision."""
    shape = SHAPES["six heads of 24"]
    return make_weights(make_oracle(shape), shape, request.param)


@settings(deadline=None, max_examples=25)
@given(
    lengths=st.lists(st.integers(1, 70), min_size=1, max_size=9),
    chunk=st.sampled_from([1, 3, 16, 17, 1000]),
    threads=st.integers(1, 3),
)
def test_an_output_has_the_same_bits_in_any_company(
    weights: Weights, lengths: list[int], chunk: int, threads: int
) -> None:
    """Alone and whole, or beside others, in pieces, in other pages and with other threads: bit for bit the same."""
    library = compiled()
    prompts = [tokens(length, seed) for seed, length in enumerate(lengths)]
    together = outputs(weights, NativeOperations(library, weights.precision, threads), prompts, chunk)
    for prompt, out in zip(prompts, together, strict=True):
        (alone,) = outputs(weights, NativeOperations(library, weights.precision, 1), [prompt])
        assert torch.equal(alone, out)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(0, 2**32), st.sampled_from([0.01, 1.0, 30.0]))
def test_the_screened_head_finds_the_exact_heads_token(rows: int, seed: int, spread: float) -> None:
    """Greedy tokens in 8 bits are those of the full-precision head on the same output, also where rivals are close."""
    shape = SHAPES["heads of 128"]
    generator = torch.Generator().manual_seed(seed)
    weights = make_weights(make_oracle(shape, seed=seed % 5), shape, Precision.INT8)
    exact = weights.head.exact
    assert exact is not None
    hidden = torch.randn(rows, shape.hidden, generator=generator) * spread
    # Rows that point between two tokens: their logits differ in the last digits.
    hidden[::2] += exact[:rows:2].float() + exact[1 : rows + 1 : 2].float()
    operations = NativeOperations(compiled(), Precision.INT8, 2)
    chosen = operations.argmax(hidden, weights.head).long()
    logits = hidden.double() @ exact.double().T
    best = logits.amax(1)
    assert torch.all(logits[torch.arange(rows), chosen] >= best - 1e-5 * best.abs().clamp_min(1))
    assert operations.rescored < rows * shape.vocabulary, "some tokens are ruled out"


def test_every_instruction_set_that_this_cpu_has_computes_the_same() -> None:
    """And one that it has not is refused."""
    library = compiled()
    usable = [name for name in SETS if use(library, name)]
    assert usable
    shape = SHAPES["six heads of 24"]
    for precision in Precision:
        one = make_weights(make_oracle(shape), shape, precision)
        results = []
        for name in usable:
            assert use(library, name)
            results.append(outputs(one, NativeOperations(library, precision, 1), [tokens(40)])[0])
        assert all(torch.equal(results[0], other) for other in results)
    assert not use(library, "none of them") or "none of them" in SETS
    assert use(library, usable[0])


@pytest.mark.parametrize("precision", list(Precision))
def test_a_product_of_no_rows_is_nothing_and_no_crash(precision: Precision) -> None:
    """It once divided by the number of tiles, which ends the process."""
    shape = SHAPES["six heads of 24"]
    one = make_weights(make_oracle(shape), shape, precision)
    network = Network(one, NativeOperations(compiled(), precision, 1))
    none = torch.empty(0, shape.hidden)
    assert network.greedy(none).tolist() == []
    assert network.logits(none).shape == (0, shape.vocabulary)


def test_operations_that_compute_wrongly_are_found_out() -> None:
    """The check at start compares with plain whole numbers: a library that stores something else does not pass."""

    class Wrong:
        """Does nothing."""

        def sb_linear_s8(self, *_: object) -> None:
            """Leave the result as it is."""

    assert computes_exactly(compiled())
    assert not computes_exactly(Wrong())  # type: ignore[arg-type]
