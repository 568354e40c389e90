"""Writes the files that follow from the operator specifications.

`python -m sbn_converters.generate` writes `runtime/src/op_specs.inc`, the table
that the C++ op library registers, `runtime/src/op_limits.inc`, what its kernels
share with the converters, and `docs/operators.md`. With `--check` it writes
nothing and exits with status 1 when a file is stale.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from sbn_converters import op_helpers, ops

_HEADER = "Generated from converters/sbn_converters/ops.py by sbn_converters.generate; do not edit."
_ELEMENT_TYPES = {
    "float32": "kFloat",
    "int8": "kInt8",
    "int16": "kInt16",
    "int32": "kInt32",
    "int64": "kInt64",
    "uint8": "kUint8",
    "uint64": "kUint64",
}


def _tensors(name: str, tensors: tuple[ops.Tensor, ...]) -> str:
    rows = "".join(
        f'\n    {{"{tensor.name}", ElementType::{_ELEMENT_TYPES[tensor.dtype]}, "{tensor.shape}"}},'
        for tensor in tensors
    )
    return f"inline constexpr TensorSpec {name}[] = {{{rows}\n}};\n"


def _attributes(operator: ops.Operator, owners: dict[tuple[ops.Attribute, ...], str]) -> str:
    """The table and the struct of an operator's attributes, shared where they are the same."""
    if not operator.attributes:
        return ""
    owner = owners.setdefault(operator.attributes, operator.name)
    if owner != operator.name:
        return f"using {operator.name}Attributes = {owner}Attributes;\n"
    rows = "".join(
        f'\n    {{"{attribute.name}", {attribute.length or 0},'
        f" {{{', '.join(f'{{{low}, {high}}}' for low, high in attribute.limits)}}}}},"
        for attribute in operator.attributes
    )
    fields = "".join(
        f"\n  int64_t {attribute.name}{f'[{attribute.length}]' if attribute.length else ''};"
        for attribute in operator.attributes
    )
    return (
        f"inline constexpr AttributeSpec k{operator.name}Attributes[] = {{{rows}\n}};\n"
        f"struct {operator.name}Attributes {{{fields}\n}};\n"
    )


def op_specs() -> str:
    """The C++ table of operators."""
    text = f"// {_HEADER}\n\n"
    text += f'inline constexpr const char* kDomain = "{ops.DOMAIN}";\n'
    text += f"inline constexpr int kVersion = {ops.VERSION};\n"
    owners: dict[tuple[ops.Attribute, ...], str] = {}
    for operator in ops.OPERATORS:
        text += "\n"
        text += _tensors(f"k{operator.name}Inputs", operator.inputs)
        text += _tensors(f"k{operator.name}Outputs", operator.outputs)
        text += _attributes(operator, owners)
        attributes = (
            f"k{owners[operator.attributes]}Attributes" if operator.attributes else "nullptr"
        )
        text += (
            f'inline constexpr OpSpec k{operator.name} = {{\n    "{operator.name}",'
            f" k{operator.name}Inputs, {len(operator.inputs)}, k{operator.name}Outputs,"
            f" {len(operator.outputs)},\n    {attributes}, {len(operator.attributes)}}};\n"
        )
    text += f"\ninline constexpr int kOpCount = {len(ops.OPERATORS)};\n"
    return text


def op_limits() -> str:
    """The C++ constants that the library shares with the converters."""
    names = ("PRODUCTS", "PIXEL_PRODUCTS", "PADDED_PIXELS", "PADDED_RATIO", "SAMPLES")
    limits = "".join(f"#define SBN_MAX_{name} {getattr(ops, f'MAX_{name}')}\n" for name in names)
    return f"// {_HEADER}\n{limits}"


def _tensor_table(kind: str, tensors: tuple[ops.Tensor, ...]) -> str:
    rows = "".join(
        f"| `{tensor.name}` | {tensor.dtype} | `{tensor.shape}` | {tensor.doc} |\n"
        for tensor in tensors
    )
    return f"| {kind} | type | shape | |\n|---|---|---|---|\n{rows}\n"


