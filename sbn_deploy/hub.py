"""Exported models on the Hugging Face hub: thin calls of `huggingface_hub` (the extra `hub`).

Works on a device too: nothing but `sbn_runtime` and `huggingface_hub` is imported.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sbn_runtime import Session, __version__
from sbn_runtime.errors import (
    ConfigError,
    InputError,
    MissingDependencyError,
    ModelError,
    RemoteError,
)
from sbn_runtime.modelfile import external_files

CARD = "README.md"


def push_to_hub(
    model: str | Path,
    repo_id: str,
    *,
    card: str | Path,
    files: Sequence[str | Path] = (),
    private: bool = False,
    token: str | None = None,
) -> str:
    """Uploads a model with its card in one commit; makes the repository if there is none.

    Args:
        model: ONNX file of `sbn export`.
        repo_id: USER/NAME.
        card: what `sbn card` wrote; it becomes README.md. The hub checks its front matter.
        files: more to upload, such as the checkpoint and the recipe, each under its name.
        private: of a new repository; one that exists stays as it is.
        token: of the user; None takes that of `hf auth login` or of the variable HF_TOKEN.

    Returns:
        The address of the commit.

    Raises:
        ModelError: the model cannot be opened, or keeps constants in other files.
        InputError: a file is missing, or two have one name.
        ConfigError: `repo_id` is no name for a repository, or the hub refuses the front matter.
        RemoteError: the hub cannot be reached, or refuses.
        MissingDependencyError: huggingface_hub is not installed.
    """
    hub = _hub()
    model = Path(model)
    Session(model)
    if external := external_files(model):
        raise ModelError(
            f"{model}: keeps constants in {external[0]}; on the hub a model is one file, so save"
            " it with its constants inside"
        )
    contents = {model.name: model, CARD: Path(card)}
    for path in map(Path, files):
        if path.name in contents:
            raise InputError(f"{path}: another file is called {path.name} too; rename one of them")
        contents[path.name] = path
    for path in contents.values():
        if not path.is_file():
            raise InputError(f"{path}: no such file")
    operations = [
        hub.CommitOperationAdd(path_in_repo=name, path_or_fileobj=path)
        for name, path in contents.items()
    ]
    api = hub.HfApi(token=token, library_name="sbn-deploy", library_version=__version__)
    with _reported(repo_id):
        api.create_repo(repo_id, private=private, exist_ok=True)
        done = api.create_commit(repo_id, operations, commit_message=f"Upload {model.name}")
    return str(done.commit_url)


def from_pretrained(
    repo_id: str,
    file: str = "",
    *,
    revision: str | None = None,
    token: str | None = None,
    **options: Any,
) -> Session:
    """Opens a model of the hub. It is downloaded once, and then taken from the local cache.

    Without a network that works too, where `file` is named.

    Args:
        repo_id: USER/NAME.
        file: name of the model in the repository; the only `.onnx` file if left out.
        revision: branch, tag or commit; the main branch if left out.
        token: of a user who may read it, see `push_to_hub`.
        options: of `Session`, as threads.

    Raises:
        ConfigError: `repo_id` is no name for a repository, or `file` is needed.
        ModelError: the file is not a model.
        RemoteError: the hub cannot be reached, or has no such repository, revision or file.
        MissingDependencyError: huggingface_hub is not installed.
    """
    hub = _hub()
    with _reported(repo_id):
        if not file:
            found = hub.list_repo_files(repo_id, revision=revision, token=token)
            models = [name for name in found if name.endswith(".onnx")]
            if len(models) != 1:
                raise ConfigError(
                    f"{repo_id} has {len(models)} .onnx files"
                    + (f"; name one of {', '.join(models)}" if models else "")
                )
            (file,) = models
        path = hub.hf_hub_download(repo_id, file, revision=revision, token=token)
    return Session(path, **options)


def _hub() -> Any:
    try:
        import huggingface_hub
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "the hub needs huggingface_hub, which is not installed: pip install 'sbn-deploy[hub]'"
        ) from error
    return huggingface_hub


@contextlib.contextmanager
def _reported(repo_id: str) -> Iterator[None]:
    """What the client raises, as one line."""
    try:
        yield
    except ConfigError:
        raise
    except ValueError as error:
        # Of a name that none can have, or of front matter that the hub refuses.
        raise ConfigError(f"{repo_id}: {_line(error)}") from error
    except Exception as error:
        # Each major version of the client has another HTTP library below it.
        library = type(error).__module__.partition(".")[0]
        if not isinstance(error, OSError) and not library.startswith("http"):
            raise
        raise RemoteError(f"{repo_id}: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
