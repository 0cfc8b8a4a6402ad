"""One way to raise an error from Python: always with an SQLSTATE, with a hint where there is a remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from .spi import Plpy

CONNECTION_FAILURE = "08006"
INVALID_PARAMETER_VALUE = "22023"
OBJECT_NOT_IN_PREREQUISITE_STATE = "55000"
UNDEFINED_OBJECT = "42704"
WARNING = "01000"


def fail(plpy: Plpy, sqlstate: str, message: str, *, detail: str = "", hint: str = "") -> NoReturn:
    """Raises a PostgreSQL error. The message names the object; detail and hint are sentences."""
    fields = {"sqlstate": sqlstate, "detail": detail, "hint": hint}
    plpy.error(message, **{name: text for name, text in fields.items() if text})
