"""The tokenizer of a model's folder."""

from pathlib import Path
from typing import Final

from tokenizers import Tokenizer

from enclave_worker.manifest import ModelError

NAME: Final = "tokenizer.json"


def load_tokenizer(folder: Path, vocabulary: int) -> Tokenizer:
    """The tokenizer of a model with so many tokens.

    Raises:
        ModelError: there is none, or it knows a token that the model does not.
    """
    try:
        tokenizer = Tokenizer.from_file(str(folder / NAME))
    except Exception:  # noqa: BLE001 - the library raises bare Exception for every failure
        raise ModelError(f"{NAME}: missing or not a tokenizer") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    # A question that spells "</s>" must not get the token that ends answers.
    tokenizer.encode_special_tokens = True
    if _highest(tokenizer) >= vocabulary:
        raise ModelError(f"{NAME}: a token beyond the model's vocabulary of {vocabulary}")
    return tokenizer


def _highest(tokenizer: Tokenizer) -> int:
    """The highest id. If n tokens fill the ids below n there is none beyond; else all are listed, which is slower."""
    count = tokenizer.get_vocab_size(with_added_tokens=True)
    if all(tokenizer.id_to_token(number) is not None for number in range(count)):
        return count - 1
    return max(tokenizer.get_vocab(with_added_tokens=True).values())
