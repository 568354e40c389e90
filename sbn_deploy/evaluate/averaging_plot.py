"""What averaging is worth, as a picture."""

from __future__ import annotations

import io
from pathlib import Path

from sbn_deploy.records.averaging import Averaging
from sbn_runtime.files import write_atomically


def draw(path: Path, title: str, record: Averaging) -> None:
    """Writes a PNG: accuracy and likelihood by networks, reliability, risk by coverage.

    Raises OutputError if the file cannot be written.
    """
    # Figures without pyplot need no display and leave no global state.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 8), layout="constrained")
    (accuracy, loss), (reliability, risk) = figure.subplots(2, 2)
    for number, curves in enumerate(record.curves):
        rows = [row for row in record.rows if row.variant == curves.variant]
        networks = [row.networks for row in rows]
        style = {"color": f"C{number}", "marker": "o", "markersize": 4}
        accuracy.plot(networks, [100 * row.accuracy for row in rows], **style)
        accuracy.fill_between(
            networks,
            [100 * row.confidence_low for row in rows],
            [100 * row.confidence_high for row in rows],
            color=f"C{number}",
            alpha=0.1,
        )
        loss.plot(networks, [row.nll for row in rows], **style)
        filled = [entry for entry in curves.reliability if entry.count]
        reliability.plot(
            [entry.confidence for entry in filled],
            [entry.accuracy for entry in filled],
            label=f"{curves.variant}, {curves.networks}: ECE {rows[-1].ece:.1%}",
            **style,
        )
        risk.plot(curves.coverage, [100 * value for value in curves.risk], color=f"C{number}")
    for settled in record.anytime:
        accuracy.plot(settled.mean_samples, 100 * settled.accuracy, "k*", markersize=9)
    for axes in (accuracy, loss):
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel(
            "networks averaged (★ anytime)" if axes is accuracy else "networks averaged"
        )
    accuracy.set_ylabel("accuracy, % (95 % confidence interval)")
    loss.set_ylabel("negative log-likelihood, nats")
    reliability.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    reliability.set(xlabel="confidence", ylabel="accuracy")
    risk.set(xlabel="coverage: share of images answered", ylabel="errors among them, %")
    for axes in (accuracy, loss, reliability, risk):
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    write_atomically(path, image.getvalue())
