"""`python -m reference.generate`: writes sql.md, command.md and pgagent-py.1 beside this file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from psycopg import Connection

from harness import Cluster
from reference import command_pages, sql_page

PLACE = Path(__file__).resolve().parent


def render(conn: Connection[Any]) -> dict[str, str]:
    """Return the pages, each by the name of its file."""
    return {
        "sql.md": sql_page.render_page(conn),
        "command.md": command_pages.render_markdown(),
        "pgagent-py.1": command_pages.render_manual(),
    }


@contextmanager
def fresh_database() -> Iterator[Connection[Any]]:
    """A session in a database with the extension, in a cluster that is removed afterwards."""
    with Cluster() as cluster, cluster.connect(cluster.create_database("reference").name) as conn:
        yield conn


def main() -> None:
    """Write the pages that have changed, and say which."""
    with fresh_database() as conn:
        pages = render(conn)
    for name, text in pages.items():
        path = PLACE / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path}")


if __name__ == "__main__":
    main()
