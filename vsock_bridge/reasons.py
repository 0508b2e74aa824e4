"""What a log line may say about an error of AWS: its code, never its text, which may quote."""

import re
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

_CODE: Final = re.compile(r"[A-Za-z0-9.]{1,64}")


def code(error: ClientError) -> str:
    """The error's code, or `unknown` when what stands there is none."""
    found = str(error.response.get("Error", {}).get("Code", ""))
    return found if _CODE.fullmatch(found) else "unknown"


def reason(error: ClientError | BotoCoreError) -> str:
    """The service's code, or the kind of trouble on the way to it."""
    return code(error) if isinstance(error, ClientError) else type(error).__name__
