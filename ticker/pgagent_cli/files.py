"""Files of jobs: YAML of the shape that pgagent.export_jobs() gives, with the line of everything that is in it.

YAML is read by the core schema of YAML 1.2 with one exception: 01 is a text. So 12:00, 2026-12-24, on, off, yes and no
are texts, as the document wants them, and not numbers, dates or truth values, as YAML 1.1 has it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from pgagent_cli.outcome import Failure

# The order in which people want to read a document; jsonb has an order of its own.
_ORDER = (
    "version", "calendars", "jobs", "date", "name", "owner", "class", "description", "host", "enabled",
    "cron", "minutes", "hours", "weekdays", "monthdays", "months", "every", "start", "end", "timezone", "calendar",
    "exceptions", "dates", "sql", "batch", "database", "connection", "on_error", "timeout", "start_deadline",
    "max_failures", "locks", "priority", "retries", "retry_delay", "retry_factor", "retry_max_delay", "retry_jitter",
    "retry_sqlstates", "steps", "schedules",
)  # fmt: skip
_RANK = {key: rank for rank, key in enumerate(_ORDER)}
_LISTS = ("calendars", "jobs")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "last")
_MOST_VALUES = 1_000_000  # aliases of aliases can stand for more than any memory holds
# Paths as the server writes them: jobs[3].steps[0].sql, and jobs[3]["on error"] for keys that are no words.
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PROBLEM = re.compile(rf"at (?P<path>(?:{_QUOTED}|\S)+?)(?:: (?P<problem>.*))?", re.DOTALL)
_PART = re.compile(rf"\.?\w+|\[(?:\d+|{_QUOTED})\]", re.ASCII)
_INT = r"0|-?[1-9][0-9]*"
_FLOAT = r"-?(0|[1-9][0-9]*)\.[0-9]+([eE][-+]?[0-9]+)?"
_NUMBER = re.compile(rf"{_INT}|{_FLOAT}")
_MOST_CHARS_SHOWN = 40
_NO_TEXT = re.compile(r"[\0\ud800-\udfff]")
_RARE_ENDS = re.compile("[\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: the name of a file and a line, counted from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Document:
    """What files say, as pgagent.apply_jobs() takes it. ``places``: where each path, jobs[3].steps[0].sql, stands."""

    definitions: dict[str, Any]
    places: dict[str, Place] = field(repr=False)

    def place_of(self, path: str) -> Place | None:
        """The place of a path, or of the innermost thing around it that the files have."""
        ends = [0, *(part.end() for part in _PART.finditer(path))]
        return next((self.places[path[:end]] for end in reversed(ends) if path[:end] in self.places), None)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", _INT, list("-0123456789")),
    ("float", _FLOAT, list("-0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), _first)


class _Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, False)


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # At the end of a block an empty line would count, and we put some between jobs.
    is_block = "\n" in text and text != "\n" and not text.endswith("\n\n")
    # YAML 1.1 takes rare characters for line ends, which only escapes keep. PyYAML does not know all numbers
    # of YAML 1.2.
    is_quoted = _RARE_ENDS.search(text) or _NUMBER.fullmatch(text)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if is_quoted else "|" if is_block else None)


def _represent_list(dumper: yaml.SafeDumper, items: list[Any]) -> yaml.SequenceNode:
    # Minutes, hours and days: sixty numbers belong on a line.
    is_short = bool(items) and all(isinstance(item, int) or item in _DAYS for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=is_short)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(list, _represent_list)


def read_document(files: Sequence[tuple[str, str]]) -> Document:
    """The document that files, given as name and text, make together: the jobs and calendars of all of them.

    `Failure` with file and line for what is no YAML, has a key twice, or is no document.
    """
    documents = [_read_file(name, text) for name, text in files]
    return documents[0] if len(documents) == 1 else _join(documents)


def _read_file(name: str, text: str) -> Document:
    try:
        node = yaml.compose(text, Loader=_Loader)
        return _to_document(name, node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}" if mark else name
        context = f", {error.context}" if error.context else ""
        raise Failure(f"{place}: {error.problem}{context}") from None
    except yaml.reader.ReaderError as error:
        line = 1 + text.count("\n", 0, error.position)
        raise Failure(f"{name}:{line}: character {error.character:#04x} cannot be in YAML") from None
    except RecursionError:
        raise Failure(f"{name}: it is nested too deeply") from None


def _to_document(name: str, node: yaml.Node | None) -> Document:
    if not isinstance(node, yaml.MappingNode):
        line = node.start_mark.line + 1 if node else 1
        raise Failure(f"{name}:{line}: this is no document of jobs", hint="It begins with a line jobs: and a list.")
    places: dict[str, Place] = {}
    return Document(_Reader(name, places).read(node, "", ()), places)


class _Reader:
    """Turns nodes of one file into values, and notes the place of each."""

    def __init__(self, file: str, places: dict[str, Place]) -> None:
        self._file = file
        self._places = places
        self._count = 0

    def read(self, node: yaml.Node, path: str, around: tuple[yaml.Node, ...]) -> Any:
        """The value of a node that stands at a path, inside of other nodes."""
        self._places.setdefault(path, self._place(node))
        self._count += 1
        if self._count > _MOST_VALUES:
            text = f"there are more than {_MOST_VALUES} values, with what aliases stand for"
            raise Failure(f"{self._place(node)}: {text}")
        if any(node is outer for outer in around):
            raise Failure(f"{self._place(node)}: an alias cannot stand for what it is a part of")
        if isinstance(node, yaml.MappingNode):
            return dict(self._read_pairs(node, path, (*around, node)))
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, f"{path}[{i}]", (*around, node)) for i, item in enumerate(node.value)]
        return self._read_scalar(node)

    def _read_pairs(
        self, node: yaml.MappingNode, path: str, around: tuple[yaml.Node, ...]
    ) -> Iterator[tuple[str, Any]]:
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise Failure(f"{self._place(key)}: a key must be a word")
            if key.value in seen:
                raise Failure(f'{self._place(key)}: key "{key.value}" is there twice')
            seen.add(key.value)
            inner = _extend(path, self._check_text(key))
            self._places[inner] = self._place(key)
            yield key.value, self.read(value, inner, around)

    def _read_scalar(self, node: yaml.Node) -> object:
        kind = node.tag.rpartition(":")[2]
        if kind == "str":
            return self._check_text(node)
        if kind == "null":
            return None
        if kind == "bool":
            return node.value.lower() == "true"
        if kind in ("int", "float"):
            return self._read_number(node, int if kind == "int" else float)
        raise Failure(f"{self._place(node)}: tag {node.tag} means nothing here")

    def _read_number(self, node: yaml.Node, kind: type[int | float]) -> object:
        shown = node.value if len(node.value) <= _MOST_CHARS_SHOWN else f"{node.value[:_MOST_CHARS_SHOWN]}..."
        try:
            number = kind(node.value)
        except ValueError:
            raise Failure(f'{self._place(node)}: "{shown}" is no number') from None
        if isinstance(number, float) and not math.isfinite(number):
            raise Failure(f'{self._place(node)}: "{shown}" is too large')
        return number

    def _check_text(self, node: yaml.Node) -> str:
        """The text, in which nothing is that PostgreSQL cannot keep."""
        wrong = _NO_TEXT.search(node.value)
        if wrong:
            raise Failure(f"{self._place(node)}: character {ord(wrong[0]):#04x} cannot be in a text")
        return str(node.value)

    def _place(self, node: yaml.Node) -> Place:
        return Place(self._file, node.start_mark.line + 1)


def _extend(path: str, key: str) -> str:
    """The path of a member, as the server writes it."""
    member = f".{key}" if re.fullmatch(r"\w+", key, re.ASCII) else f"[{json.dumps(key)}]"
    return path + member if path else member.removeprefix(".")


def _join(documents: Sequence[Document]) -> Document:
    joined: dict[str, Any] = {}
    places: dict[str, Place] = {}
    for document in documents:
        for key, value in document.definitions.items():
            place = document.places[key]
            if key not in _LISTS:
                if joined.setdefault(key, value) != value:
                    raise Failure(f'{place}: "{key}" is not what {places[key]} says')
                places.setdefault(key, place)
            elif isinstance(value, list):
                _append(joined, places, key, document)
            elif value is not None:
                raise Failure(f'{place}: "{key}" must be a list')
    return Document(joined, places)


def _append(joined: dict[str, Any], places: dict[str, Place], key: str, document: Document) -> None:
    """Add a list of a document to what is there, with the places under their new numbers."""
    before = len(joined.setdefault(key, []))
    joined[key] += document.definitions[key]
    item = re.compile(rf"{key}\[(\d+)\](.*)", re.DOTALL)
    for path, place in document.places.items():
        found = item.fullmatch(path)
        if found:
            places[f"{key}[{int(found[1]) + before}]{found[2]}"] = place
    places.setdefault(key, document.places[key])


def write_document(definitions: Mapping[str, Any], *, ascii_only: bool = False) -> str:
    """A document as YAML: keys in an order for people, texts of several lines as blocks, an empty line between jobs."""
    kept = {key: value for key, value in definitions.items() if key not in _LISTS or value}
    text = yaml.dump(_in_order(kept), Dumper=_Dumper, sort_keys=False, allow_unicode=not ascii_only, width=float("inf"))
    # Only an item of one of the outer lists begins so: what is inside of one stands further to the right.
    return re.sub(r"(?<!:)\n(?=  - |\w)", "\n\n", text.rstrip("\n")) + "\n"


def _in_order(value: Any) -> Any:
    if isinstance(value, Mapping):
        keys = sorted(value, key=lambda key: (_RANK.get(key, len(_RANK)), key))
        return {key: _in_order(value[key]) for key in keys}
    return [_in_order(item) for item in value] if isinstance(value, list) else value


def find_namesakes(document: Document) -> list[str]:
    """A line for each job that has name and owner of an earlier one: it is allowed, and rarely meant."""
    jobs = document.definitions.get("jobs")
    first: dict[tuple[str, str], str] = {}
    told = []
    for number, job in enumerate(jobs if isinstance(jobs, list) else ()):
        if isinstance(job, dict):
            path = f"jobs[{number}]"
            earlier = first.setdefault((str(job.get("name")), str(job.get("owner"))), path)
            if earlier != path:
                place, other = document.place_of(path), document.place_of(earlier)
                told.append(f'{place}: job "{job.get("name")}" is another one than that of this name at {other}')
    return told


def locate_problems(detail: str, document: Document) -> list[str]:
    """The problems that the server's DETAIL tells, a line each, with file and line in front where they are known.

    They come in the order of the files and their lines, those without a place last.
    """
    problems = [_locate(line, document) for line in detail.splitlines()]
    files = list(dict.fromkeys(place.file for place in document.places.values()))
    problems.sort(key=lambda found: (files.index(found[0].file), found[0].line) if found[0] else (len(files), 0))
    return [f"{place}: {said}" if place else said for place, said in problems]


def _locate(line: str, document: Document) -> tuple[Place | None, str]:
    found = _PROBLEM.fullmatch(line)
    if found is None:
        return None, line
    said = found["path"] if found["problem"] is None else f"{found['path']}: {found['problem']}"
    return document.place_of(found["path"]), said
