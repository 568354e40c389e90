"""An adb whose phone is a folder: `fake_adb.py FOLDER [adb's arguments]`.

FOLDER holds

    devices         what `adb devices` lists
    phone/          what lies in /data/local/tmp
    bin/            the programs of the phone
    clients/        a file for each adb that runs, named by its process
    refusal         if it exists, what adb writes instead of running a shell
    push_refusal    if it exists, what adb writes instead of copying, to standard output
    pushes          what was copied to the phone, a line for each time
    forgets_status  if it exists, the status of a command is not passed on

Programs for 64-bit ARM run in qemu. As with adb's own, the phone notices through the end of its
input that nobody is there any more.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from threading import Thread

TEMPORARY = "/data/local/tmp"
RUNNER = """#!/bin/sh
exec {qemu} -L {root} "$0.elf" "$@"
"""
ELF = b"\x7fELF"


def fail(text: str) -> int:
    print(text, file=sys.stderr)
    return 1


def shell(folder: Path, command: str) -> int:
    refusal = folder / "refusal"
    if refusal.exists():
        return fail(refusal.read_text().strip())
    bin_folder = folder / "bin"
    process = subprocess.Popen(
        [bin_folder / "sh", "-c", command.replace(TEMPORARY, str(folder / "phone"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": str(bin_folder), "HOME": "/"},
        start_new_session=True,
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    Thread(target=pump, args=(0, process.stdin.fileno(), True), daemon=True).start()
    outputs = [
        Thread(target=pump, args=(process.stdout.fileno(), 1)),
        Thread(target=pump, args=(process.stderr.fileno(), 2)),
    ]
    for output in outputs:
        output.start()
    for output in outputs:
        output.join()
    status = process.wait()
    return 0 if (folder / "forgets_status").exists() else status


def pump(source: int, target: int, close: bool = False) -> None:
    while data := os.read(source, 1 << 16):
        os.write(target, data)
    if close:
        os.close(target)


def push(folder: Path, paths: list[str], target: Path) -> int:
    refusal = folder / "push_refusal"
    if refusal.exists():
        print(refusal.read_text().strip())
        return 1
    for path in map(Path, paths):
        program = path.read_bytes()[:4] == ELF
        copy = target / (f"{path.name}.elf" if program else path.name)
        shutil.copyfile(path, copy)
        if program:
            copy.chmod(0o700)
            runner = RUNNER.format(qemu=shutil.which("qemu-aarch64"), root=folder / "root")
            (target / path.name).write_text(runner)
    with (folder / "pushes").open("a") as pushes:
        print(*(Path(path).name for path in paths), file=pushes)
    print(f"{len(paths)} files pushed.")
    return 0


def pull(source: Path, target: Path) -> int:
    if not source.is_file():
        print(f"adb: error: failed to stat remote object '{source}': No such file or directory")
        return 1
    shutil.copyfile(source, target)
    print(f"{source}: 1 file pulled.")
    return 0


def main(folder: Path, *words: str) -> int:
    client = folder / "clients" / str(os.getpid())
    client.touch()
    try:
        match words:
            case ["devices"]:
                print(f"List of devices attached\n{(folder / 'devices').read_text()}")
                return 0
            case ["-s", serial, *_] if serial not in (folder / "devices").read_text():
                return fail(f"error: device '{serial}' not found")
            case ["-s", _, "shell", "-T", command]:
                return shell(folder, command)
            case ["-s", _, "push", *paths, target]:
                return push(folder, paths, Path(target))
            case ["-s", _, "pull", source, target]:
                return pull(Path(source), Path(target))
        return fail(f"adb: unknown command {' '.join(words)}")
    finally:
        client.unlink()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
