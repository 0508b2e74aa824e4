"""Every verb as a user types it, against a real stack."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import Typist, limit_file_size, obey_permissions

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
QUESTION = "How many weeks of parental leave can I take?"


def lines(data: bytes) -> list[dict[str, Any]]:
    """JSON lines."""
    return [json.loads(line) for line in data.splitlines()]


def write_questions(path: Path, count: int) -> Path:
    """A file of short questions."""
    path.write_text("".join(json.dumps({"custom_id": f"q-{n}", "question": QUESTION}) + "\n" for n in range(count)))
    return path


def test_run_writes_one_line_for_each_line_of_the_examples(typist: Typist) -> None:
    """In the order of the input, all answered, in a file for its owner alone."""
    done = typist.type("run", str(EXAMPLES / "benefits.jsonl"), "-o", "answers.jsonl")
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == b""
    path = typist.folder / "answers.jsonl"
    assert path.stat().st_mode & 0o777 == 0o600
    found = lines(path.read_bytes())
    asked = [json.loads(line)["custom_id"] for line in (EXAMPLES / "benefits.jsonl").read_text().splitlines()]
    assert [line["custom_id"] for line in found] == asked
    assert [line["line"] for line in found] == list(range(1, len(asked) + 1))
    for line in found:
        assert line["outcome"] == "succeeded"
        assert line["attested"] is True
        choice = line["response"]["body"]["choices"][0]
        assert choice["finish_reason"] == "stop"
        assert choice["message"]["content"].strip()
    assert [path.name for path in typist.folder.iterdir() if path.name.endswith(".part")] == []


def test_ask_prints_the_answer_and_nothing_else(typist: Typist) -> None:
    """The question goes through the whole path; talk stays on standard error."""
    done = typist.type("ask", QUESTION)
    assert done.returncode == 0, done.stderr.decode()
    assert b"week" in done.stdout
    assert done.stdout.count(b"\n") == 1
    assert typist.type("-q", "ask", "-", stdin=QUESTION.encode()).stdout == done.stdout


def test_submit_status_wait_fetch_and_list(typist: Typist) -> None:
    """The steps of run, one by one; submit prints the ticket alone."""
    write_questions(typist.folder / "in.jsonl", 5)
    ticket = typist.type("submit", "in.jsonl", "--name", "october").stdout.decode().strip()
    assert ticket.startswith("sb1-")
    assert typist.type("wait", ticket, "--timeout", "60").returncode == 0
    status = json.loads(typist.type("status", ticket).stdout)
    assert (status["status"], status["name"]) == ("completed", "october")
    assert status["request_counts"] == {"total": 5, "answered": 5, "failed_unattested": 0, "processing": 0}
    fetched = typist.type("fetch", ticket, "-o", "-")
    assert [line["custom_id"] for line in lines(fetched.stdout)] == [f"q-{n}" for n in range(5)]
    listed = lines(typist.type("list").stdout)
    assert [(row["ticket"], row["state"]) for row in listed] == [(ticket, "completed")]
    assert typist.type("status", status["id"][:6]).returncode == 0
    matched = typist.type("fetch", ticket, "-o", "out.csv", "--input", "in.jsonl")
    assert matched.returncode == 0, matched.stderr.decode()
    assert len((typist.folder / "out.csv").read_text().splitlines()) == 6


def test_run_reads_a_pipe_and_writes_a_pipe(typist: Typist) -> None:
    """CSV in, JSON lines out; the talk does not get between."""
    table = 'case,text\na-1,"How many weeks of\nparental leave?"\na-2,What is the deductible?\n'
    done = typist.type("run", "-", "-o", "-", "--id-column", "case", "--question-column", "text", stdin=table.encode())
    assert done.returncode == 0, done.stderr.decode()
    assert [(line["custom_id"], line["line"]) for line in lines(done.stdout)] == [("a-1", 2), ("a-2", 4)]


def test_invalid_lines_that_are_skipped_get_their_line_of_output(typist: Typist) -> None:
    """Exactly one line out for each line in, whatever was in it; the exit code says partial."""
    text = '{"custom_id":"a","question":"How many sick days?"}\nnot json\n{"custom_id":"a","question":"again"}\n'
    done = typist.type("run", "-", "-o", "-", "--skip-invalid", stdin=text.encode())
    assert done.returncode == 3, done.stderr.decode()
    found = lines(done.stdout)
    assert [(line["line"], line["outcome"]) for line in found] == [(1, "succeeded"), (2, "errored"), (3, "errored")]
    assert [line["error"] and line["error"]["code"] for line in found] == [
        None,
        "invalid_json_line",
        "duplicate_custom_id",
    ]
    assert len({line["custom_id"] for line in found}) == 3


def test_a_question_beyond_the_context_is_an_outcome_and_not_a_failure(typist: Typist) -> None:
    """Its neighbours in the chunk are answered; the error has numbers and no content."""
    long = json.dumps({"custom_id": "long", "question": "insulin " * 2000})
    text = f'{{"custom_id":"a","question":"{QUESTION}"}}\n{long}\n'
    done = typist.type("run", "-", "-o", "-", stdin=text.encode())
    assert done.returncode == 3, done.stderr.decode()
    first, second = lines(done.stdout)
    assert first["outcome"] == "succeeded"
    assert second["error"]["code"] == "context_length_exceeded"
    assert "limit" in second["error"]["message"]
    assert "insulin" not in second["error"]["message"]


def test_parameters_of_a_line_are_honoured(typist: Typist) -> None:
    """max_tokens cuts and says so; a seed repeats itself; a stop text ends the answer before it."""
    text = "".join(
        json.dumps({"custom_id": name, "question": QUESTION, **more}) + "\n"
        for name, more in {
            "cut": {"max_tokens": 3},
            "one": {"temperature": 1.5, "seed": 7, "max_tokens": 20},
            "two": {"temperature": 1.5, "seed": 7, "max_tokens": 20},
            "stop": {"stop": " "},
        }.items()
    )
    done = typist.type("run", "-", "-o", "-", stdin=text.encode())
    assert done.returncode == 3, done.stderr.decode()
    cut, one, two, stop = lines(done.stdout)
    assert cut["outcome"] == "truncated"
    assert cut["response"]["body"]["choices"][0]["finish_reason"] == "length"
    assert cut["response"]["body"]["usage"]["completion_tokens"] == 3
    assert one["response"]["body"]["choices"] == two["response"]["body"]["choices"]
    assert " " not in stop["response"]["body"]["choices"][0]["message"]["content"]


def test_validate_shows_both_faults_of_the_broken_example(typist: Typist) -> None:
    """With line, code and words; exit code 8; AWS is not asked."""
    done = typist.type("validate", str(EXAMPLES / "broken.jsonl"), settings={"endpoint_url": "http://127.0.0.1:9"})
    assert done.returncode == 8
    found = lines(done.stdout)
    assert len(found) == 2
    assert {row["code"] for row in found} == {"invalid_json_line", "duplicate_custom_id"}
    assert all(row["line"] > 0 for row in found)


def test_validate_passes_a_good_file(typist: Typist) -> None:
    """Exit code 0, nothing on standard output."""
    done = typist.type(
        "validate", str(EXAMPLES / "benefits.csv"), "--id-column", "case", "--question-column", "question"
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == b""


def test_dry_run_does_all_but_ask_and_send(typist: Typist) -> None:
    """No AWS is needed, and no ticket is printed."""
    write_questions(typist.folder / "in.jsonl", 100)
    done = typist.type("submit", "--dry-run", "in.jsonl", settings={"endpoint_url": "http://127.0.0.1:9"})
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == b""
    assert b"100 records in 4 chunks" in done.stderr


BAD: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 8, "empty_file"),
    "blank lines": (b"\n\n", 8, "empty_file"),
    "not UTF-8": (b'{"custom_id":"a","question":"\xff"}\n', 8, "invalid_encoding"),
    "not JSON": (b"hello\n", 8, "invalid_json_line"),
    "duplicate id": (b'{"custom_id":"a","question":"x"}\n' * 2, 8, "duplicate_custom_id"),
    "missing field": (b'{"custom_id":"a"}\n', 8, "invalid_record"),
    "wrong type": (b'{"custom_id":"a","question":5}\n', 8, "invalid_record"),
    "2 MB question": (b'{"custom_id":"a","question":"' + b"x" * 2_000_000 + b'"}\n', 8, "line_too_long"),
    "200 kB question": (b'{"custom_id":"a","question":"' + b"x" * 200_000 + b'"}\n', 8, "question_too_large"),
    "control characters": (b'{"custom_id":"a","question":"a\\u0007b"}\n', 8, "invalid_record"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_input_is_refused_before_anything_is_sent(typist: Typist, bucket: Any, name: str) -> None:
    """Code and line on standard output, exit code 8, and not one object more in the bucket."""
    data, code, problem = BAD[name]
    before = sum(1 for _ in bucket.objects.all())
    done = typist.type("run", "-", "-o", "out.jsonl", stdin=data)
    assert done.returncode == code, done.stderr.decode()
    assert problem in {row["code"] for row in lines(done.stdout)}
    assert b"nothing was sent" in done.stderr
    assert not (typist.folder / "out.jsonl").exists()
    assert sum(1 for _ in bucket.objects.all()) == before


def test_a_csv_without_the_column_is_told_which_option_names_it(typist: Typist) -> None:
    """The missing column and the option."""
    done = typist.type("validate", "-", "--format", "csv", stdin=b"case,text\n1,hello\n")
    assert done.returncode == 8
    assert lines(done.stdout)[0]["code"] == "missing_column"
    assert "--question-column" in lines(done.stdout)[0]["message"]


def _folder(path: Path) -> str:
    return str(path)


def _missing(path: Path) -> str:
    return str(path / "missing.jsonl")


@pytest.mark.parametrize(("name", "words"), [(_folder, b"is a directory"), (_missing, b"no such file")])
def test_an_input_that_is_no_file_is_a_usage_error(typist: Typist, name: Callable[[Path], str], words: bytes) -> None:
    """Exit code 2, with the path."""
    done = typist.type("submit", name(typist.folder))
    assert done.returncode == 2
    assert words in done.stderr


def test_a_file_that_may_not_be_read_is_told_as_such(typist: Typist) -> None:
    """Exit code 77 and the path; the right to read it is missing, not the file."""
    path = write_questions(typist.folder / "in.jsonl", 1)
    path.chmod(0)
    done = typist.type("submit", "in.jsonl", before=obey_permissions)
    assert done.returncode == 77, done.stderr.decode()
    assert b"in.jsonl cannot be read: permission denied" in done.stderr
    assert done.stdout == b""


def test_a_folder_that_may_not_be_written_is_found_before_anything_is_sent(typist: Typist, bucket: Any) -> None:
    """Exit code 77, and not one object more in the bucket."""
    write_questions(typist.folder / "in.jsonl", 1)
    (typist.folder / "shut").mkdir(mode=0o500)
    before = sum(1 for _ in bucket.objects.all())
    done = typist.type("run", "in.jsonl", "-o", "shut/out.jsonl", before=obey_permissions)
    assert done.returncode == 77, done.stderr.decode()
    assert b"may not be written" in done.stderr
    assert sum(1 for _ in bucket.objects.all()) == before


def test_a_disk_that_is_full_while_sealing_sends_nothing(typist: Typist, bucket: Any) -> None:
    """The sealed spool has no room: exit code 75 in those words, and not one object more in the bucket."""
    write_questions(typist.folder / "in.jsonl", 200)
    before = sum(1 for _ in bucket.objects.all())
    done = typist.type("submit", "in.jsonl", before=limit_file_size(16 * 1024))
    assert done.returncode == 75, done.stderr.decode()
    assert b"no space left" in done.stderr
    assert sum(1 for _ in bucket.objects.all()) == before


def test_an_existing_output_is_not_overwritten_and_nothing_is_sent(typist: Typist) -> None:
    """It is refused before the questions leave; --force overwrites."""
    write_questions(typist.folder / "in.jsonl", 1)
    (typist.folder / "out.jsonl").write_text("precious")
    done = typist.type("run", "in.jsonl", "-o", "out.jsonl")
    assert done.returncode == 2
    assert b"--force" in done.stderr
    assert b"sealing" not in done.stderr
    assert (typist.folder / "out.jsonl").read_text() == "precious"
    assert typist.type("run", "in.jsonl", "-o", "out.jsonl", "--force").returncode == 0
    assert len(lines((typist.folder / "out.jsonl").read_bytes())) == 1


def test_an_output_in_no_folder_is_refused_before_anything_is_sent(typist: Typist) -> None:
    """A night's work must not end at a typing error."""
    write_questions(typist.folder / "in.jsonl", 1)
    done = typist.type("run", "in.jsonl", "-o", "nowhere/out.jsonl")
    assert done.returncode == 2
    assert b"does not exist" in done.stderr


