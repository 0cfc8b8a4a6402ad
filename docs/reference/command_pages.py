"""The reference of the command line, as Markdown and as a manual page, made of click's help texts."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from pgagent_cli import __version__
from pgagent_cli.cli import cli

PROGRAM = "pgagent-py"

HEAD = """\
# Reference: the command pgagent-py

Made by `make docs` from the help texts; a test says when it is stale. `pgagent-py COMMAND --help` shows the same, and
so does the manual page [pgagent-py.1](pgagent-py.1). The examples are run by a test.
"""

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "command"

_UNCHANGED = "\b"  # click: the paragraph is not to be wrapped


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph of a help text; verbatim: its lines stay as they are."""

    lines: tuple[str, ...]
    is_verbatim: bool

    @property
    def text(self) -> str:
        """The paragraph on one line."""
        return " ".join(line.strip() for line in self.lines)


@dataclass(frozen=True, slots=True)
class Page:
    """What the help of a command says."""

    name: str
    usage: str
    paragraphs: tuple[Paragraph, ...]
    options: tuple[tuple[str, str], ...]
    subcommands: tuple[tuple[str, str], ...]
    example: str


def read_pages() -> list[Page]:
    """Return the pages of the program itself and of all its commands, in the order of the help."""
    return list(_read(cli, click.Context(cli, info_name=PROGRAM, **cli.context_settings), PROGRAM))


def _read(command: click.Command, ctx: click.Context, name: str) -> Iterator[Page]:
    subcommands = []
    if isinstance(command, click.Group):
        found = [(word, command.get_command(ctx, word)) for word in command.list_commands(ctx)]
        subcommands = [(word, each) for word, each in found if each is not None and not each.hidden]
    yield Page(
        name=name,
        usage=" ".join([name, *command.collect_usage_pieces(ctx)]),
        paragraphs=tuple(_split(inspect.cleandoc(command.help or ""))),
        options=tuple(_read_options(command, ctx)),
        subcommands=tuple((word, each.get_short_help_str(limit=200)) for word, each in subcommands),
        example=_read_example(name),
    )
    for word, each in subcommands:
        yield from _read(each, click.Context(each, parent=ctx, info_name=word), f"{name} {word}")


def _read_options(command: click.Command, ctx: click.Context) -> Iterator[tuple[str, str]]:
    """Yield the names of the options and what they do; --help is told of once."""
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record and record[1] and ("--help" not in param.opts or ctx.parent is None):
            yield record


def example_of(name: str) -> Path:
    """Return where the example of a command is, which is given with the program's name in front."""
    return EXAMPLES / f"{name.removeprefix(PROGRAM).strip().replace(' ', '-')}.sh"


def _read_example(name: str) -> str:
    path = example_of(name)
    return path.read_text(encoding="utf-8").rstrip() if path.exists() else ""


def _split(text: str) -> Iterator[Paragraph]:
    for block in re.split(r"\n\s*\n", text.partition("\f")[0].strip()):
        lines = block.splitlines()
        is_verbatim = bool(lines) and lines[0].strip() == _UNCHANGED
        if is_verbatim:
            lines = inspect.cleandoc("\n" + "\n".join(lines[1:])).splitlines()
        yield Paragraph(tuple(lines), is_verbatim)


# ---- Markdown ----------------------------------------------------------------------------------------------


def render_markdown() -> str:
    """Return command.md."""
    return "\n".join([HEAD, *(_render_page(page) for page in read_pages())])


def _render_page(page: Page) -> str:
    parts = [f"## {page.name}\n", f"    {page.usage}\n"]
    for paragraph in page.paragraphs:
        if paragraph.is_verbatim:
            parts.append("\n".join(["```", *paragraph.lines, "```"]) + "\n")
        else:
            parts.append(f"{_escape(paragraph.text)}\n")
    if page.options:
        rows = [f"| `{names}` | {_escape(text)} |".replace("||", "|\\|") for names, text in page.options]
        parts.append("\n".join(["| option | what it does |", "| --- | --- |", *rows]) + "\n")
    if page.example:
        parts.append(f"```sh\n{page.example}\n```\n")
    if page.subcommands:
        rows = [f"| [{word}](#{_anchor(f'{page.name} {word}')}) | {_escape(text)} |" for word, text in page.subcommands]
        parts.append("\n".join(["| command | what it does |", "| --- | --- |", *rows]) + "\n")
    return "\n".join(parts)


def _anchor(heading: str) -> str:
    """The anchor that forges make of a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _escape(text: str) -> str:
    return re.sub(r"([|*<])", r"\\\1", text)


# ---- The manual page ---------------------------------------------------------------------------------------


def render_manual() -> str:
    """Return pgagent-py.1, in the macros of man(7)."""
    first, *others = read_pages()
    lines = [
        f'.TH PGAGENT\\-PY 1 "" "pgagent_py {__version__}" "pgagent_py"',
        ".SH NAME",
        "pgagent\\-py \\- jobs of pgagent_py, the job scheduler in PostgreSQL",
        ".SH SYNOPSIS",
        f".B {_troff(PROGRAM)}",
        _troff(first.usage.removeprefix(PROGRAM).strip()),
        ".SH DESCRIPTION",
        *_render_paragraphs(first.paragraphs),
        ".SH OPTIONS",
        *_render_options(first),
        ".SH COMMANDS",
    ]
    for page in others:
        lines += [f".SS {_troff(page.usage.removeprefix(PROGRAM).strip())}", *_render_paragraphs(page.paragraphs)]
        lines += _render_options(page)
    lines += [".SH SEE ALSO", ".BR psql (1),", ".BR pgagent\\-ticker (1)"]
    return "\n".join(lines) + "\n"


def _render_paragraphs(paragraphs: tuple[Paragraph, ...]) -> Iterator[str]:
    for paragraph in paragraphs:
        yield ".PP"
        if paragraph.is_verbatim:
            yield from (".nf", ".RS 2", *map(_troff, paragraph.lines), ".RE", ".fi")
        else:
            yield _troff(paragraph.text)


def _render_options(page: Page) -> Iterator[str]:
    for names, text in page.options:
        yield from (".TP", f".B {_troff(names)}", _troff(text))


def _troff(line: str) -> str:
    """Return a line that troff takes for text."""
    escaped = line.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
