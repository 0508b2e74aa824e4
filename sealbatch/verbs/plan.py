"""`sealbatch plan`: how many instances a night needs, what stops it first, and what it costs."""

from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sealbatch.exits import Exit, Stop
from sealbatch.face import Face, ends_well
from sealbatch.fleet import plan as planning
from sealbatch.fleet import quotas as limits
from sealbatch.times import local_minute
from sealbatch.verbs import options as o

if TYPE_CHECKING:
    from sealbatch.fleet.plan import Plan, Task
    from sealbatch.terminal.screen import Screen

EXAMPLES = """\
sealbatch plan --questions 10000000 --by 06:00 --vcpu-quota 640
# with your prices
sealbatch plan --questions 50000 --by 06:00 --price c7i.4xlarge=USD \\
    --price c7a.4xlarge=USD --price sqs=USD --price s3-put=USD"""

_assumed = partial(typer.Option, rich_help_panel="What is assumed (measure yours)")
_quota = partial(typer.Option, rich_help_panel="Your quotas of AWS")
DEFAULT_TYPE = "c7i.4xlarge"
ANSWER_TOKENS = 48.0
COLUMNS = ("type", "instances", "tokens_a_second", "ends", "busy", "cost_usd", "usd_a_million")
QUOTA_COLUMNS = ("quota", "limit", "used", "share")


@ends_well
def command(
    context: typer.Context,
    questions: Annotated[int, typer.Option(min=1, max=10**10, metavar="N", help="Questions of the job.")],
    by: Annotated[
        str, typer.Option(metavar="TIME", help="It must have ended by then: 06:00 (the next), or with a date.")
    ],
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="When it is submitted.", show_default="now"),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--instance-type",
            metavar="TYPE",
            help="Such as c7i.4xlarge; may be given again.",
            show_default="those priced",
        ),
    ] = None,
    price: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=USD",
            help="Of a type (an hour), sqs, s3-put, s3-get, s3-month, kms, kms-key; may be given again.",
        ),
    ] = None,
    answer_tokens: Annotated[
        float, _assumed(min=1, max=4096, metavar="N", help="Tokens of an answer.")
    ] = ANSWER_TOKENS,
    chunk: Annotated[
        int | None,
        _assumed(min=1, max=planning.SEQUENCES, metavar="N", help="Records of a chunk.", show_default="32"),
    ] = None,
    rate: Annotated[
        float,
        _assumed(min=0.01, metavar="N", help="Answer tokens a second of a core; `sealbatch bench engine` measures it."),
    ] = planning.CORE_RATE,
    scaling: Annotated[
        float, _assumed(min=0.1, max=1, metavar="SHARE", help="What is left of it on many cores.")
    ] = planning.SCALING,
    seal_rate: Annotated[
        float, _assumed(min=1, metavar="N", help="Questions a second that all workers seal and store.")
    ] = planning.SEAL_RATE,
    start_seconds: Annotated[
        float, _assumed(min=0, metavar="SECONDS", help="From the launch to a ready enclave.")
    ] = planning.START_S,
    vcpu_quota: Annotated[int, _quota(min=1, metavar="N", help="Your quota L-1216C47A: vCPUs.")] = limits.VCPUS,
    kms_quota: Annotated[int, _quota(min=1, metavar="N", help="Your KMS requests a second.")] = limits.KMS_A_SECOND,
    as_json: o.JSON = False,
) -> None:
    """Say how many instances a night needs, and what it costs.

    Prices are yours to look up: none is built in. The exit code is 75 if no number of instances ends in time, and 78 if
    a quota must be raised first.
    """
    from producer.chunks import DEFAULT_RECORDS
    from sealbatch.fleet.simulate import Work

    face: Face = context.obj
    screen = face.screen(as_json=as_json)
    begin, end = _span(start, by)
    prices = _prices(price)
    task = planning.Task(
        work=Work(questions, chunk or DEFAULT_RECORDS, answer_tokens),
        seconds=(end - begin).total_seconds(),
        core_rate=rate,
        scaling=scaling,
        start_s=start_seconds,
        seal_rate=seal_rate,
    )
    plans = _plans(task, kind, prices)
    screen.rows(COLUMNS, [_row(screen, plan, begin, questions) for plan in plans])
    _explain(screen, task, plans[0], prices)
    _quotas(screen, plans[0], vcpu_quota, kms_quota)
    screen.next_step(f"sealbatch enclave size --eif FILE --instance-type {plans[0].kind.name}")


def _span(start: str | None, by: str) -> tuple[datetime, datetime]:
    now = datetime.now(UTC).astimezone()
    begin = now if start is None else _moment("from", start, now)
    return begin, _moment("by", by, begin)


