"""The ONNX side of the converter: lowering, ensembles, writing and inspecting.

Nothing here imports torch: the input is an ONNX graph from any source.
"""
