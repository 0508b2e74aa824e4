"""Accuracy from logits that are made up."""

import math
from collections.abc import Sequence

import pytest
import torch

from bench.scoring import Sample, Score, agreement, margins, perplexity, score_all

SAMPLES = [Sample((1, 2), (3, 0, 1)), Sample((0,), (2, 2))]


def next_is(successor: dict[int, int], margin: float = 4.0) -> Score:
    """Logits over four tokens whose best one follows from the last token alone."""

    def score(tokens: Sequence[int]) -> torch.Tensor:
        rows = torch.zeros(len(tokens), 4)
        for row, token in zip(rows, tokens, strict=True):
            row[successor[token]] = margin
        return rows

    return score


TRUTH = next_is({2: 3, 3: 0, 0: 1, 1: 2})


def test_only_the_answers_tokens_are_scored() -> None:
    """After the prompt's last token, up to the answer's last but one."""
    scores = score_all(SAMPLES, TRUTH)
    assert scores.chosen == [[3, 0, 1], [1, 3]]
    assert all(margin == pytest.approx(4.0) for row in scores.margins for margin in row)


def test_agreement_counts_whole_answers_and_the_first_difference() -> None:
    """The first sample is answered to its end, the second differs at once; margins are the reference's."""
    scores = score_all(SAMPLES, TRUTH)
    reference = score_all(SAMPLES, next_is({2: 3, 3: 0, 0: 2, 1: 2}, margin=0.5))
    assert agreement(SAMPLES, scores, reference) == {
        "answers": 2,
        "whole_answers": 1,
        "tokens": 5,
        "tokens_equal": 3,
        "median_tokens_to_first_difference": 0,
        "median_margin_where_different": pytest.approx(0.5),
        "largest_margin_where_different": pytest.approx(0.5),
    }


def test_a_perfect_precision_has_no_difference() -> None:
    """None, and not zero."""
    samples = [Sample((2,), (3, 0, 1))]
    scores = score_all(samples, TRUTH)
    found = agreement(samples, scores, scores)
    assert (found["whole_answers"], found["largest_margin_where_different"]) == (1, None)
    assert found["median_tokens_to_first_difference"] is None


def test_perplexity_of_a_uniform_guess_is_the_vocabulary() -> None:
    """Four tokens, all as likely."""
    assert perplexity(score_all(SAMPLES, lambda tokens: torch.zeros(len(tokens), 4))) == pytest.approx(4.0)


def test_perplexity_by_hand() -> None:
    """One token of logit 4 among three of 0."""
    scores = score_all([Sample((2,), (3,))], TRUTH)
    assert perplexity(scores) == pytest.approx(1 + 3 * math.exp(-4.0))


def test_margins_are_quantiles() -> None:
    """All the same here."""
    assert margins(score_all(SAMPLES, TRUTH)) == pytest.approx({"percentile_1": 4, "percentile_10": 4, "median": 4})
