"""Writes the Free Spoken Digit Dataset, kept as one archive, as folders of WAV files.

    python -m tests.tools.spoken_digits ARCHIVE.npz FOLDER [--speaker S]

The archive holds `audio` int16 (all recordings at 8 kHz, one after another), `offsets`, `label`,
`speaker` and `take`. Takes 0 to 4 are for testing, as the set says; with --speaker all takes of
that speaker are, and nothing else: how the network does on a voice that it has never heard.
"""

from __future__ import annotations

import argparse
import wave
from pathlib import Path

import numpy as np

RATE = 8000
TEST_TAKES = 5
SPEAKERS = 6


def main() -> None:
    """Writes the files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("archive", type=Path, metavar="ARCHIVE.npz")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--speaker", type=int, metavar="S", help="0 to 5; held out for testing")
    options = parser.parse_args()
    write(options.archive, options.folder, options.speaker)


def write(path: Path, folder: Path, held_out: int | None = None) -> None:
    """The recordings of an archive as FOLDER/train and FOLDER/test.

    held_out: the speaker to test on; None for the first takes of all.
    """
    with np.load(path) as archive:
        found = {name: archive[name] for name in archive.files}
    for i, (label, speaker, take) in enumerate(
        zip(found["label"], found["speaker"], found["take"], strict=True)
    ):
        tested = take < TEST_TAKES if held_out is None else speaker == held_out
        place = folder / ("test" if tested else "train") / str(label)
        place.mkdir(parents=True, exist_ok=True)
        samples = found["audio"][found["offsets"][i] : found["offsets"][i + 1]]
        with wave.open(str(place / f"{label}-{speaker}-{take}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(samples.astype("<i2").tobytes())


if __name__ == "__main__":
    main()