def test_a_full_disk_leaves_nothing_half_written(typist: Typist) -> None:
    """The message says so, exit code 75, and the job can be fetched again."""
    write_questions(typist.folder / "in.jsonl", 40)
    ticket = typist.type("submit", "in.jsonl").stdout.decode().strip()
    assert typist.type("wait", ticket, "--timeout", "60").returncode == 0
    done = typist.type("fetch", ticket, "-o", "out.jsonl", before=limit_file_size(4096))
    assert done.returncode == 75, done.stderr.decode()
    assert b"no space left" in done.stderr
    assert sorted(path.name for path in typist.folder.iterdir() if "out" in path.name) == []
    assert typist.type("fetch", ticket, "-o", "out.jsonl").returncode == 0


def test_a_mistyped_ticket_and_an_unknown_job_are_told_apart(typist: Typist) -> None:
    """Exit codes 2 and 7."""
    assert typist.type("status", "sb1-" + "a" * 48).returncode == 2
    assert typist.type("status", "abcdefgh").returncode == 7


def test_help_needs_no_configuration_and_names_every_verb() -> None:
    """Also without a home."""
    done = Typist(Path("/")).type("--help")
    assert done.returncode == 0
    for verb in ("run", "ask", "submit", "validate", "status", "wait", "fetch", "list", "dev", "model", "bridge"):
        assert verb in done.stdout.decode()


def test_without_configuration_the_missing_settings_are_named(typist: Typist) -> None:
    """Exit code 78, and how to give them."""
    done = Typist(typist.folder).type("submit", "-", stdin=b"{}")
    assert done.returncode == 78
    assert b"tenant" in done.stderr
    assert b"--set" in done.stderr
