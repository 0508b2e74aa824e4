"""A chunk's end without an answer."""

from wire.messages import RefusalCode


class ChunkRefused(Exception):  # noqa: N818 - named after the message that it becomes
    """The chunk goes back without an answer, for the reason `code`."""

    def __init__(self, code: RefusalCode) -> None:
        super().__init__(code)
        self.code = code
