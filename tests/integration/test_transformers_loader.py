"""The loader takes bloom-560m's own configuration; the weights are random and made on the spot."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_bloom import make_tokenizer, save_tiny_bloom
from transformers import BloomConfig, BloomForCausalLM

from devstack.transformers_engine.engine import TransformersEngine
from devstack.transformers_engine.loader import load_model
from enclave_worker.engine import Completion, Prompt, SamplingParams
from enclave_worker.manifest import ModelError
from sealbatch.model_folder import write_manifest

CONFIG_560M = {
    "apply_residual_connection_post_layernorm": False,
    "architectures": ["BloomForCausalLM"],
    "attention_dropout": 0.0,
    "attention_softmax_in_fp32": True,
    "bias_dropout_fusion": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_dropout": 0.0,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05,
    "masked_softmax_fusion": True,
    "model_type": "bloom",
    "n_embed": 1024,
    "n_inner": None,
    "n_layer": 24,
    "num_attention_heads": 16,
    "offset_alibi": 100,
    "pad_token_id": 3,
    "pretraining_tp": 1,
    "skip_bias_add": True,
    "skip_bias_add_qkv": False,
    "unk_token_id": 0,
    "use_cache": True,
    "vocab_size": 250880,
}
"""https://huggingface.co/bigscience/bloom-560m/blob/main/config.json: `n_embed` and no `seq_length`."""
LAYERS = 2


@pytest.fixture(scope="module", name="published")
def make_published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the hub has it: half precision, names without `transformer.`, no weights for the tied head.

    Of the 24 layers, which are all alike, it has two.
    """
    folder = tmp_path_factory.mktemp("models") / "bloom-560m"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG_560M | {"n_layer": LAYERS}))
    with torch.device("meta"):
        shapes = BloomForCausalLM(BloomConfig.from_pretrained(folder)).transformer.state_dict()
    generator = torch.Generator().manual_seed(7)
    weights = {}
    for name, tensor in shapes.items():
        spread = 0.0 if name.endswith("bias") else 0.04
        values = torch.empty(tensor.shape, dtype=torch.float16).uniform_(-spread, spread, generator=generator)
        weights[name] = values + 1 if "layernorm.weight" in name or name == "ln_f.weight" else values
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    make_tokenizer().save(str(folder / "tokenizer.json"))
    write_manifest(folder, "bigscience/bloom-560m", "random")
    return folder


def test_a_model_with_the_configuration_of_bloom_560m_loads_and_answers(published: Path) -> None:
    """Its widths and vocabulary load in fp32, and a padded batch gives what `generate` gives for each prompt alone."""
    model = load_model(published)
    assert model.network.config.hidden_size == 1024
    assert model.network.config.num_attention_heads == 16
    assert model.network.num_parameters() == 559_214_592 - (24 - LAYERS) * 12_596_224
    assert model.context_length == 2048
    assert (model.end_tokens, model.pad_token) == ({2}, 3)
    assert {parameter.dtype for parameter in model.network.parameters()} == {torch.float32}
    engine = TransformersEngine(model, max_sequences=2, max_positions=4096)
    prompts = [engine.tokenize(text) for text in ("How many days of leave are there?", "Hi")]
    engine.admit([Prompt(n, tokens, SamplingParams(4, 0.0, 1.0, 0, ())) for n, tokens in enumerate(prompts)])
    done: dict[int, Completion] = {}
    while engine.busy():
        done |= {completion.key: completion for completion in engine.step()}
    for n, tokens in enumerate(prompts):
        batch = torch.tensor([tokens])
        output = model.network.generate(
            batch, attention_mask=torch.ones_like(batch), max_new_tokens=4, do_sample=False, pad_token_id=3
        )
        alone = output[0, len(tokens) :].tolist()
        assert done[n].completion_tokens == len(alone)
        assert done[n].text == model.tokenizer.decode(alone).rstrip("\ufffd").lstrip(" ")


def remake(folder: Path) -> None:
    """A manifest that names what lies there now: the loader's own checks are what is left."""
    (folder / "manifest.json").unlink()
    write_manifest(folder, "test/bent", "1")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model_type": "mamba"}, "model_type is none of bloom, gpt2"),
        ({"auto_map": {"AutoModel": "modeling.Evil"}}, "names code to be loaded"),
        ({"seq_length": 1}, "seq_length is not a number"),
        ({"vocab_size": 10}, "weights: "),
        ({"n_layer": 3}, "weights: .* missing keys"),
        ({"n_layer": 1}, "weights: .* unexpected keys"),
    ],
)
def test_a_folder_that_is_no_bloom_is_refused(tmp_path: Path, fields: dict[str, object], message: str) -> None:
    """Another architecture, code from the folder, or weights that do not fit the configuration: an error at start."""
    folder = save_tiny_bloom(tmp_path / "bent")
    config = json.loads((folder / "config.json").read_text()) | fields
    (folder / "config.json").write_text(json.dumps(config))
    remake(folder)
    with pytest.raises(ModelError, match=message):
        load_model(folder)


def test_weights_that_execute_code_are_never_opened(tmp_path: Path) -> None:
    """Only safetensors are loaded: a pickle in their place is no model."""
    folder = save_tiny_bloom(tmp_path / "pickled")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    remake(folder)
    with pytest.raises(ModelError, match="weights: "):
        load_model(folder)


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    """A token id that the model has no row for would index beyond it, however few tokens there are."""
    folder = save_tiny_bloom(tmp_path / "other")
    value = json.loads((folder / "tokenizer.json").read_text())
    value["model"]["vocab"] |= {f"<more{n}>": 1000 + n for n in range(5)}
    (folder / "tokenizer.json").write_text(json.dumps(value))
    remake(folder)
    with pytest.raises(ModelError, match=r"tokenizer\.json: a token beyond the model's vocabulary of 1000"):
        load_model(folder)
