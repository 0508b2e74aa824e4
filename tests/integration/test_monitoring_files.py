"""deploy/monitoring: alerts and dashboard ask for what bridges and beats really serve, and every alert has its page."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import typer
import yaml
from bridge_page import REPORT, World, beat_page
from cfn_template import resources
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from waiting import wait_until

from sealbatch.cli import app

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "deploy" / "monitoring"
RUNBOOK = (ROOT / "docs" / "how-to" / "runbook.md").read_text(encoding="utf-8")
TARGET = frozenset({"instance", "job"})
"""Labels that Prometheus adds to all that it scrapes."""
RULES = [rule for group in yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]
BOARD = json.loads((FILES / "dashboard.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
ANCHORS = {
    re.sub(r"[^a-z0-9 -]", "", line.lower()).strip().replace(" ", "-")
    for line in re.findall(r"^#+ (.+)$", RUNBOOK, re.MULTILINE)
}

Served = dict[str, tuple[str, dict[str, set[str]]]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """Of each series of a bridge with a reporting enclave, and of a beat: its type, and the values of its labels."""
    found: Served = {
        "up": ("gauge", {}),
        "ALERTS": ("gauge", {"alertname": set(), "alertstate": {"firing", "pending"}}),
    }
    with World(tmp_path_factory.mktemp("bridge")) as world:
        world.enclave.say(REPORT)
        wait_until(lambda: world.figure("memory_bytes"), what="a report")
        pages = world.get("metrics") + beat_page(tmp_path_factory.mktemp("night"))
    family: Metric
    for family in text_string_to_metric_families(pages):
        for sample in family.samples:
            labels = found.setdefault(sample.name, (family.type, {}))[1]
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)
    return found


def parsed(expression: str) -> Any:
    """An expression, with Grafana's variables in the place of which Grafana puts what is chosen."""
    return promql.parse(expression.replace("$__rate_interval", "5m").replace('"$instance"', '".*"'))


def labels_of(node: Any, served: Served) -> set[str]:
    """The labels of what an expression gives.

    Everything that it names on the way must be served: metrics, labels, values of labels, and rates of counters alone.
    """
    match node:
        case promql.VectorSelector():
            assert node.name in served, f"nobody serves {node.name}"
            check_matchers(node.matchers.matchers, served[node.name][1])
            return set(served[node.name][1]) | TARGET
        case promql.MatrixSelector():
            return labels_of(node.vector_selector, served)
        case promql.ParenExpr():
            return labels_of(node.expr, served)
        case promql.Call() if node.func.name == "time":
            return set()
        case promql.Call():
            vector = next(part for part in node.args if not isinstance(part, promql.NumberLiteral))
            if node.func.name in {"rate", "increase"}:
                assert served[vector.vector_selector.name][0] in {"counter", "histogram"}, (
                    f"{node} of what is no counter"
                )
            return labels_of(vector, served) - ({"le"} if node.func.name == "histogram_quantile" else set())
        case promql.AggregateExpr():
            kept = set(node.modifier.labels) if node.modifier else set()
            assert kept <= labels_of(node.expr, served), f"{node} keeps a label that is not there"
            return kept
        case promql.BinaryExpr():
            left = labels_of(node.lhs, served)
            right = labels_of(node.rhs, served)
            on = set(node.modifier.matching.labels) if node.modifier and node.modifier.matching else set()
            assert on <= left & right, f"{node} joins on a label that one side lacks"
            return left or right
        case promql.NumberLiteral():
            return set()
    raise AssertionError(f"{type(node)} is not known to this test")


def check_matchers(matchers: list[Any], labels: dict[str, set[str]]) -> None:
    """Those that choose a value choose one that there is."""
    for matcher in matchers:
        assert matcher.name in labels.keys() | TARGET, f"there is no label {matcher.name}"
        if matcher.name in {"outcome", "code", "kind", "service", "state"}:
            assert set(matcher.value.split("|")) <= labels[matcher.name], f"{matcher.name} is never {matcher.value}"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_is_served(rule: dict[str, Any], served: Served) -> None:
    """Metrics, labels and their values; and it names no label to a person that its expression does not give."""
    given = labels_of(parsed(rule["expr"]), served)
    texts = " ".join(rule["annotations"].values())
    assert set(re.findall(r"\$labels\.(\w+)", texts)) <= given


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_grave_it_is_and_where_to_read_on(rule: dict[str, Any]) -> None:
    """Its section of the runbook exists, and says what it means."""
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert (ROOT / page).read_text(encoding="utf-8") == RUNBOOK
    assert anchor == rule["alert"].lower()
    section = re.search(rf"^### {rule['alert']}\n(.+?)(?=^##|\Z)", RUNBOOK, re.MULTILINE | re.DOTALL)
    assert section is not None, f"{rule['alert']} has no section"
    assert section[1].startswith("**What it means.** ")


