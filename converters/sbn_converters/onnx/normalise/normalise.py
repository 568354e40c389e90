"""The passes in their order."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import onnx_ir as ir
from onnx_ir.passes import common

from ..graph import Editor, layer_name, traced_line
from .accumulators import Accumulators
from .binary_layers import LAYERS, BinaryLayers
from .fold import fold
from .images import ImageFinder
from .levels import LevelFinder
from .rank import lift_rank
from .straight_through import drop_straight_through


@dataclass
class Normalised:
    """What the passes found out.

    sources: by sign, the traced values whose sign it is, see `ImageFinder`.
    why: for layers that cannot be binary, the reason.
    candidates: layers of signs, or with weights of two values.
    rounded: layers that are written otherwise than torch computes them.
    has_signs: whether any value depends on a float by its sign alone.
    notes: what holds but for rounding, or costs time, each with its module.
    """

    sources: dict[ir.Value, str] = field(default_factory=dict)
    why: dict[ir.Node, str] = field(default_factory=dict)
    candidates: set[ir.Node] = field(default_factory=set)
    rounded: set[ir.Node] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    has_signs: bool = False


def normalise(
    model: ir.Model, drawn: Collection[str] = (), zeros: Collection[str] = ()
) -> Normalised:
    """Rewrites the graph in place, so that the lowering finds its binary layers.

    drawn: names of modules whose signs will be drawn. zeros: names of traced signs whose
    floats are exactly 0 often.
    """
    fold(model)
    straight = drop_straight_through(model)
    if straight:
        fold(model)
    lift_rank(model)
    edit = Editor(model.graph)
    accumulators = Accumulators()
    levels = LevelFinder(edit, drawn)
    images = ImageFinder(edit, levels, accumulators, drawn, zeros)
    layers = BinaryLayers(edit, images, accumulators)
    for node in list(model.graph):
        if node.graph is None or node.domain:
            continue
        if levels.visit(node):
            images.enter(node)
        elif node.op_type in LAYERS:
            layers.visit(node)
        else:
            images.visit(node)
    common.RemoveUnusedNodesPass()(model)
    notes = _notes(images, layers)
    return Normalised(
        images.sources,
        layers.why,
        layers.candidates,
        layers.rounded,
        notes,
        bool(levels.found),
    )


def _notes(images: ImageFinder, layers: BinaryLayers) -> list[str]:
    notes = []
    for nodes, what in (
        (images.ties, "it is 0 for a float of exactly 0, which is taken as +1 here"),
        (
            images.doubled,
            "its argument can be exactly 0, so the layers after it are computed twice;"
            " torch.where(x >= 0, 1.0, -1.0) is never 0 and avoids that",
        ),
    ):
        signs = list(dict.fromkeys(nodes))
        if signs:
            place = traced_line(signs[0])
            more = f" and {len(signs) - 1} more" if len(signs) > 1 else ""
            where = f"{layer_name(signs[0])}{f' ({place})' if place else ''}{more}"
            notes.append(f"torch.sign in {where}: {what}")
    for name, count in layers.zeros.items():
        weights = "weight is" if count == 1 else "weights are"
        notes.append(
            f"{name}: {count:,} {weights} exactly 0, so the layer is computed twice; make them"
            " +1 or -1 to avoid that"
        )
    return notes
