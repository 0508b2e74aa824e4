"""How a verb ends before its end."""

from sealbatch.exits import Exit


class Stop(Exception):  # noqa: N818 - not always an error
    """Ends a verb with an exit code, after what there is to say, and `then` what to do next: a command, or words."""

    def __init__(self, code: Exit, text: str = "", then: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.then = then
