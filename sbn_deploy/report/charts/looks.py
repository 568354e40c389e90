"""What a model in an engine looks like: one colour and symbol on every chart of a report."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from sbn_deploy.engines.table import same_network, shown_as

from ..content import Report
from .markers import SHAPES


class Looks:
    """Numbers of series, for `marker` and the page's colours.

    Models share a series where a report has more of them than there are markers: those made in
    the same way, or in a similar one. Engines that run the architecture with real weights look
    the same whatever the model was made as.
    """

    def __init__(self, shown: Iterable[tuple[str, str, str]]) -> None:
        """`shown`: model, how it was made, engine."""
        entries = list(shown)
        forms = {model: form for model, form, _ in entries}
        groupings: tuple[Callable[[str], str], ...] = (
            lambda model: model,
            lambda model: forms[model],
            lambda model: _family(forms[model]),
        )
        for grouping in groupings:
            self._names = {
                (model, engine): _name(grouping(model), engine) for model, _, engine in entries
            }
            if len(set(self._names.values())) <= len(SHAPES):
                break
        else:
            self._names = {(model, engine): shown_as(engine) for model, _, engine in entries}
        self._series = {name: i for i, name in enumerate(dict.fromkeys(self._names.values()))}

    @classmethod
    def of(cls, report: Report) -> Looks:
        """Those of everything that a report draws."""
        points = [p for comparison in report.comparisons for p in comparison.points]
        shown = [(p.model, p.form, p.timing.engine) for p in points]
        shown += [(e.model, e.form, e.evaluation.engine) for e in report.evaluations]
        forms = {model: form for model, form, _ in shown}
        return cls([*shown, *((r.model, forms.get(r.model, ""), r.engine) for r in report.ratios)])

    def name(self, model: str, engine: str) -> str:
        """What the legend calls it."""
        return self._names[model, engine]

    def series(self, model: str, engine: str) -> int:
        """The number of its colour and symbol."""
        return self._series[self.name(model, engine)]

    def legend(self, shown: Iterable[tuple[str, str]]) -> list[tuple[int, str]]:
        """Series and name of each look among models and engines, in the order of the report."""
        names = {self.name(model, engine) for model, engine in shown}
        return [(series, name) for name, series in self._series.items() if name in names]


def _name(group: str, engine: str) -> str:
    name = shown_as(engine)
    return f"{group}, {name}" if same_network(engine) else name


def _family(form: str) -> str:
    """A form without its numbers."""
    words = (word for word in form.split() if not word.isdigit() and word != "×")
    family = " ".join(words)
    return re.sub(r"member\b", "members", family)
