"""An exported file against torch: the comparison that `export` and `validate` share.

torch and every engine that runs the file get the same inputs: for ONNX our kernels under
every instruction set of this machine, stock onnxruntime (which runs the embedded functions)
and onnx's own reference evaluator; for TFLite each kind of kernels of Larq Compute Engine.
Packed tensors are compared bit for bit with the signs inside torch, labels exactly, logits
to a stated tolerance.

Where a network has float layers, engines may add in different orders, and a sum that is zero
but for rounding may get either sign. A sample in which nothing but such ties differ at first
is counted as tied, and what follows from the other sign is not compared. Signs of integers
are never ties.

Where signs are sampled, torch samples with the same random numbers, see `forced`; the file
may differ only where the stated error of its table decides a sign.
"""

from .lce_engines import validate_lce
from .onnx_engines import validate_members
from .report import EngineResult, ValidationReport

__all__ = ["EngineResult", "ValidationReport", "validate_lce", "validate_members"]
