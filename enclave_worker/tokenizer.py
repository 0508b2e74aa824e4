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
    # Ids may have gaps, so their number says nothing.
    if max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) >= vocabulary:
        raise ModelError(f"{NAME}: a token beyond the model's vocabulary of {vocabulary}")
    return tokenizer
