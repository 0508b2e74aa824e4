"""`make attack`: runs every attack against a stack of its own and prints what became of each."""

import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "attacks")]

from hostile import Stage  # noqa: E402
from registry import ATTACKS  # noqa: E402
from rich.console import Console  # noqa: E402
from test_attacks import MODULES  # noqa: E402

from devstack.stack import Stack, StackOptions  # noqa: E402
from sealbatch.screen import make_table  # noqa: E402


def main() -> int:
    """The number of attacks that were accepted."""
    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
    rows, accepted, began = [], 0, time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="sealbatch-attack-") as folder,
        Stack(Path(folder) / "stack", StackOptions(bridge=False)) as stack,
    ):
        stage = Stage(stack)
        for number, (name, attack) in enumerate(ATTACKS.items(), 1):
            started = time.monotonic()
            try:
                verdict = attack(stage)
                happened, caught = verdict.happened, verdict.caught
            except Exception as error:  # noqa: BLE001 - whatever it is, the attack was not caught as it must be
                accepted += 1
                happened, caught = f"{type(error).__name__}: {error}", "NOT CAUGHT"
            print(f"{number}/{len(ATTACKS)} {name}: {caught} ({time.monotonic() - started:.1f} s)", file=sys.stderr)
            rows.append({"n": number, "attack": name, "what_happened": happened, "caught_by": caught})
        leaks = stage.leaks()
        canaries = len(stage.canaries)
    console.print(make_table(("n", "attack", "what_happened", "caught_by"), rows))
    accepted += len(leaks)
    for where in leaks:
        console.print(f"a question could be read in {where}")
    console.print(f"{canaries} questions with a canary, found in {len(leaks)} places that the parent can read")
    console.print(f"modules {len(MODULES)}, {time.monotonic() - began:.0f} s")
    console.print(f"{len(ATTACKS)} attacks, {accepted} accepted")
    return min(accepted, 1)


if __name__ == "__main__":
    sys.exit(main())
