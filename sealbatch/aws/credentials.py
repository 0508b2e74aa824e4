"""Credentials out of a file that somebody else keeps fresh: read again while a long command runs.

boto3 refreshes the credentials of roles by itself. Those in a file it reads once, and a bridge outlives them.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from botocore.credentials import Credentials, RefreshableCredentials
from botocore.session import Session

LIFE: Final = timedelta(minutes=20)
"""What is read out of a file is taken to be good for so long; botocore reads again 15 minutes before the end."""


def keep_fresh(session: Session, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
    """Have `session` read its credentials again and again, if they come out of a file."""
    found = session.get_credentials()
    if type(found) is not Credentials or found.method != "shared-credentials-file":
        return

    def read() -> dict[str, Any]:
        # The resolver looks at the file anew each time that it is asked.
        fresh = session.get_component("credential_provider").load_credentials()
        frozen = found if fresh is None else fresh
        return {
            "access_key": frozen.access_key,
            "secret_key": frozen.secret_key,
            "token": frozen.token,
            "expiry_time": (now() + LIFE).isoformat(),
        }

    session._credentials = RefreshableCredentials.create_from_metadata(  # type: ignore[attr-defined]  # noqa: SLF001
        read(), read, "shared-credentials-file"
    )