def operators_page() -> str:
    """docs/operators.md."""
    text = (
        f"<!-- {_HEADER} -->\n\n# Operators\n\nDomain `{ops.DOMAIN}`, version {ops.VERSION}. Every"
        " exported file also holds each operator it uses as an ONNX function (opset"
        f" {ops.ONNX_OPSET}), so that it runs without the op library, slowly.\n\n"
        "- Channels are the last axis. Packed tensors are uint64 with channel c in word c // 64,"
        " bit c % 64; a set bit means -1. Unused bits are 0: convolutions refuse set ones, others"
        " leave unused bits as they are or ignore them.\n"
        "- A binary product of K terms is `dot = K - 2 * popcount(x xor w)`, for all bits of the"
        f" rows where it is dense. K is at most {ops.MAX_PRODUCTS}, and so are the bits of a row.\n"
        "- sign(0) = sign(-0.0) = sign(NaN) = +1. A zero may have either sign in a function, and a"
        " NaN may be another one.\n"
        "- All attributes are required.\n"
        "- What is not valid, attributes, shapes or numbers out of their range, the library refuses"
        " before it allocates anything for it. So does a function that would ask for more memory,"
        " or answer anything else, because of it.\n"
        "- Stochastic signs are drawn from 16-bit integers by integer arithmetic only, so that"
        " every engine draws the same bits: `...Quantize`, then `StochasticSign`.\n"
    )
    text += (
        "\n## Padding\n\nWith its `pads`, an image has at most"
        f" {ops.MAX_PADDED_PIXELS} pixels or {ops.MAX_PADDED_RATIO} times those it has without,"
        " whichever is more. Memory grows with the padded image, and a small file must not ask for"
        " gigabytes; what `pads` of the largest value each would come to is refused.\n"
    )
    text += (
        "\n## Activations\n\nSix rows, one number for each channel in each, are a function with a"
        " bend at 0: shift, slope, gain, offset, low, high. In this order, rounded at each step, x"
        " becomes x + shift, then that times slope where it is negative and times gain where it is"
        " not, then that plus offset, and then min(max(that, low), high). Rows of 0, 1, 1, 0, -inf"
        " and inf change nothing, but perhaps the sign of a zero.\n"
    )
    for operator in ops.OPERATORS:
        text += f"\n## {operator.name}\n\n{operator.doc}\n\n"
        text += _tensor_table("input", operator.inputs)
        text += _tensor_table("output", operator.outputs)
        if operator.attributes:
            text += "| attribute | type | each value | |\n|---|---|---|---|\n"
            for attribute in operator.attributes:
                kind = f"{attribute.length} ints" if attribute.length else "int"
                ranges = " and ".join(f"{low} to {high}" for low, high in attribute.ranges)
                text += f"| `{attribute.name}` | {kind} | {ranges} | {attribute.doc} |\n"
            text += "\n"
        text += f"```onnx\n{ops.function_text(operator)}\n```\n"
    text += "\n## Helpers\n\nFunctions that the bodies above call.\n"
    for helper in op_helpers.HELPERS:
        text += f"\n```onnx\n{helper.text.strip()}\n```\n"
    return text


def files(root: Path) -> dict[Path, str]:
    """The generated files below the repository's root, and what they should hold."""
    return {
        root / "runtime" / "src" / "op_specs.inc": op_specs(),
        root / "runtime" / "src" / "op_limits.inc": op_limits(),
        root / "docs" / "operators.md": operators_page(),
    }


def stale(root: Path) -> list[Path]:
    """The generated files that are missing or out of date."""
    return [
        path
        for path, text in files(root).items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m sbn_converters.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say which files are stale")
    options = parser.parse_args(arguments)
    root = Path(__file__).resolve().parents[2]
    if options.check:
        for path in stale(root):
            print(f"{path.relative_to(root)} is stale: run python -m sbn_converters.generate")
        return 1 if stale(root) else 0
    for path, text in files(root).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_text(text, encoding="utf-8", newline="\n")
        os.replace(temporary, path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
