"""What an operator is told of each way in which `nitro-cli` fails, and what is left running then: nothing.

Texts as version 1.5 writes them: the code's own text, for E19 the file on the next line, a link, and a log file.
"""

import json
from itertools import chain, repeat
from pathlib import Path

import pytest

from sealbatch.fleet import nitro, watch
from sealbatch.fleet.nitro import NitroError, Order

ENCLAVE = {
    "EnclaveName": "sealbatch",
    "EnclaveID": "i-1-enc1",
    "EnclaveCID": 16,
    "NumberOfCPUs": 2,
    "MemoryMiB": 512,
    "State": "RUNNING",
    "Flags": "NONE",
}
ORDER = Order(Path("sealbatch.eif"), "sealbatch", 512, 2, 16)
LINK = "\n\nFor more details, please visit https://docs.aws.amazon.com/enclaves/latest/user/cli-errors.html#{}"


class NitroCli:
    """A `nitro-cli` on the path that answers as it is told: a line of shell for each verb."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answers = {"describe-enclaves": "echo '[]'", "run-enclave": "true", "terminate-enclave": "true"}

    def answer(self, verb: str, body: str) -> None:
        """Answer that verb by these lines."""
        self.answers[verb] = body
        cases = "\n".join(f"{verb})\n{body}\n;;" for verb, body in self.answers.items())
        program = self.folder / "nitro-cli"
        program.write_text(f'#!/bin/sh\necho "$*" >> {self.folder}/calls\ncase "$1" in\n{cases}\nesac\n')
        program.chmod(0o755)

    def fail(self, verb: str, code: str, text: str) -> None:
        """Fail with a code, whose text is this."""
        said = self.folder / f"{verb}.said"
        said.write_text(f"[ {code} ] {text}{LINK.format(code)}\n")
        self.answer(verb, f"cat {said} >&2; exit {int(code[1:])}")

    def calls(self) -> list[str]:
        """The verbs that were asked for."""
        return [line.split()[0] for line in (self.folder / "calls").read_text().splitlines()]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NitroCli:
    """On the path, and nobody waits for it."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(nitro, "RETRIES", (0.0, 0.0))
    return NitroCli(tmp_path)


def refusal(cli: NitroCli, code: str, text: str) -> str:
    """What is said when an enclave cannot be started for that reason."""
    cli.fail("run-enclave", code, text)
    with pytest.raises(NitroError) as caught:
        nitro.run(ORDER)
    assert caught.value.code == code
    return str(caught.value)


def test_every_documented_code_has_a_next_step() -> None:
    """Ours, or nitro-cli's own explanation."""
    for number in range(61):
        code = f"E{number:02}"
        error = nitro._refusal("run-enclave", number, f"[ {code} ] Its reason. Such error appears when")
        assert error.code == code
        assert str(error).startswith(f"nitro-cli run-enclave: {code}: Its reason. Such error appears when; ")
        assert str(error).partition("appears when; ")[2]


def test_a_file_that_nitro_cli_cannot_open_is_named() -> None:
    """Its name stands on the second line, and it decides what to do: not each of them is the device."""
    steps = {
        "/dev/nitro_enclaves": "enable enclave options",
        "/sys/module/nitro_enclaves/parameters/ne_cpus": "modprobe nitro_enclaves",
        "/opt/sealbatch/release/sealbatch.eif": "see that it is there",
        "/var/log/nitro_enclaves/nitro_enclaves.log": "the group `ne`",
    }
    for file, step in steps.items():
        text = f"File operation failure.\nFile: '{file}', failing operation: 'Open'."
        said = str(nitro._refusal("run-enclave", 19, f"[ E19 ] {text}{LINK.format('E19')}"))
        assert f"File operation failure. ({file}); " in said
        assert step in said
        assert ("enclave options" in said) == (file == "/dev/nitro_enclaves")


def test_an_error_without_a_number_is_an_error(cli: NitroCli) -> None:
    """E00 ends with 0, and gives no description."""
    assert "E00: Unspecified error" in refusal(cli, "E00", "Unspecified error.")


def test_an_enclave_that_runs_although_its_start_failed_is_ended(cli: NitroCli) -> None:
    """E41: it booted, and the reply was lost. Else the next start would find its name taken, for ever."""
    running = cli.folder / "running"
    running.write_text(json.dumps([ENCLAVE]))
    cli.answer("describe-enclaves", f"cat {running}")
    cli.answer("terminate-enclave", f"echo '[]' > {running}; echo '{{\"Terminated\": true}}'")
    refusal(cli, "E41", "Enclave process send reply failure.")
    assert json.loads(running.read_text()) == []


def test_a_started_enclave_is_not_lost_by_a_second_look(cli: NitroCli) -> None:
    """It runs; whoever started it must be able to end it."""
    cli.answer("run-enclave", f"echo '{json.dumps(ENCLAVE)}'")
    cli.fail("describe-enclaves", "E39", "Enclave process connection failure.")
    assert nitro.run(ORDER).identity == "i-1-enc1"


def test_an_enclave_that_does_not_answer_just_now_is_asked_again(cli: NitroCli) -> None:
    """While one starts, ends or is measured, nitro-cli lists none of them and fails; a permanent failure stays one."""
    once = cli.folder / "once"
    cli.answer("describe-enclaves", f"test -e {once} && exec echo '[{json.dumps(ENCLAVE)}]'\ntouch {once}\n")
    cli.answers["describe-enclaves"] += "echo '[ E39 ] Enclave process connection failure.' >&2; exit 39"
    cli.answer("run-enclave", "true")
    assert [enclave.name for enclave in nitro.describe()] == ["sealbatch"]
    cli.fail("describe-enclaves", "E07", "Read from disk failure.")
    (cli.folder / "calls").unlink()
    with pytest.raises(NitroError, match="/run/nitro_enclaves"):
        nitro.describe()
    assert cli.calls() == ["describe-enclaves"]


def test_one_that_ended_by_itself_is_ended(cli: NitroCli) -> None:
    """E11: its socket is gone. While it is still listed, that is a failure."""
    cli.fail("terminate-enclave", "E11", "Socket error.")
    nitro.terminate("i-1-enc1")
    cli.answer("describe-enclaves", f"echo '[{json.dumps(ENCLAVE)}]'")
    with pytest.raises(NitroError, match="E11"):
        nitro.terminate("i-1-enc1")


def test_following_outlives_a_nitro_cli_that_is_renewed(cli: NitroCli, monkeypatch: pytest.MonkeyPatch) -> None:
    """An enclave that serves is not given up because its package is unpacked just now; but for ever nobody waits."""
    enclave = nitro._enclave(ENCLAVE)
    cli.answer("describe-enclaves", f"echo '[{json.dumps(ENCLAVE)}]'")
    program = cli.folder / "nitro-cli"

    def stopping(_: float) -> bool:
        match next(turns):
            case 1:
                program.rename(cli.folder / "elsewhere")
            case 2:
                (cli.folder / "elsewhere").rename(program)
            case 3:
                return True
        return False

    turns = iter((0, 1, 2, 3))
    assert watch.follow(enclave, stopping) is False
    program.unlink()
    now = iter(chain((0.0,), (float(seconds) for seconds in range(0, 1000, 50)), repeat(1e9)))
    monkeypatch.setattr(watch.time, "monotonic", lambda: next(now))
    with pytest.raises(NitroError, match="not installed"):
        watch.follow(enclave, lambda _: False)
