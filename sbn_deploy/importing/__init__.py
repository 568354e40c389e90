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

from . import keras

if TYPE_CHECKING:
    import onnx_ir as ir

    from sbn_converters.onnx.layers import Layer


@dataclass(frozen=True)
class ImportReport:
    """What was written.

    `format` says what was read, "tflite" or "onnx". `layers` lists each layer and what
    it became, named as in the file, in TFLite by operator and number; `float_layers`
    those that stayed float and why. `binary_operators` counts the layers of the file that
    LCE has packed, in ONNX those that were found to be binary. `batch` is False where an
    operator of the file mixes images, so that their number is fixed. `notes` says what
    holds but for rounding, or costs time.
    """

    path: Path
    format: str
    file_bytes: int
    source_bytes: int
    operators: int
    binary_operators: int
    batch: bool
    outputs: list[str]
    layers: list[Layer]
    notes: list[str]

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
    """Imports a TFLite file of Larq Compute Engine, a larq Keras model through it, or ONNX.

    What the file contains says which it is, not its name. ONNX files may have QONNX's
    operators, as those of Brevitas and FINN.

    Raises ModelError if the file is missing or damaged, UnsupportedLayerError for
    what has no exact counterpart, MissingDependencyError if a Keras model is given
    and TensorFlow is not installed, OutputError if the file cannot be written.
    """
    from sbn_converters.qonnx.read import is_onnx
    from sbn_converters.tflite.read import is_tflite

    check_writable(output.parent)
    data = _contents(source)
    name = str(source)
    if is_tflite(data):
        return import_tflite(data, output, name=name)
    if keras.is_keras(data):
        with tempfile.TemporaryDirectory() as folder:
            converted = Path(folder, "model.tflite")
            keras.convert(source, converted)
            return import_tflite(converted.read_bytes(), output, name=name)
    if is_onnx(data):
        return import_onnx(data, output, name=name, folder=source.parent)
    raise ModelError(f"{name} is damaged, or not a TFLite file, an ONNX file or a larq Keras model")


def import_tflite(data: bytes, output: Path, *, name: str = "the TFLite file") -> ImportReport:
    """Imports the bytes of a TFLite file; see `import_file`.

    name: what messages call the file.
    """
    from sbn_converters.tflite.read import read
    from sbn_converters.tflite.to_onnx import is_classifier, to_onnx
    from sbn_converters.tflite.to_onnx.ties import rounded_signs

    parsed = read(data, name)
    standard = _Standard(
        to_onnx(parsed),
        "classification" if is_classifier(parsed) else "none",
        "tflite",
        len(parsed.operators),
        sum(operator.name == "LceBconv2d" for operator in parsed.operators),
        _ties(rounded_signs(parsed)),
    )
    return _write(standard, data, output, name)


def import_onnx(
    data: bytes, output: Path, *, name: str = "the ONNX file", folder: Path | None = None
) -> ImportReport:
    """Imports the bytes of an ONNX file, with QONNX's operators or without; see `import_file`.

    name: what messages call the file. folder: where it keeps weights beside itself.
    """
    import onnx_ir as ir

    from sbn_converters.qonnx.batch import with_fixed_batch, with_free_batch
    from sbn_converters.qonnx.read import read
    from sbn_converters.qonnx.to_onnx import to_onnx

    from .check import takes_batches

    made = to_onnx(read(data, name, folder))
    model = with_free_batch(made.model)
    if model is None or not takes_batches(ir.to_proto(model)):
        model = with_fixed_batch(made.model)
    return _write(_Standard(model, made.task, "onnx", made.operators), data, output, name)


@dataclass(frozen=True)
class _Standard:
    """A model in standard ONNX to be packed, and its description."""

    model: ir.Model
    task: str
    format: str
    operators: int
    binary_operators: int | None = None
    notes: tuple[str, ...] = ()


def _write(standard: _Standard, data: bytes, output: Path, name: str) -> ImportReport:
    """Packs the model, and writes it if it computes the same."""
    import onnx_ir as ir

    from sbn_converters.onnx import ensemble, lower, write
    from sbn_converters.onnx.working_set import working_set

    from .check import agree

    model = standard.model
    original = ir.to_proto(model)
    lowered = lower.lower(model)
    layers = lowered.layers
    if not any(layer.kind == "binary" for layer in layers):
        raise UnsupportedLayerError(_nothing_packed(name, layers))
    model = ensemble.with_answers([model], ["network"], task=standard.task)
    metadata: dict[str, object] = {
        "sbn_deploy": __version__,
        "imported": standard.format,
        "source_sha256": hashlib.sha256(data).hexdigest(),
        "task": standard.task,
        "members": 1,
        "layers": [layer.to_json() for layer in layers],
        "working_set": working_set(model.graph),
        "activations": "deterministic",
        "samples": 1,
    }
    proto = write.finish(model, metadata)
    try:
        same = agree(original, proto)
    except Exception as error:  # onnxruntime's errors have no base class of their own
        first, *_ = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(f"{name} cannot be computed: {first}") from error
    if not same:
        raise ModelError(
            f"{name}: the packed network gives different results from the file; nothing was"
            " written; `sbn doctor` shows the kernels in use"
        )
    write.save(proto, output)
    binary = standard.binary_operators
    if binary is None:
        binary = sum(layer.kind == "binary" for layer in layers)
    return ImportReport(
        output,
        standard.format,
        output.stat().st_size,
        len(data),
        standard.operators,
        binary,
        bool(proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param),
        [value.name for value in proto.graph.output],
        layers,
        [*lowered.notes, *standard.notes],
    )


def _ties(signs: list[str]) -> tuple[str, ...]:
    """What is said of signs that may fall otherwise than in LCE."""
    if not signs:
        return ()
    more = f" and {len(signs) - 1} more" if len(signs) > 1 else ""
    return (
        f"{signs[0]}{more}: signs of sums of floats, which LCE rounds otherwise; where a sum"
        " is 0 but for rounding, LCE may have the other sign",
    )


def _nothing_packed(name: str, layers: list[Layer]) -> str:
    """What is said of a file that stays float as a whole, with the reason of one layer."""
    reasons = [f"{layer.name}: {layer.why}" for layer in layers if layer.candidate and layer.why]
    which = f" that can be packed ({reasons[0]})" if reasons else ""
    return f"{name} has no binary layer{which}; onnxruntime runs it as it is"


def _contents(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(f"{path} does not exist; check the path") from error
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
