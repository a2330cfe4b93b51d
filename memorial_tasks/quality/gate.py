"""A gate: tables of measurements in, a `GateReport` and Great Expectations Data Docs out.

Importing Great Expectations takes seconds, so one process runs one gate over all its tables. Nothing personal
is in the tables: rows are material ids and numbers, so nothing personal is in results or docs.
"""

import logging
import math
import os
import re
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

os.environ["GX_ANALYTICS_ENABLED"] = "false"  # before the import: it would call its maker's server
for _name in ("great_expectations", "posthog", "backoff"):
    logging.getLogger(_name).setLevel(logging.WARNING)

import great_expectations as gx  # noqa: E402
import pandas as pd  # noqa: E402
from great_expectations.checkpoint.actions import UpdateDataDocsAction  # noqa: E402
from great_expectations.data_context.types.base import ProgressBarsConfig  # noqa: E402
from great_expectations.expectations.core.expect_column_values_to_be_between import (  # noqa: E402
    ExpectColumnValuesToBeBetween,
)

from memorial_tasks.domain.finding import Finding, GateReport  # noqa: E402
from memorial_tasks.domain.words import Severity  # noqa: E402
from memorial_tasks.quality.pages import silence_site  # noqa: E402
from memorial_tasks.quality.suites import SUITES, Rule, Suite  # noqa: E402

Row = Mapping[str, float]
Table = Mapping[str, Row]  # material id -> measures

_WEIGHT = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 2}
_FRAME = re.compile(r"-f\d{4}$")
_classes: dict[str, Any] = {}


def expectation(rule: Rule) -> Any:
    """The rule as an instance of an expectation class of its own."""
    if rule.class_name not in _classes:
        # Great Expectations registers a class by its name when it is made.
        _classes[rule.class_name] = type(
            rule.class_name,
            (ExpectColumnValuesToBeBetween,),
            {"__module__": __name__, "__doc__": f"Not: {rule.what}.", "__annotations__": {}},
        )
    low, high = rule.least, rule.most
    bounds = (("least", low), ("most", high))
    limit = " and ".join(f"at {word} {value:g}" for word, value in bounds if value is not None)
    return _classes[rule.class_name](
        column=rule.column,
        min_value=low,
        max_value=high,
        severity=rule.severity.value,
        description=f"{rule.column} is {limit}; otherwise: {rule.what}. {rule.remedy[:1].upper()}{rule.remedy[1:]}.",
        meta={"code": rule.code},
    )


def run_gate(
    gate: str, tables: Mapping[str, Table], docs: Path | None = None, suites: Mapping[str, Suite] = SUITES
) -> GateReport:
    """Validate each table by the suite of its name and gather what was found, the gravest first.

    With `docs`, the Data Docs site of this run is written there as a tar.gz. Rows that lack a measure (NaN)
    are not judged by it. The report passes when nothing critical was found.
    """
    with tempfile.TemporaryDirectory(prefix="gate-") as folder:
        context = gx.get_context(mode="file", project_root_dir=folder) if docs else gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        source = context.data_sources.add_pandas(gate)
        findings: list[Finding] = []
        for name, table in tables.items():
            if table:
                findings += _validate(context, source, suites[name], table, with_docs=docs is not None)
        if docs:
            _pack(Path(folder), docs)
    findings.sort(key=lambda found: (_WEIGHT[found.severity], found.code, found.material))
    return GateReport(
        gate=gate,
        passed=not any(found.severity is Severity.CRITICAL for found in findings),
        findings=tuple(findings),
        measured=_measured(tables),
    )


def run_suite(name: str, rows: Table) -> GateReport:
    """One suite over one table, without docs."""
    return run_gate(name, {name: rows})


def _validate(context: Any, source: Any, suite: Suite, table: Table, *, with_docs: bool) -> list[Finding]:
    frame = _frame(suite, table)
    batch = source.add_dataframe_asset(suite.name).add_batch_definition_whole_dataframe("all")
    built = context.suites.add(
        gx.ExpectationSuite(
            suite.name, expectations=[expectation(rule) for rule in suite.rules], meta={"title": suite.title}
        )
    )
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=suite.name, data=batch, suite=built))
    parameters = {"dataframe": frame}
    result_format = {"result_format": "COMPLETE", "unexpected_index_column_names": ["material"]}
    results: Any
    if with_docs:
        checkpoint = gx.Checkpoint(
            name=suite.name,
            validation_definitions=[definition],
            actions=[UpdateDataDocsAction(name="docs")],
            result_format=result_format,
        )
        outcome = checkpoint.run(batch_parameters=parameters)
        results = next(iter(outcome.run_results.values())).results
    else:
        results = definition.run(batch_parameters=parameters, result_format=result_format).results
    rules = {rule.code: rule for rule in suite.rules}
    findings: list[Finding] = []
    for result in results:
        rule = rules[result.expectation_config.meta["code"]]
        if result.exception_info.get("raised_exception"):
            raise RuntimeError(f"the rule {rule.code} could not be checked")
        if not result.success:
            findings += _findings(rule, result.result.get("unexpected_index_list") or [])
    return findings


def _frame(suite: Suite, table: Table) -> Any:
    columns = sorted({rule.column for rule in suite.rules})
    rows = [{"material": name} | {key: row.get(key, math.nan) for key in columns} for name, row in table.items()]
    return pd.DataFrame(rows).astype(dict.fromkeys(columns, "float64"))


def _findings(rule: Rule, unexpected: Iterable[Mapping[str, Any]]) -> list[Finding]:
    grouped: dict[str, list[float]] = {}
    frames: set[str] = set()
    for one in unexpected:
        name = str(one["material"])
        material = _FRAME.sub("", name)  # frames of one video are one finding
        if material != name:
            frames.add(material)
        grouped.setdefault(material, []).append(float(one[rule.column]))
    limit = rule.least if rule.least is not None else rule.most
    found = []
    for material, values in grouped.items():
        count = f" (in {len(values)} of the frames taken from it)" if material in frames else ""
        worst = min(values) if rule.least is not None else max(values)
        found.append(
            Finding(
                code=rule.code,
                severity=rule.severity,
                what=rule.what + count,
                remedy=rule.remedy,
                material="" if material == "all" else material,
                value=round(worst, 4),
                limit=limit,
            )
        )
    return found


def _measured(tables: Mapping[str, Table]) -> dict[str, float]:
    """The one-row tables, flattened: what a reviewer reads first."""
    return {
        f"{name.removesuffix('_set')}.{key}": round(float(value), 4)
        for name, table in tables.items()
        if set(table) == {"all"}
        for key, value in table["all"].items()
        if math.isfinite(value)
    }


def _pack(project: Path, target: Path) -> None:
    site = project / "gx" / "uncommitted" / "data_docs" / "local_site"
    silence_site(site)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(target, "w:gz") as tar:
        tar.add(site, arcname="data_docs")
