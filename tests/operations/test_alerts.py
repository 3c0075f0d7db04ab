"""Alert rules and dashboard name metrics that there are; each rule fires where it should, and is silent otherwise."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from servers import ROOT

from receiver.metrics.names import EVERY, HISTOGRAMS

RULES_FILE = ROOT / "docs" / "operations" / "alerts.yml"
DASHBOARD_FILE = ROOT / "docs" / "operations" / "dashboard.json"

RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES_FILE.read_text())["groups"] for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads(DASHBOARD_FILE.read_text())

OF_PROMETHEUS = {"up": ("job", "instance")}
ADDED = ("job", "instance", "le")
"""Labels that Prometheus adds, and that of a histogram's buckets."""

AGGREGATIONS = r"(?:by|without|on|ignoring)\s*\(([^)]*)\)"


def queries() -> list[str]:
    """Every expression of the rules and of the dashboard."""
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    asked = [
        re.sub(r"label_values\((.*), (\w+)\)", r"sum by (\2) (\1)", variable["query"]["query"])
        for variable in DASHBOARD["templating"]["list"]
        if variable["type"] == "query"
    ]
    return [*(rule["expr"] for rule in RULES), *panels, *asked]


def labels_of(name: str) -> tuple[str, ...]:
    """The labels that a metric has, by the name of one of its samples.

    Raises:
        KeyError: there is no such metric.
    """
    if name in OF_PROMETHEUS:
        return OF_PROMETHEUS[name]
    histogram = re.sub("_(bucket|sum|count)$", "", name)
    if histogram in HISTOGRAMS:
        return (*HISTOGRAMS[histogram].labels, *ADDED) if histogram != name else labels_of(f"{name} has no sample")
    return (*EVERY[name].labels, *ADDED)


