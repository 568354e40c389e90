"""The oldest versions of what a device installs, for each Python."""

from __future__ import annotations

# onnxruntime 1.17 brought the interface that the operator library needs; Python 3.13 has
# wheels from 1.20 on. Versions before 1.19 need numpy 1.
OLDEST = {
    "3.11": ("onnxruntime==1.17.0", "numpy==1.24.2"),
    "3.12": ("onnxruntime==1.17.0", "numpy==1.26.0"),
    "3.13": ("onnxruntime==1.20.0", "numpy==2.1.0"),
}
