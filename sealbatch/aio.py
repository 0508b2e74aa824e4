"""The same for asyncio: each call of the synchronous API, run in a thread.

There is one implementation; `docs/adr/0073-one-api-two-faces.md` says why it is this way round. The names, arguments
and errors are those of `Client` and `Job`. A task that is canceled ends its call at the next step: a submission is
taken back, a wait ends; jobs go on.
"""

import asyncio
import functools
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar, cast

from sealbatch.client import Client
from sealbatch.config import Config
from sealbatch.job import Job
from sealbatch.progress import Pause, Progress, Told, ignore
from sealbatch.tickets import Kept

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
S = TypeVar("S")

THREADS: Final = 64
"""Calls that are under way at once; more wait their turn."""
_DONE: Final = object()


class _Stopped(Exception):  # noqa: N818 - the task was canceled: no fault
    pass


class _Stop:
    """Ends a call whose task was canceled, wherever it says how far it is, or waits."""

    def __init__(self, told: Told, pause: Pause | None) -> None:
        self._told = told
        self._pause = pause
        self._event = threading.Event()

    def set(self) -> None:
        """The task was canceled."""
        self._event.set()

    def progress(self, state: Progress) -> None:
        """Pass it on."""
        self._end_if_set(0)
        self._told(state)

    def pause(self, seconds: float) -> None:
        """Wait for seconds, as the caller does if it said how."""
        if self._pause is not None:
            self._pause(seconds)
        self._end_if_set(0 if self._pause else seconds)

    def _end_if_set(self, seconds: float) -> None:
        if self._event.wait(seconds):
            raise _Stopped


class _Face:
    """What is done in threads by one of ours."""

    def __init__(self, one: Any, pool: ThreadPoolExecutor) -> None:
        self._one = one
        self._pool = pool

    async def run(self, call: Callable[[], R], stop: _Stop) -> R:
        """Run it in a thread."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        except asyncio.CancelledError:
            stop.set()
            raise


def _kept(_: _Face, found: R) -> R:
    return found


def _threaded(
    method: Callable[Concatenate[S, P], R], stops: tuple[str, ...], then: Callable[[Any, R], T]
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """`method` in a thread; by its arguments `stops` it can be ended, and `then` is done with what it gives."""

    @functools.wraps(method)
    async def run(self: _Face, *args: P.args, **kwargs: P.kwargs) -> T:
        stop, words = _stoppable(kwargs, stops)
        return then(self, await self.run(functools.partial(method, self._one, *args, **words), stop))

    return cast("Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]", run)


def _iterated(method: Callable[Concatenate[S, P], Iterator[R]]) -> Callable[Concatenate[Any, P], AsyncIterator[R]]:
    """An iterator whose items are waited for in a thread."""

    @functools.wraps(method)
    async def run(self: _Face, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[R]:
        stop, words = _stoppable(kwargs, ("progress", "pause"))
        items = method(self._one, *args, **words)
        try:
            while (item := await self.run(functools.partial(next, items, _DONE), stop)) is not _DONE:
                yield cast("R", item)
        finally:
            stop.set()

    return cast("Callable[Concatenate[Any, P], AsyncIterator[R]]", run)


def _stoppable(kwargs: Any, names: tuple[str, ...]) -> tuple[_Stop, Any]:
    stop = _Stop(kwargs.get("progress", ignore), kwargs.get("pause"))
    return stop, {**kwargs, **{name: getattr(stop, name) for name in names}}


def _job(face: _Face, job: Job) -> "AsyncJob":
    return AsyncJob(job, face._pool)  # noqa: SLF001 - of the same family


def _job_if_any(face: _Face, job: Job | None) -> "AsyncJob | None":
    return None if job is None else _job(face, job)


class AsyncJob(_Face):
    """`Job` for asyncio; `AsyncClient.submit` and `AsyncClient.job` make these."""

    def __init__(self, job: Job, pool: ThreadPoolExecutor) -> None:
        super().__init__(job, pool)
        self.ticket = job.ticket
        self.id = job.id

    def __repr__(self) -> str:
        return f"AsyncJob({self.ticket!r})"

    status = _threaded(Job.status, (), _kept)
    wait = _threaded(Job.wait, ("progress", "pause"), _kept)
    results = _iterated(Job.results)
    fetch = _threaded(Job.fetch, ("progress", "pause"), _kept)
    table = _threaded(Job.table, ("progress",), _kept)
    cancel = _threaded(Job.cancel, (), _kept)
    retry = _threaded(Job.retry, ("progress",), _job_if_any)
    retries = _threaded(Job.retries, (), _kept)
    purge = _threaded(Job.purge, (), _kept)


class AsyncClient(_Face):
    """`Client` for asyncio.

    >>> import asyncio
    >>> from sealbatch import AsyncClient
    >>> async def main():
    ...     async with AsyncClient() as client:
    ...         job = await client.submit(["How many weeks of parental leave can I take?"])
    ...         return [result.outcome async for result in job.results(timeout=60)]
    >>> asyncio.run(main())
    ['succeeded']
    """

    def __init__(self, config: "str | os.PathLike[str] | Config | None" = None, **settings: str) -> None:
        super().__init__(Client(config, **settings), ThreadPoolExecutor(THREADS, "sealbatch-async"))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False)
        self._one.close()

    submit = _threaded(Client.submit, ("progress",), _job)

    def job(self, ticket: str) -> AsyncJob:
        """As `Client.job`."""
        return _job(self, self._one.job(ticket))

    def jobs(self) -> list[Kept]:
        """As `Client.jobs`."""
        found: list[Kept] = self._one.jobs()
        return found
