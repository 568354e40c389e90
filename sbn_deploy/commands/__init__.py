"""The verbs of the `sbn` command, one module each.

A verb module offers `add_parser(subparsers)` and `run(options) -> int`, which
returns the exit status. What needs torch, onnx and the like is imported in `run`.
"""
