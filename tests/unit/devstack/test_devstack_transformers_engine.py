"""The engine over transformers: a padded batch answers as each prompt would alone."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from engine_runs import complete as run
from tiny_bloom import CONTEXT, NAME, PAD, SENTENCES, save_tiny_bloom
from transformers import AutoConfig, AutoModelForCausalLM

from devstack.engine_child import build
from devstack.transformers_engine.engine import PREFILL_POSITIONS, TransformersEngine
from devstack.transformers_engine.loader import LoadedModel, load_model
from enclave_worker.engine import Completion, Prompt, Room, SamplingParams
from enclave_worker.settings import Settings
from sealbatch.model_folder import write_manifest

PROMPTS = ["Hi", "How many days?", "Größe", SENTENCES[0], "退職", "Answer:", "a b c d e f g h i j"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A random Bloom, loaded by the route of the enclave."""
    return load_model(save_tiny_bloom(tmp_path_factory.mktemp("models") / "tiny"))


def engine_of(model: LoadedModel, sequences: int = 16) -> TransformersEngine:
    """An engine with room for so many whole contexts."""
    return TransformersEngine(model, max_sequences=sequences, max_positions=sequences * CONTEXT)


def params(
    max_tokens: int = 12, *, temperature: float = 0.0, seed: int = 0, stop: Sequence[str] = ()
) -> SamplingParams:
    """Greedy, unless a temperature is named."""
    return SamplingParams(max_tokens, temperature, 1.0, seed, tuple(stop))


def complete(model: LoadedModel, text: str, wanted: SamplingParams) -> Completion:
    """The completion of one prompt alone."""
    engine = engine_of(model)
    return run(engine, [Prompt(0, engine.tokenize(text), wanted)])[0]


def oracle(model: LoadedModel, text: str, max_tokens: int) -> list[int]:
    """What transformers' own `generate` gives for one prompt without padding."""
    tokens = torch.tensor([model.tokenizer.encode(text, add_special_tokens=False).ids])
    with torch.inference_mode():
        output = model.network.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            max_new_tokens=max_tokens,
            do_sample=False,
            eos_token_id=sorted(model.end_tokens),
            pad_token_id=PAD,
        )
    generated: list[int] = output[0, tokens.shape[1] :].tolist()
    return generated


def text_of(model: LoadedModel, tokens: Sequence[int]) -> str:
    """Tokens as an answer's text."""
    text: str = model.tokenizer.decode(list(tokens), skip_special_tokens=True)
    return text.rstrip("\ufffd").lstrip(" ")


def test_a_padded_batch_answers_as_generate_does_one_at_a_time(model: LoadedModel) -> None:
    """Padding, the cache and leaving rows change no greedy token: `model.generate` is the oracle."""
    engine = engine_of(model)
    limits = [3 + 4 * (n % 4) for n in range(len(PROMPTS))]
    batch = [Prompt(n, engine.tokenize(text), params(limits[n])) for n, text in enumerate(PROMPTS)]
    done = run(engine, batch)
    expected = [oracle(model, text, limits[n]) for n, text in enumerate(PROMPTS)]
    assert [done[n].text for n in range(len(PROMPTS))] == [text_of(model, tokens) for tokens in expected]
    assert [done[n].completion_tokens for n in range(len(PROMPTS))] == [len(tokens) for tokens in expected]
    assert len({tuple(tokens[:3]) for tokens in expected}) > len(PROMPTS) // 2, "a model that hears its prompt"


def test_prompts_of_several_prefill_steps_join_one_batch(model: LoadedModel) -> None:
    """Prompts beyond one step's positions are computed in a later step and answer no differently."""
    long = "退職" * 9
    engine = engine_of(model, sequences=120)
    width = len(engine.tokenize(long))
    count = PREFILL_POSITIONS // width + 3
    batch = [Prompt(n, engine.tokenize(f"{n % 7}" if n else long), params(1 + n % 5)) for n in range(count)]
    done = run(engine, batch)
    expected = {n: oracle(model, f"{n}", 5) for n in range(7)}
    for n in range(1, count):
        assert done[n].text == text_of(model, expected[n % 7][: 1 + n % 5])


def test_an_engine_serves_batch_after_batch(model: LoadedModel) -> None:
    """What ran before leaves nothing behind, whether it finished or was reset."""
    engine = engine_of(model)
    alone = complete(model, "Hi", params())
    run(engine, [Prompt(n, engine.tokenize(text), params(5)) for n, text in enumerate(PROMPTS)])
    engine.admit([Prompt(8, engine.tokenize("Größe"), params())])
    engine.step()
    engine.reset()
    assert not engine.busy()
    assert run(engine, [Prompt(0, engine.tokenize("Hi"), params())]) == {0: alone}


