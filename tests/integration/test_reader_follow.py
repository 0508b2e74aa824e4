"""A job is fetched while it runs: the same lines, the same checks, whatever becomes of whoever writes them."""

import io
import os
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from folders import names
from job_factory import CREATED_MS, TENANT, MadeJob, make_job, memory_aws, parse_lines
from reader_checks import fetched, ids

from aws_errors.service_error import ServiceError
from results_consumer import growing_file, sink
from results_consumer.errors import Check, IntegrityError, SinkCode, SinkError
from results_consumer.fetch import FetchOptions, Only, fetch
from results_consumer.follow import follow, identity
from results_consumer.follower import Followed
from results_consumer.growing import GrowingStream
from results_consumer.growing_file import GrowingFile
from results_consumer.output import OutputForm
from results_consumer.pace import LONGEST
from results_consumer.sink import FileSink
from results_consumer.tally import FetchSummary
from wire import ledger
from wire.manifest import Parameters
from wire.payload import ErrorCode, Outcome, Result

COUNTS = (3, 1, 4, 2, 5, 1, 3, 2)


class Killed(BaseException):
    """The process ends here."""


def record(*counts: int, **options: Any) -> MadeJob:
    """A job without answers."""
    return make_job(memory_aws(), *(counts or COUNTS), **options)


def events(made: MadeJob, dice: random.Random) -> list[Callable[[], object]]:
    """What the enclaves and the bridge do, in any order: answers whole and in ranges, failures, an enclave's errors."""
    found: list[Callable[[], object]] = []
    for chunk, (first, count) in enumerate(made.spans):
        match dice.randrange(4):
            case 0 if count > 1:
                found += [lambda c=chunk, f=first, n=count: made.answer(c, f, n - 1)]  # type: ignore[misc]
                found += [lambda c=chunk, f=first, n=count: made.answer(c, f + n - 1, 1)]  # type: ignore[misc]
            case 1:
                found += [lambda c=chunk, f=first, n=count: made.fail(c, f, n, "enclave_lost")]  # type: ignore[misc]
            case 2:
                results = tuple(
                    Result(n, n + 1, f"case-{n}", Outcome.ERRORED, error=ErrorCode.CONTEXT_LENGTH_EXCEEDED)
                    for n in range(first, first + count)
                )
                found += [lambda c=chunk, r=results: made.answer(c, results=r)]  # type: ignore[misc]
            case _:
                found += [lambda c=chunk: made.answer(c)]  # type: ignore[misc]
    dice.shuffle(found)
    return found


def followed(
    made: MadeJob,
    path: Path,
    happening: Iterator[Callable[[], object]] | None = None,
    *,
    options: FetchOptions | None = None,
    overwrite: bool = False,
    told: Callable[[Followed], None] = lambda _: None,
    now: int = CREATED_MS + 120_000,
) -> FetchSummary:
    """Follow a job of which one thing happens at each pause; a pause in which nothing can happen ends the process."""
    options, aws = options or FetchOptions(), made.aws
    following = iter(()) if happening is None else happening

    def pause(_: float) -> None:
        happens = next(following, None)
        if happens is None:
            raise Killed
        happens()

    output = GrowingFile(path, identity(made.ticket, aws.settings, options), overwrite=overwrite)
    return follow(
        aws.s3,
        aws.kms,
        aws.settings,
        made.ticket,
        output,
        options=options,
        told=told,
        pause=pause,
        now_ms=lambda: now,
    )


def undisturbed(made: MadeJob, path: Path, options: FetchOptions | None = None) -> FetchSummary:
    """A fetch of the job after its end."""
    aws, now = made.aws, CREATED_MS + 120_000
    return fetch(aws.s3, aws.kms, aws.settings, made.ticket, FileSink(path), options=options, now_ms=now)


@pytest.mark.parametrize("seed", range(6))
def test_the_file_is_that_of_a_fetch_after_the_end(tmp_path: Path, seed: int) -> None:
    """Whatever comes in whatever order: the same bytes, the same summary, and nothing left beside it."""
    made, dice = record(keysets=2), random.Random(seed)
    summary = followed(made, tmp_path / "out", iter(events(made, dice)))
    assert names(tmp_path) == ["out"]
    assert summary == undisturbed(made, tmp_path / "plain")
    assert (tmp_path / "out").read_bytes() == (tmp_path / "plain").read_bytes()
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600


