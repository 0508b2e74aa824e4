"""Figures of accuracy from logits: which tokens are chosen, by what margins, and how likely a text is."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

Score = Callable[[Sequence[int]], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Sample:
    """A prompt and an answer to it, in token ids."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Scores:
    """What one precision says of all samples: for each answer token, its likeliest token, and the answer's own loss.

    `margins` are between the best two logits; `losses` are in nats.
    """

    chosen: list[list[int]]
    margins: list[list[float]]
    losses: list[list[float]]


def score_all(samples: Sequence[Sample], score: Score) -> Scores:
    """Ask for the token after each prefix of each answer."""
    scores = Scores([], [], [])
    for sample in samples:
        rows = score((*sample.prompt, *sample.answer[:-1]))[len(sample.prompt) - 1 :]
        best, where = rows.topk(2)
        own = rows.logsumexp(1) - rows.gather(1, torch.tensor(sample.answer).unsqueeze(1)).squeeze(1)
        scores.chosen.append(where[:, 0].tolist())
        scores.margins.append((best[:, 0] - best[:, 1]).tolist())
        scores.losses.append(own.tolist())
    return scores


def agreement(samples: Sequence[Sample], scores: Scores, reference: Scores) -> dict[str, Any]:
    """How far `scores` choose the answers' tokens; margins are the reference's, in logits."""
    equal = [[a == b for a, b in zip(s.answer, c, strict=True)] for s, c in zip(samples, scores.chosen, strict=True)]
    lost = [
        margin
        for row, margins in zip(equal, reference.margins, strict=True)
        for same, margin in zip(row, margins, strict=True)
        if not same
    ]
    return {
        "answers": len(samples),
        "whole_answers": sum(map(all, equal)),
        "tokens": sum(map(len, equal)),
        "tokens_equal": sum(map(sum, equal)),
        "median_tokens_to_first_difference": _median(row.index(False) for row in equal if not all(row)),
        "median_margin_where_different": _median(lost),
        "largest_margin_where_different": max(lost, default=None),
    }


def margins(reference: Scores) -> dict[str, float]:
    """Quantiles of the reference's margins between its best two tokens, in logits: how much is decided by a hair."""
    cuts = statistics.quantiles((margin for row in reference.margins for margin in row), n=100)
    return {"percentile_1": cuts[0], "percentile_10": cuts[9], "median": cuts[49]}


def perplexity(scores: Scores) -> float:
    """Of the answers' tokens."""
    return math.exp(statistics.fmean(loss for row in scores.losses for loss in row))


def _median(values: Iterable[float]) -> float | None:
    found = list(values)
    return statistics.median(found) if found else None
