"""`check` and `health`: what is not as it should be, and what to do about it."""

from __future__ import annotations

import click
from rich.console import Console
from rich.text import Text

from pgagent_cli.app import App, Row
from pgagent_cli.options import json_option
from pgagent_cli.outcome import Exit
from pgagent_cli.render import STATUS_STYLES, Column, one_line, plain, print_json, print_rows, show_status

CHECK = "select severity, matter, object, detail, remedy from pgagent.check()"
HEALTH = "select status, matter, detail, remedy from pgagent.health()"

_HARMLESS = ("OK", "INFO")
_RANK = ("CRITICAL", "ERROR", "WARNING", "INFO", "OK")


@click.command()
@json_option
@click.pass_obj
def check(app: App, as_json: bool) -> int:
    """Look for what cannot work, or not as it was meant.

    It looks at jobs, schedules, roles, databases and settings. Each finding comes with a remedy. The exit code is 6
    if there is a finding that is more than a remark (INFO).

    \b
      pgagent-py check
    """
    return _tell(app, app.rows(CHECK), "severity", "object", as_json=as_json, nothing="Nothing is wrong.")


@click.command()
@json_option
@click.pass_obj
def health(app: App, as_json: bool) -> int:
    """Tell how things are just now.

    The matters are agents, overdue jobs, failures, limits, logs and others. The exit code is 6 if one is not OK. Who
    is no superuser needs EXECUTE on pgagent.health().

    \b
      pgagent-py health
      pgagent-py health --json | jq -r '.[] | select(.status == "CRITICAL") | .detail'
    """
    return _tell(app, app.rows(HEALTH), "status", None, as_json=as_json, nothing="Nothing is told.")


def _tell(app: App, rows: list[Row], status: str, about: str | None, *, as_json: bool, nothing: str) -> int:
    worst_first = sorted(rows, key=lambda row: _RANK.index(row[status]) if row[status] in _RANK else 0)
    if as_json:
        print_json(app.out, rows)
    elif app.out.is_terminal and rows:
        for row in worst_first:
            _print_finding(app.out, row, status, about)
    else:
        columns = [Column(status, status, show_status)]
        columns += [Column(key, key, one_line) for key in ("matter", about, "detail", "remedy") if key]
        print_rows(app.out, columns, worst_first, nothing)
    return Exit.FOUND if any(row[status] not in _HARMLESS for row in rows) else Exit.OK


def _print_finding(console: Console, row: Row, status: str, about: str | None) -> None:
    head = Text.assemble((f"{plain(row[status]):<8}", STATUS_STYLES.get(row[status], "")), " ")
    head.append(plain(row["matter"]), style="bold")
    if about and row[about]:
        head.append(f": {one_line(row[about])}")
    if row[status] == "OK":
        head.append(f": {plain(row['detail'])}", style="dim")
        console.print(head, soft_wrap=True)
        return
    console.print(head, soft_wrap=True)
    for key, before in (("detail", ""), ("remedy", "→ ")):
        for line in plain(row[key]).splitlines():
            console.print(Text(f"         {before}{line}"), soft_wrap=True)
