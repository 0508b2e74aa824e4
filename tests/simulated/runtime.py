"""Runs the real threaded code of several processes in simulated time, one thread at a time, in an order drawn by dice.

Threads, locks, events, executors and clocks of the code under test are replaced by these (`replaced`). A thread runs
until it waits; then the dice choose who runs next, and when nobody can, the clock jumps to the next deadline. So a run
is the same run whenever its seed is, a night takes a second, and a process can be killed or halted between any two
waits.
"""

import random
import sys
import threading as real_threading
import time as real_time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any, Self
from unittest import mock

FOREVER = float("inf")
LIVELOCK = 200_000
"""Steps in which the clock does not move."""


class Killed(BaseException):
    """The process of this thread is dead; whatever its `finally` blocks try raises this again."""


class Process:
    """Some threads that are killed and halted together."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.halted_until = 0.0
        self.at_death: list[Callable[[], None]] = []


class Task:
    """One thread, and what it waits for."""

    def __init__(self, process: Process, work: Callable[[], None]) -> None:
        self.process = process
        self.work = work
        self.go = real_threading.Semaphore(0)
        self.predicate: Callable[[], bool] = lambda: True
        self.deadline = FOREVER
        self.done = False
        self.fault: BaseException | None = None
        self.thread: real_threading.Thread | None = None

    def ready(self, now: float) -> bool:
        """Whether it can go on."""
        return now >= self.process.halted_until and (self.deadline <= now or self.predicate())

    @property
    def wakes(self) -> float:
        """When it goes on at the latest."""
        return max(self.deadline, self.process.halted_until)


class Simulation:
    """All threads and the one clock, in seconds from 0; `epoch` is the time since 1970 at 0."""

    def __init__(self, seed: int, epoch: float) -> None:
        self.dice = random.Random(seed)
        self.epoch = epoch
        self.now = 0.0
        self.outside = Process("the test")
        self._tasks: list[Task] = []
        self._current: Task | None = None
        self._back = real_threading.Semaphore(0)
        self._still = 0
        self.faults: list[BaseException] = []

    @property
    def process(self) -> Process:
        """The process that runs now."""
        return self.outside if self._current is None else self._current.process

    def check(self) -> None:
        """The running process must be alive."""
        if self.process.dead:
            raise Killed

    def spawn(self, work: Callable[[], None], process: Process | None = None) -> Task:
        """A new thread of a process, the running one if none is named."""
        task = Task(process or self.process, work)
        self._tasks.append(task)
        return task

    def wait(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        """Let others run until `predicate` holds or `timeout` seconds have passed; whether it holds."""
        self.check()
        deadline = FOREVER if timeout is None else self.now + max(0.0, timeout)
        task = self._current
        if task is None:
            return self.run(predicate, deadline - self.now)
        task.predicate, task.deadline = predicate, deadline
        self._current = None
        self._back.release()
        task.go.acquire()
        self.check()
        return predicate()

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self.wait(lambda: False, seconds)

    def run(self, until: Callable[[], bool] = lambda: False, seconds: float = FOREVER) -> bool:
        """Let all run until something holds, or for so many seconds; whether it holds."""
        end = self.now + seconds
        while not until():
            self._bury()
            ready = [task for task in self._tasks if task.ready(self.now)]
            if ready:
                self._step(self.dice.choice(ready))
                self._still += 1
                assert self._still < LIVELOCK, "threads go round and round without waiting"
                continue
            following = min((task.wakes for task in self._tasks), default=FOREVER)
            self.now = min(following, end)
            self._still = 0
            assert self.now < FOREVER, "nobody will ever go on"
            if self.now >= end and following > end:
                return until()
        return True

    def kill(self, process: Process) -> None:
        """End a process at once; called by one of its own threads, this raises."""
        if not process.dead:
            process.dead = True
            for tell in process.at_death:
                tell()
        if self._current is None:
            self._bury()
        self.check()

    def close(self) -> None:
        """End all threads."""
        for task in list(self._tasks):
            self.kill(task.process)

    def _bury(self) -> None:
        """Let the threads of dead processes find out."""
        while dead := [task for task in self._tasks if task.process.dead]:
            self._step(dead[0])

    def _step(self, task: Task) -> None:
        task.predicate, task.deadline = (lambda: True), FOREVER
        self._current = task
        if task.thread is None:
            task.thread = real_threading.Thread(target=self._live, args=(task,), daemon=True)
            task.thread.start()
        else:
            task.go.release()
        self._back.acquire()
        if task.done:
            self._tasks.remove(task)
            task.thread.join()

    def _live(self, task: Task) -> None:
        try:
            self.check()
            task.work()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 - the test is told
            task.fault = error
            self.faults.append(error)
        task.done = True
        self._current = None
        self._back.release()


class Lock:
    """A lock that its holder may take again; serves as Lock and RLock."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self._holder: Task | str | None = "nobody"
        self._times = 0

    def acquire(self) -> bool:
        """Wait for it."""
        mine = self._sim._current
        if self._holder not in {"nobody", mine}:
            self._sim.wait(lambda: self._holder == "nobody")
        self._holder, self._times = mine, self._times + 1
        return True

    def release(self) -> None:
        """Let it go, once."""
        self._times -= 1
        if self._times == 0:
            self._holder = "nobody"

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Condition(Lock):
    """A condition variable with its lock."""

    def __init__(self, sim: Simulation) -> None:
        super().__init__(sim)
        self._notified = 0

    def notify_all(self) -> None:
        """Wake all that wait."""
        self._notified += 1

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the next `notify_all`."""
        seen = self._notified
        return self.wait_for(lambda: self._notified > seen, timeout)

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> bool:
        """Wait until something holds."""
        times, self._times, self._holder = self._times, 0, "nobody"
        held = False
        try:
            held = self._sim.wait(lambda: self._holder == "nobody" and bool(predicate()), timeout)
            if self._holder != "nobody":
                self._sim.wait(lambda: self._holder == "nobody")
        finally:
            self._holder, self._times = self._sim._current, times
        return held


class Event:
    """An event."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self._set = False

    def set(self) -> None:
        """It happened."""
        self._set = True

    def is_set(self) -> bool:
        """Whether it did."""
        self._sim.check()
        return self._set

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for it."""
        return self._sim.wait(lambda: self._set, timeout)


class BoundedSemaphore:
    """A semaphore."""

    def __init__(self, sim: Simulation, value: int) -> None:
        self._sim = sim
        self._value = value

    def acquire(self) -> None:
        """Wait for one."""
        if not self._value:
            self._sim.wait(lambda: self._value > 0)
        self._value -= 1

    def release(self) -> None:
        """Give one back."""
        self._value += 1


class Thread:
    """A thread."""

    def __init__(self, sim: Simulation, target: Callable[..., None], args: Sequence[Any] = (), **_: Any) -> None:
        self._sim = sim
        self._work = lambda: target(*args)
        self._task: Task | None = None

    def start(self) -> None:
        """Begin."""
        self._task = self._sim.spawn(self._work)

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""
        self._sim.wait(lambda: not self.is_alive(), timeout)

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._task is not None and not self._task.done


class Executor:
    """A pool of threads, each started when there is work for it."""

    def __init__(self, sim: Simulation, most: int, **_: Any) -> None:
        self._sim = sim
        self._most = most
        self._work: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._running = 0
        self._shut = False

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Have something done."""
        if self._shut:
            raise RuntimeError("the executor was shut down")
        future: Future[Any] = Future()
        self._work.append((future, lambda: function(*arguments)))
        if self._running < self._most:
            self._running += 1
            self._sim.spawn(self._serve)
        return future

    def shutdown(self, *, wait: bool = True, cancel_futures: bool = False) -> None:
        """Take no more, and wait for what runs."""
        self._shut = True
        while cancel_futures and self._work:
            self._work.popleft()[0].cancel()
        if wait:
            self._sim.wait(lambda: not self._running)

    def _serve(self) -> None:
        while self._work:
            future, work = self._work.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = work()
            except Exception as error:  # noqa: BLE001 - as a pool does
                future.set_exception(error)
            else:
                future.set_result(result)
        self._running -= 1