def test_the_runbook_has_no_section_of_an_alert_that_is_gone() -> None:
    """And its links lead somewhere."""
    assert set(re.findall(r"^### (Sealbatch\w+)$", RUNBOOK, re.MULTILINE)) == {rule["alert"] for rule in RULES}
    assert set(re.findall(r"\]\(#([^)]+)\)", RUNBOOK)) <= ANCHORS


def test_what_cloudwatch_tells_a_person_is_in_the_runbook() -> None:
    """Each alarm that sends mail has its section, under the words that the mail begins with."""
    mailing = [
        item["Properties"]["AlarmDescription"]
        for item in resources().values()
        if item["Type"] == "AWS::CloudWatch::Alarm" and "Alarms" in str(item["Properties"]["AlarmActions"])
    ]
    assert len(mailing) == 2
    for words in mailing:
        assert re.split(r"[.;]", words)[0].lower().replace(" ", "-") in ANCHORS


def test_the_commands_of_the_runbook_exist() -> None:
    """Each verb and each of its options."""
    commands = re.findall(r"`(sealbatch [a-z][^`]*)`", RUNBOOK) + re.findall(
        r"^(sealbatch [^#\n]+)", RUNBOOK, re.MULTILINE
    )
    assert len(commands) > 20
    root: Any = typer.main.get_command(app)
    for command in commands:
        verb, words = root, command.split()[1:]
        while hasattr(verb, "commands"):
            assert words[:1] != []
            assert words[0] in verb.commands, f"there is no `{command}`"
            verb = verb.commands[words.pop(0)]
        known = {name for parameter in verb.params for name in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= known, f"`{command}`"


def queries() -> Iterator[tuple[str, str]]:
    """Title and expression of everything that the dashboard asks."""
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for note in BOARD["annotations"]["list"]:
        yield note["name"], note["expr"].replace("Sealbatch.+", RULES[0]["alert"])


@pytest.mark.parametrize(("title", "expression"), list(queries()))
def test_a_panel_asks_for_what_is_served(title: str, expression: str, served: Served) -> None:
    """And its legend names only labels that there are."""
    given = labels_of(parsed(expression), served)
    legends = [
        target["legendFormat"]
        for panel in PANELS
        for target in panel["targets"]
        if panel["title"] == title and target["expr"] == expression
    ]
    assert {name for legend in legends for name in re.findall(r"\{\{(\w+)\}\}", legend)} <= given


def test_the_dashboard_shows_every_metric(served: Served) -> None:
    """A metric that is added and shown nowhere helps nobody at night."""
    asked = " ".join(expression for _, expression in queries())
    assert {
        name for name in served if name.startswith("sealbatch_") and not name.endswith(("_created", "_sum", "_count"))
    } <= set(re.findall(r"sealbatch_\w+", asked))


def test_the_dashboard_is_laid_out() -> None:
    """Panels have ids of their own, lie within 24 columns, do not overlap, and say what they show."""
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not taken & cells, panel["title"]
        taken |= cells
    assert all(panel["description"] and panel["datasource"]["uid"] == "${datasource}" for panel in PANELS)
    assert {variable["name"] for variable in BOARD["templating"]["list"]} == {"datasource", "instance"}


def test_what_fires_when_as_prometheus_sees_it() -> None:
    """The unit tests of the rules, in Prometheus's own tool where it is; every alert fires in one of them."""
    cases = yaml.safe_load((FILES / "alerts_test.yaml").read_text())["tests"]
    fired = {
        name
        for case in cases
        for look in case.get("promql_expr_test", ())
        for sample in look["exp_samples"]
        for name in re.findall(r'alertname="(\w+)"', sample["labels"])
    }
    assert fired == {rule["alert"] for rule in RULES}
    if (promtool := shutil.which("promtool")) is None:
        pytest.skip("there is no promtool: apt-get install prometheus")
    subprocess.run([promtool, "check", "rules", "alerts.yaml"], cwd=FILES, check=True)
    subprocess.run([promtool, "test", "rules", "alerts_test.yaml"], cwd=FILES, check=True)
