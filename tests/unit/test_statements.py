"""Scripts cut into statements: what is quoted or commented out ends nothing."""

from __future__ import annotations

import pytest

from harness.statements import split_statements


@pytest.mark.parametrize(
    ("script", "statements"),
    [
        ("", []),
        ("-- nothing; at all\n/* ; */ ;", []),
        ("select 1", ["select 1"]),
        ("select 1;\nselect 2;\n", ["select 1", "select 2"]),
        ("select ';''';select 2", ["select ';'''", "select 2"]),
        (r"select E'\';';select 2", [r"select E'\';'", "select 2"]),
        ('select 1 as "a;b"', ['select 1 as "a;b"']),
        ("do $$ begin; end $$; select $a$;$$;$a$", ["do $$ begin; end $$", "select $a$;$$;$a$"]),
        ("select a$b; select 2", ["select a$b", "select 2"]),
        ("-- first; of two\nselect 1; -- and\nselect 2", ["-- first; of two\nselect 1", "-- and\nselect 2"]),
    ],
)
def test_script_is_cut(script: str, statements: list[str]) -> None:
    assert list(split_statements(script)) == statements
