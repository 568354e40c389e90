"""Does an imported network compute what its file says? Random images tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from numpy.typing import NDArray

    Array = NDArray[Any]

# Largest difference of outputs as a share of the largest one. Sums are taken in another order.
TOLERANCE = 1e-4
# A sum that is 0 but for rounding may take the other sign, in some image; not in all of them.
_IMAGES = 4


def agree(standard: onnx.ModelProto, packed: onnx.ModelProto) -> bool:
    """Whether the packed network and what it was packed from agree on some random image.

    All outputs of the standard network are compared, by name. Raises what onnxruntime
    raises where a network cannot be computed.
    """
    import numpy as np

    generator = np.random.default_rng(0)
    runs = [_Run(standard), _Run(packed)]
    names = [value.name for value in standard.graph.output]
    differences = []
    for _ in range(_IMAGES):
        inputs = _random(standard, 1, generator)
        expected, found = (run(names, run.as_inputs(inputs)) for run in runs)
        differences.append(max(map(_difference, found, expected)))
    return min(differences) <= TOLERANCE


def takes_batches(model: onnx.ModelProto) -> bool:
    """Whether a network of free batch computes each image alone as it does among others."""
    import numpy as np

    run = _Run(model)
    names = [value.name for value in model.graph.output]
    inputs = _random(model, _IMAGES, np.random.default_rng(0))
    try:
        together = run(names, inputs)
        alone = [
            run(names, {name: array[i : i + 1] for name, array in inputs.items()})
            for i in range(_IMAGES)
        ]
    except Exception:  # onnxruntime's errors have no base class of their own
        return False
    if any(array.ndim < 1 or len(array) != _IMAGES for array in together):
        return False
    same = [
        all(_difference(a[i : i + 1], b) <= TOLERANCE for a, b in zip(together, one, strict=True))
        for i, one in enumerate(alone)
    ]
    return 2 * sum(same) >= _IMAGES


class _Run:
    """A network in onnxruntime."""

    def __init__(self, proto: onnx.ModelProto) -> None:
        from sbn_deploy.engines.onnx import kernel_engine

        self._engine = kernel_engine(proto.SerializeToString(), threads=1)

    def __call__(self, names: list[str], inputs: dict[str, Array]) -> list[Array]:
        import numpy as np

        # Random numbers may have no logarithm: NaN agrees with NaN.
        found = self._engine.run(inputs)
        return [np.nan_to_num(found[name]) for name in names]

    def as_inputs(self, inputs: dict[str, Array]) -> dict[str, Array]:
        """Floats [N, C, H, W] as pixels [N, H, W, C] where the network takes those."""
        import numpy as np

        found = dict(inputs)
        for name, dtype, _ in self._engine.inputs:
            array = found[name]
            if dtype == "uint8" and array.dtype == np.float32:
                pixels = np.round((255 * array + 255) / 2).astype(np.uint8)
                found[name] = pixels.transpose(0, 2, 3, 1)
        return found


def _random(
    model: onnx.ModelProto, images: int, generator: np.random.Generator
) -> dict[str, Array]:
    """Random inputs: floats on the grid of 8-bit pixels, from -1 to 1, or small whole numbers."""
    import numpy as np
    from onnx.helper import tensor_dtype_to_np_dtype

    found = {}
    for value in model.graph.input:
        kind = value.type.tensor_type
        sizes = [dim.dim_value or images for dim in kind.shape.dim]
        dtype = tensor_dtype_to_np_dtype(kind.elem_type)
        pixels = generator.integers(0, 256, sizes)
        if dtype == np.float32:
            found[value.name] = (2 * pixels.astype(np.float32) - 255) / np.float32(255)
        else:
            found[value.name] = (pixels // 2).astype(dtype)
    return found


def _difference(found: Array, expected: Array) -> float:
    """The largest difference as a share of the largest number expected; inf for other shapes."""
    import numpy as np

    if found.shape != expected.shape:
        return float("inf")
    largest = max(float(np.abs(expected).max(initial=0)), 1e-30)
    return float(np.abs(found.astype(np.float64) - expected).max(initial=0)) / largest
