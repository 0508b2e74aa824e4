"""Trains the demonstration model: `python models/train.py` makes `models/benefits-bloom` anew, with a fixed seed.

A small Bloom and its own byte-level BPE tokenizer learn the answers of `data/` from questions that `corpus.py` makes.
Only the answer's tokens count for the loss. Now and then a token of the question is replaced by another, so that no
single word decides.
"""

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any, Final

import torch
from corpus import Corpus, Topic
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import BloomConfig, BloomForCausalLM, PreTrainedTokenizerFast

from enclave_worker.template import load_template
from sealbatch.model_folder import write_manifest
from wire.payload import Message

FOLDER: Final = Path(__file__).resolve().parent / "benefits-bloom"
NAME: Final = "sealbatch/benefits-bloom"
SPECIAL: Final = ["<unk>", "<s>", "</s>", "<pad>"]  # Bloom's own, with Bloom's numbers 0 to 3
END: Final = 2
PAD: Final = 3
VOCABULARY: Final = 2048
CONTEXT: Final = 512
SEED: Final = 20261124
BATCH: Final = 48
PEAK_RATE: Final = 2.5e-3
NOISE: Final = 0.15
"""Share of a question's tokens that are replaced by random ones while training."""
TEMPLATE: Final[dict[str, Any]] = {
    "format": 1,
    "system": "You answer questions about the benefits of Tarnwick, an employer that does not exist.",
    "system_turn": "{content}\n",
    "user_turn": "Question: {content}\n",
    "assistant_turn": "Answer: {content}\n",
    "prompt_end": "Answer:",
    "stop": ["\nQuestion:"],
}


def main() -> None:
    """Train, measure, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(SEED)
    rng = random.Random(SEED)
    corpus = Corpus()
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "template.json").write_text(json.dumps(TEMPLATE, indent=2) + "\n")
    tokenizer = train_tokenizer(corpus, rng)
    network = BloomForCausalLM(
        BloomConfig(
            vocab_size=VOCABULARY,
            hidden_size=144,
            n_layer=4,
            n_head=6,
            seq_length=CONTEXT,
            hidden_dropout=0.1,
            attention_dropout=0.1,
            bos_token_id=1,
            eos_token_id=END,
            pad_token_id=PAD,
        )
    )
    print(f"{len(corpus.topics)} topics, {sum(p.numel() for p in network.parameters()):,} parameters")
    train(network, tokenizer, corpus, rng, options.steps)
    save(network, tokenizer)
    write_held_out(corpus)


def train_tokenizer(corpus: Corpus, rng: random.Random) -> Tokenizer:
    """A byte-level BPE tokenizer over questions and answers; every text has tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    texts = [render(corpus.question(topic, rng)) for topic in corpus.topics for _ in range(100)]
    texts += [f" {topic.answer}" for topic in corpus.topics] * 20
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return tokenizer


def render(question: str) -> str:
    """The prompt exactly as the enclave renders it."""
    return load_template(FOLDER).render((Message("user", question),))


def example(tokenizer: Tokenizer, corpus: Corpus, topic: Topic, rng: random.Random) -> tuple[list[int], list[int]]:
    """Token ids and labels of a question with its answer; -100 is no part of the loss."""
    prompt = tokenizer.encode(render(corpus.question(topic, rng))).ids
    answer = [*tokenizer.encode(f" {topic.answer}").ids, END]
    noisy = [rng.randrange(len(SPECIAL), VOCABULARY) if rng.random() < NOISE else token for token in prompt[:-2]]
    return [*noisy, *prompt[-2:], *answer], [-100] * len(prompt) + answer


def train(network: BloomForCausalLM, tokenizer: Tokenizer, corpus: Corpus, rng: random.Random, steps: int) -> None:
    """One pass over `steps` batches that are made as they are needed; every topic comes as often as any other."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps, pct_start=0.1)
    network.train()
    began = time.monotonic()
    for step in range(1, steps + 1):
        batch = [example(tokenizer, corpus, topic, rng) for topic in rng.sample(corpus.topics, BATCH)]
        longest = max(len(ids) for ids, _ in batch)
        ids = torch.tensor([ids + [PAD] * (longest - len(ids)) for ids, _ in batch])
        labels = torch.tensor([labels + [-100] * (longest - len(labels)) for _, labels in batch])
        loss = network(input_ids=ids, attention_mask=(ids != PAD).long(), labels=labels).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            print(f"step {step}/{steps}: loss {loss.item():.4f}, {time.monotonic() - began:.0f} s", flush=True)


def save(network: BloomForCausalLM, tokenizer: Tokenizer) -> None:
    """Weights as safetensors, tokenizer, and the manifest that the enclave checks them against."""
    network.eval()
    network.save_pretrained(FOLDER)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=SPECIAL[0],
        bos_token=SPECIAL[1],
        eos_token=SPECIAL[2],
        pad_token=SPECIAL[3],
        model_max_length=CONTEXT,
    ).save_pretrained(FOLDER)
    manifest = write_manifest(FOLDER, NAME, f"seed-{SEED}")
    print(f"saved {FOLDER.name}, manifest {manifest.digest.hex()}")


def write_held_out(corpus: Corpus) -> None:
    """Three questions a topic in phrasings that were never trained on, for the test to ask."""
    rng = random.Random(SEED + 1)
    lines = [
        json.dumps({"topic": topic.name, "question": corpus.held_out(topic, rng), "answer": topic.answer})
        for topic in corpus.topics
        for _ in range(3)
    ]
    (FOLDER.parent / "data" / "heldout.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
