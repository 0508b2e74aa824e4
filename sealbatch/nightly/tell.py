"""Tells people and programs what a run came to: ids and counts, never a question, an answer or a file's name.

Whoever is told may be told twice if the teller dies in between; `id` is the same then.
"""

import json
import os
import subprocess
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPResponse
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from aws_errors.mapped import error_code
from sealbatch import __version__
from sealbatch.nightly.schedule import Tell
from sealbatch.nightly.summary import OUTCOMES, TOKENS, RunSummary

TIMEOUT: Final = 30.0
"""Seconds that a command or an endpoint may take."""


class TellError(Exception):
    """Somebody could not be told; the text has no address, which may hold a secret."""


def event(summary: RunSummary, kind: str) -> dict[str, Any]:
    """What is told: `kind` is `run.finished` or `run.needs_attention`."""
    counts, states = summary.counts(), summary.states()
    return {
        "id": f"{summary.schedule}/{summary.run}/{kind}",
        "event": kind,
        "schedule": summary.schedule,
        "run": summary.run,
        "scheduled_for": summary.firing.isoformat(),
        "files": {"total": len(summary.files), **dict(sorted(states.items())), "left_in_inbox": summary.left},
        "records": {"total": counts["records"], **{name: counts[name] for name in OUTCOMES}},
        "tokens": {name: counts[name] for name in TOKENS},
        "jobs": sorted({file.job for file in summary.files if file.job}),
        "needs_a_person": bool(summary.needs()),
    }


def tell(whom: Tell, what: dict[str, Any], sns: Any) -> None:
    """Tell one of them.

    Raises:
        TellError: it did not take it.
    """
    text = json.dumps(what, sort_keys=True)
    if whom.command is not None:
        _run(whom.command, text)
    elif whom.webhook is not None:
        _post(whom.webhook, text)
    else:
        _publish(sns, str(whom.sns_topic), text, f"{what['schedule']}: {what['event']}")


def _run(command: tuple[str, ...], text: str) -> None:
    """The command reads the event on its standard input; its output goes nowhere."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}
    try:
        done = subprocess.run(
            command,
            input=text.encode() + b"\n",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TellError(f"the command does not end within {TIMEOUT:.0f} s") from None
    except OSError as error:
        raise TellError(f"the command does not start: {error.strerror}") from None
    if done.returncode != 0:
        raise TellError(f"the command ended with code {done.returncode}")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A webhook that points elsewhere is told there by whoever configures it, and not by whoever answers."""

    def redirect_request(self, *_: Any) -> None:
        """Never."""


def _post(address: str, text: str) -> None:
    headers = {"Content-Type": "application/json", "User-Agent": f"sealbatch/{__version__}"}
    request = urllib.request.Request(address, text.encode(), headers, method="POST")  # noqa: S310 - http or https
    opener = urllib.request.build_opener(_NoRedirects())
    try:
        reply: HTTPResponse
        with opener.open(request, timeout=TIMEOUT) as reply:
            reply.read(1)
    except urllib.error.HTTPError as error:
        error.close()
        raise TellError(f"the webhook answered {error.code}") from None
    except (OSError, HTTPException):
        raise TellError("the webhook does not answer") from None


def _publish(sns: Any, topic: str, text: str, subject: str) -> None:
    try:
        sns.publish(TopicArn=topic, Message=text, Subject=subject[:100])
    except ClientError as error:
        raise TellError(f"SNS refused: {error_code(error) or 'Unknown'}") from None
    except BotoCoreError as error:
        raise TellError(f"SNS does not answer ({type(error).__name__})") from None
