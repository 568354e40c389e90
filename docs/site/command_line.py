"""Writes the command-line reference of the site from the parsers of `sbn`."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterable

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from sbn_deploy import cli

PAGE = "command-line.md"
WIDTH = 72
# Its parts: a title, and what it is the title of, indented.
EPILOG = re.compile(r"^(\S.*):\n((?: +.*\n?)+)", re.MULTILINE)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Adds the page."""
    files.append(File.generated(config, PAGE, content=page()))
    return files


def page() -> str:
    """The reference of all verbs, as Markdown."""
    parser = argparse.ArgumentParser(prog="sbn")
    verbs = parser.add_subparsers()
    text = (
        "# Command line\n\n"
        "Results go to stdout, or to the file that `-o` names; progress and warnings to stderr."
        " With `--json` a result is one JSON object. The exit status is 0, 1 when a check failed,"
        " 2 for bad usage or input, 130 when interrupted. `sbn VERB --help` says what this page"
        " says: it is written from the same parsers.\n\n| verb | |\n|---|---|\n"
    )
    for verb, summary in cli.VERBS.items():
        cli.command(verb).add_parser(verbs)
        text += f"| [`sbn {verb}`](#sbn-{verb}) | {_escaped(summary)} |\n"
    for verb, described in verbs.choices.items():
        text += f"\n## sbn {verb}\n\n{_of_verb(described)}"
    return text


def _of_verb(parser: argparse.ArgumentParser) -> str:
    # `argparse` leaves the groups of a parser without a public name.
    text = f"{_escaped(parser.description or '')}\n\n"
    text += f"```text\n{_usage(parser)}\n```\n"
    positional, optional, *others = parser._action_groups
    for group in (positional, *others, optional):
        actions = [action for action in group._group_actions if action.help != argparse.SUPPRESS]
        if group in others:
            text += f"\n**{group.title}**\n"
            if group.description:
                text += f"\n{_escaped(group.description)}\n"
        text += _definitions(parser, actions)
    for title, body in EPILOG.findall(parser.epilog or ""):
        language = "toml" if title.endswith(".toml") else "sh"
        lines = textwrap.dedent(body).strip()
        text += f"\n{_escaped(title.capitalize() if title == 'example' else title)}:\n"
        text += f"\n```{language}\n{lines}\n```\n"
    return text


def _usage(parser: argparse.ArgumentParser) -> str:
    formatter = argparse.HelpFormatter(prog=parser.prog, width=WIDTH)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups)
    usage = formatter.format_help().strip()
    return usage.removeprefix("usage: ").replace("\n" + " " * len("usage: "), "\n")


def _definitions(parser: argparse.ArgumentParser, actions: Iterable[argparse.Action]) -> str:
    formatter = parser.formatter_class(prog=parser.prog)
    text = ""
    for action in actions:
        if isinstance(action, argparse._HelpAction):
            continue
        invocation = formatter._format_action_invocation(action)
        said = formatter._expand_help(action) if action.help else ""
        text += f"\n`{invocation}`\n:   {_escaped(said) or 'see above'}\n"
    return text


def _escaped(text: str) -> str:
    """Plain text as Markdown; what stands in backticks stays code."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(
        piece if piece.startswith("`") else re.sub(r"([\\*_<>|\[\]#~])", r"\\\1", piece)
        for piece in pieces
    )
