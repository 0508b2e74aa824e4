"""Under which names Redis keeps what is ours."""

from typing import Final

PREFIX: Final = "sealbatch:"
QUEUE: Final = "sealbatch"
TASKS: Final = PREFIX + QUEUE
"""The list in which kombu keeps the tasks that wait."""
LEASE: Final = PREFIX + "lease:"
"""Before the mark of work that is being done."""
BEAT: Final = PREFIX + "beat"
PROGRESS: Final = PREFIX + "progress"
