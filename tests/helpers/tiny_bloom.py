"""A Bloom of random weights with a byte-level tokenizer of its own: made in a second, saved as real models are."""

from pathlib import Path
from string import ascii_lowercase

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import BloomConfig, BloomForCausalLM

from sealbatch.model_folder import write_manifest

NAME = "test/tiny-bloom"
SPECIAL = ["<unk>", "<s>", "</s>", "<pad>"]
END = 2
PAD = 3
VOCABULARY = 1000
CONTEXT = 64
PAIRS = [one + two for one in ascii_lowercase for two in ascii_lowercase]
SENTENCES = ["How many days of leave are there?", "Die Größe zählt: 退職 und Krankengeld.", "Question: Answer: end."]


def make_tokenizer() -> Tokenizer:
    """Every byte, every pair of letters, some words, and Bloom's four special tokens.

    Most tokens are text by themselves, so a random answer is mostly legible.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(PAIRS * 2 + SENTENCES * 4, trainer)
    return tokenizer


def make_network(seed: int = 5) -> BloomForCausalLM:
    """Weights wide enough that answers differ from prompt to prompt and do not repeat one token."""
    torch.manual_seed(seed)
    config = BloomConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        n_layer=2,
        n_head=4,
        seq_length=CONTEXT,
        initializer_range=0.6,
        bos_token_id=1,
        eos_token_id=END,
        pad_token_id=PAD,
    )
    return BloomForCausalLM(config).eval()


def save_tiny_bloom(folder: Path, seed: int = 5) -> Path:
    """The model in `folder`, with its manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    make_network(seed).save_pretrained(folder)
    make_tokenizer().save(str(folder / "tokenizer.json"))
    write_manifest(folder, NAME, "random")
    return folder
