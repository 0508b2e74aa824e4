"""Whether a schedule may begin runs: a person's word on its shelf, for which neither AWS nor Redis is asked."""

from dataclasses import dataclass

from sealbatch.nightly.clock import Clock
from sealbatch.nightly.records import PAUSED, RESUMED, as_record
from sealbatch.nightly.shelf import Shelf


@dataclass(frozen=True, slots=True)
class Pausing:
    """Pauses and resumes the schedule of a shelf."""

    shelf: Shelf
    clock: Clock

    def pause(self) -> bool:
        """Begin no runs until `resume`; False if they are paused already. What has begun goes on."""
        return self.shelf.put_new(PAUSED, as_record(at=self.clock.now()))

    def resume(self) -> bool:
        """Begin runs again, from now on; False if they were not paused. What fired meanwhile is not caught up."""
        if self.shelf.get(PAUSED) is None:
            return False
        self.shelf.put(RESUMED, as_record(at=self.clock.now()))
        self.shelf.remove(PAUSED)
        return True
