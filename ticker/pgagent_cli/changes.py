"""How the differences look that pgagent.apply_jobs() returns. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from difflib import ndiff
from typing import Any

from rich.text import Text

from pgagent_cli.render import plain

_SIGNS = {"create": "+", "alter": "~", "drop": "-"}
_STYLES = {"+": "green", "~": "yellow", "-": "red"}
_DONE = {"create": "created", "alter": "altered", "drop": "dropped"}
_MOST_CHARS_IN_A_LINE = 60

Row = Mapping[str, Any]
_Thing = tuple[str, str]  # "job" or "calendar", and its name


def show_changes(rows: Iterable[Row]) -> Iterator[Text]:
    """The lines of a diff: a heading for each job or calendar; below it: + is created, ~ altered, - dropped."""
    for thing, changes in _by_thing(rows).items():
        whole = next((row for row in changes if _is_whole(row)), None)
        yield _heading_line(*thing, None if whole is None else whole["action"])
        for row in changes:
            if not _is_whole(row):
                yield from _show_change(row)


def _by_thing(rows: Iterable[Row]) -> dict[_Thing, list[Row]]:
    """The rows of each job and calendar: the server does all jobs, then all steps, and so on."""
    found: dict[_Thing, list[Row]] = {}
    for row in rows:
        found.setdefault(_thing(row), []).append(row)
    return found


def _thing(row: Row) -> _Thing:
    return ("calendar", row["name"]) if row["job"] is None else ("job", row["job"])


def _is_whole(row: Row) -> bool:
    """Whether a job or calendar itself comes or goes."""
    return row["object"] in ("job", "calendar") and row["action"] != "alter"


def _heading_line(kind: str, name: str, action: str | None) -> Text:
    heading = f'{kind} "{plain(name)}"'
    if action is None:
        return Text(f"  {heading}", style="bold")
    sign = _SIGNS[action]
    return Text(f"{sign} {heading}", style=f"bold {_STYLES[sign]}")


def _show_change(row: Row) -> Iterator[Text]:
    sign = _SIGNS[row["action"]]
    what = "" if row["object"] in ("job", "calendar") else f'{row["object"]} "{plain(row["name"])}"'
    if row["action"] != "alter":
        yield Text(f"  {sign} {_name_date(row) or what}", style=_STYLES[sign])
        return
    what = " ".join(word for word in (what, plain(row["attribute"])) if word)
    was, becomes = (plain(row[key]) for key in ("was", "becomes"))
    if "\n" in was + becomes or len(was) + len(becomes) > _MOST_CHARS_IN_A_LINE:
        yield Text(f"  {sign} {what}:", style=_STYLES[sign])
        yield from _show_lines(was, becomes)
    else:
        yield Text.assemble(
            (f"  {sign} {what}: ", _STYLES[sign]), (was or "(none)", "red"), " → ", (becomes or "(none)", "green")
        )


def _name_date(row: Row) -> str:
    """An exception or a holiday, which have no name of their own: by its date or time; empty for other things."""
    when = plain(row["was"] or row["becomes"])
    if row["object"] == "exception":
        return f'exception {when} of schedule "{plain(row["name"])}"'
    return f"holiday {when}" if row["object"] == "holiday" else ""


def _show_lines(was: str, becomes: str) -> Iterator[Text]:
    for line in ndiff(was.splitlines(), becomes.splitlines()):
        if not line.startswith("?"):
            yield Text(f"      {line}".rstrip(), style=_STYLES.get(line[0], ""))


def summarise(rows: Iterable[Row]) -> str:
    """How much there was to change, such as "2 jobs created, 1 job altered"."""
    touched = Counter(_touched(row) for row in rows)
    altered = {thing for action, thing in touched if action == "alter"}
    for action, thing in list(touched):
        # A job that is made, or goes, is not altered besides.
        if action == "alter" and thing in altered and any((other, thing) in touched for other in ("create", "drop")):
            del touched[action, thing]
    counts = Counter((action, thing[0]) for action, thing in touched)
    words = [f"{count} {kind}{'s' if count > 1 else ''} {_DONE[action]}" for (action, kind), count in counts.items()]
    return ", ".join(words) or "nothing to change"


def _touched(row: Row) -> tuple[str, _Thing]:
    """What happens to which job or calendar: a change of a part of it alters it."""
    thing = _thing(row)
    return (row["action"] if row["object"] == thing[0] else "alter"), thing
