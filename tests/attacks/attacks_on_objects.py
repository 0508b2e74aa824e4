"""What an owner of the bucket can do to answers, questions, manifest and pages."""

from hostile import Accepted, Stage, Verdict
from registry import attack

from results_consumer.errors import Check
from vsock_bridge.store import Store
from wire import ledger
from wire.envelope import parse_answers, parse_questions
from wire.ledger import ChunkMessage, Failure
from wire.manifest import decode_page, encode_page
from wire.messages import Work


@attack("read a question in the queue or the bucket")
def read_questions(stage: Stage) -> Verdict:
    """Messages as they wait, in any spelling of what was asked, and all objects of the job."""
    job = stage.submit()
    sealed = stage.queued() + stage.stored(job.key(""))
    if found := stage.read_in(sealed):
        raise Accepted(f"a question stands in {found[0]}")
    if not any(job.ticket.job.encode() in body for _, body in stage.queued()):
        raise Accepted("the queue was not looked at")
    return Verdict(f"nothing in {len(sealed)} messages and objects", "AES-256-GCM under a key of KMS")


@attack("swap two answers of a job")
def swap_answers(stage: Stage) -> Verdict:
    """Each lies at the other's key."""
    job = stage.answered()
    stage.swap(*job.answers())
    return stage.refused(job, Check.CHUNK)


@attack("swap the answers of two jobs")
def swap_jobs(stage: Stage) -> Verdict:
    """The same tenant, the same chunk number, the same keys of KMS."""
    job, other = stage.answered(2), stage.answered(2)
    stage.swap(job.answers()[0], other.answers()[0])
    stage.refused(other, Check.JOB)
    return stage.refused(job, Check.JOB)


@attack("relabel another job's answer as this job's")
def relabel_job(stage: Stage) -> Verdict:
    """Its header, rewritten byte by byte, names this job."""
    job, other = stage.answered(2), stage.answered(2)
    forged = stage.get(other.answers()[0]).replace(other.ticket.job.encode(), job.ticket.job.encode())
    stage.put(job.answers()[0], forged)
    return stage.refused(job, Check.WRAPPED_DIGEST)


@attack("pass an answer off as another tenant's")
def swap_tenants(stage: Stage) -> Verdict:
    """The header's tenant rewritten to another one of the same length."""
    job = stage.answered(2)
    stage.put(job.answers()[0], stage.get(job.answers()[0]).replace(b"benefits", b"pensions", 1))
    return stage.refused(job, Check.TENANT)


@attack("replay an older answer to the same questions")
def replay_answer(stage: Stage) -> Verdict:
    """The same file was submitted last month; its true answers are put in this month's place."""
    questions = ["How many days of leave?", "How many weeks of leave?"]
    older, job = (stage.answer_all(stage.submit(questions=questions)) for _ in range(2))
    stage.put(job.answers()[0], stage.get(older.answers()[0]))
    return stage.refused(job, Check.JOB)


@attack("replay a question a hundred times")
def replay_question(stage: Stage) -> Verdict:
    """Every answer is the same one, and KMS was asked once."""
    job = stage.submit(2)
    (work,) = job.works()
    with stage.parent() as parent:
        sealed = [parent.answer(work) for _ in range(100)]
        if len(parent.unwraps) > 1:
            raise Accepted(f"KMS was asked {len(parent.unwraps)} times")
    texts = set()
    for answer in (sealed[0], sealed[50], sealed[-1]):
        stage.store(work, answer)
        texts.add(tuple(stage.fetch(job).answers))
    if len(texts) != 1:
        raise Accepted("a replay was answered otherwise")
    return Verdict("100 times the same answer, one unwrap", "deterministic answers")


@attack("cut an answer object")
def cut_answer(stage: Stage) -> Verdict:
    """The last records are to be lost."""
    job = stage.answered()
    stage.put(job.answers()[0], stage.get(job.answers()[0])[:-500])
    return stage.refused(job, Check.OBJECT_FORM)


