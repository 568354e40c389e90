"""The archive for apps of others, made of what is installed, which has each library only once."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

NAME = "sbn-runtime.aar"
# Gradle takes libraries for Java from one folder, for C and C++ from the other.
_JAVA, _NDK = "jni/", "prefab/modules/sbn_native/libs/android."


def archive(installed: Path) -> bytes:
    """sbn-runtime.aar, of `sbn-runtime.zip`; the same bytes each time."""
    packed = io.BytesIO()
    with zipfile.ZipFile(installed) as source, zipfile.ZipFile(packed, "w") as target:
        for entry in source.infolist():
            content = source.read(entry)
            target.writestr(entry, content)
            if entry.filename.startswith(_JAVA) and not entry.is_dir():
                again = zipfile.ZipInfo(_NDK + entry.filename.removeprefix(_JAVA), entry.date_time)
                target.writestr(again, content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()
