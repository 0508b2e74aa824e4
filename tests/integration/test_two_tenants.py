"""Two tenants in one batch of the real engine: nobody's answer tells that the other was there."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from enclave_parent import Parent, RunningEnclave
from question_factory import Keys, record
from tiny_bloom import CONTEXT, save_tiny_bloom
from waiting import wait_until

from devstack.cms import envelop
from enclave_worker.bloom.bloom_engine import BloomEngine
from enclave_worker.bloom.load import LoadedBloom, load_bloom
from enclave_worker.bloom.weights import Precision
from enclave_worker.engine import Completion
from enclave_worker.vitals import Vitals
from wire.messages import Answer, Unwrapped
from wire.payload import Result

MINE = [record(n, f"How many days of leave are there after {n} years?", max_tokens=12) for n in range(4)]
OTHERS = [record(n, f"How many days of pay is a week of {n}?", max_tokens=20) for n in range(6)]


class Watched(BloomEngine):
    """Remembers which tenants' sequences each step computed together; takes none while its gate is shut."""

    def __init__(self, model: LoadedBloom) -> None:
        super().__init__(model, max_sequences=16, max_positions=16 * CONTEXT)
        self.gate = threading.Event()
        self.endless = False
        self.batches: set[frozenset[str]] = set()
        self.prompts = 0

    def vitals(self) -> Vitals:
        """It runs, and never ended."""
        return Vitals(ready=True, restarts=0, resident=0)

    def tokenize(self, prompt: str) -> Sequence[int]:
        """See `BloomEngine.tokenize`."""
        self.prompts += 1
        return super().tokenize(prompt)

    def step(self) -> list[Completion]:
        """See `BloomEngine.step`."""
        assert self.gate.wait(30)
        self.batches.add(frozenset(sequence.prompt.tenant for sequence in self._running.values()))
        return super().step()


@pytest.fixture(scope="module", name="model")
def load(tmp_path_factory: pytest.TempPathFactory) -> LoadedBloom:
    """A random Bloom."""
    return load_bloom(save_tiny_bloom(tmp_path_factory.mktemp("models") / "tiny"), Precision.INT8, threads=1)


def answers(
    folder: Path, model: LoadedBloom, *, together: bool, single: bool = False
) -> tuple[tuple[Result, ...], set[frozenset[str]]]:
    """One tenant's results, with or without the other's questions at the same time; and who was computed together."""
    engine, mine = Watched(model), Keys()
    with RunningEnclave(folder, engine, single_tenant=single) as enclave:  # type: ignore[arg-type]
        parents = [Parent(enclave, mine)]
        parents[0].work(1, mine, MINE)
        if together:
            other = Keys()
            parents.append(Parent(enclave))
            parents[1].courier = lambda request, public: Unwrapped(request.request, envelop(other.question_key, public))
            parents[1].work(1, other, OTHERS, tenant="pensions")
        with ThreadPoolExecutor() as pool:
            taken = [pool.submit(parent.take, Answer) for parent in parents]
            wait_until(lambda: engine.prompts == len(MINE) + len(OTHERS) * together, 30, "all questions")
            engine.gate.set()
            sealed = [future.result().sealed for future in taken]
    return mine.open(sealed[0])[1].results, engine.batches


def test_an_answer_is_the_same_with_and_without_another_tenants_questions_in_its_batch(
    tmp_path: Path, model: LoadedBloom
) -> None:
    """In 8 bits, where rounding would show: text, tokens and reason are the same, and the batch was a common one."""
    alone, batches = answers(tmp_path, model, together=False)
    assert batches == {frozenset({"benefits"})}
    beside, batches = answers(tmp_path, model, together=True)
    assert frozenset({"benefits", "pensions"}) in batches
    assert beside == alone
    assert len({result.text for result in alone}) > 1


def test_where_it_is_asked_for_no_batch_holds_two_tenants(tmp_path: Path, model: LoadedBloom) -> None:
    """`Settings.single_tenant`: both are answered, one after the other."""
    apart, batches = answers(tmp_path, model, together=True, single=True)
    assert batches == {frozenset({"benefits"}), frozenset({"pensions"})}
    assert apart == answers(tmp_path, model, together=False)[0]
