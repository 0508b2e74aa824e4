"""The engine: transformers' tokens, the same answer in any company, and prompts that hold nobody up."""

import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
import torch
from compiled import compiled
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_bloom import CONTEXT, save_tiny_bloom

from devstack.transformers_engine.loader import LoadedModel, load_model
from enclave_worker.bloom.bloom_engine import STEP_ROWS, BloomEngine
from enclave_worker.bloom.cache import PAGE
from enclave_worker.bloom.load import LoadedBloom, load_bloom
from enclave_worker.bloom.network import Network
from enclave_worker.bloom.torch_operations import TorchOperations
from enclave_worker.bloom.weights import Precision
from enclave_worker.engine import Completion, Prompt, SamplingParams


@pytest.fixture(scope="module", name="folder")
def make_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Bloom."""
    return save_tiny_bloom(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module", name="models")
def load_all(folder: Path) -> dict[Precision, LoadedBloom]:
    """It, in each precision."""
    return {precision: load_bloom(folder, precision, threads=1) for precision in Precision}


@pytest.fixture(scope="module", name="oracle")
def load_oracle(folder: Path) -> LoadedModel:
    """It, as transformers has it."""
    return load_model(folder)


def make_engine(model: LoadedBloom, sequences: int = 16) -> BloomEngine:
    """An engine with room for so many whole contexts."""
    return BloomEngine(model, max_sequences=sequences, max_positions=sequences * CONTEXT)


def greedy(max_tokens: int) -> SamplingParams:
    """The likeliest tokens, so many at most."""
    return SamplingParams(max_tokens, 0.0, 1.0, 0, ())


def run(engine: BloomEngine, prompts: Iterable[Prompt]) -> dict[int, Completion]:
    """Admit as there is room, in the order given, until all are done."""
    waiting = list(prompts)
    done: dict[int, Completion] = {}
    while waiting or engine.busy():
        while waiting and engine.room().holds(waiting[:1]):
            engine.admit([waiting.pop(0)])
        for completion in engine.step():
            assert completion.key not in done
            done[completion.key] = completion
    return done


def generated(oracle: LoadedModel, prompt: Prompt) -> list[int]:
    """What transformers' `generate` gives for one prompt."""
    tokens = torch.tensor([list(prompt.tokens)])
    with torch.inference_mode():
        output = oracle.network.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            max_new_tokens=prompt.params.max_tokens,
            do_sample=False,
            eos_token_id=sorted(oracle.end_tokens),
            pad_token_id=oracle.pad_token,
        )
    answer: list[int] = output[0, tokens.shape[1] :].tolist()
    return answer


def make_prompts(count: int, seed: int = 0, common: int = 0) -> list[Prompt]:
    """Prompts of 1 to 40 tokens behind a common beginning; two scopes, answers of 1 to 20 tokens."""
    rng = random.Random(seed)
    beginning = [rng.randrange(4, 900) for _ in range(common)]
    return [
        Prompt(
            key,
            beginning + [rng.randrange(4, 900) for _ in range(rng.randint(1, 40 - common))],
            greedy(rng.randint(1, 20)),
            scope=rng.choice((b"a", b"b")),
        )
        for key in range(count)
    ]


def test_fp32_gives_the_tokens_that_transformers_gives(
    models: dict[Precision, LoadedBloom], oracle: LoadedModel
) -> None:
    """In batches with common beginnings, one after the other leaving: each prompt's answer is `generate`'s."""
    prompts = make_prompts(30) + [
        Prompt(100 + prompt.key, prompt.tokens, prompt.params, scope=b"c")
        for prompt in make_prompts(20, seed=1, common=33)
    ]
    done = run(make_engine(models[Precision.FP32]), prompts)
    for prompt in prompts:
        tokens = generated(oracle, prompt)
        text = oracle.tokenizer.decode(tokens, skip_special_tokens=True).rstrip("\ufffd").lstrip(" ")
        assert (done[prompt.key].text, done[prompt.key].completion_tokens) == (text, len(tokens))


@settings(deadline=None, max_examples=25)
@given(data=st.data(), precision=st.sampled_from(list(Precision)), seed=st.integers(0, 3))
def test_an_answer_is_the_same_in_any_company(
    models: dict[Precision, LoadedBloom], data: st.DataObject, precision: Precision, seed: int
) -> None:
    """Order of arrival, size of the batch, common beginnings, others that are cancelled: no answer changes by them."""
    compiled()
    model = models[precision]
    prompts = make_prompts(12, seed, common=data.draw(st.sampled_from([0, 16, 35])))
    alone = {prompt.key: run(make_engine(model, 1), [prompt])[prompt.key] for prompt in prompts}
    order = data.draw(st.permutations(prompts))
    engine = make_engine(model, data.draw(st.integers(2, 9)))
    doomed = data.draw(st.sets(st.integers(0, 11), max_size=4))
    done = run_and_cancel(engine, order, doomed)
    assert done == {key: completion for key, completion in alone.items() if key in done}
    assert done.keys() >= alone.keys() - doomed
    assert engine.room() == make_engine(model, engine.room().sequences).room(), "all pages came back"