def test_the_limit_is_called_length_and_the_end_token_stop(model: LoadedModel) -> None:
    """`length` says that the answer was cut, `stop` that the model ended it; the end token counts and is not text."""
    tokens = oracle(model, "Hi", 8)
    ended = replace(model, end_tokens=frozenset({tokens[5]}))
    place = tokens.index(tokens[5])
    cut = complete(model, "Hi", params(8))
    stopped = complete(ended, "Hi", params(8))
    assert (cut.finish_reason, cut.completion_tokens) == ("length", 8)
    assert (stopped.finish_reason, stopped.completion_tokens) == ("stop", place + 1)
    assert stopped.text == text_of(model, tokens[:place])
    assert oracle(ended, "Hi", 8) == tokens[: place + 1]


def test_an_end_token_at_the_limit_is_an_end(model: LoadedModel) -> None:
    """An answer whose last allowed token is the end token is whole."""
    tokens = oracle(model, "Hi", 1)
    ended = complete(replace(model, end_tokens=frozenset(tokens)), "Hi", params(1))
    assert (ended.text, ended.finish_reason, ended.completion_tokens) == ("", "stop", 1)


def test_a_stop_string_over_token_boundaries_ends_its_row_alone(model: LoadedModel) -> None:
    """The text ends before the stop string, and the other rows of the batch go on."""
    tokens = oracle(model, PROMPTS[1], 12)
    whole = text_of(model, tokens)
    stop = text_of(model, tokens[3:5])
    assert "\ufffd" not in stop
    assert not any(stop in model.tokenizer.decode([token]) for token in tokens)
    engine = engine_of(model)
    done = run(
        engine,
        [
            Prompt(0, engine.tokenize(PROMPTS[1]), params(12, stop=[stop])),
            Prompt(1, engine.tokenize(PROMPTS[1]), params(12)),
        ],
    )
    assert (done[0].text, done[0].finish_reason) == (whole[: whole.index(stop)], "stop")
    assert done[0].completion_tokens < 12
    assert (done[1].text, done[1].finish_reason) == (whole, "length")


def test_no_limit_leaves_half_a_character_at_the_end(model: LoadedModel) -> None:
    """Wherever the limit falls, the text does not end in the replacement character of a cut one."""
    cut = 0
    for prompt in PROMPTS:
        for limit in range(1, 12):
            tokens = oracle(model, prompt, limit)
            cut += model.tokenizer.decode(tokens).endswith("\ufffd")
            assert complete(model, prompt, params(limit)).text == text_of(model, tokens)
    assert cut, "some limit fell inside a character"


@pytest.mark.parametrize("temperature", [0.7, 2.0])
def test_a_sampled_answer_depends_on_its_seed_and_not_on_its_batch(model: LoadedModel, temperature: float) -> None:
    """Alone, first or last among others: the same seed gives the same answer, and another seed another."""
    engine = engine_of(model)
    wanted = Prompt(99, engine.tokenize("How many days?"), params(temperature=temperature, seed=41))
    alone = run(engine, [wanted])[99]
    others = [
        Prompt(n, engine.tokenize(text), params(temperature=1.0, seed=n)) for n, text in enumerate([*PROMPTS, "Hi"])
    ]
    assert run(engine, [wanted, *others])[99] == alone
    assert run(engine, [*others[:3], wanted])[99] == alone
    assert run(engine, [replace(wanted, params=replace(wanted.params, seed=42))])[99].text != alone.text


def test_temperature_zero_asks_no_seed(model: LoadedModel) -> None:
    """Greedy answers are the same for every seed and every nucleus."""
    first = complete(model, "Hi", SamplingParams(12, 0.0, 0.1, 1, ()))
    assert first == complete(model, "Hi", SamplingParams(12, 0.0, 1.0, 2, ()))
    assert first.text == text_of(model, oracle(model, "Hi", 12))


def test_a_prompt_that_fills_the_context_is_answered_in_the_last_position(model: LoadedModel) -> None:
    """The whole context can be used, by one sequence in the smallest engine there may be."""
    engine = TransformersEngine(model, max_sequences=1, max_positions=CONTEXT)
    tokens = engine.tokenize("7" * (CONTEXT - 1))
    assert len(tokens) == CONTEXT - 1
    done = run(engine, [Prompt(0, tokens, params(1))])[0]
    assert (done.completion_tokens, done.finish_reason) == (1, "length")


