"""ONNX files of others, and QONNX's operators in them."""