def run_and_cancel(engine: BloomEngine, prompts: Sequence[Prompt], doomed: set[int]) -> dict[int, Completion]:
    """As `run`, and those of `doomed` are cancelled after some steps, one a step."""
    waiting, cancelled = list(prompts), sorted(doomed)
    done: dict[int, Completion] = {}
    while waiting or engine.busy():
        while waiting and engine.room().holds(waiting[:1]):
            engine.admit([waiting.pop(0)])
        done |= {completion.key: completion for completion in engine.step()}
        if cancelled and cancelled[0] not in {prompt.key for prompt in waiting}:
            engine.cancel([cancelled.pop(0)])
    return done


def test_threads_and_a_new_process_change_nothing(folder: Path, models: dict[Precision, LoadedBloom]) -> None:
    """Loaded again and computed by three threads: the same answers."""
    for precision in Precision:
        prompts = make_prompts(8)
        again = load_bloom(folder, precision, threads=3)
        assert run(make_engine(again), prompts) == run(make_engine(models[precision]), prompts)


@pytest.mark.parametrize("precision", list(Precision))
def test_plain_torch_serves_where_nothing_is_compiled(
    models: dict[Precision, LoadedBloom], precision: Precision
) -> None:
    """The same engine over plain torch gives the same answers but for near ties."""
    model = models[precision]
    plain = LoadedBloom(
        model.manifest,
        Network(model.network.weights, TorchOperations(precision, 1)),
        model.tokenizer,
        model.context_length,
        model.end_tokens,
    )
    prompts = make_prompts(12)
    fast, slow = run(make_engine(model), prompts), run(make_engine(plain), prompts)
    assert sum(fast[key] == slow[key] for key in fast) >= 10


def test_a_long_prompt_holds_nobody_up(models: dict[Precision, LoadedBloom]) -> None:
    """While a prompt of many steps is computed, every running answer grows by a token in every step."""
    model = models[Precision.INT8]
    longer = LoadedBloom(model.manifest, model.network, model.tokenizer, 4 * STEP_ROWS, frozenset())
    engine = BloomEngine(longer, max_sequences=8, max_positions=8 * STEP_ROWS)
    engine.admit([Prompt(0, [5, 6, 7], greedy(6))])
    assert engine.step() == []
    engine.admit([Prompt(1, [8] * (3 * STEP_ROWS), greedy(1))])
    # Five more tokens take five more steps, although the other prompt fills the first three of them.
    completions = [engine.step() for _ in range(5)]
    assert [[completion.key for completion in step] for step in completions] == [[], [], [], [1], [0]]


def test_cancelling_a_prompt_that_others_build_on_leaves_them_right(
    models: dict[Precision, LoadedBloom],
) -> None:
    """The common beginning is computed to its end although the one that began it is not wanted any more."""
    model = models[Precision.FP32]
    longer = LoadedBloom(model.manifest, model.network, model.tokenizer, 4 * STEP_ROWS, frozenset())
    tokens = [random.Random(5).randrange(4, 900) for _ in range(STEP_ROWS + 3 * PAGE)]
    first, second = Prompt(0, tokens, greedy(4)), Prompt(1, [*tokens, 9], greedy(4))
    engine = BloomEngine(longer, max_sequences=8, max_positions=8 * STEP_ROWS)
    engine.admit([first, second])
    engine.step()
    engine.cancel([0])
    done: dict[int, Completion] = {}
    while engine.busy():
        done |= {completion.key: completion for completion in engine.step()}
    alone = BloomEngine(longer, max_sequences=8, max_positions=8 * STEP_ROWS)
    assert done == run(alone, [second])


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(12, 0.8, 1.0, 77, ()),
        SamplingParams(12, 1.0, 0.7, 77, ()),
        SamplingParams(12, 1.0, 1.0, 77, (), top_k=5),
        SamplingParams(12, 0.0, 1.0, 0, (), repetition_penalty=2.0),
    ],
)
def test_a_sampled_answer_depends_on_its_seed_alone(
    models: dict[Precision, LoadedBloom], params: SamplingParams
) -> None:
    """Alone or among others, the same text; another seed gives another."""
    model = models[Precision.INT8]
    prompt = Prompt(50, list(range(20, 60)), params)
    alone = run(make_engine(model), [prompt])[50]
    among = run(make_engine(model, 7), [*make_prompts(9), prompt, *make_prompts(20)[9:]])[50]
    assert alone == among
    assert alone.text != run(make_engine(model), [Prompt(50, prompt.tokens, greedy(12))])[50].text


def test_an_engine_that_was_reset_has_all_its_room(models: dict[Precision, LoadedBloom]) -> None:
    """After an error nothing of a half computed batch is left, and nothing of it is shared."""
    engine = make_engine(models[Precision.FP32])
    fresh = engine.room()
    prompts = make_prompts(5, common=20)
    engine.admit(prompts)
    engine.step()
    engine.reset()
    assert (engine.busy(), engine.room()) == (False, fresh)
    assert run(engine, prompts) == run(make_engine(models[Precision.FP32]), prompts)


def test_more_than_there_is_room_for_is_refused(models: dict[Precision, LoadedBloom]) -> None:
    """And an engine whose cache is smaller than one context does not start."""
    engine = make_engine(models[Precision.FP32], 2)
    with pytest.raises(ValueError, match="room"):
        engine.admit(make_prompts(3))
    with pytest.raises(ValueError, match="below the context"):
        BloomEngine(models[Precision.FP32], max_sequences=1, max_positions=CONTEXT - 1)
