"""What a parent can do between the real bridge and the real enclave: it carries every frame and bends what it likes."""

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import cbor2
from attacks_on_keys import WRAPPED, with_header
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key
from hostile import Accepted, Stage, Verdict, VictimJob
from registry import attack
from relay import Rule, Wires

from devstack.cms import envelop
from results_consumer.errors import Check
from wire.envelope import parse_answers, parse_questions
from wire.manifest import decode_manifest
from wire.messages import Answer, Message, Ready, Refusal, RefusalCode, Unwrap, Unwrapped, Work

QUESTIONS = [f"How many days of leave are there after {years} years?" for years in range(1, 7)]


def carried(stage: Stage, records: int, chunk: int, rule: Rule) -> VictimJob:
    """A job that the bridge has carried under this rule until nothing of it was left to do."""
    way = stage.way()
    truth = stage.baseline(QUESTIONS)
    way.relay.rule = rule
    job = stage.submit(questions=QUESTIONS[:records], chunk=chunk)
    job.honest = truth[:records]
    way.until(lambda: stage.told(job) >= records, "the last outcome")
    return job


def job_of(work: Work) -> str:
    """The job that a piece of work is of."""
    return parse_questions(work.sealed).header.job


class Holding:
    """Keeps messages that are chosen until so many are there, and then lets them go as `change` says."""

    def __init__(self, kind: type[Message], count: int) -> None:
        self._kind, self._count, self._held = kind, count, list[Message]()

    def __call__(self, message: Message, _: Wires) -> Iterable[Message]:
        """See `Rule`."""
        if not isinstance(message, self._kind) or self._count == 0:
            return (message,)
        self._held.append(message)
        if len(self._held) < self._count:
            return ()
        self._count = 0
        return self.change(self._held)

    def change(self, held: list[Message]) -> Iterable[Message]:
        """In the opposite order."""
        return held[::-1]


class Swapping(Holding):
    """Exchanges what two answers hold."""

    def change(self, held: list[Message]) -> Iterable[Message]:
        """Each under the other's number."""
        one, two = held
        assert isinstance(one, Answer)
        assert isinstance(two, Answer)
        return replace(one, sealed=two.sealed), replace(two, sealed=one.sealed)


def answers_as(change: Callable[[bytes], bytes]) -> Rule:
    """A rule that changes the sealed bytes of every answer."""

    def rule(message: Message, _: Wires) -> Iterable[Message]:
        if isinstance(message, Answer):
            return (replace(message, sealed=change(message.sealed)),)
        return (message,)

    return rule


@attack("swap two answers between enclave and bridge")
def swap_answers(stage: Stage) -> Verdict:
    """The real bridge stores each at the other's key."""
    return stage.refused(carried(stage, 4, 2, Swapping(Answer, 2)), Check.CHUNK)


@attack("swap the answers of two jobs between enclave and bridge")
def swap_jobs(stage: Stage) -> Verdict:
    """Both are under way at once."""
    way, rule = stage.way(), Swapping(Answer, 2)
    stage.baseline(QUESTIONS)
    way.relay.rule = rule
    jobs = [stage.submit(questions=QUESTIONS[:2]) for _ in range(2)]
    way.until(lambda: all(stage.told(job) >= 2 for job in jobs), "both answers")
    stage.refused(jobs[0], Check.JOB)
    return stage.refused(jobs[1], Check.JOB)


@attack("put an older answer in a new one's place on the way")
def replay_answer(stage: Stage) -> Verdict:
    """The same questions, answered truly a moment ago; the new answer never reaches the bridge."""
    carried(stage, 2, 2, lambda message, _: (message,))
    old = stage.way_seen(Answer)[-1].sealed
    return stage.refused(carried(stage, 2, 2, answers_as(lambda _: old)), Check.JOB)


@attack("exchange a question for an older one on the way")
def replay_question(stage: Stage) -> Verdict:
    """The enclave answers last month's chunk, and the bridge takes that for this one's answer."""
    carried(stage, 2, 2, lambda message, _: (message,))
    old = stage.way_seen(Work)[-1].sealed
    swap: Rule = lambda message, _: (replace(message, sealed=old) if isinstance(message, Work) else message,)  # noqa: E731
    return stage.refused(carried(stage, 2, 2, swap), Check.JOB)


@attack("flip a bit of an answer on the way")
def flip_answer(stage: Stage) -> Verdict:
    """In its ciphertext."""

    def flip(sealed: bytes) -> bytes:
        at = len(parse_answers(sealed).associated) + 100
        return sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]

    return stage.refused(carried(stage, 2, 2, answers_as(flip)), Check.SEAL)