@attack("extend an answer object")
def extend_answer(stage: Stage) -> Verdict:
    """Bytes behind the receipt."""
    job = stage.answered()
    stage.put(job.answers()[0], stage.get(job.answers()[0]) + b"\0" * 64)
    return stage.refused(job, Check.OBJECT_FORM)


@attack("flip a bit of a sealed answer")
def flip_answer(stage: Stage) -> Verdict:
    """In the middle of the ciphertext."""
    job = stage.answered()

    def flip(data: bytearray) -> None:
        data[len(parse_answers(bytes(data)).associated) + 100] ^= 1

    stage.change(job.answers()[0], flip)
    return stage.refused(job, Check.SEAL)


@attack("claim another model in an answer's header")
def claim_model(stage: Stage) -> Verdict:
    """The digest of the model, rewritten."""
    job = stage.answered(2)
    model = parse_answers(stage.get(job.answers()[0])).header.model
    stage.put(job.answers()[0], stage.get(job.answers()[0]).replace(model, bytes(32), 1))
    return stage.refused(job, Check.SEAL)


@attack("repeat an answer beside itself")
def repeat_answer(stage: Stage) -> Verdict:
    """A second, equal object where alternatives go."""
    job = stage.answered()
    body = stage.get(job.answers()[0])
    stage.put(ledger.alternative(job.answers()[0], body), body)
    return stage.no_effect(job, "one answer a range")


@attack("drop the answers to a chunk")
def drop_answers(stage: Stage) -> Verdict:
    """The job is never complete without it."""
    job = stage.answered()
    stage.remove(job.answers()[1])
    return stage.unfinished(job)


@attack("drop the manifest")
def drop_manifest(stage: Stage) -> Verdict:
    """As if there had been no job."""
    job = stage.answered(2)
    stage.remove(job.key("manifest"))
    return stage.refused(job, Check.MANIFEST_PRESENT)


@attack("put a manifest of the parent's making")
def forge_manifest(stage: Stage) -> Verdict:
    """One record fewer, so that nobody misses it."""
    job = stage.answered()

    def fewer(data: bytearray) -> None:
        at = data.index(b"\x04\x02\x01")  # records, chunks, pages
        data[at] = 3

    stage.change(job.key("manifest"), fewer)
    return stage.refused(job, Check.MANIFEST_DIGEST)


@attack("put another job's manifest")
def other_manifest(stage: Stage) -> Verdict:
    """A true one, with all of its job's objects under this job's name."""
    job, other = stage.answered(2), stage.answered(2)
    for key in stage.keys(other.key("")):
        stage.put(key.replace(other.ticket.job, job.ticket.job), stage.get(key))
    return stage.refused(job, Check.MANIFEST_DIGEST)


@attack("drop a page of the list of chunks")
def drop_page(stage: Stage) -> Verdict:
    """The manifest counts the pages."""
    job = stage.answered(2)
    stage.remove(job.key("pages/000000"))
    return stage.refused(job, Check.PAGE_PRESENT)


@attack("take a chunk out of the list of chunks")
def shorten_page(stage: Stage) -> Verdict:
    """Its records would never be missed."""
    job = stage.answered()
    page = job.key("pages/000000")
    stage.put(page, encode_page(decode_page(stage.get(page))[:-1]))
    return stage.refused(job, Check.CHUNK_COVER)


@attack("list other questions under a chunk's number")
def change_page(stage: Stage) -> Verdict:
    """The digest of one chunk's questions, exchanged for that of the other."""
    job = stage.answered()
    page, (one, two) = job.key("pages/000000"), job.chunks()
    digests = [parse_questions(sealed).digest for sealed in (one, two)]
    stage.put(page, stage.get(page).replace(digests[0], digests[1]))
    return stage.refused(job, Check.MERKLE_ROOT)


