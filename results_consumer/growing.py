"""An output that grows while its job runs, and the stream that is one."""

from collections.abc import Callable
from typing import Any, Self, TypeAlias

from results_consumer.sink import StreamSink

Mark: TypeAlias = dict[str, Any]
"""What there is to know of a chunk whose lines were written, in JSON."""
Accept: TypeAlias = Callable[[Mark], bool]


class Growing:
    """Takes the lines of a job chunk by chunk. Unless it keeps marks, a later run finds nothing of an earlier one."""

    rewinds = False
    """Whether it can be taken back to an earlier chunk."""
    whole = False
    """Whether everything was written in an earlier run."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def replay(self, accept: Accept) -> None:
        """Go through what earlier runs wrote as far as it is whole and `accept`ed; drop the rest.

        Raises:
            SinkError: it cannot be read, or is no longer what was written.
        """

    def append(self, data: bytes, mark: Mark) -> None:
        """Take the lines of the next chunk.

        Raises:
            SinkError: they cannot be written.
        """
        raise NotImplementedError

    def end(self) -> None:
        """Note that this was all; a later run only has to give it its name.

        Raises:
            SinkError: it cannot be noted.
        """

    def commit(self) -> None:
        """Make the output final.

        Raises:
            SinkError: it cannot be.
        """


class GrowingStream(StreamSink, Growing):
    """A stream: what is written is out, and who was killed begins anew."""

    def append(self, data: bytes, mark: Mark) -> None:  # noqa: ARG002 - nothing is marked
        """Write and flush, so that whoever reads the pipe can work."""
        self.write(data)
        self.commit()