class Inline:
    """An executor that does at once what it is given: for code that the test's own thread runs."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Do it."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:  # noqa: BLE001 - as a pool does
            future.set_exception(error)
        return future

    def shutdown(self, **_: Any) -> None:
        """Nothing is left."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@contextmanager
def replaced(sim: Simulation, *packages: str, inline: Sequence[str] = ()) -> Iterator[None]:
    """Give the loaded modules of `packages` the simulation's threads and clocks; those `inline` get no threads."""
    threading = SimpleNamespace(
        Thread=lambda *a, **k: Thread(sim, *a, **k),
        Lock=lambda: Lock(sim),
        Condition=lambda: Condition(sim),
        Event=lambda: Event(sim),
        BoundedSemaphore=lambda value: BoundedSemaphore(sim, value),
    )
    time = SimpleNamespace(
        monotonic=lambda: sim.now,
        time=lambda: sim.epoch + sim.now,
        time_ns=lambda: int((sim.epoch + sim.now) * 1e9),
        sleep=sim.sleep,
    )
    swaps = [
        (real_threading, threading),
        (real_time, time),
        (real_time.monotonic, time.monotonic),
        (real_time.sleep, time.sleep),
        (real_threading.Event, threading.Event),
    ]
    with ExitStack() as stack:
        for module in _modules(packages):
            pool = Inline if module.__name__ in inline else (lambda *a, **k: Executor(sim, *a, **k))
            for name, value in list(vars(module).items()):
                for old, new in [*swaps, (ThreadPoolExecutor, pool)]:
                    if value is old:
                        stack.enter_context(mock.patch.object(module, name, new))
            for function in _functions(module):
                _swap_inside(stack, function, swaps)
        yield


def _modules(packages: Sequence[str]) -> list[ModuleType]:
    return [module for name, module in sys.modules.items() if name.startswith(tuple(packages))]


def _functions(module: ModuleType) -> Iterator[FunctionType]:
    for value in list(vars(module).values()):
        if isinstance(value, type) and value.__module__ == module.__name__:
            yield from (item for item in vars(value).values() if isinstance(item, FunctionType))


def _swap_inside(stack: ExitStack, function: FunctionType, swaps: list[tuple[Any, Any]]) -> None:
    """What a function took when it was defined: default arguments, and the default factories of a dataclass."""
    for old, new in swaps:
        for name in ("__defaults__", "__kwdefaults__"):
            held: Any = getattr(function, name)
            if isinstance(held, tuple) and any(item is old for item in held):
                fresh: Any = tuple(new if item is old else item for item in held)
                stack.enter_context(mock.patch.object(function, name, fresh))
            elif isinstance(held, dict) and any(item is old for item in held.values()):
                fresh = {key: new if item is old else item for key, item in held.items()}
                stack.enter_context(mock.patch.object(function, name, fresh))
        for cell in function.__closure__ or ():
            try:
                found = cell.cell_contents is old
            except ValueError:
                continue  # not filled yet
            if found:
                cell.cell_contents = new
                stack.callback(setattr, cell, "cell_contents", old)