def test_text_that_spells_a_special_token_is_text(model: LoadedModel) -> None:
    """A question cannot smuggle in the token that ends answers, or padding."""
    tokens = engine_of(model).tokenize("a</s>b<pad>")
    assert not set(tokens) & {0, 1, 2, 3}
    assert model.tokenizer.decode(tokens, skip_special_tokens=True) == "a</s>b<pad>"


def test_room_is_all_or_nothing_and_is_kept(model: LoadedModel) -> None:
    """An idle engine offers its budget, a busy one nothing, and more than the room is refused."""
    engine = TransformersEngine(model, max_sequences=2, max_positions=100)
    assert engine.room() == Room(2, 100)
    for count, limit in ((3, 1), (2, 49)):
        with pytest.raises(ValueError, match="room"):
            engine.admit([Prompt(n, [5, 6], params(limit)) for n in range(count)])
    engine.admit([Prompt(0, [5, 6], params(48)), Prompt(1, [5], params(48))])
    assert engine.room() == Room(0, 0)
    with pytest.raises(ValueError, match="room"):
        engine.admit([Prompt(2, [5], params(1))])


def test_a_batch_is_bounded_by_what_its_padding_takes(model: LoadedModel) -> None:
    """Short ones run first, as many as fit at the length of the longest of them; the long one after them, alone."""
    engine = TransformersEngine(model, max_sequences=4, max_positions=CONTEXT)
    engine.admit([Prompt(0, [5] * 48, params(1)), *(Prompt(n, [5, 6], params(2)) for n in range(1, 4))])
    assert [[completion.key for completion in engine.step()] for _ in range(3)] == [[], [1, 2, 3], [0]]
    assert not engine.busy()


def test_an_engine_below_one_context_is_refused(model: LoadedModel) -> None:
    """A budget that one sequence could exceed would never answer it."""
    with pytest.raises(ValueError, match=f"context of {CONTEXT}"):
        TransformersEngine(model, max_sequences=1, max_positions=CONTEXT - 1)


def test_an_engine_says_which_model_it_runs(model: LoadedModel) -> None:
    """Name and digest are the manifest's, the context the configuration's."""
    engine = engine_of(model)
    assert (engine.model_name, engine.model_digest, engine.context_length) == (NAME, model.manifest.digest, CONTEXT)


def test_saved_models_are_loaded_by_their_manifest(tmp_path: Path, model: LoadedModel) -> None:
    """Two folders with other weights are two models by digest."""
    other = load_model(save_tiny_bloom(tmp_path / "other", seed=6))
    assert other.manifest.digest != model.manifest.digest


@pytest.mark.parametrize("kind", ["llama", "gpt_neox", "gpt2"])
def test_another_architecture_is_answered_by_transformers(kind: str, tmp_path: Path) -> None:
    """Where positions are an argument of their own, padding must not count: a batch answers as `generate` does."""
    torch.manual_seed(1)
    config = AutoConfig.for_model(
        kind,
        vocab_size=1000,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT,
        n_positions=CONTEXT,
        initializer_range=0.5,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=PAD,
    )
    folder = save_tiny_bloom(tmp_path / kind)
    AutoModelForCausalLM.from_config(config).eval().save_pretrained(folder)
    (folder / "manifest.json").unlink()
    write_manifest(folder, "test/other", "1")
    engine = build(Settings(model=folder, max_sequences=8, max_positions=8 * CONTEXT))
    assert isinstance(engine, TransformersEngine)
    done = run(engine, [Prompt(n, engine.tokenize(text), params(6)) for n, text in enumerate(PROMPTS)])
    other = load_model(folder)
    for n, text in enumerate(PROMPTS):
        assert done[n].text == text_of(other, [token for token in oracle(other, text, 6) if token != 2])


def test_cancelled_sequences_leave_the_batch(model: LoadedModel) -> None:
    """The others' answers stay what they are."""
    engine = engine_of(model)
    batch = [Prompt(n, engine.tokenize(text), params(8)) for n, text in enumerate(PROMPTS)]
    expected = run(engine_of(model), batch)
    engine.admit(batch)
    engine.step()
    engine.cancel([0, 3])
    done: dict[int, Completion] = {}
    while engine.busy():
        done |= {completion.key: completion for completion in engine.step()}
    assert done == {key: completion for key, completion in expected.items() if key not in {0, 3}}
