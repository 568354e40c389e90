"""Brings what the documents link to in the repository into the site.

The documents are read in a checkout as well as on the site, so they link to files of
the repository: model cards, headers, the changelog. Such a file becomes part of the
site under its path in the repository, as a page if it is Markdown, and links to it are
rewritten. In the navigation, a pattern stands for the files that match it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
DOCS = "docs"
# Not in blocks of code, where brackets before parentheses are calls.
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
# What tests are told about a block.
COMMENT = re.compile(r"^<!-- (?:not run:|given\n).*?-->\n", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?P<text>!?\[[^\]]*\]\()(?P<path>(?!\w+:)[^)#\s]+)(?P<anchor>#[^)]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Puts the matching files in the place of patterns."""
    if config.nav is not None:
        config.nav = [_expanded(entry) for entry in config.nav]
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Adds the files of the navigation, and those that pages link to, and so on."""
    waiting = [_repository_path(file.src_uri) for file in files.documentation_pages()]
    waiting += [path for path in _named(config.nav or []) if (ROOT / path).is_file()]
    seen = set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        uri = _site_path(path)
        if files.get_file_from_path(uri) is None and (ROOT / path).is_file():
            files.append(File.generated(config, uri, abs_src_path=str(ROOT / path)))
        if path.endswith(".md") and (ROOT / path).is_file():
            text = (ROOT / path).read_text(encoding="utf-8")
            waiting += [_target(path, link["path"]) for link in _links(text)]
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Makes links between documents links between pages, and leaves notes to tests out."""
    markdown = COMMENT.sub("", markdown)
    source = _repository_path(page.file.src_uri)
    here = posixpath.dirname(page.file.src_uri)

    def rewritten(link: re.Match[str]) -> str:
        target = _site_path(_target(source, link["path"]))
        if files.get_file_from_path(target) is None:
            raise PluginError(f"{source} links to {link['path']}, which there is not")
        relative = posixpath.relpath(target, here or ".")
        return f"{link['text']}{relative}{link['anchor'] or ''})"

    pieces, end = [], 0
    for fence in FENCED.finditer(markdown):
        pieces += [LINK.sub(rewritten, markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join(pieces) + LINK.sub(rewritten, markdown[end:])


def _links(text: str) -> Iterator[re.Match[str]]:
    return LINK.finditer(FENCED.sub("", text))


def _expanded(entry: object) -> object:
    if not isinstance(entry, dict):
        return entry
    return {title: _expanded_section(value) for title, value in entry.items()}


def _expanded_section(value: object) -> object:
    if not isinstance(value, list):
        return value
    section: list[object] = []
    for entry in value:
        if isinstance(entry, str) and "*" in entry:
            section += sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob(entry))
        else:
            section.append(_expanded(entry))
    return section


def _named(nav: object) -> Iterator[str]:
    """The paths of a navigation."""
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, dict):
        yield from _named(list(nav.values()))
    elif isinstance(nav, list):
        for entry in nav:
            yield from _named(entry)


def _repository_path(uri: str) -> str:
    """The path in the repository of a file of the site."""
    return f"{DOCS}/{uri}" if (ROOT / DOCS / uri).is_file() else uri


def _site_path(path: str) -> str:
    """The place in the site of a file of the repository."""
    if path == "README.md":
        return "index.md"
    return path.removeprefix(f"{DOCS}/")


def _target(source: str, link: str) -> str:
    """The file of the repository that a link in `source` leads to; of a folder, its README."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    return f"{path}/README.md" if (ROOT / path / "README.md").is_file() else path
