"""One way to raise an error from Python: always with an SQLSTATE, with a hint where there is a remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from .output import escape

if TYPE_CHECKING:
    from .spi import Plpy

CONNECTION_FAILURE = "08006"
INSUFFICIENT_PRIVILEGE = "42501"
INVALID_PARAMETER_VALUE = "22023"
NULL_VALUE_NOT_ALLOWED = "22004"
OBJECT_NOT_IN_PREREQUISITE_STATE = "55000"
SERIALIZATION_FAILURE = "40001"
UNDEFINED_OBJECT = "42704"
WARNING = "01000"


def fail(plpy: Plpy, sqlstate: str, message: str, *, detail: str = "", hint: str = "") -> NoReturn:
    """Raises a PostgreSQL error. The message names the object; detail and hint are sentences.

    PL/Python takes the bytes of an error's text for UTF-8 and crashes the server if they are not.
    """
    encoding = plpy.execute("select getdatabaseencoding() as name")[0]["name"]
    fields = {"detail": detail, "hint": hint}
    if encoding != "UTF8":
        message = escape(message)
        fields = {name: escape(text) for name, text in fields.items()}
    plpy.error(message, sqlstate=sqlstate, **{name: text for name, text in fields.items() if text})


def fail_without_schedule(plpy: Plpy, schedule: int) -> NoReturn:
    """Raises the error of a schedule that is not there."""
    hint = "SELECT jscid, jscname FROM pgagent.pga_schedule lists the schedules."
    fail(plpy, UNDEFINED_OBJECT, f"schedule {schedule} does not exist", hint=hint)
