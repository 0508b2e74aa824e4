"""`sealbatch bench`: measures the engine against its peers, and what its precisions cost in accuracy."""

import importlib.util
from pathlib import Path
from typing import Annotated, Literal

import typer

from sealbatch.exits import Exit, Stop
from sealbatch.extras import need
from sealbatch.face import Face, ends_well
from sealbatch.terminal.help import make_group, verb

app = make_group(
    "Measure the engine, from the source tree.",
    """\
sealbatch bench engine
sealbatch bench engine --only sealbatch_int8 --minutes 5""",
)

RESULTS = Path("bench/results/engine.json")
ACCURACY = Path("bench/results/accuracy.json")
PARTS = Path("bench/results/parts.json")
INSTRUCTIONS = Path("bench/results/instructions.json")
MODELS = Path("models")
BUILD = Path("build/bench")

MODEL = Annotated[
    Path | None, typer.Option(metavar="DIR", help="A model, if not random weights in the shape of bloom-560m.")
]
OUTPUT = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Results as JSON.")]
FOLDER = Annotated[Path, typer.Option(metavar="DIR", help="Where models are kept.")]


def _need_source_tree() -> None:
    if importlib.util.find_spec("bench") is None:
        raise Stop(Exit.CONFIGURATION, "the bench runs in a source tree", "pip install --editable '.[bench]'")
    need("bench")


def _model(given: Path | None, build: Path) -> Path:
    """The model to measure with: random weights, made once, if none was given."""
    from bench.random_model import make

    return given.resolve() if given else make(build.resolve() / "bloom-560m")


@verb(
    app,
    """\
sealbatch bench engine
sealbatch bench engine --only sealbatch_int8 --minutes 5""",
)
@ends_well
def engine(
    context: typer.Context,
    minutes: Annotated[
        float, typer.Option(metavar="N", min=0.1, help="Minutes for the runs; installing comes on top.")
    ] = 20.0,
    full: Annotated[bool, typer.Option("--full", help="All workloads whole, three rounds, however long.")] = False,
    only: Annotated[
        list[str] | None, typer.Option(metavar="KEY", help="Run this contender; may be given again.")
    ] = None,
    model: MODEL = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Results as JSON; the plot goes beside.")
    ] = RESULTS,
    build: Annotated[Path, typer.Option(metavar="DIR", help="Where peers and models are kept.")] = BUILD,
) -> None:
    """Measure the engine's speed beside its peers'.

    Seeded workloads on one core and on two, in rounds over all contenders. Peers are installed into environments of
    their own; one that cannot be is named with the reason. Results and a plot are written.
    """
    _need_source_tree()
    from bench.contenders import CONTENDERS
    from bench.plot import draw
    from bench.report import save
    from bench.speed import Bench, Options

    face: Face = context.obj
    screen = face.screen()
    chosen = tuple(only or CONTENDERS)
    for unknown in set(chosen) - CONTENDERS.keys():
        raise Stop(Exit.USAGE, f"--only {unknown}: there is {', '.join(CONTENDERS)}")
    folder = _model(model, build)
    options = Options(build.resolve(), folder, chosen, None if full else minutes)
    result = Bench(options, screen.say).measure()
    save(result, output)
    columns = ("title", "workload", "cores", "tokens_per_second", "requests", "rss_mb", "load_s", "agreement")
    screen.rows(columns, result["rows"])
    for gap in result["missing"]:
        screen.say(f"missing: {CONTENDERS[gap['contender']].title}, {gap['workload']}, {gap['cores']}: {gap['reason']}")
    if not result["rows"]:
        raise Stop(Exit.FAILED, "nothing could be run")
    plot = output.with_suffix(".svg")
    draw(result, plot)
    screen.say(f"{output} and {plot}")
    screen.next_step("sealbatch bench parts", "where the time goes")


@verb(app, "sealbatch bench parts --threads 2")
@ends_well
def parts(
    context: typer.Context,
    precision: Annotated[
        Literal["int8", "bf16", "fp32"], typer.Option(metavar="KIND", help="int8, bf16 or fp32.")
    ] = "int8",
    threads: Annotated[int, typer.Option(metavar="N", min=1, help="Threads of the engine.")] = 1,
    model: MODEL = None,
    output: OUTPUT = PARTS,
    build: FOLDER = BUILD,
) -> None:
    """Measure where the engine's time goes.

    Operation by operation, over the first workload.
    """
    _need_source_tree()
    from bench.parts import measure
    from bench.report import save

    face: Face = context.obj
    screen = face.screen()
    folder = _model(model, build)
    result = measure(folder, build.resolve(), precision, threads)
    save(result, output)
    rows = [
        {"operation": part["operation"], "seconds": f"{part['seconds']:.2f}", "share": f"{part['share']:.1%}"}
        for part in result["parts"]
    ]
    screen.rows(("operation", "seconds", "share"), rows)
    screen.say(f"{result['tokens_per_second']:.1f} tokens a second; {output}")
    screen.next_step("sealbatch bench instructions")


@verb(app, "sealbatch bench instructions --output build/instructions.json")
@ends_well
def instructions(
    context: typer.Context,
    output: OUTPUT = INSTRUCTIONS,
    build: FOLDER = BUILD,
) -> None:
    """Count the instructions of the compiled operations.

    With valgrind, so that a regression is seen on a busy machine too: fails if an operation takes over 1 per cent more
    than the output's file said before, built by the same compiler. The file is then left as it was.
    """
    _need_source_tree()
    from bench.environments import MissingError
    from bench.instructions import measure, regressions
    from bench.report import save

    face: Face = context.obj
    screen = face.screen()
    try:
        result = measure(build.resolve())
    except MissingError as error:
        raise Stop(Exit.FAILED, f"nothing was counted: {error}") from None
    rows = [
        {"operation": name, "instructions": f"{one['instructions']:,}", "each": f"{one['each']:.4f}"}
        for name, one in result["operations"].items()
    ]
    screen.rows(("operation", "instructions", "each"), rows)
    if found := regressions(result, output):
        raise Stop(Exit.FAILED, "; ".join(found))
    save(result, output)
    screen.say(f"{output}")
    screen.next_step("sealbatch bench engine")


@verb(app, "sealbatch bench accuracy --requests 64")
@ends_well
def accuracy(
    context: typer.Context,
    requests: Annotated[
        int, typer.Option(metavar="N", min=1, max=64, help="Requests of the first workload, spread over it.")
    ] = 16,
    model: MODEL = None,
    output: OUTPUT = ACCURACY,
    build: FOLDER = BUILD,
) -> None:
    """Measure what the precisions cost in accuracy.

    Greedy tokens of fp32, bf16 and int8 beside transformers' in fp32, with margins, on random weights and on the
    demonstration model; and the demonstration model's perplexity on its held-out text under each.
    """
    _need_source_tree()
    from bench.accuracy import Options, measure
    from bench.report import save

    face: Face = context.obj
    screen = face.screen()
    folder = _model(model, build)
    options = Options(folder, requests, MODELS / "benefits-bloom", MODELS / "data" / "heldout.jsonl", build.resolve())
    result = measure(options, screen.say)
    save(result, output)
    rows = [
        {"model": model, "precision": precision, **figures}
        for model, found in (("random", result["random_model"]), ("demonstration", result["demonstration_model"]))
        for precision, figures in found["precisions"].items()
    ]
    columns = ("model", "precision", "whole_answers", "answers", "tokens_equal", "tokens")
    screen.rows((*columns, "largest_margin_where_different"), rows)
    screen.say(f"{output}")
    screen.next_step("sealbatch bench engine")
