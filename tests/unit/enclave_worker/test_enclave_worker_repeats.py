"""Identical questions are computed once, and everybody who asked hears the answer."""

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from enclave_worker.engine import Completion, Prompt, SamplingParams
from enclave_worker.repeats import Repeats

GREEDY = SamplingParams(9, 0.0, 1.0, 1, ())


def prompt(key: int, text: str = "question", **other: bytes | SamplingParams) -> Prompt:
    """A question under one key."""
    fields = {"params": GREEDY, "tenant": "t", "scope": b"s"} | other
    return Prompt(key, list(text.encode()), **fields)  # type: ignore[arg-type]


def answer(key: int, text: str = "answer") -> Completion:
    """A finished sequence."""
    return Completion(key, text, "stop", 3)


def test_followers_and_latecomers_get_the_leaders_answer() -> None:
    """One that comes while the first runs, and one that comes after."""
    repeats = Repeats()
    assert repeats.join(prompt(1)) == 1
    assert repeats.join(prompt(2)) == 1
    assert repeats.finish(answer(1)) == [answer(1), answer(2)]
    assert repeats.join(prompt(3)) == answer(3)


def test_what_differs_in_anything_that_matters_is_another_question() -> None:
    """Scope, tokens, parameters; a seed only where chance is asked for."""
    repeats = Repeats()
    assert repeats.join(prompt(1)) == 1
    different = [
        prompt(3, scope=b"k"),
        prompt(4, "another"),
        prompt(5, params=replace(GREEDY, max_tokens=8)),
        prompt(6, params=replace(GREEDY, temperature=1.0)),
        prompt(7, params=replace(GREEDY, temperature=1.0, seed=2)),
        prompt(8, params=replace(GREEDY, repetition_penalty=1.1)),
    ]
    assert [repeats.join(other) for other in different] == [3, 4, 5, 6, 7, 8]
    assert repeats.join(prompt(9, params=replace(GREEDY, seed=99))) == 1, "greedy decoding knows no seed"


def test_a_leader_that_leaves_goes_on_for_its_followers() -> None:
    """Only when nobody is left is the sequence unwanted."""
    repeats = Repeats()
    repeats.join(prompt(1))
    repeats.join(prompt(2))
    assert repeats.leave({1}) == []
    assert repeats.finish(answer(1)) == [answer(2)]
    repeats = Repeats()
    repeats.join(prompt(1))
    repeats.join(prompt(2))
    assert repeats.leave({1, 2}) == [1]
    assert repeats.join(prompt(3)) == 3, "and a later one starts anew"


def test_failures_are_told_and_not_remembered() -> None:
    """Neither a failed engine nor a poisonous question is an answer."""
    repeats = Repeats()
    repeats.join(prompt(1))
    repeats.join(prompt(2))
    assert repeats.end(1) == [1, 2]
    assert repeats.join(prompt(3)) == 3
    assert repeats.finish(Completion(3, "", "poison", 0)) == [Completion(3, "", "poison", 0)]
    assert repeats.join(prompt(4)) == 4


def test_no_more_than_so_many_answers_are_remembered() -> None:
    """The longest unused leaves first."""
    repeats = Repeats(remembered=2)
    for key, text in enumerate("abc"):
        repeats.join(prompt(key, text))
        repeats.finish(answer(key, text))
    assert repeats.join(prompt(10, "a")) == 10
    assert repeats.join(prompt(11, "b")) == answer(11, "b")


class Company(RuleBasedStateMachine):
    """Questions come, go and are answered in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.repeats = Repeats(remembered=2)
        self.open: dict[int, str] = {}
        self.running: dict[int, str] = {}
        self.next = 0

    @rule(text=st.sampled_from(["a", "b", "c"]))
    def ask(self, text: str) -> None:
        """A question is new, waits for one that runs, or is answered at once, rightly."""
        self.next += 1
        found = self.repeats.join(prompt(self.next, text))
        if isinstance(found, Completion):
            assert found == answer(self.next, text)
            return
        self.open[self.next] = text
        assert self.running.setdefault(found, text) == text
        assert list(self.running.values()).count(text) == 1

    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        """Everybody who waits is told once, and the right answer."""
        if not self.running:
            return
        leader = data.draw(st.sampled_from(sorted(self.running)))
        text = self.running.pop(leader)
        told = self.repeats.finish(answer(leader, text))
        assert sorted(completion.key for completion in told) == sorted(k for k, t in self.open.items() if t == text)
        assert {completion.text for completion in told} == {text}
        self.open = {key: other for key, other in self.open.items() if other != text}

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """Whoever leaves is not told; what nobody waits for is given up."""
        gone = data.draw(st.sets(st.sampled_from(sorted(self.open)), max_size=3)) if self.open else set()
        unwanted = self.repeats.leave(gone)
        for key in gone:
            del self.open[key]
        wanted = set(self.open.values())
        assert {self.running[leader] for leader in unwanted} == set(self.running.values()) - wanted
        self.running = {leader: text for leader, text in self.running.items() if text in wanted}

    @invariant()
    def what_is_asked_is_computed(self) -> None:
        """Nobody waits for nothing."""
        assert set(self.open.values()) == set(self.running.values())


Company.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestCompany = Company.TestCase
