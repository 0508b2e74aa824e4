"""`make attack`: runs every attack against a stack of its own and prints what became of each."""

import sys
import tempfile
import time
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers"), str(ROOT / "tests" / "attacks")]

from hostile import Stage, Verdict  # noqa: E402
from registry import ATTACKS, Attack  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.padding import Padding  # noqa: E402
from rich.text import Text  # noqa: E402
from test_attacks import MODULES  # noqa: E402

from devstack.stack import Stack, StackOptions  # noqa: E402
from sealbatch.terminal.tables import make_table  # noqa: E402

WIDE = 110
"""Columns from which on an attack has one row; on a narrower screen it has its lines below each other."""


def attempt(stage: Stage, attack: Attack) -> tuple[Verdict, bool]:
    """What became of an attack, and whether it was caught."""
    stage.begin()
    try:
        return attack(stage), True
    except Exception as error:  # noqa: BLE001 - whatever it is, the attack was not caught as it must be
        return Verdict(f"{type(error).__name__}: {error}", "NOT CAUGHT"), False


def show(console: Console, rows: list[tuple[str, int, str, Verdict]]) -> None:
    """The attacks by the place from which they are made, with what happened and by what each was caught."""
    for place, group in groupby(rows, key=lambda row: row[0]):
        console.print(Text(f"\n{place}", style="bold"))
        if console.width >= WIDE:
            columns = ("n", "attack", "what_happened", "caught_by")
            table = [dict(zip(columns, (n, name, it.happened, it.caught), strict=True)) for _, n, name, it in group]
            console.print(make_table(columns, table))
            continue
        for _, number, name, verdict in group:
            console.print(Text(f"{number:4}  {name}"))
            for text in (verdict.happened, f"caught by: {verdict.caught}"):
                console.print(Padding(Text(text, style="dim"), (0, 0, 0, 6)))


def main() -> int:
    """The number of attacks that were accepted."""
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    places = {module.__name__: (module.__doc__ or "").strip().splitlines()[0] for module in MODULES}
    rows, accepted, began = [], 0, time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="sealbatch-attack-") as folder,
        Stack(Path(folder) / "stack", StackOptions(bridge=False)) as stack,
    ):
        stage = Stage(stack)
        for number, (name, attack) in enumerate(ATTACKS.items(), 1):
            started = time.monotonic()
            verdict, caught = attempt(stage, attack)
            accepted += not caught
            took = time.monotonic() - started
            print(f"{number}/{len(ATTACKS)} {name}: {verdict.caught} ({took:.1f} s)", file=sys.stderr, flush=True)
            rows.append((places[attack.__module__], number, name, verdict))
        stage.close()
        leaks = stage.leaks()
    show(console, rows)
    for where in leaks:
        console.print(f"a question could be read in {where}")
    console.print(
        f"\n{len(stage.canaries)} questions with a canary; places that the parent can read with one: {len(leaks)}"
    )
    console.print(f"{len(MODULES)} places to attack from, {time.monotonic() - began:.0f} s")
    console.print(f"{len(ATTACKS)} attacks, {accepted + len(leaks)} accepted")
    return min(accepted + len(leaks), 1)


if __name__ == "__main__":
    sys.exit(main())
