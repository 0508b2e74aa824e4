"""Configuration: what wins over what, and what a wrong file is told."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sealbatch.config import NO_FILE, ConfigError, load_config
from sealbatch.doctor.aws import required
from sealbatch.doctor.examination import NEEDED
from wire.address import Address

KEY = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-00000000000"
FILE = f"""
tenant = "benefits"
bucket = "from-file"
queue_url = "https://queue"
question_key = "{KEY}a"
answer_key = "{KEY}b"
image = "{"0" * 96}"
"""


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No configuration of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.delenv("SEALBATCH_DEV_HOME", raising=False)
    return tmp_path


def write(path: Path, text: str = FILE) -> Path:
    """A configuration file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_command_line_wins_over_the_environment_over_the_file(empty_home: Path) -> None:
    """Each layer covers the one below it, setting by setting."""
    write(empty_home / "sealbatch.toml")
    assert load_config(None, (), {}).producer().bucket == "from-file"
    environment = {"SEALBATCH_BUCKET": "from-environment"}
    assert load_config(None, (), environment).producer().bucket == "from-environment"
    assert load_config(None, ("bucket=from-line",), environment).producer().bucket == "from-line"
    assert load_config(None, ("bucket=from-line",), environment).producer().tenant == "benefits"


def test_the_nearest_file_is_read(empty_home: Path) -> None:
    """--config, then the variable, then this folder, then the user's own, then a development stack's."""
    order = [
        empty_home / "XDG_STATE_HOME/sealbatch/dev/sealbatch.toml",
        empty_home / "XDG_CONFIG_HOME/sealbatch/config.toml",
        empty_home / "sealbatch.toml",
    ]
    for path in order:
        write(path)
        config = load_config(None, (), {})
        assert Path(config.source).resolve() == path
        assert config.development is (path == order[0])
    named, variable = write(empty_home / "named.toml"), write(empty_home / "variable.toml")
    assert load_config(None, (), {"SEALBATCH_CONFIG": str(variable)}).source == str(variable)
    assert load_config(named, (), {"SEALBATCH_CONFIG": str(variable)}).source == str(named)


def test_without_any_file_the_missing_settings_are_named() -> None:
    """The message says what is missing and three ways to give it."""
    with pytest.raises(
        ConfigError, match=r"no configuration file: tenant, bucket, .* missing; .*SEALBATCH_TENANT.*--set(.|\n)*dev up"
    ):
        load_config(None, (), {}).reader()


def test_a_doctor_without_any_file_says_that_once(empty_home: Path) -> None:
    """And not each setting of it that is missing; of a file that is there, each."""
    [found] = required(load_config(None, (), {}), NEEDED)
    assert (found.found, found.mend) == (
        NO_FILE,
        "put your operator's sealbatch.toml here; to try it out: sealbatch dev up",
    )
    write(empty_home / "sealbatch.toml", 'bucket="b"')
    assert len(list(required(load_config(None, (), {}), NEEDED))) == len(NEEDED) - 1


def test_a_bridge_needs_no_more_than_it_uses(empty_home: Path) -> None:
    """The parent's file names no tenant, no answers key and no image."""
    write(empty_home / "sealbatch.toml", f'bucket="b"\nqueue_url="q"\nquestion_key="{KEY}a"\n')
    config = load_config(None, (), {})
    assert config.bridge([Address.parse("vsock://16:5005")]).question_key == f"{KEY}a"
    with pytest.raises(ConfigError, match="tenant, answer_key missing"):
        config.reader()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tenant = \n", r"sealbatch\.toml: is not TOML: .*line 1"),
        ('\n\ntennant = "x"', r"sealbatch\.toml:3: tennant: no such setting"),
        ('bucket = "b"\nanswer_key = "alias/answers"', r"sealbatch\.toml:2: answer_key: does not look as it must"),
        ("bucket = 5", r"sealbatch\.toml:1: bucket: has a wrong type"),
        ('[profiles]\nwriter = "x"', r"sealbatch\.toml:2: profiles\.writer: no such setting"),
    ],
)
def test_a_wrong_file_is_told_where(empty_home: Path, text: str, words: str) -> None:
    """File, line and setting; never the value."""
    write(empty_home / "sealbatch.toml", text)
    with pytest.raises(ConfigError, match=words):
        load_config(None, (), {})


def test_a_wrong_value_is_not_quoted(empty_home: Path) -> None:
    """What stands in a setting may be a secret that was put into the wrong line."""
    write(empty_home / "sealbatch.toml", 'tenant = "HUNTER2!"')
    with pytest.raises(ConfigError) as caught:
        load_config(None, (), {})
    assert "HUNTER2" not in str(caught.value)


@pytest.mark.parametrize("assignment", ["bucket", "nothing=x", "profiles=x"])
def test_set_takes_known_names_only(assignment: str) -> None:
    """The message lists them."""
    with pytest.raises(ConfigError, match="NAME being one of answer_key, attestation_root, bucket"):
        load_config(None, (assignment,), {})


def test_a_named_file_that_is_not_there_is_an_error(empty_home: Path) -> None:
    """A typing error in --config must not fall back to another file."""
    write(empty_home / "sealbatch.toml")
    with pytest.raises(ConfigError, match=r"missing\.toml: cannot be read: No such file"):
        load_config(Path("missing.toml"), (), {})


def test_one_key_for_both_purposes_is_refused(empty_home: Path) -> None:
    """Questions and answers are under two KMS keys, or a reader could read questions."""
    write(empty_home / "sealbatch.toml", FILE.replace(f"{KEY}b", f"{KEY}a"))
    with pytest.raises(ConfigError, match="answer_key: must be another KMS key"):
        load_config(None, (), {}).producer()


@given(data=st.binary(max_size=120) | st.text('abtenx_="[]{}.#\n 1', max_size=120).map(str.encode))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_gives_a_configuration_or_the_one_error(empty_home: Path, data: bytes) -> None:
    """Whatever lies in `sealbatch.toml`, nothing else is raised."""
    (empty_home / "sealbatch.toml").write_bytes(data)
    with contextlib.suppress(ConfigError):
        load_config(None, (), {})