def faults(expression: str) -> Iterator[str]:
    """What an expression names that there is not."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    without = re.sub(AGGREGATIONS, " ", bare)
    named = set(re.findall(r"(?<![\w{,$])([a-z_]+)(?![\w(=!])", re.sub(r"[{\[][^}\]]*[}\]]", " ", without)))
    metrics = named - {"or", "and", "unless", "by", "sum", "max", "min", "without", "on"}
    known: set[str] = set()
    for name in metrics:
        try:
            known |= set(labels_of(name))
        except KeyError:
            yield f"no metric {name}"
    for name, selector in re.findall(r"([a-z_]+)\{([^}]*)\}", bare):
        try:
            of_metric = labels_of(name)
        except KeyError:
            yield f"no metric {name}"
            continue
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector):
            if label not in of_metric:
                yield f"{name} has no label {label}"
    for group in re.findall(AGGREGATIONS, bare):
        for label in re.split(r"\s*,\s*", group.strip()):
            if label not in known:
                yield f"nothing has a label {label}"


@pytest.mark.parametrize("expression", queries())
def test_no_rule_and_no_panel_names_what_there_is_not(expression: str) -> None:
    assert list(faults(expression)) == []


@pytest.mark.parametrize(
    "expression",
    [
        "receiver_nothing > 0",
        "sum(rate(receiver_deliveries[5m]))",
        'receiver_exceptions{bank="x"} > 0',
        "sum by (verdict) (receiver_exceptions)",
        "receiver_answer_seconds > 1",
        "receiver_payments_bucket",
    ],
)
def test_what_there_is_not_is_noticed(expression: str) -> None:
    assert list(faults(expression)) != []


def test_the_dashboard_and_the_docs_leave_no_metric_out() -> None:
    text = " ".join(query for query in queries())
    assert {name for name in EVERY if name not in text} == set()
    documented = set(re.findall(r"^\| `(receiver_\w+)`", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE))
    assert documented == set(EVERY)


def test_every_alert_is_explained_in_the_docs() -> None:
    documented = set(re.findall(r"^\| `(Receiver\w+)`", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE))
    assert documented == {rule["alert"] for rule in RULES}


# Each rule, in the way that Prometheus itself reads it

HOUR = "+0x60"
"""The same for an hour, a value a minute."""

FIRING: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "ReceiverDown": ({'up{job="receiver",instance="a"}': "0+0x60"}, {"job": "receiver", "instance": "a"}),
    "ReceiverDatabaseDown": ({'receiver_database_up{job="receiver"}': f"0{HOUR}"}, {"job": "receiver"}),
    "ReceiverCallbacksUnavailable": (
        {'receiver_deliveries_total{source="bcb",verdict="unavailable",reason="database"}': "0+1x60"},
        {"source": "bcb", "verdict": "unavailable"},
    ),
    "ReceiverRefusesTheBank": (
        {'receiver_exceptions{kind="rejected",source="bcb"}': f"1{HOUR}"},
        {"kind": "rejected", "source": "bcb"},
    ),
    "ReceiverBankGivesUp": ({'receiver_give_up_seconds{source="bc"}': "89000-60x60"}, {"source": "bc"}),
    "ReceiverBankGivesUpAfterFailures": (
        {'receiver_give_up_failures_left{source="connectpay"}': f"19{HOUR}"},
        {"source": "connectpay"},
    ),
    "ReceiverPaymentUnconfirmed": (
        {'receiver_oldest_unconfirmed_seconds{source="bcb"}': "86000+60x60"},
        {"source": "bcb"},
    ),
    "ReceiverPaymentContradicted": (
        {'receiver_exceptions{kind="contradicted",source="bcb"}': f"2{HOUR}"},
        {"kind": "contradicted", "source": "bcb"},
    ),
    "ReceiverNeedsPerson": ({'receiver_exceptions{kind="late",source="bcb"}': f"1{HOUR}"}, {"source": "bcb"}),
    "ReceiverConsumerBehind": (
        {'receiver_consumer_lag_seconds{consumer="ledger"}': "0+60x60"},
        {"consumer": "ledger"},
    ),
    "ReceiverWorkerSilent": ({"receiver_worker_last_round_seconds": "0+60x60"}, {}),
    "ReceiverCertificateEnds": (
        {'receiver_certificate_expires_seconds{source="bc"}': "2592000-60x60"},
        {"source": "bc"},
    ),
    "ReceiverBankBudgetSpent": ({'receiver_bank_budget_remaining{source="bcb"}': f"0{HOUR}"}, {"source": "bcb"}),
    "ReceiverBankFails": (
        {
            'receiver_bank_requests_total{source="bcb",outcome="unreachable"}': "0+3x60",
            'receiver_bank_requests_total{source="bcb",outcome="answered"}': "0+1x60",
        },
        {"source": "bcb"},
    ),
    "ReceiverSlow": (
        {
            'receiver_answer_seconds_bucket{le="2.5"}': "0+1x60",
            'receiver_answer_seconds_bucket{le="5"}': "0+10x60",
            'receiver_answer_seconds_bucket{le="+Inf"}': "0+10x60",
        },
        {},
    ),
    "ReceiverDiskFull": (
        {'receiver_disk_free_bytes{instance="a"}': f"9{HOUR}", 'receiver_disk_bytes{instance="a"}': f"100{HOUR}"},
        {"instance": "a"},
    ),
}

HEALTHY = {
    'up{job="receiver",instance="a"}': f"1{HOUR}",
    'receiver_database_up{job="receiver",instance="a"}': f"1{HOUR}",
    'receiver_worker_last_round_seconds{job="receiver",instance="a"}': f"7{HOUR}",
    'receiver_deliveries_total{source="bcb",verdict="accepted",reason=""}': "0+100x60",
    'receiver_deliveries_total{source="",verdict="refused",reason="source_unknown"}': "0+100x60",
    'receiver_exceptions{kind="rejected",source="bcb"}': f"0{HOUR}",
    'receiver_exceptions{kind="late",source="bcb"}': f"0{HOUR}",
    'receiver_give_up_seconds{source="bc"}': f"300000{HOUR}",
    'receiver_oldest_unconfirmed_seconds{source="bcb"}': f"600{HOUR}",
    'receiver_consumer_lag_seconds{consumer="ledger"}': f"2{HOUR}",
    'receiver_certificate_expires_seconds{source="bc"}': f"9000000{HOUR}",
    'receiver_bank_budget_remaining{source="bcb"}': f"299{HOUR}",
    'receiver_bank_requests_total{source="bcb",outcome="answered"}': "0+5x60",
    'receiver_bank_requests_total{source="bcb",outcome="not_found"}': "0+50x60",
    'receiver_answer_seconds_bucket{le="0.05"}': "0+99x60",
    'receiver_answer_seconds_bucket{le="+Inf"}': "0+100x60",
    'receiver_disk_free_bytes{instance="a"}': f"50{HOUR}",
    'receiver_disk_bytes{instance="a"}': f"100{HOUR}",
}


@pytest.fixture(scope="module")
def promtool() -> str:
    """Prometheus's own tool; CI has it."""
    found = shutil.which("promtool")
    if found is None:
        if "CI" in os.environ:
            pytest.fail("promtool is not installed: CI installs Debian's package prometheus")
        pytest.skip("promtool is not installed (Debian's package prometheus has it)")
    return found


