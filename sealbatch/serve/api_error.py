"""Errors as OpenAI's clients expect them."""

from typing import Final

from starlette.responses import JSONResponse

from aws_errors.service_error import ServiceError
from producer import errors as producing
from results_consumer import errors as reading
from sealbatch.errors import OptionError
from sealbatch.explain import explain
from wire.errors import TicketError

_KIND: Final = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error"}
_SERVICE: Final = {"unavailable": 503, "clock": 500, "credentials": 500, "denied": 500, "missing": 500, "invalid": 500}


class ApiError(Exception):
    """What a request is answered with instead. No text of it holds content."""

    def __init__(self, status: int, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param

    def response(self) -> JSONResponse:
        """In OpenAI's form."""
        fallback = "invalid_request_error" if self.status < 500 else "server_error"
        error = {
            "message": str(self),
            "type": _KIND.get(self.status, fallback),
            "param": self.param,
            "code": self.code,
        }
        return JSONResponse({"error": error}, self.status)


def missing(what: str, name: str, param: str) -> ApiError:
    """There is no such thing."""
    return ApiError(404, f"No such {what}: {name[:100]}", code="not_found", param=param)


def api_error(error: Exception) -> ApiError:
    """What any error of ours means to the client. Statuses that it would try again are given where that may help."""
    match error:
        case ApiError():
            return error
        case OptionError():
            return ApiError(400, str(error), code="invalid_value", param=error.option)
        case TicketError():
            return ApiError(404, str(error), code="not_found")
        case producing.SpoolError():
            return ApiError(507, str(error), code="no_space")
        case reading.IntegrityError():
            return ApiError(422, str(error), code="integrity_error")
        case reading.JobNotFinished():
            return ApiError(400, str(error), code="not_finished")
        case producing.KeyReused():
            return ApiError(422, str(error), code="idempotency_key_reused")
        case producing.SendIncomplete():
            # No status at which a client would submit it all once more by itself.
            message = f"{error}; the batch is batch_{error.ticket}; `sealbatch sweep {error.ticket}` sends the rest"
            return ApiError(422, message, code="send_incomplete")
        case ServiceError():
            return ApiError(_SERVICE[str(error.kind)], str(error), code=f"aws_{error.kind}")
        case _:
            # By class and place, if it was not foreseen: its text may hold content.
            return ApiError(500, explain(error)[1], code="internal_error")
