"""deploy/README.md: what it tells to type can be typed, and is as little as it says."""

import re
import subprocess
import tomllib
from pathlib import Path

from sealbatch.config import load_config

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
BLOCKS = [block.replace("\\\n", " ") for block in re.findall(r"^```sh.*?\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)]
TYPED = [line for line in BLOCKS[0].splitlines() if line and not line.startswith("#")]
ARN = "arn:aws:kms:eu-central-1:123456789012:key/"


def test_fewer_than_thirty_lines() -> None:
    """From an empty account to answers."""
    assert 10 < len(TYPED) < 30


def test_the_configuration_of_a_stack(tmp_path: Path) -> None:
    """`deploy/configure` writes what the clients read, and two profiles."""
    aws = tmp_path / "aws"
    aws.write_text(
        f"""#!/bin/bash
case "$*" in
*"configure set"*) echo "$3 $4" >> {tmp_path}/profiles;;
*Tenant*) echo benefits;; *StackId*) echo arn:aws:cloudformation:eu-central-1:123456789012:stack/x/y;;
*QuestionsKeyArn*) echo {ARN}q;; *AnswersKeyArn*) echo {ARN}a;; *"=='Image'"*) printf 'a%.0s' {{1..96}};;
*) sed "s/.*=='\\([A-Za-z]*\\)'.*/value-of-\\1/" <<<"$*";;
esac
"""
    )
    aws.chmod(0o755)
    done = subprocess.run(
        [str(ROOT / "deploy/configure"), "sealbatch"],
        capture_output=True,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        check=True,
    )
    path = tmp_path / "sealbatch.toml"
    path.write_bytes(done.stdout)
    assert tomllib.loads(done.stdout.decode())["queue_url"] == "value-of-QueueUrl"
    settings = load_config(path, (), {}).producer()
    assert (settings.question_key, settings.bucket) == (f"{ARN}q", "value-of-BucketName")
    assert (
        (tmp_path / "profiles")
        .read_text()
        .splitlines()[0]
        .endswith("sealbatch-producer.role_arn value-of-ProducerRoleArn")
    )
