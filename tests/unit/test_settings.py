"""The statements by which a step's session gets to know its job."""

from __future__ import annotations

from pgagent_py.session import compose_settings


def test_settings_are_plain_ascii_however_an_encoding_writes_them() -> None:
    text = "it's \\ \u00a5\n".encode() + "\u8868".encode("shift_jis")
    assert compose_settings({"pgagent.job_id": b"7", "pgagent.job_name": text}) == (
        rb"set pgagent.job_id = E'7'; set pgagent.job_name = E'it\x27s \x5c \xc2\xa5\x0a\x95\x5c'"
    )
