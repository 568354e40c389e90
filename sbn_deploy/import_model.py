"""From someone else's model to one ONNX file: read, rewrite, lower, check, write."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sbn_runtime import __version__
from sbn_runtime.errors import ModelError, UnsupportedLayerError
from sbn_runtime.files import check_writable

from . import keras_to_tflite

if TYPE_CHECKING:
    import onnx

    from sbn_converters.onnx.layers import Layer

# Largest difference of outputs as a share of the largest one. Sums are taken in another order.
TOLERANCE = 1e-4
# A sum that is 0 but for rounding may take the other sign, in some image; not in all of them.
_IMAGES = 4


@dataclass(frozen=True)
class ImportReport:
    """What was written.

    `layers` lists each layer and what it became, named by operator and number in
    the TFLite file; `float_layers` those that stayed float and why. `batch` is
    False where an operator of the file mixes images, so that their number is fixed.
    """

    path: Path
    file_bytes: int
    source_bytes: int
    operators: int
    binary_operators: int
    batch: bool
    outputs: list[str]
    layers: list[Layer]

    @property
    def float_layers(self) -> dict[str, str]:
        """Layers that stayed float, each with the reason."""
        return {layer.name: layer.why for layer in self.layers if layer.kind == "float"}

    def to_json(self) -> dict[str, object]:
        """A JSON-able form."""
        return {
            **asdict(self),
            "path": str(self.path),
            "float_layers": self.float_layers,
        }


def import_file(source: Path, output: Path) -> ImportReport:
    """Imports a TFLite file of Larq Compute Engine, or a larq Keras model through it.

    Raises ModelError if the file is missing or damaged, UnsupportedLayerError for
    what has no exact counterpart, MissingDependencyError if a Keras model is given
    and TensorFlow is not installed, OutputError if the file cannot be written.
    """
    check_writable(output.parent)
    if source.suffix.lower() not in keras_to_tflite.SUFFIXES:
        return import_tflite(_contents(source), output, name=str(source))
    _contents(source)
    with tempfile.TemporaryDirectory() as folder:
        converted = Path(folder, "model.tflite")
        keras_to_tflite.convert(source, converted)
        return import_tflite(converted.read_bytes(), output, name=str(source))


def import_tflite(data: bytes, output: Path, *, name: str = "the TFLite file") -> ImportReport:
    """Imports the bytes of a TFLite file; see `import_file`.

    name: what messages call the file.
    """
    import onnx_ir as ir

    from sbn_converters.onnx import ensemble, lower, write
    from sbn_converters.onnx.working_set import working_set
    from sbn_converters.tflite.read import read
    from sbn_converters.tflite.to_onnx import BATCH, is_classifier, to_onnx

    parsed = read(data, name)
    model = to_onnx(parsed)
    standard = ir.serde.serialize_model(model)
    layers = lower.lower(model)
    if not any(layer.kind in ("binary", "pack", "unpack") for layer in layers):
        raise UnsupportedLayerError(
            f"{name} has no binary layer; it is a float model, which onnxruntime runs as it is"
        )
    if is_classifier(parsed):
        model = ensemble.with_answers([model], ["network"])
    metadata: dict[str, object] = {
        "sbn_deploy": __version__,
        "imported": "tflite",
        "source_sha256": hashlib.sha256(data).hexdigest(),
        "members": 1,
        "layers": [layer.to_json() for layer in layers],
        "working_set": working_set(model.graph),
        "activations": "deterministic",
        "samples": 1,
    }
    proto = write.finish(model, metadata)
    try:
        same = _agree(standard, proto)
    except Exception as error:  # onnxruntime's errors have no base class of their own
        raise ModelError(f"{name} cannot be computed: {error}") from error
    if not same:
        raise ModelError(
            f"{name}: the packed network computes other numbers than the file; nothing was"
            " written; `sbn doctor` shows the kernels in use"
        )
    write.save(proto, output)
    shape = proto.graph.input[0].type.tensor_type.shape
    return ImportReport(
        output,
        output.stat().st_size,
        len(data),
        len(parsed.operators),
        sum(operator.name == "LceBconv2d" for operator in parsed.operators),
        shape.dim[0].dim_param == BATCH,
        [value.name for value in proto.graph.output],
        layers,
    )


def _contents(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(f"{path} does not exist; check the path") from error
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error


def _agree(standard: onnx.ModelProto, packed: onnx.ModelProto) -> bool:
    """Whether the packed network and what it was packed from agree on some random image."""
    import numpy as np
    import onnx
    import onnxruntime

    from sbn_runtime.session import session_options

    image = standard.graph.input[0].type.tensor_type
    sizes = [dim.dim_value or 1 for dim in image.shape.dim]
    dtype = onnx.helper.tensor_dtype_to_np_dtype(image.elem_type)
    limits = (-1, 1) if dtype == np.float32 else (0, 127)
    generator = np.random.default_rng(0)
    sessions = [
        onnxruntime.InferenceSession(
            proto.SerializeToString(), session_options(1), providers=["CPUExecutionProvider"]
        )
        for proto in (standard, packed)
    ]
    names = [value.name for value in standard.graph.output]
    differences = []
    for _ in range(_IMAGES):
        x = generator.uniform(*limits, sizes).astype(dtype)
        # Random numbers may have no logarithm: NaN agrees with NaN.
        expected, found = (
            [np.nan_to_num(array) for array in session.run(names, {"input": x})]
            for session in sessions
        )
        differences.append(
            max(
                float(np.abs(a - b).max(initial=0) / max(np.abs(b).max(initial=0), 1e-30))
                for a, b in zip(found, expected, strict=True)
            )
        )
    return min(differences) <= TOLERANCE
