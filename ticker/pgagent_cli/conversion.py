"""What comes out of a conversion of another scheduler's jobs: a document for `pgagent.apply_jobs`, and a report."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Document = dict[str, Any]
"""A jobs document: plain values, as YAML and JSON have them."""

_LONGEST_NAME = 60  # characters


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that did not come over as it was.

    ``left out``: it is not in the document. ``differs``: it is, and means something else in a way that is told.
    ``note``: what to know or do. An empty place: about all of it.
    """

    kind: Literal["left out", "differs", "note"]
    place: str
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Conversion:
    """A jobs document and the report about it."""

    document: Document
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Owners:
    """Who shall own the jobs: a role for each user named, another one or nobody in particular for the rest."""

    named: Mapping[str, str] = field(default_factory=dict)
    others: str | None = None

    def of(self, user: str | None) -> str | None:
        """Return the owner of a job of this user; None: the document does not say."""
        return self.named.get(user, self.others) if user is not None else self.others


def make_document(jobs: list[Document]) -> Document:
    """Return a document of these jobs, their names made unique: names are how jobs are found."""
    names = unique_names(job["name"] for job in jobs)
    return {"version": 1, "jobs": [{**job, "name": name} for job, name in zip(jobs, names, strict=True)]}


def unique_names(names: Iterable[str]) -> Iterator[str]:
    """Yield the names; those that came before with a number behind them."""
    taken: set[str] = set()
    for name in names:
        chosen, number = name, 1
        while chosen in taken:
            number += 1
            chosen = f"{name} ({number})"
        taken.add(chosen)
        yield chosen


_REDIRECTIONS = re.compile(r"(?:\s*(?:[12&]?>>?\s*[^\s&|;<>]+|2>&1|<\s*/dev/null))+\s*$")
_DIRECTORY = re.compile(r"^(?:/[^\s/]+)+/(?=[^\s/])")


def name_command(command: str) -> str:
    """Return a short name for a command: its first line without redirections, its program without a directory."""
    line = next((line.strip() for line in command.splitlines() if line.strip()), "")
    shown = " ".join(_DIRECTORY.sub("", _REDIRECTIONS.sub("", line) or line).split())
    return shown if is_name(shown) else f"{shown[: _LONGEST_NAME - 3].rstrip()}..."


def is_name(text: str) -> bool:
    """Tell whether a text is short enough for the name of a job."""
    return 0 < len(text) <= _LONGEST_NAME