def test_lines_stand_in_the_file_while_the_job_runs(tmp_path: Path) -> None:
    """All up to the first chunk that lacks an answer, in the order of the input; the counts tell both numbers."""
    made, seen = record(2, 3, 1), []

    def told(state: Followed) -> None:
        partial = tmp_path / "out.partial"
        seen.append((state.answered, state.written, ids(parse_lines(partial.read_bytes()))))

    order = [lambda: made.answer(2), lambda: made.answer(0), lambda: made.answer(1)]
    followed(made, tmp_path / "out", iter(order), told=told)
    cases = [f"case-{n}" for n in range(6)]
    assert (0, 0, []) in seen
    assert (1, 0, []) in seen
    assert (3, 2, cases[:2]) in seen
    assert seen[-1] == (6, 6, cases)


class Fuse:
    """Ends the process at its n-th change of the file system: before it, after it, or with half of a write done."""

    def __init__(self, left: int, how: str) -> None:
        self._left = left
        self._how = how
        self.blown = False

    def around(self, function: Callable[..., Any], *, write: bool = False) -> Callable[..., Any]:
        """The function, with the fuse."""

        def call(*arguments: Any, **named: Any) -> Any:
            self._left -= 1
            blows = self._left == 0
            self.blown |= blows
            if blows and write and self._how == "half":
                descriptor, data = arguments
                os.write(descriptor, bytes(data)[: len(data) // 2])
            if blows and self._how != "after":
                raise Killed
            result = function(*arguments, **named)
            if blows:
                raise Killed
            return result

        return call


CHANGES = [
    (growing_file, "write_all"),
    (growing_file, "name_file"),
    (growing_file, "sync_folder"),
    (growing_file.os, "ftruncate"),
    (growing_file.os, "fsync"),
    (sink.Path, "hardlink_to"),
    (sink.Path, "unlink"),
    (sink.Path, "replace"),
    (sink.Path, "rename"),
    (sink.Path, "mkdir"),
]


@pytest.mark.parametrize(
    ("how", "receipts", "overwrite"),
    [("before", True, False), ("after", True, True), ("half", False, False), ("before", False, True)],
)
def test_who_is_killed_at_any_change_leaves_the_same_file_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, *, receipts: bool, overwrite: bool
) -> None:
    """Killed once at every change that it makes to the disk, then typed again: same bytes, same summary, same proof."""
    made = record(2, 1)
    made.answer(0)
    made.fail(1, 2, 1)
    plain = FetchOptions(form=OutputForm.CSV, receipts=tmp_path / "plain.receipts" if receipts else None)
    expected = undisturbed(made, tmp_path / "plain", plain)
    at = 0
    blown = True
    while blown:
        at += 1
        folder = tmp_path / f"{at}"
        folder.mkdir()
        if overwrite:
            (folder / "out").write_text("old")
        options = replace(plain, receipts=folder / "receipts" if receipts else None, replace_receipts=overwrite)
        with monkeypatch.context() as patch:
            fuse = Fuse(at, how)
            for owner, name in CHANGES:
                patch.setattr(owner, name, fuse.around(getattr(owner, name), write=name == "write_all"))
            with suppress(Killed):
                followed(made, folder / "out", options=options, overwrite=overwrite)
        blown = fuse.blown
        named = (folder / "out").exists() and (folder / "out").read_bytes()
        # Under its name stands what stood there before, or the whole; never a part.
        assert named in {False, b"old", (tmp_path / "plain").read_bytes()}
        if named in {False, b"old"} or GrowingFile.begun(str(folder / "out")):
            assert followed(made, folder / "out", options=options, overwrite=overwrite) == expected
        assert (folder / "out").read_bytes() == (tmp_path / "plain").read_bytes()
        assert names(folder) == (["out", "receipts"] if receipts else ["out"])
        if receipts:
            assert kept(folder / "receipts") == kept(tmp_path / "plain.receipts")
    assert at > 8


def kept(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_what_was_verified_is_not_fetched_again(tmp_path: Path) -> None:
    """The next one asks for manifest, keys and the chunks that lack, and for no other answer."""
    made = record(2, 2, 2)
    for chunk in range(2):
        made.answer(chunk)
    with pytest.raises(Killed):
        followed(made, tmp_path / "out")
    made.answer(2)
    calls = made.aws.s3.calls
    calls.clear()
    followed(made, tmp_path / "out")
    prefix = ledger.answer_prefix(TENANT, made.job)
    assert [key for call, key in calls if call == "GetObject" and key.startswith(prefix)] == [made.name(2)]


@pytest.mark.parametrize("damage", ["edited", "cut", "zeroed", "grown", "lost", "counts", "garbage"])
def test_what_was_changed_by_others_is_not_believed(tmp_path: Path, damage: str) -> None:
    """By an editor, a full disk or a power cut, lines or counts: what does not stand its digest comes again."""
    made = record(2, 2, 2)
    for chunk in range(2):
        made.answer(chunk)
    with pytest.raises(Killed):
        followed(made, tmp_path / "out")
    partial, progress = tmp_path / "out.partial", tmp_path / "out.progress"
    data = partial.read_bytes()
    match damage:
        case "edited":
            partial.write_bytes(data.replace(b"Answer 1", b"Answer 9"))
        case "cut":
            partial.write_bytes(data[:-20])
        case "zeroed":
            partial.write_bytes(data[:-20] + bytes(20))
        case "grown":
            partial.write_bytes(data + b"half a li")
        case "lost":
            partial.unlink()
        case "counts":
            progress.write_bytes(progress.read_bytes().replace(b'"succeeded":2', b'"succeeded":7'))
        case "garbage":
            progress.write_bytes(progress.read_bytes() + b'{"offset":1}\n[]\n')
    made.answer(2)
    summary = followed(made, tmp_path / "out")
    assert summary == undisturbed(made, tmp_path / "plain")
    assert (tmp_path / "out").read_bytes() == (tmp_path / "plain").read_bytes()


def test_it_ends_at_the_deadline(tmp_path: Path) -> None:
    """What is answered by then is kept, the rest is expired; the last pause does not outlast the job."""
    made = record(2, 2, parameters=Parameters(deadline_ms=CREATED_MS + 60_000))
    made.answer(0)
    now, pauses = [CREATED_MS + 59_900], []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += round(seconds * 1000)

    aws, options = made.aws, FetchOptions()
    output = GrowingFile(tmp_path / "out", identity(made.ticket, aws.settings, options))
    summary = follow(
        aws.s3, aws.kms, aws.settings, made.ticket, output, options=options, pause=pause, now_ms=lambda: now[0]
    )
    assert (summary.succeeded, summary.expired) == (2, 2)
    assert sum(pauses) <= 0.101


def test_looks_are_few_while_nothing_moves(tmp_path: Path) -> None:
    """Pauses grow to some seconds, and a look is a LIST of what lacks and one note: no busy polling."""
    made, pauses = record(1, 1, 1), []
    made.answer(0)
    aws, options = made.aws, FetchOptions()

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 30:
            raise Killed

    output = GrowingFile(tmp_path / "out", identity(made.ticket, aws.settings, options))
    with pytest.raises(Killed):
        follow(aws.s3, aws.kms, aws.settings, made.ticket, output, options=options, pause=pause)
    assert pauses[-1] == LONGEST
    assert sum(pauses) > 150
    assert len(aws.s3.calls) < 4 * len(pauses) + 10
    assert aws.kms.decrypts == 1


def test_a_stream_gets_its_lines_as_they_come() -> None:
    """Each chunk is flushed when it is verified; an integrity failure later leaves what was verified before."""
    made, out = record(2, 2, 2), io.BytesIO()
    aws, seen = made.aws, []
    made.answer(0)
    order = iter([lambda: made.answer(1), lambda: made.put(made.name(2), b"forged")])

    def pause(_: float) -> None:
        seen.append(len(parse_lines(out.getvalue())))
        next(order)()

    with pytest.raises(IntegrityError):
        follow(aws.s3, aws.kms, aws.settings, made.ticket, GrowingStream(out), options=FetchOptions(), pause=pause)
    assert seen == [2, 4]
    assert ids(parse_lines(out.getvalue())) == [f"case-{n}" for n in range(4)]


def test_an_integrity_failure_leaves_no_file_of_that_name(tmp_path: Path) -> None:
    """What was verified before stays beside it; once the true answer is there, the same command ends it."""
    made = record(2, 2)
    made.answer(0)
    made.put(made.name(1), b"forged")
    with pytest.raises(IntegrityError):
        followed(made, tmp_path / "out")
    assert names(tmp_path) == ["out.partial", "out.progress"]
    made.answer(1)
    followed(made, tmp_path / "out")
    assert names(tmp_path) == ["out"]


def test_an_answer_that_comes_after_a_failure_takes_its_place(tmp_path: Path) -> None:
    """As in a fetch after the end, though the failure's lines were written before."""
    made = record(1, 2, 1)
    made.answer(0)
    made.fail(1, 1, 2, "enclave_lost")
    summary = followed(made, tmp_path / "out", iter([lambda: made.answer(1), lambda: made.answer(2), lambda: None]))
    assert summary.succeeded == 4
    assert summary == undisturbed(made, tmp_path / "plain")
    assert (tmp_path / "out").read_bytes() == (tmp_path / "plain").read_bytes()


def test_evidence_is_that_of_a_fetch_after_the_end_although_ranges_changed(tmp_path: Path) -> None:
    """What was kept of records that were answered later, and by an earlier run that nobody goes on with, is gone."""
    made = record(1, 3, 1)
    made.answer(0)
    made.answer(1, 1, 2)
    made.fail(1, 3, 1, "enclave_lost")
    options = FetchOptions(receipts=tmp_path / "proof")
    with pytest.raises(Killed):
        followed(made, tmp_path / "other", options=options)
    for name in ("other.partial", "other.progress"):
        (tmp_path / name).unlink()
    happening = iter([lambda: made.answer(1, 3, 1), lambda: made.answer(2), lambda: None])
    summary = followed(made, tmp_path / "out", happening, options=options)
    plain = FetchOptions(receipts=tmp_path / "plain.proof")
    assert summary == undisturbed(made, tmp_path / "plain", plain)
    assert kept(tmp_path / "proof") == kept(tmp_path / "plain.proof")


@pytest.mark.parametrize("only", list(Only))
def test_filters_and_counts_hold_across_a_kill(tmp_path: Path, only: Only) -> None:
    """Filtered lines are counted, and the counts of the first run are in the second one's."""
    made, options = record(2, 2, 2), FetchOptions(only=only)
    made.fail(0, 0, 2)
    made.answer(1)
    with pytest.raises(Killed):
        followed(made, tmp_path / "out", options=options)
    made.answer(2)
    assert followed(made, tmp_path / "out", options=options) == undisturbed(made, tmp_path / "plain", options)
    assert (tmp_path / "out").read_bytes() == (tmp_path / "plain").read_bytes()


def pairs(count: int, changed: int = -1) -> Callable[[], Iterator[tuple[int, str]]]:
    """An input."""
    return lambda: iter([(n + 1, f"case-{n}{'x' if n == changed else ''}") for n in range(count)])


@pytest.mark.parametrize(("count", "changed"), [(4, 1), (4, 3), (3, -1), (5, -1)])
def test_lines_that_are_not_the_inputs_are_refused(tmp_path: Path, count: int, changed: int) -> None:
    """A line that differs is not written; a longer or shorter input is found at the end."""
    made = record(2, 2)
    made.answer_all()
    with pytest.raises(IntegrityError) as caught:
        followed(made, tmp_path / "out", options=FetchOptions(inputs=pairs(count, changed)))
    assert caught.value.check is Check.INPUT
    assert not (tmp_path / "out").exists()
    partial = tmp_path / "out.partial"
    lines = partial.read_bytes().count(b"\n") if partial.exists() else 0
    assert lines == {(4, 1): 0, (4, 3): 2, (3, -1): 2, (5, -1): 4}[count, changed]


def test_another_input_does_not_go_on_with_what_was_matched_to_the_first(tmp_path: Path) -> None:
    """The same input does."""
    made = record(2, 2)
    made.answer(0)
    with pytest.raises(Killed):
        followed(made, tmp_path / "out", options=FetchOptions(inputs=pairs(4)))
    made.answer(1)
    with pytest.raises(IntegrityError, match="beside another input"):
        followed(made, tmp_path / "out", options=FetchOptions(inputs=pairs(4, 0)))
    assert (tmp_path / "out.partial").read_bytes().count(b"\n") == 2
    assert followed(made, tmp_path / "out", options=FetchOptions(inputs=pairs(4))).succeeded == 4


def begun(folder: Path) -> MadeJob:
    """A follow that was killed after its first chunk."""
    made = record(2, 2)
    made.answer(0)
    with pytest.raises(Killed):
        followed(made, folder / "out")
    made.answer(1)
    return made


def code_of(made: MadeJob, path: Path, **options: Any) -> SinkCode:
    """Why an output cannot be written."""
    with pytest.raises(SinkError) as caught:
        followed(made, path, **options)
    return caught.value.code


def test_what_another_fetch_began_is_not_gone_on_with(tmp_path: Path) -> None:
    """Another job or another form: refused, and replaced with `overwrite`."""
    made = begun(tmp_path)
    other = record(1)
    other.answer(0)
    assert code_of(other, tmp_path / "out") is SinkCode.OTHER
    assert code_of(made, tmp_path / "out", options=FetchOptions(form=OutputForm.CSV)) is SinkCode.OTHER
    followed(other, tmp_path / "out", overwrite=True)
    assert names(tmp_path) == ["out"]
    assert ids(parse_lines((tmp_path / "out").read_bytes())) == ["case-0"]


def test_two_at_once_do_not_write_the_same_output(tmp_path: Path) -> None:
    """The second is told at once; when the first has died it goes on."""
    made = begun(tmp_path)
    with GrowingFile(tmp_path / "out", identity(made.ticket, made.aws.settings, FetchOptions())):
        assert code_of(made, tmp_path / "out") is SinkCode.BUSY
    followed(made, tmp_path / "out")


def test_files_that_others_may_read_are_not_written_into(tmp_path: Path) -> None:
    """Somebody who can guess the names laid them there first: open to all, or as a link to elsewhere."""
    made = record(1)
    made.answer(0)
    partial, elsewhere = tmp_path / "out.partial", tmp_path / "elsewhere"
    partial.touch(0o644)
    partial.chmod(0o644)
    assert code_of(made, tmp_path / "out") is SinkCode.NOT_OURS
    partial.unlink()
    partial.symlink_to(elsewhere)
    with pytest.raises(SinkError):
        followed(made, tmp_path / "out")
    assert not elsewhere.exists()
    partial.unlink()
    (tmp_path / "out.progress").symlink_to(elsewhere)
    with pytest.raises(SinkError):
        followed(made, tmp_path / "out")
    assert not elsewhere.exists()


def test_an_output_that_exists_is_not_replaced(tmp_path: Path) -> None:
    """Neither at the beginning nor if somebody made it meanwhile; nothing of ours is left at the beginning."""
    made = record(1, 1)
    (tmp_path / "out").write_text("precious")
    assert code_of(made, tmp_path / "out") is SinkCode.EXISTS
    assert names(tmp_path) == ["out"]
    (tmp_path / "out").unlink()

    def meanwhile() -> None:
        (tmp_path / "out").write_text("precious")
        made.answer_all()

    with pytest.raises(SinkError) as caught:
        followed(made, tmp_path / "out", iter([meanwhile]))
    assert caught.value.code is SinkCode.EXISTS
    assert (tmp_path / "out").read_text() == "precious"


def test_an_outage_in_the_middle_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, and asked again; at the very first look it is an error."""
    made, outages = record(1, 1), []
    s3 = made.aws.s3
    listing = type(s3).list_objects_v2

    def gone(*_: Any, **__: Any) -> Any:
        raise EndpointConnectionError(endpoint_url="http://s3")

    def back() -> None:
        monkeypatch.setattr(type(s3), "list_objects_v2", listing)
        made.answer_all()

    def told(state: Followed) -> None:
        if state.outage is not None:
            outages.append(state.outage.code)

    order = [lambda: monkeypatch.setattr(type(s3), "list_objects_v2", gone), lambda: None, back]
    assert followed(made, tmp_path / "out", iter(order), told=told).succeeded == 2
    assert outages == ["EndpointConnectionError"] * 2
    monkeypatch.setattr(type(s3), "list_objects_v2", gone)
    with pytest.raises(ServiceError):
        followed(made, tmp_path / "again")
    assert names(tmp_path) == ["out"]


def test_a_job_of_many_chunks_is_listed_from_where_it_was_written(tmp_path: Path) -> None:
    """A look costs what lacks, and not what is done: the names behind the last chunk written are asked for."""
    made = record(*[1] * 40)
    for chunk in range(39):
        made.answer(chunk)
    with pytest.raises(Killed):
        followed(made, tmp_path / "out")
    made.aws.s3.calls.clear()
    made.answer(39)
    followed(made, tmp_path / "out")
    lists = [key for call, key in made.aws.s3.calls if call == "ListObjectsV2"]
    assert len(lists) <= 4
    assert fetched(made)[0].succeeded == 40
