"""Takes an upload apart while it arrives: the file goes into a sealed blob, and no byte of it anywhere else."""

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from sealbatch.serve.api_error import ApiError
from sealbatch.serve.vault import MAX_FILE, SealedBlob

MAX_FIELD = 4096
MAX_PARTS = 16
_FRAME = 64 * 1024
"""Bytes that a form may have beside its file."""


class Form:
    """The parts of a multipart form, one of which is a file."""

    def __init__(self, boundary: bytes) -> None:
        self.fields: dict[str, bytes] = {}
        self.blob: SealedBlob | None = None
        self.filename = ""
        self._whole = False
        self._parts = 0
        self._header = bytearray()
        self._value = bytearray()
        self._name: str | None = None
        self._is_file = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                "on_header_end": self._head,
                "on_part_data": lambda data, start, end: self._take(data[start:end]),
                "on_part_end": self._end,
                "on_end": self._finish,
            },
            max_size=MAX_FILE + _FRAME,
        )

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body.

        Raises:
            ApiError: the form is none, or too large.
        """
        try:
            if self._parser.write(data) != len(data):
                raise ApiError(413, f"The file is larger than {MAX_FILE:,} bytes.", code="file_too_large", param="file")
        except FormParserError:
            raise _malformed() from None

    def refuse_cut(self) -> None:
        """The form is whole.

        Raises:
            ApiError: it is not.
        """
        if not self._whole:
            raise _malformed()

    def close(self) -> None:
        """Forget the file."""
        if self.blob is not None:
            self.blob.close()

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise _malformed()
        self._name, self._is_file = None, False

    def _head(self) -> None:
        name, value = self._header.decode("latin-1").lower(), bytes(self._value)
        self._header, self._value = bytearray(), bytearray()
        if name != "content-disposition":
            return
        _, options = parse_options_header(value)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        self._is_file = self._name == "file"
        if self._is_file:
            if self.blob is not None:
                raise _malformed()
            self.blob = SealedBlob()
            self.filename = options.get(b"filename", b"").decode("utf-8", "replace")

    def _take(self, data: bytes) -> None:
        if self._is_file and self.blob is not None:
            self.blob.write(data)
        elif self._name is not None:
            kept = self.fields.get(self._name, b"") + data
            if len(kept) > MAX_FIELD:
                raise _malformed()
            self.fields[self._name] = kept

    def _end(self) -> None:
        if self._is_file and self.blob is not None:
            self.blob.end()

    def _finish(self) -> None:
        self._whole = True


async def read_form(request: Request) -> Form:
    """The form that a request brings.

    Raises:
        ApiError: it is none, is cut, or is too large.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise ApiError(400, "The body must be multipart/form-data with a `file` and a `purpose`.", code="bad_form")
    try:
        form = Form(boundary)
    except (FormParserError, ValueError):
        raise _malformed() from None
    try:
        async for data in request.stream():
            if data:
                await run_in_threadpool(form.feed, data)
        form.refuse_cut()
    except BaseException:
        form.close()
        raise
    return form


def _malformed() -> ApiError:
    return ApiError(400, "The body is no multipart form, or is cut off.", code="bad_form")