def assert_promtool(promtool: str, *words: str | Path) -> None:
    ended = subprocess.run([promtool, *map(str, words)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"


def trial(given: dict[str, str], alert: str, expected: dict[str, str] | None) -> dict[str, Any]:
    """One of promtool's tests: whether an alert fires after an hour of these series."""
    fired = [] if expected is None else [{"exp_labels": {**severity(alert), **expected}}]
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in given.items()],
        "alert_rule_test": [{"eval_time": "1h", "alertname": alert, "exp_alerts": fired}],
    }


def severity(alert: str) -> dict[str, str]:
    return {"severity": next(rule["labels"]["severity"] for rule in RULES if rule["alert"] == alert)}


def without_words(folder: Path) -> Path:
    """The rules without their annotations, whose words promtool would want to be repeated."""
    bare = [{name: value for name, value in rule.items() if name != "annotations"} for rule in RULES]
    path = folder / "alerts.yml"
    path.write_text(json.dumps({"groups": [{"name": "receiver", "rules": bare}]}))
    return path


def test_prometheus_takes_the_rules(promtool: str) -> None:
    assert_promtool(promtool, "check", "rules", RULES_FILE)


def test_each_rule_fires_where_it_should_and_none_where_all_is_well(promtool: str, tmp_path: Path) -> None:
    assert set(FIRING) == {rule["alert"] for rule in RULES}
    tests = [trial(given, alert, labels) for alert, (given, labels) in FIRING.items()]
    tests += [trial(HEALTHY, alert, None) for alert in FIRING]
    # Where there is no figure of a worker at all, none was ever there.
    no_worker = {'receiver_database_up{job="receiver",instance="a"}': f"1{HOUR}"}
    tests.append(trial(no_worker, "ReceiverWorkerSilent", {"job": "receiver", "instance": "a"}))
    file = tmp_path / "tests.yml"
    file.write_text(json.dumps({"rule_files": [str(without_words(tmp_path))], "tests": tests}))
    assert_promtool(promtool, "test", "rules", file)


def test_each_panel_is_an_expression_that_prometheus_takes(promtool: str, tmp_path: Path) -> None:
    values = {"$__rate_interval": "5m", "$source": ".*"}
    rules = []
    for number, query in enumerate(queries()):
        for name, value in values.items():
            query = query.replace(name, value)
        rules.append({"record": f"panel:{number}", "expr": query})
    file = tmp_path / "panels.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    assert_promtool(promtool, "check", "rules", file)
