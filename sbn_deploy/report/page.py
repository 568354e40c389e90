"""A report as one HTML page that loads nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from importlib.resources import files
from itertools import groupby
from typing import Any

import jinja2
from markupsafe import Markup

from sbn_deploy import escape
from sbn_deploy.engines.table import shown_as
from sbn_deploy.records.evaluation import CalibrationScores
from sbn_deploy.records.profile import Peak

from . import figures
from .charts import NARROW, WIDE
from .charts.accuracy_latency import BARRED, accuracy_latency
from .charts.confusion import DRAWN, NUMBERED, confusion_chart
from .charts.layers import KINDS, kind_swatch, layer_chart, shown
from .charts.looks import Looks
from .charts.markers import legend_marker
from .charts.ratios import DRAWN as RATIOS
from .charts.ratios import ratio_chart
from .charts.reliability import reliability_chart
from .charts.risk import risk_chart
from .charts.sets import coverage_chart, sizes_chart
from .content import Comparison, Evaluated, Profiled, RatioRow, Report, TaskEvaluated
from .tables import (
    base_of,
    class_table,
    comparison_table,
    confused_table,
    device_table,
    layer_table,
    named_table,
    ratio_table,
    score_table,
    set_table,
    shown_sets,
    task_table,
)

# More evaluated models than these are folded, but for those that the answers name.
OPEN = 2
# Of more evaluated models than these, only those on a Pareto front are shown with their charts.
DETAILED = 24
# Confusion matrices with up to this many classes are readable at the width of a phone.
FITTING = 12


def render(report: Report) -> str:
    """The page."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Names may hold anything.
        finalize=lambda value: escape.visible(value) if type(value) is str else value,
    )
    environment.filters |= {"percent": figures.percent, "count": figures.count}
    script = _template("script.js")
    looks = Looks.of(report)
    evaluations = _evaluations(report, looks)
    return environment.get_template("page.html.j2").render(
        report=report,
        style=Markup(_template("style.css")),
        script=Markup(script),
        script_hash=_hash(script),
        comparisons=[
            _comparison(i, entry, report, looks) for i, entry in enumerate(report.comparisons)
        ],
        devices=device_table(report.devices) if report.devices else None,
        ratios=list(_ratios(report.ratios, looks)),
        scores=score_table(report.evaluations) if report.evaluations else None,
        evaluations=evaluations,
        tasks=list(_tasks(report.tasks)),
        undetailed=len(report.evaluations) - len(evaluations),
        warnings=[
            Markup('{} <span class="soft">({})</span>').format(
                escape.visible(warning.text), escape.visible(warning.source)
            )
            for warning in report.unstable
        ],
        profiles=[_profile(i, entry) for i, entry in enumerate(report.profiles)],
    )


