"""Choosing tokens: which may be chosen, how often, and the same again from the same seed."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from enclave_worker.engine import SamplingParams
from enclave_worker.sampling import FIRST_LOOK, Sampler

LOGITS = torch.tensor([0.0, 3.0, 1.0, 2.0, -1.0])


def draw(params: SamplingParams, logits: torch.Tensor = LOGITS, places: int = 400) -> Counter[int]:
    """How often each token is chosen at so many places of an answer."""
    sampler = Sampler(params)
    return Counter(sampler.choose(logits, [], place) for place in range(places))


def test_shares_follow_the_softmax_of_the_logits_over_the_temperature() -> None:
    """Within four standard deviations, at two temperatures."""
    for temperature in (1.0, 0.5):
        expected = torch.softmax(LOGITS.double() / temperature, 0)
        counted = draw(SamplingParams(1, temperature, 1.0, 42, ()), places=4000)
        for token, share in enumerate(expected.tolist()):
            deviation = (4000 * share * (1 - share)) ** 0.5
            assert abs(counted[token] - 4000 * share) < 4 * deviation + 1


def test_the_nucleus_and_the_likeliest_tokens_bound_the_choice() -> None:
    """Softmax: 0.64, 0.24, 0.09, 0.03, 0.01. A nucleus is the fewest that reach top_p, top_k the likeliest k."""
    assert set(draw(SamplingParams(1, 1.0, 0.6, 1, ()))) == {1}
    assert set(draw(SamplingParams(1, 1.0, 0.65, 1, ()))) == {1, 3}
    assert set(draw(SamplingParams(1, 1.0, 0.0, 1, ()))) == {1}
    assert set(draw(SamplingParams(1, 1.0, 1.0, 1, (), top_k=3))) == {1, 3, 2}
    assert set(draw(SamplingParams(1, 1.0, 1.0, 1, (), top_k=99))) == {0, 1, 2, 3, 4}
    # Of three, the first has 0.66 of what is left: the nucleus is one of what top_k left.
    assert set(draw(SamplingParams(1, 1.0, 0.66, 1, (), top_k=3))) == {1}


def test_a_nucleus_of_more_tokens_than_are_looked_at_first_is_found_whole() -> None:
    """All tokens alike: half of them make half of the chance."""
    size = 3 * FIRST_LOOK
    counted = draw(SamplingParams(1, 1.0, 0.5, 9, ()), torch.zeros(size), places=3000)
    assert FIRST_LOOK < len(counted) <= size // 2 + 1


@given(st.integers(0, 2**63 - 1), st.integers(0, 4000))
def test_the_same_seed_and_place_choose_the_same_token(seed: int, place: int) -> None:
    """In whatever order places come: nothing is remembered between them."""
    params = SamplingParams(1, 1.0, 1.0, seed, ())
    one = Sampler(params)
    one.choose(LOGITS, [], place + 1)
    assert one.choose(LOGITS, [], place) == Sampler(params).choose(LOGITS, [], place)


def test_another_seed_chooses_otherwise() -> None:
    """Two hundred places never agree in all."""
    sequences = [
        [Sampler(SamplingParams(1, 1.0, 1.0, seed, ())).choose(LOGITS, [], place) for place in range(200)]
        for seed in (1, 2)
    ]
    assert sequences[0] != sequences[1]


@pytest.mark.parametrize(("penalty", "chosen"), [(1.0, 1), (1.4, 1), (1.6, 3)])
def test_a_token_that_was_there_is_penalized(penalty: float, chosen: int) -> None:
    """3 over 1.6 is below 2; a logit below zero is multiplied instead."""
    sampler = Sampler(SamplingParams(1, 0.0, 1.0, 0, (), repetition_penalty=penalty))
    assert sampler.choose(LOGITS, [1, 1, 4], 0) == chosen
    only_negative = torch.tensor([-1.0, -1.5])
    assert Sampler(SamplingParams(1, 0.0, 1.0, 0, (), repetition_penalty=2.0)).choose(only_negative, [0], 0) == 1


def test_greedy_takes_the_first_of_equals_and_chance_never_an_impossible_one() -> None:
    """Minus infinity is never drawn."""
    assert Sampler(SamplingParams(1, 0.0, 1.0, 0, ())).choose(torch.tensor([1.0, 2.0, 2.0]), [], 0) == 1
    impossible = torch.tensor([0.0, -torch.inf, 0.0])
    assert set(draw(SamplingParams(1, 2.0, 1.0, 3, ()), impossible)) == {0, 2}