@attack("ask the enclave a question a hundred times on the bridge's connection")
def ask_hundred(stage: Stage) -> Verdict:
    """Behind the bridge's back, under numbers that it does not use; KMS is asked once."""
    sealed: list[bytes] = []
    first = 2**40

    def rule(message: Message, wires: Wires) -> Iterable[Message]:
        match message:
            case Work(ref, _, _, _) if ref < first:
                wires.send(replace(message, ref=first))
            case Answer(ref, answer) if ref >= first:
                sealed.append(answer)
                if len(sealed) < 100:
                    work = next(item for item in relay.passed[::-1] if isinstance(item, Work))
                    wires.send(replace(work, ref=ref + 1))
                return ()
        return () if getattr(message, "ref", 0) >= first else (message,)

    relay = stage.way().relay
    job = carried(stage, 2, 2, rule)
    stage.way_until(lambda: len(sealed) == 100, "a hundred answers")
    if len(relay.of(Unwrap)) > 1:
        raise Accepted(f"KMS was asked {len(relay.of(Unwrap))} times")
    for answer in sealed[::33]:
        stage.put(job.answers()[0], answer)
        stage.no_effect(job, "")
    return Verdict("a hundred times the same answer, one unwrap", "deterministic answers")


@attack("reorder the chunks of a job on the way")
def reorder(stage: Stage) -> Verdict:
    """All three wait, and go on last one first; their answers too."""
    work, answers = Holding(Work, 3), Holding(Answer, 3)

    def rule(message: Message, wires: Wires) -> Iterable[Message]:
        return (work if isinstance(message, Work) else answers)(message, wires)

    return stage.no_effect(carried(stage, 6, 2, rule), "every chunk names its place")


@attack("repeat every answer and every reply of KMS on the way")
def repeat(stage: Stage) -> Verdict:
    """Each comes three times."""

    def rule(message: Message, _: Wires) -> Iterable[Message]:
        return (message,) * (3 if isinstance(message, Answer | Unwrapped) else 1)

    return stage.no_effect(carried(stage, 4, 2, rule), "a number ends once")


@attack("repeat a piece of work under its own number on the way")
def repeat_work(stage: Stage) -> Verdict:
    """The enclave drops the connection; the bridge has the chunk answered on the next one."""
    once = [2]

    def rule(message: Message, _: Wires) -> Iterable[Message]:
        return (message,) * (once.pop() if isinstance(message, Work) and once else 1)

    return stage.no_effect(carried(stage, 4, 2, rule), "a reference is used once; the queue delivers again")


@attack("cut the connection in the middle of an answer")
def cut(stage: Stage) -> Verdict:
    """Half of the frame arrives."""
    once = [True]

    def rule(message: Message, wires: Wires) -> Iterable[Message]:
        if isinstance(message, Answer) and once:
            once.clear()
            wires.send_half(message)
            return ()
        return (message,)

    return stage.no_effect(carried(stage, 4, 2, rule), "a frame is whole or nothing; the queue delivers again")


@attack("drop an answer on the way")
def drop(stage: Stage) -> Verdict:
    """The job is never complete without it; when the connection ends, the chunk is answered again."""
    way, dropped = stage.way(), list[Message]()
    truth = stage.baseline(QUESTIONS)

    def rule(message: Message, _: Wires) -> Iterable[Message]:
        if isinstance(message, Answer) and not dropped:
            dropped.append(message)
            return ()
        return (message,)

    way.relay.rule = rule
    job = stage.submit(questions=QUESTIONS[:4])
    job.honest = truth[:4]
    way.until(lambda: dropped and stage.told(job) == 2, "the other answer")
    verdict = stage.unfinished(job)
    way.relay.cut()
    way.until(lambda: stage.told(job) == 4, "the answer that was dropped")
    stage.no_effect(job, "")
    return Verdict(f"{verdict.happened}, and answered after it", verdict.caught)


@attack("claim another image and a window of thousands for the enclave")
def other_ready(stage: Stage) -> Verdict:
    """The bridge sends more than the enclave takes, which gives back what is too much."""
    claim: Rule = lambda message, _: (  # noqa: E731
        (replace(message, image="ab" * 48, window_chunks=4096, window_bytes=2**40),)
        if isinstance(message, Ready)
        else (message,)
    )
    way = stage.way()
    stage.baseline(QUESTIONS)
    way.relay.rule = claim
    way.relay.cut()
    way.until(lambda: way.relay.of(Ready), "another connection")
    return stage.no_effect(carried(stage, 6, 1, claim), "the enclave's own window")


