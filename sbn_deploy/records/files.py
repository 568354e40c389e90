"""Records in files: JSON, written anywhere, read by pydantic."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from sbn_deploy.reading.parsing import parsing
from sbn_deploy.reading.text import parse_json, readable
from sbn_deploy.records.averaging import Averaging
from sbn_deploy.records.benchmark import Benchmark
from sbn_deploy.records.evaluation import Evaluation, TaskEvaluation
from sbn_deploy.records.measurement import FORMAT, VERSION, Measurement
from sbn_deploy.records.profile import Profile
from sbn_deploy.records.schema import Record
from sbn_deploy.records.sweep import Sweep
from sbn_runtime.errors import InputError
from sbn_runtime.files import write_atomically

if TYPE_CHECKING:
    from pydantic import TypeAdapter

KINDS: dict[str, type[Measurement]] = {
    "benchmark": Benchmark,
    "evaluation": Evaluation,
    "task-evaluation": TaskEvaluation,
    "averaging": Averaging,
    "profile": Profile,
    "sweep": Sweep,
}
R = TypeVar("R", bound=Record)


def save(path: Path, measurement: Measurement) -> None:
    """Writes a measurement. Raises OutputError."""
    text = json.dumps(_readable(asdict(measurement)), indent=1)
    write_atomically(path, f"{text}\n".encode())


def load(path: Path) -> Measurement:
    """Reads a measurement, of this version or an older one.

    Raises:
        InputError: no such file, not a measurement, a damaged one, or one of a newer version.
    """
    content = _content(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(
            f"{path} is not a measurement; give files that sbn benchmark, profile or evaluate"
            " wrote with -o"
        )
    version = content.get("version")
    if version == 1:
        from sbn_deploy.records.version1 import upgraded

        try:
            content = upgraded(content)
        except (AttributeError, TypeError, ValueError) as error:
            raise InputError(f"{path} is a damaged measurement; measure again") from error
    elif version != VERSION:
        command = " ".join(str(content.get("command")).split())
        raise InputError(
            f"{path} is a measurement of version {version!r}, this program reads up to version"
            f" {VERSION}: measure again with `{command}`, or use the version that wrote it"
        )
    kind = content.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise InputError(f"{path} is a measurement of unknown kind {kind!r}; measure again")
    return parse(KINDS[kind], content, str(path))


def parse(kind: type[R], content: Any, where: str) -> R:
    """A record of what JSON holds. Raises InputError, which calls it `where`."""
    from pydantic import ValidationError

    try:
        # As JSON: there, lists are what Python has tuples for.
        record: R = _reader(kind).validate_json(json.dumps(content))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        what = first["msg"].removeprefix("Value error, ")
        raise InputError(
            f"{where}: {f'{place}: ' if place else ''}{what[:1].lower()}{what[1:]}; measure again"
        ) from error
    return record


def json_schema() -> dict[str, Any]:
    """The JSON Schema of measurement files of this version."""
    from pydantic import TypeAdapter
    from pydantic.json_schema import GenerateJsonSchema

    readers: list[tuple[str, Literal["serialization"], Any]] = [
        (name, "serialization", TypeAdapter(kind).core_schema) for name, kind in KINDS.items()
    ]
    found, shared = GenerateJsonSchema().generate_definitions(readers)
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        "title": "Measurement of sbn-deploy",
        "anyOf": [found[name, "serialization"] for name in KINDS],
        "$defs": shared,
    }


def is_measurement(path: Path) -> bool:
    """Whether a file claims to be a measurement, of whatever version."""
    try:
        content = _content(path)
    except InputError:
        return False
    return isinstance(content, dict) and content.get("format") == FORMAT


def _readable(value: Any) -> Any:
    """The value with texts that JSON of others can hold: names of files may be any bytes."""
    match value:
        case str():
            return readable(value)
        case dict():
            return {_readable(key): _readable(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_readable(inner) for inner in value]
    return value


def _content(path: Path) -> Any:
    with parsing(InputError, path, "is not valid JSON"):
        data = path.read_bytes()
    return parse_json(data, path)


def load_all(paths: Sequence[Path], say: Callable[[str], None]) -> list[tuple[Path, Measurement]]:
    """Reads measurement files and folders of them, the oldest first; each file counts once.

    Of a folder, those of its *.json that are measurements are taken; of a sweep's folder, those
    in its folders.

    Args:
        say: is called with the files of a folder that are ignored.

    Raises:
        InputError: a file is not a measurement or a damaged one, or a folder holds none.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        for file in _in_folder(path, say) if path.is_dir() else [path]:
            found.setdefault(file.resolve(), file)
    return sorted(((path, load(path)) for path in found.values()), key=lambda e: e[1].created)


def _in_folder(folder: Path, say: Callable[[str], None]) -> Iterable[Path]:
    files = sorted(folder.glob("*.json"))
    if folder.joinpath("sweep.json") in files:
        files = sorted(folder.glob("*/**/*.json"))
    chosen = [path for path in files if is_measurement(path)]
    if not chosen:
        raise InputError(
            f"{folder}: contains no measurement; give files that sbn benchmark, profile or evaluate"
            " wrote with -o, or the folder they are in"
        )
    if left := [path.name for path in files if path not in chosen]:
        say(f"{folder}: not measurements, left out: {', '.join(left)}")
    return chosen


def _reader(kind: type[R]) -> TypeAdapter[R]:
    from pydantic import TypeAdapter

    if kind not in _readers:
        _readers[kind] = TypeAdapter(kind)
    return _readers[kind]


_readers: dict[type[Any], TypeAdapter[Any]] = {}
