"""Reads an object of S3 to its end although the connection breaks: the rest is asked for, of the same object."""

import time
from collections.abc import Callable
from typing import Any, Final, Self

from botocore.exceptions import BotoCoreError, ClientError, IncompleteReadError

RESUMES: Final = 5
"""Times that the rest of one body is asked for."""


def keep_steady(client: Any, pause: Callable[[int], float]) -> None:
    """Make every body that an S3 client gives a steady one; `pause` gives seconds before the attempt of a number."""

    def remember(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["sealbatch-request"] = dict(params)

    def wrap(parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        request, body = context.get("sealbatch-request"), parsed.get("Body")
        if body is None or request is None or "Range" in request or not parsed.get("ETag"):
            return
        rest = {**request, "IfMatch": parsed["ETag"]}

        def reopen(offset: int) -> Any:
            return client.get_object(**rest, Range=f"bytes={offset}-")["Body"]

        parsed["Body"] = SteadyBody(body, int(parsed["ContentLength"]), reopen, pause)

    client.meta.events.register("before-parameter-build.s3.GetObject", remember)
    client.meta.events.register("after-call.s3.GetObject", wrap)


class SteadyBody:
    """The bytes of one object, `size` of them; `reopen` gives a body from an offset on."""

    def __init__(
        self, body: Any, size: int, reopen: Callable[[int], Any], pause: Callable[[int], float] = lambda _: 0.0
    ) -> None:
        self._body = body
        self._size = size
        self._reopen = reopen
        self._pause = pause
        self._position = 0
        self._resumes = 0

    def read(self, amount: int | None = None) -> bytes:
        """`amount` bytes, fewer only at the end of the object; all that is left if None.

        Raises:
            BotoCoreError, OSError: it breaks off again and again, or another object is there now.
        """
        end = self._size if amount is None or amount < 0 else min(self._size, self._position + amount)
        parts: list[bytes] = []
        while self._position < end:
            data = self._some(end - self._position)
            self._position += len(data)
            parts.append(data)
        return b"".join(parts)

    def close(self) -> None:
        """Close the connection."""
        self._body.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _some(self, amount: int) -> bytes:
        """At least one byte."""
        broken: BotoCoreError | OSError
        while True:
            try:
                if data := self._body.read(amount):
                    return bytes(data)
                broken = IncompleteReadError(actual_bytes=self._position, expected_bytes=self._size)
            except (BotoCoreError, OSError) as error:
                broken = error
            self._resume(broken)

    def _resume(self, broken: BotoCoreError | OSError) -> None:
        self._resumes += 1
        if self._resumes > RESUMES:
            raise broken
        self.close()
        time.sleep(self._pause(self._resumes))
        try:
            self._body = self._reopen(self._position)
        except ClientError:
            # Gone, or another object: the parts would not belong together.
            raise broken from None