def _template(name: str) -> str:
    return files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """How a page's security policy names the only script that it allows."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _comparison(i: int, entry: Comparison, report: Report, looks: Looks) -> dict[str, Any]:
    legend = looks.legend((p.model, p.timing.engine) for p in entry.points)
    choice = next((c for c in report.choices if c.comparison == i), None)
    return {
        "content": entry,
        "wide": accuracy_latency(f"al{i}w", entry, choice, looks, WIDE) if entry.data else None,
        "narrow": accuracy_latency(f"al{i}n", entry, choice, looks, NARROW) if entry.data else None,
        "legend": [(legend_marker(k), name) for k, name in legend],
        "dense": len(entry.points) > BARRED,
        "table": comparison_table(entry),
        "chosen": choice is not None and sum(p.accuracy is not None for p in entry.points) > 1,
    }


def _ratios(rows: Sequence[RatioRow], looks: Looks) -> Iterator[dict[str, Any]]:
    """By machine."""
    ordered = sorted(rows, key=lambda row: row.machine)
    for i, (machine, group) in enumerate(groupby(ordered, key=lambda row: row.machine)):
        here = list(group)
        yield {
            "machine": machine,
            "bases": list(dict.fromkeys(map(base_of, here))),
            "wide": ratio_chart(f"r{i}w", here[:RATIOS], looks, WIDE),
            "narrow": ratio_chart(f"r{i}n", here[:RATIOS], looks, NARROW),
            "left_out": len(here[RATIOS:]),
            "table": ratio_table(here),
        }


def _evaluations(report: Report, looks: Looks) -> list[dict[str, Any]]:
    chosen = {choice.model for choice in report.choices}
    found = []
    for i, entry in enumerate(_detailed(report)):
        body = entry.evaluation
        classes = len(body.data.classes)
        series = looks.series(entry.model, body.engine)
        found.append(
            {
                "content": entry,
                "open": entry.model in chosen or len(report.evaluations) <= OPEN,
                "reliability": (
                    reliability_chart(
                        f"rel{i}",
                        body.reliability,
                        series,
                        () if body.calibration is None else body.calibration.reliability_before,
                    )
                    if any(x.count for x in body.reliability)
                    else None
                ),
                "risk": (
                    risk_chart(f"risk{i}", body.coverage, body.risk, series) if body.risk else None
                ),
                "confusion": (
                    confusion_chart(f"cm{i}", body.data.classes, body.confusion)
                    if body.confusion and classes <= DRAWN
                    else None
                ),
                "fits": classes <= FITTING,
                "numbered": classes <= NUMBERED,
                "classes": class_table(entry) if body.per_class else None,
                "confused": confused_table(entry) if entry.confused else None,
                **_sets(i, body.calibration, series),
            }
        )
    return found


def _sets(i: int, found: CalibrationScores | None, series: int) -> dict[str, Any]:
    """Charts and table of the prediction sets of a calibrated model."""
    shown = None if found is None else shown_sets(found)
    if found is None or shown is None:
        return {"sets": None}
    return {
        "asked": shown.asked,
        "coverage": coverage_chart(f"cov{i}", found.sets, series),
        "sizes": sizes_chart(f"siz{i}", shown),
        "sets": set_table(found),
    }


def _tasks(entries: Sequence[TaskEvaluated]) -> Iterator[dict[str, Any]]:
    """By task and data."""
    for _, group in groupby(entries, key=lambda e: (e.evaluation.task, e.evaluation.data.name)):
        here = list(group)
        yield {
            "table": task_table(here),
            "named": [named_table(entry) for entry in here if entry.evaluation.per_class],
        }


def _detailed(report: Report) -> list[Evaluated]:
    """The evaluated models that are shown with their charts, at least one of each data set."""
    if len(report.evaluations) <= DETAILED:
        return report.evaluations
    on_front = {p.sha256 for entry in report.comparisons for p in entry.points if p.on_front}
    best: dict[str, Evaluated] = {}
    for entry in report.evaluations:
        best.setdefault(entry.evaluation.data.name, entry)
    return [
        entry
        for entry in report.evaluations
        if entry.evaluation.model.sha256 in on_front or entry in best.values()
    ]


def _profile(i: int, entry: Profiled) -> dict[str, Any]:
    profile = entry.profile
    bottleneck = profile.bottleneck.name if profile.bottleneck else None
    kinds = [kind for kind in KINDS if any(layer.kind == kind for layer in profile.layers)]
    return {
        "content": entry,
        "engine": shown_as(profile.engine),
        "wide": layer_chart(f"l{i}w", profile.layers, bottleneck, WIDE),
        "narrow": layer_chart(f"l{i}n", profile.layers, bottleneck, NARROW),
        "left_out": len(profile.layers) - len(shown(profile.layers)),
        "kinds": [(kind_swatch(kind), kind) for kind in kinds],
        "table": layer_table(entry),
        "total": figures.microseconds(sum(layer.us for layer in profile.layers)),
        "profiler": (
            None if profile.profiler_us is None else figures.microseconds(profile.profiler_us)
        ),
        "call": None if profile.call_us is None else figures.microseconds(profile.call_us),
        "peak": None if profile.peak is None else _peak(profile.peak),
    }


def _peak(peak: Peak) -> str:
    rate, clock = (figures.number(value, 4) for value in (peak.binary_macs_per_cycle, peak.ghz))
    return f"{rate} binary MACs per cycle at {clock} GHz, measured on {peak.measured_on}"
