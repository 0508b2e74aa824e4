"""Weights in 8 bits: within what the instructions can add, close to what they were, and back from their panels."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from enclave_worker.bloom.quantize import (
    LARGEST,
    PAIR,
    pack_bytes,
    pack_floats,
    round_weights,
    unpack_bytes,
    unpack_floats,
)

matrices = st.builds(
    lambda seed, outputs, groups, spread: torch.randn(
        outputs, 4 * groups, generator=torch.Generator().manual_seed(seed)
    ).pow(spread),
    st.integers(0, 2**32),
    st.integers(1, 40),
    st.integers(1, 20),
    st.sampled_from([1, 3]),
)


@given(matrices)
def test_no_two_neighbours_overflow_what_avx2_adds(weight: torch.Tensor) -> None:
    """255 times both magnitudes fits into 16 bits, whatever the activations are."""
    values = round_weights(weight).values.int().abs()
    assert int(values.max()) <= LARGEST
    assert int(values.view(len(values), -1, 2).sum(-1).max()) <= PAIR
    assert 255 * PAIR <= 2**15 - 1


@given(matrices)
def test_rounding_costs_less_than_clipping_nothing(weight: torch.Tensor) -> None:
    """The scale that is chosen is at least as good as the widest one, whose error is half a step."""
    rounded = round_weights(weight)
    magnitudes = weight.abs()
    pairs = magnitudes.view(len(weight), -1, 2).sum(-1).amax(1)
    step = torch.maximum(magnitudes.amax(1) / LARGEST, pairs / PAIR)
    error = (rounded.values.float() * rounded.scales[:, None] - weight).square().sum(1).sqrt()
    # A pair at the limit may be cut by one more step.
    assert bool((error <= step * weight.shape[1] ** 0.5 * 1.5 + 1e-6).all())


def test_a_row_of_zeros_stays_zeros() -> None:
    """No division by nothing."""
    rounded = round_weights(torch.zeros(3, 8))
    assert not rounded.values.any()
    assert rounded.scales.isfinite().all()


@given(matrices)
def test_panels_hold_what_was_packed(weight: torch.Tensor) -> None:
    """Outputs that fill no panel are zeros behind the others."""
    values = round_weights(weight).values
    for packed, given_values in (
        (unpack_bytes(pack_bytes(values)), values),
        (unpack_floats(pack_floats(weight)), weight),
    ):
        assert torch.equal(packed[: len(weight)], given_values)
        assert not packed[len(weight) :].any()
        assert len(packed) % 16 == 0