@attack("squat on an answer's key with junk")
def squat(stage: Stage) -> Verdict:
    """The true answer, stored as the bridge stores it, goes beside."""
    job = stage.submit(2)
    (work,) = job.works()
    with stage.parent() as parent:
        sealed = parent.answer(work)
    header = parse_questions(work.sealed).header
    stage.put(ledger.answer_key(header.tenant, header.job, 0, 0, 2), b"junk")
    chunk = ChunkMessage(
        header.tenant, header.job, 0, 0, 2, parse_questions(work.sealed).digest, len(work.sealed), None
    )
    Store(stage.bridge.s3, stage.settings.bucket).put_answer(chunk, sealed, 0, 2)
    found = stage.fetch(job)
    if found.summary.ignored != 1 or None in found.answers:
        raise Accepted("junk hid an answer")
    return Verdict("the true answer was found beside the junk, which was counted", "candidates that verify")


def _failed(stage: Stage, code: str) -> Verdict:
    job = stage.answered()
    stage.remove(job.answers()[0])
    stage.put(ledger.failure_key(job.tenant, job.ticket.job, 0, 0, 2), ledger.encode_note(Failure(code, 1)))
    return stage.unattested(job, 2)


@attack("turn true answers into canceled")
def cancel_answers(stage: Stage) -> Verdict:
    """The answer is removed, and a note says that nobody wanted it."""
    return _failed(stage, "canceled")


@attack("turn true answers into failures")
def fail_answers(stage: Stage) -> Verdict:
    """The answer is removed, and a note says that the enclave was lost."""
    return _failed(stage, "enclave_lost")


@attack("put a failure beside a true answer")
def failure_beside(stage: Stage) -> Verdict:
    """The note claims what the answer disproves."""
    job = stage.answered()
    note = ledger.encode_note(Failure("decrypt_failed", 1))
    stage.put(ledger.failure_key(job.tenant, job.ticket.job, 0, 0, 2), note)
    return stage.no_effect(job, "answers before notes")


@attack("exchange the halves of a chunk's answers")
def swap_halves(stage: Stage) -> Verdict:
    """The parent asks for records one by one, and stores each under the other's name."""
    job = stage.submit(2)
    (work,) = job.works()
    with stage.parent() as parent:
        halves = [parent.answer(Work(0, first, 1, work.sealed)) for first in (0, 1)]
    stage.store(Work(0, 0, 1, work.sealed), halves[1])
    stage.store(Work(0, 1, 1, work.sealed), halves[0])
    return stage.refused(job, Check.RANGE)


@attack("answer one range twice and another never")
def overlap(stage: Stage) -> Verdict:
    """Two ranges overlap, a record is in neither."""
    job = stage.submit(4, 4)
    (work,) = job.works()
    with stage.parent() as parent:
        for first, count in ((0, 2), (1, 2)):
            part = Work(0, first, count, work.sealed)
            stage.store(part, parent.answer(part))
    return stage.unfinished(job)


@attack("deliver chunks in another order and some twice")
def reorder(stage: Stage) -> Verdict:
    """Order on the queue means nothing."""
    job = stage.answered(6, 2)
    with stage.parent() as parent:
        for work in [*job.works()[::-1], *job.works()]:
            stage.store(work, parent.answer(work))
    return stage.no_effect(job, "every chunk names its place")


@attack("store one chunk's answers as another's")
def misplace(stage: Stage) -> Verdict:
    """The parent sends the first chunk twice and drops the second."""
    job = stage.submit()
    first, second = job.works()
    with stage.parent() as parent:
        sealed = [parent.answer(first) for _ in range(2)]
    stage.store(first, sealed[0])
    stage.store(second, sealed[1])
    return stage.refused(job, Check.CHUNK)


@attack("read another tenant's answers with this reader")
def other_reader(stage: Stage) -> Verdict:
    """A reader that is configured for another tenant has a victim's ticket."""
    job = stage.answered(2)
    for key in stage.keys(job.key("")):
        stage.put(key.replace("benefits", "pensions", 1), stage.get(key))
    return stage.reader_of(job, "pensions", Check.CONFIGURATION)