@attack("turn a true answer into a refusal on the way")
def refuse(stage: Stage) -> Verdict:
    """The bridge believes it, and nobody else."""

    def rule(message: Message, _: Wires) -> Iterable[Message]:
        return (Refusal(message.ref, RefusalCode.MALFORMED),) if isinstance(message, Answer) else (message,)

    return stage.unattested(carried(stage, 2, 2, rule), 2)


@attack("substitute the wrapped question key on the way")
def other_question_key(stage: Stage) -> Verdict:
    """By that of another job of the same tenant."""
    foreign = parse_questions(stage.submit(2).chunks()[0]).header.wrapped

    def rule(message: Message, _: Wires) -> Iterable[Message]:
        if isinstance(message, Work) and parse_questions(message.sealed).header.wrapped != foreign:
            return (replace(message, sealed=with_header(message.sealed, WRAPPED, foreign)),)
        return (message,)

    return stage.unattested(carried(stage, 2, 2, rule), 2)


@attack("substitute both wrapped keys on the way")
def both_keys(stage: Stage) -> Verdict:
    """The question key before the enclave, the answer key before the reader."""
    other = decode_manifest(stage.get(stage.submit(2).key("manifest"))).keysets[0]

    def rule(message: Message, _: Wires) -> Iterable[Message]:
        if isinstance(message, Work) and parse_questions(message.sealed).header.wrapped != other.question_wrapped:
            return (replace(message, sealed=with_header(message.sealed, WRAPPED, other.question_wrapped)),)
        return (message,)

    job = carried(stage, 2, 2, rule)
    mine = decode_manifest(stage.get(job.key("manifest"))).keysets[0]
    changed = stage.get(job.key("manifest")).replace(mine.answer_wrapped, other.answer_wrapped)
    stage.put(job.key("manifest"), changed)
    return stage.refused(job, Check.MANIFEST_DIGEST)


def forged(keys: Sequence[bytes]) -> Rule:
    """A rule that answers every unwrap, in KMS's place, with a true CMS message that holds the first of `keys`."""

    def rule(message: Message, wires: Wires) -> Iterable[Message]:
        if not isinstance(message, Unwrap):
            return (message,)
        public = load_der_public_key(cbor2.loads(cbor2.loads(message.document)[2])["public_key"])
        assert isinstance(public, rsa.RSAPublicKey)
        wires.send(Unwrapped(message.request, envelop(keys[0], public)))
        return ()

    return rule


@attack("forge KMS's reply on the way")
def forged_reply(stage: Stage) -> Verdict:
    """KMS is never asked; the enclave gets a key of the parent's choosing."""
    return stage.unattested(carried(stage, 2, 2, forged([bytes(32)])), 2)


@attack("replay KMS's reply to an earlier unwrap on the way")
def replayed_reply(stage: Stage) -> Verdict:
    """It was made for another key pair of the same enclave."""
    carried(stage, 1, 1, lambda message, _: (message,))
    old = stage.way_seen(Unwrapped)[-1].ciphertext
    replay: Rule = lambda message, _: (  # noqa: E731
        replace(message, ciphertext=old) if isinstance(message, Unwrapped) else message,
    )
    return stage.unattested(carried(stage, 2, 2, replay), 2)


class ForgedKms:
    """What the parent mints keys with: plain ones that it knows, and wrapped ones that KMS never saw."""

    def __init__(self) -> None:
        self.keys: list[bytes] = []

    def generate_data_key(self, **request: object) -> dict[str, object]:
        """See KMS."""
        self.keys.append(secrets.token_bytes(32))
        return {"KeyId": request["KeyId"], "Plaintext": self.keys[-1], "CiphertextBlob": secrets.token_bytes(184)}


@attack("invent a whole job for another tenant and forge KMS's replies for it")
def invented_job(stage: Stage) -> Verdict:
    """The enclave answers the parent's own questions; even a reader that is given the ticket refuses them."""
    way, kms = stage.way(), ForgedKms()
    stage.baseline(QUESTIONS)
    true = stage.settings
    stage.settings = replace(true, tenant="pensions")
    try:
        way.relay.rule = forged(kms.keys)
        job = stage.submit(questions=QUESTIONS[:2], kms=kms)
        way.until(lambda: len(stage.keys(job.key("answers/"))) == 1, "the enclave's answer")
        return stage.reader_of(job, "pensions", Check.ANSWER_KEY)
    finally:
        stage.settings = true
