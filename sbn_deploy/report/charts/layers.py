"""Where the time of a model goes, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from sbn_deploy.records.profile import Layer

from ..figures import NONE, microseconds, number, percent
from . import WIDE
from .svg import drawing, element, line, mark, rect, shortened, text

KINDS = ("binary", "int8", "float", "other")
ROW = 24.0
TALL_ROW = 40.0
DRAWN = 40


def shown(layers: Sequence[Layer]) -> list[Layer]:
    """The layers of the chart in the order of execution: the longest, if there are many."""
    longest = sorted(layers, key=lambda layer: -layer.us)[:DRAWN]
    return [layer for layer in layers if any(layer is chosen for chosen in longest)]


def layer_chart(name: str, layers: Sequence[Layer], bottleneck: str | None, width: int) -> Markup:
    """A bar for each layer; `bottleneck` is the name of one."""
    drawn = shown(layers)
    wide = width >= WIDE
    step = ROW if wide else TALL_ROW
    top = 24.0 if wide else 4.0
    left = 236.0 if wide else 0.0
    room = width - left - (276.0 if wide else 176.0)
    longest = max(layer.us for layer in drawn) or 1.0
    # Where each figure ends: time, share, MAC/cycle, % of peak.
    ends = (width - 196.0, width - 136.0, width - 62.0, float(width))
    marks = []
    if wide:
        heads = ("time", "share", "MAC/cycle", "of peak")
        for end, head in zip(ends, heads, strict=True):
            marks.append(text(end, 12, head, class_="axis", anchor="end"))
        marks.append(line(left, top, left, top + step * len(drawn), "base"))
    for i, layer in enumerate(drawn):
        y = top + step * i
        texts = (
            microseconds(layer.us),
            percent(layer.share, 1),
            number(layer.macs_per_cycle),
            NONE if layer.percent_of_peak is None else f"{layer.percent_of_peak:.0f} %",
        )
        length = max(1.0, room * layer.us / longest)
        first = layer.name == bottleneck
        kind = layer.kind if layer.kind in KINDS else "other"
        parts = [rect(0, y, width, step, class_="hover")]
        if wide:
            parts.append(
                text(
                    left - 8,
                    y + 16,
                    shortened(f"{'▸ ' if first else ''}{layer.name}", 29),
                    class_="name first" if first else "name",
                    anchor="end",
                )
            )
            parts.append(rect(left, y + 5, length, step - 10, class_=f"layer {kind}"))
            parts += [
                text(end, y + 16, entry, class_="value", anchor="end")
                for end, entry in zip(ends, texts, strict=True)
            ]
        else:
            parts.append(
                text(
                    0,
                    y + 14,
                    shortened(f"{'▸ ' if first else ''}{layer.name}", 26),
                    class_="name first" if first else "name",
                )
            )
            parts.append(
                text(width, y + 14, f"{texts[0]}, {texts[1]}", class_="value", anchor="end")
            )
            parts.append(rect(0, y + 21, length, 10, class_=f"layer {kind}"))
            if layer.macs_per_cycle is not None:
                peak = "" if layer.percent_of_peak is None else f", {texts[3]} of peak"
                parts.append(
                    text(width, y + 31, f"{texts[2]} MAC/c{peak}", class_="soft", anchor="end")
                )
        marks.append(mark(_tip(layer), *parts))
    longest_first = sorted(drawn, key=lambda layer: -layer.us)[:5]
    description = "The longest: " + "; ".join(
        f"{layer.name} ({layer.kind}) {microseconds(layer.us)}, {percent(layer.share, 1)}"
        for layer in longest_first
    )
    return drawing(
        name, width, top + step * len(drawn) + 4, "Time of each layer", description, marks
    )


def kind_swatch(kind: str) -> Markup:
    """A bar for the legend, outside of a picture."""
    return element(
        "svg",
        rect(0, 3, 16, 10, class_=f"layer {kind}"),
        viewBox="0 0 16 16",
        width=16,
        height=16,
        aria_hidden="true",
    )


def _tip(layer: Layer) -> str:
    lines = [f"{layer.name}: {layer.op}, {layer.kind}", microseconds(layer.us)]
    if layer.macs_per_cycle is not None:
        lines.append(f"{number(layer.macs_per_cycle)} MAC/cycle")
    if layer.percent_of_peak is not None:
        lines.append(f"{layer.percent_of_peak:.1f} % of the measured peak")
    if layer.why:
        lines.append(layer.why)
    return "\n".join(lines)
