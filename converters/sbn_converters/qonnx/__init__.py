"""Importing ONNX files: QONNX's operators and any opset, as the standard ONNX that is lowered.

`read` takes a file apart, `to_onnx` writes it in standard ONNX, `batch` frees the number
of images, and `operators` has a function for each of QONNX's operators.
"""
