"""`sbn listen`: classify a sound while it comes in."""

from __future__ import annotations

import argparse
import json
import queue
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import new_parser, positive_seconds, printable, say, share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sbn_runtime import Heard

    from .common import Subparsers

BLOCK_S = 0.02
"""Of samples that a microphone hands over at once."""


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "listen",
        description="Classifies the last second or so of a sound again and again while it comes"
        " in, from the microphone or from a file. Shows each answer that is sure enough; with"
        " --json one object a line. Ctrl-C ends it. The microphone needs the package sounddevice.",
        example="sbn listen digits.onnx\n  sbn listen digits.onnx recording.wav",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="ONNX file of `sbn export`")
    parser.add_argument(
        "file", type=Path, nargs="?", metavar="FILE", help="WAV file in place of the microphone"
    )
    parser.add_argument(
        "--every",
        type=positive_seconds,
        default=0.1,
        metavar="S",
        help="seconds between answers (default: 0.1)",
    )
    parser.add_argument(
        "--min-confidence",
        type=share,
        default=0.0,
        metavar="P",
        help="show only answers with at least this probability (default: 0)",
    )


def run(options: argparse.Namespace) -> int:
    """Listens until the sound ends."""
    from sbn_runtime import InputError, Listener, Session

    session = Session(options.model)
    listener = Listener(session, options.every)
    classes = session.metadata.get("classes", ())
    if options.file is None:
        pieces = _microphone(listener.sound.rate)
    else:
        from sbn_runtime.sound import read_wav

        if not options.file.exists():
            raise InputError(f"{options.file}: No such file or directory")
        try:
            pieces = iter([read_wav(options.file, listener.sound.rate)])
        except InputError as error:
            raise InputError(f"{options.file}: {error}") from error
    try:
        for piece in pieces:
            for heard in listener.push(piece):
                _show(heard, classes, options)
    except KeyboardInterrupt:
        if options.file is not None:
            raise
    return 0


def _show(heard: Heard, classes: Any, options: argparse.Namespace) -> None:
    label = int(heard.probabilities.argmax())
    probability = float(heard.probabilities[label])
    if probability < options.min_confidence:
        return
    name = classes[label] if label < len(classes) else str(label)
    if options.json:
        found = {"seconds": round(heard.seconds, 6), "label": name, "probability": probability}
        print(json.dumps(found), flush=True)
    else:
        print(f"{heard.seconds:8.2f} s  {probability:4.0%}  {printable(name)}", flush=True)


def _microphone(rate: int) -> Iterator[NDArray[Any]]:
    """What the microphone hears, int16 [n] at `rate`, without end."""
    from sbn_runtime import InputError, MissingDependencyError

    try:
        import sounddevice
    except ImportError as error:
        raise MissingDependencyError(
            "the microphone needs the package sounddevice: pip install sounddevice; or name a WAV"
            " file: sbn listen MODEL FILE"
        ) from error
    except OSError as error:
        raise InputError(
            f"the microphone needs PortAudio ({error}): apt-get install libportaudio2"
        ) from error
    heard: queue.SimpleQueue[NDArray[Any]] = queue.SimpleQueue()
    try:
        stream = sounddevice.InputStream(
            samplerate=rate,
            channels=1,
            dtype="int16",
            blocksize=round(BLOCK_S * rate),
            callback=lambda samples, *_: heard.put(samples[:, 0].copy()),
        )
    except (sounddevice.PortAudioError, ValueError) as error:
        raise InputError(f"no microphone can be opened: {error}") from error
    with stream:
        say("listening; Ctrl-C ends it")
        while True:
            yield heard.get()
