"""The notebooks of docs/notebooks as pages, with what they print when they are run.

Each runs in an empty folder, so that it shows what a reader sees who has nothing but the
notebook. `python docs/site/notebooks.py NOTEBOOK` prints the page of one.
"""

from __future__ import annotations

import itertools
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
SECONDS = 600
"""A cell that takes longer hangs."""
# Colours of a terminal.
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Adds a page for each notebook."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        uri = f"notebooks/{path.stem}.md"
        files.append(File.generated(config, uri, content=page(path)))
    return files


def page(path: Path) -> str:
    """A notebook as Markdown. Raises CellExecutionError where a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            notebook,
            timeout=SECONDS,
            startup_timeout=SECONDS,
            resources={"metadata": {"path": folder}},
            # It warns that it is not encrypted, between two processes of one machine.
            extra_arguments=["--log-level=ERROR"],
        ).execute()
    first, *others = notebook.cells
    download = f"[This page as a notebook]({path.name})"
    return "\n\n".join([first.source, download, *map(_markdown, others)]) + "\n"


def _markdown(cell: Any) -> str:
    if cell.cell_type == "markdown":
        return str(cell.source)
    blocks = [f"```python\n{cell.source}\n```"]
    for printed, outputs in itertools.groupby(cell.outputs, _printed):
        if not printed:
            blocks += map(_picture, outputs)
        elif text := "".join(map(_text, outputs)).rstrip():
            blocks.append(f"```text\n{text}\n```")
    return "\n\n".join(blocks)


def _printed(output: Any) -> bool:
    return output.output_type == "stream" or "image/png" not in output.data


def _text(output: Any) -> str:
    """What was printed, or is the value of the cell; progress is left out."""
    if output.output_type != "stream":
        return str(output.data["text/plain"])
    return ESCAPES.sub("", output.text) if output.name == "stdout" else ""


def _picture(output: Any) -> str:
    encoded = "".join(output.data["image/png"].split())
    return f"![shown by the cell](data:image/png;base64,{encoded})"


if __name__ == "__main__":
    print(page(Path(sys.argv[1])))
