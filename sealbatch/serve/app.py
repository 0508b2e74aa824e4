"""The endpoint: routes, and the one place where errors become answers."""

import functools
import json
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from sealbatch.client import Client
from sealbatch.serve.api_error import ApiError, api_error
from sealbatch.serve.batch_fields import check_fields
from sealbatch.serve.batches import Batches
from sealbatch.serve.files import Files, describe
from sealbatch.serve.form import Form, read_form
from sealbatch.serve.guard import Guard
from sealbatch.serve.outcomes import Outcomes
from sealbatch.serve.repeats import Attempt, Repeats
from sealbatch.serve.vault import Upload, Vault

MAX_BODY: Final = 64 * 1024
"""Bytes of a body that is no file."""
Endpoint = Callable[["Api", Request], Awaitable[Response]]


def _answers(endpoint: Endpoint) -> Endpoint:
    """Every error of a request becomes its answer, and none a trace."""

    @functools.wraps(endpoint)
    async def run(self: "Api", request: Request) -> Response:
        try:
            return await endpoint(self, request)
        except Exception as error:  # noqa: BLE001 - the one place where errors end
            return api_error(error).response()

    return run


class Api:
    """What is served. Work that waits for AWS, seals or opens is done in threads."""

    def __init__(self, client: Client) -> None:
        self._vault = Vault()
        self._outcomes = Outcomes()
        self._batches = Batches(client, self._outcomes)
        self._files = Files(self._vault, self._batches, self._outcomes)
        self._repeats = Repeats()

    def close(self) -> None:
        """Begin nothing more."""
        self._outcomes.close()

    @_answers
    async def upload(self, request: Request) -> Response:
        """POST /v1/files."""
        form = await read_form(request)
        try:
            upload = self._keep(form, Attempt.of(request.headers))
        except BaseException:
            form.close()
            raise
        return JSONResponse(describe(upload))

    @_answers
    async def files(self, request: Request) -> Response:
        """GET /v1/files."""
        order, purpose = request.query_params.get("order", "desc"), request.query_params.get("purpose")
        after, limit = _paging(request, 10_000, 10_000)
        return JSONResponse(
            await run_in_threadpool(self._files.list, after, limit, purpose, oldest_first=order == "asc")
        )

    @_answers
    async def file(self, request: Request) -> Response:
        """GET and DELETE /v1/files/ID."""
        act = self._files.delete if request.method == "DELETE" else self._files.get
        return JSONResponse(await run_in_threadpool(act, request.path_params["name"]))

    @_answers
    async def content(self, request: Request) -> Response:
        """GET /v1/files/ID/content."""
        size, pieces = await run_in_threadpool(self._files.content, request.path_params["name"])
        headers = None if size is None else {"content-length": str(size)}
        return StreamingResponse(pieces, media_type="application/octet-stream", headers=headers)

    @_answers
    async def create(self, request: Request) -> Response:
        """POST /v1/batches."""
        fields = await _body(request)
        upload = self._vault.get(check_fields(fields), "input_file_id")
        attempt = Attempt.of(request.headers)
        content = [upload.blob.digest, {**fields, "input_file_id": None}]

        def make() -> dict[str, Any]:
            return self._batches.create(upload, fields, attempt.key)

        return JSONResponse(await run_in_threadpool(self._repeats.once, attempt, content, make))

    @_answers
    async def batches(self, request: Request) -> Response:
        """GET /v1/batches."""
        return JSONResponse(await run_in_threadpool(self._batches.list, *_paging(request, 20, 100)))

    @_answers
    async def batch(self, request: Request) -> Response:
        """GET /v1/batches/ID, and POST /v1/batches/ID/cancel."""
        act = self._batches.cancel if request.method == "POST" else self._batches.get
        name = request.path_params["name"]
        self._repeats.known(name)
        return JSONResponse(await run_in_threadpool(act, name))

    def _keep(self, form: Form, attempt: Attempt) -> Upload:
        if unknown := form.fields.keys() - {"purpose"}:
            name = min(unknown)[:100]
            raise ApiError(400, f"{name} is not supported.", code="unknown_parameter", param=name)
        if form.fields.get("purpose") != b"batch":
            raise ApiError(400, "purpose must be batch.", code="invalid_value", param="purpose")
        if form.blob is None or not form.blob.size:
            raise ApiError(400, "file is missing or empty.", code="invalid_value", param="file")
        return self._vault.add(form.filename, form.blob, again=attempt.again)


def make_app(client: Client, *, token: str, hosts: Collection[str]) -> tuple[ASGIApp, Api]:
    """The application behind its guard, and what to close at its end."""
    api = Api(client)
    routes = [
        Route("/v1/files", api.upload, methods=["POST"]),
        Route("/v1/files", api.files, methods=["GET"]),
        Route("/v1/files/{name}", api.file, methods=["GET", "DELETE"]),
        Route("/v1/files/{name}/content", api.content, methods=["GET"]),
        Route("/v1/batches", api.create, methods=["POST"]),
        Route("/v1/batches", api.batches, methods=["GET"]),
        Route("/v1/batches/{name}", api.batch, methods=["GET"]),
        Route("/v1/batches/{name}/cancel", api.batch, methods=["POST"]),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _not_served})
    return Guard(app, token=token, hosts=hosts), api


async def _not_served(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    message = f"{request.method} {request.url.path[:100]} is not served here: only /v1/files and /v1/batches are."
    return ApiError(status, message, code="unknown_url").response()


async def _body(request: Request) -> dict[str, Any]:
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > MAX_BODY:
            raise ApiError(413, f"The body is larger than {MAX_BODY:,} bytes.", code="body_too_large")
    try:
        fields = json.loads(data)
        json.dumps(fields, ensure_ascii=False).encode()  # half a character could be kept, and not be said again
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise ApiError(400, "The body must be a JSON object.", code="invalid_json")
    return fields


def _paging(request: Request, usual: int, most: int) -> tuple[str | None, int]:
    text = request.query_params.get("limit", str(usual))
    if not (text.isascii() and text.isdigit() and len(text) < 8 and 1 <= int(text) <= most):
        raise ApiError(400, f"limit must be a whole number from 1 to {most}.", code="invalid_value", param="limit")
    return request.query_params.get("after"), int(text)
