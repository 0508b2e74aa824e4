"""What the precisions cost: greedy tokens that differ from fp32's, by what margins, and perplexity on held-out text.

Every precision is asked for the token after each token of the reference's answer. Up to the first difference that is
what it would have answered by itself; after it, it goes on from the reference's text: one difference counts once.
"""

import functools
import gc
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import torch

from bench.machine import describe_machine
from bench.own_engine import load, logits, pack, packed_folder
from bench.scoring import Sample, Scores, agreement, margins, perplexity, score_all
from bench.workload import VOCABULARY, WORKLOADS

PRECISIONS: Final = ("fp32", "bf16", "int8")
LONGEST: Final = 64
"""Tokens of an answer of the demonstration model's at most."""


@dataclass(frozen=True, slots=True)
class Options:
    """`model` answers `requests` of the first workload; `demonstration` is asked its `held_out` questions.

    `build` holds the packed weights of both.
    """

    model: Path
    requests: int
    demonstration: Path
    held_out: Path
    build: Path


def measure(options: Options, say: Callable[[str], None]) -> dict[str, Any]:
    """All figures; every precision on the same prompts."""
    requests = WORKLOADS["first"].requests(min(VOCABULARY, _config(options.model)["vocab_size"]))
    step = max(1, len(requests) // options.requests)
    oracle = Oracle(options.model)
    samples = []
    for request in requests[::step][: options.requests]:
        samples.append(Sample(request.prompt, oracle.answer(request.prompt, request.answer)))
        say(f"transformers has answered {len(samples)} of {options.requests}")
    random = compare(options.model, options.build, samples, oracle, say)
    del oracle
    return {
        "format": 1,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "random_model": random,
        "demonstration_model": _demonstrate(options, say),
        "machine": describe_machine(),
        "versions": {name: metadata.version(name) for name in ("torch", "transformers")},
    }


def _demonstrate(options: Options, say: Callable[[str], None]) -> dict[str, Any]:
    """Perplexity of the true answers to the held-out questions, and agreement on greedy ones."""
    folder = options.demonstration
    oracle = Oracle(folder)
    truth = held_out(folder, options.held_out)
    losses = {"transformers_fp32": perplexity(score_all(truth, oracle.logits))}
    losses |= {name: perplexity(scores) for name, scores in by_precision(folder, options.build, truth)}
    say(f"perplexity of {len(truth)} held-out answers: " + ", ".join(f"{n} {p:.5f}" for n, p in losses.items()))
    samples = [Sample(sample.prompt, oracle.answer(sample.prompt, LONGEST)) for sample in truth]
    return {"perplexity": losses, **compare(folder, options.build, samples, oracle, say)}


def by_precision(model: Path, build: Path, samples: Sequence[Sample]) -> Iterator[tuple[str, Scores]]:
    """Scores of our engine, one precision in memory at a time."""
    for precision in PRECISIONS:
        packed = packed_folder(model, build, precision)
        pack(model, packed, precision)
        engine = load(packed, precision, threads=1)
        yield precision, score_all(samples, functools.partial(logits, engine.network))
        del engine
        gc.collect()


class Oracle:
    """transformers' Bloom in fp32: what answers are compared with."""

    def __init__(self, folder: Path) -> None:
        from transformers import BloomForCausalLM

        self._network = BloomForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()

    def answer(self, prompt: Sequence[int], length: int) -> tuple[int, ...]:
        """The greedy answer of at most `length` tokens."""
        with torch.inference_mode():
            ids = torch.tensor([list(prompt)])
            output = self._network.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=length, do_sample=False
            )
        tokens: list[int] = output[0, len(prompt) :].tolist()
        return tuple(tokens)

    def logits(self, tokens: Sequence[int]) -> torch.Tensor:
        """Logits after each token, [n, vocabulary]."""
        with torch.inference_mode():
            found: torch.Tensor = self._network(input_ids=torch.tensor([list(tokens)])).logits[0]
        return found


def compare(
    folder: Path, build: Path, samples: Sequence[Sample], oracle: Oracle, say: Callable[[str], None]
) -> dict[str, Any]:
    """Agreement of each precision with the oracle's greedy answers, which `samples` are."""
    reference = score_all(samples, oracle.logits)
    found = {}
    for name, scores in by_precision(folder, build, samples):
        found[name] = agreement(samples, scores, reference)
        say(
            f"{folder.name}, {name}: {found[name]['whole_answers']} of {len(samples)} answers and"
            f" {found[name]['tokens_equal']} of {found[name]['tokens']} tokens are transformers' in fp32"
        )
    return {"margins": margins(reference), "precisions": found}


def held_out(folder: Path, lines: Path) -> list[Sample]:
    """Held-out questions as the enclave renders them, with their true answers and the token that ends them."""
    from enclave_worker.template import load_template
    from wire.payload import Message

    end = _config(folder)["eos_token_id"]
    tokenizer, template = _tokenizer(folder), load_template(folder)
    samples = []
    for line in map(json.loads, lines.read_text().splitlines()):
        prompt = tokenizer(template.render((Message("user", line["question"]),)))
        samples.append(Sample(tuple(prompt), (*tokenizer(f" {line['answer']}"), end)))
    return samples


def _tokenizer(folder: Path) -> Callable[[str], list[int]]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def encode(text: str) -> list[int]:
        tokens: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
        return tokens

    return encode


def _config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
    return config