def _moment(name: str, text: str, after: datetime) -> datetime:
    """The next such time of day after a moment, or the very time if it has a date."""
    from sealbatch.times import parse_moment

    try:
        clock = time.fromisoformat(text)
    except ValueError:
        try:
            moment = datetime.fromtimestamp(parse_moment(text) / 1000, UTC).astimezone()
        except ValueError as error:
            raise Stop(Exit.USAGE, f"--{name}: {error}, or 06:00 for the next") from None
        if name == "by" and moment <= after:
            raise Stop(Exit.USAGE, f"--{name}: it has passed already") from None
        return moment
    day = after.replace(hour=clock.hour, minute=clock.minute, second=0, microsecond=0, tzinfo=None)
    # Local time of its own day: the clocks may change in between.
    moment = day.astimezone()
    return moment if moment > after else (day + timedelta(days=1)).astimezone()


def _prices(texts: list[str] | None) -> dict[str, float]:
    from sealbatch.fleet.prices import parse_prices

    try:
        return parse_prices(texts or ())
    except ValueError as error:
        raise Stop(Exit.USAGE, f"--price: {error}") from None


def _plans(task: "Task", kinds: list[str] | None, prices: dict[str, float]) -> "list[Plan]":
    """A plan for each type that was named or priced, the cheapest first."""
    from sealbatch.fleet.instances import instance_type

    names = kinds or [name for name in prices if "." in name] or [DEFAULT_TYPE]
    try:
        plans = [planning.plan(task, instance_type(name), prices) for name in names]
    except ValueError as error:
        raise Stop(Exit.USAGE, f"--instance-type: {error}") from None
    except planning.PlanError as error:
        raise Stop(Exit.TEMPORARY, str(error), "begin earlier (--from), or give it more time (--by)") from None
    return sorted(plans, key=lambda plan: (plan.cost is None, plan.cost or 0.0, plan.load.vcpus))


def _row(screen: "Screen", plan: "Plan", begin: datetime, questions: int) -> dict[str, Any]:
    ends = begin + timedelta(seconds=plan.outcome.end_s)
    return {
        "type": plan.kind.name,
        "instances": plan.instances,
        "tokens_a_second": round(plan.rate * plan.instances),
        "ends": local_minute(ends.timestamp()) if screen.tables else ends.isoformat(" ", "minutes"),
        "busy": round(plan.outcome.busy, 3),
        "cost_usd": None if plan.cost is None else round(plan.cost, 2),
        "usd_a_million": None if plan.cost is None else round(plan.cost / questions * 1e6, 2),
        "costs_usd": {name: None if cost is None else round(cost, 4) for name, cost in plan.costs.items()},
    }


def _explain(screen: "Screen", task: "Task", plan: "Plan", prices: dict[str, float]) -> None:
    cores = plan.rate / task.core_rate / task.scaling
    screen.say(
        f"an instance: {plan.rate:,.0f} answer tokens a second: {cores:.0f} cores of {task.core_rate:g} each, "
        f"{task.scaling:.0%} of which was seen on two and is taken for all"
    )
    screen.say(
        f"sealed and stored after {task.before_s / 60:,.1f} min ({task.seal_rate:,.0f} questions a second), "
        f"enclaves ready {task.start_s / 60:,.1f} min later: both are assumptions until you measure yours"
    )
    if missing := [name for name in plan.costs if name not in {*prices, "instances"}]:
        screen.say(f"not in the cost, having no price: {', '.join(missing)} (--price NAME=USD)")


def _quotas(screen: "Screen", plan: "Plan", vcpus: int, kms: int) -> None:
    found = limits.quotas(plan.load, vcpus, kms)
    first = found[0]
    rows = [
        {"quota": one.name, "limit": one.limit, "used": round(one.used, 1), "share": f"{one.share:.1%}"}
        for one in found
    ]
    if screen.tables:
        screen.rows(QUOTA_COLUMNS, rows)
    else:
        screen.rows(QUOTA_COLUMNS, [{**row, "source": one.source} for row, one in zip(rows, found, strict=True)])
    screen.say(f"binds first: {first.name} ({first.source})")
    if first.share > 1:
        needed = [f"{one.name} to {one.used:,.0f}" for one in found if one.share > 1]
        raise Stop(
            Exit.CONFIGURATION,
            f"raise {' and '.join(needed)} before that night, or leave it more time",
            "ask for it in Service Quotas of AWS's console, and give the new value with --vcpu-quota or --kms-quota",
        )
