from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import pq

from pgagent_py.target import (
    SETTINGS_OF_SUPERUSERS,
    InvalidTarget,
    Loopback,
    advise_login,
    compose,
    parse,
    quote,
    redact,
    remote_target,
)

LOOPBACK = Loopback(
    host="/run/postgresql",
    port="5432",
    dbname="jobs",
    user="postgres",
    overrides="",
    encoding="UTF8",
    connect_timeout_seconds=10.0,
    session_idle_timeout_seconds=30.0,
    step_application_name="pgagent_py step 1/2",
)

VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


def settings_of(conninfo: bytes) -> dict[str, str]:
    """Return what libpq reads in a connection string."""
    options = pq.Conninfo.parse(conninfo)
    return {option.keyword.decode(): option.val.decode() for option in options if option.val is not None}


@given(VALUES, VALUES, VALUES)
def test_settings_are_never_joined_as_text(dbname: str, user: str, password: str) -> None:
    settings = {"dbname": dbname, "user": user, "password": password}
    assert settings_of(compose(settings)) == settings
    assert parse(compose(settings).decode()) == settings


@pytest.mark.parametrize("dbname", ["jobs", "it's", "a b", "back\\slash", "port=1 host=evil", "größer", "' host='evil"])
def test_step_in_a_database_of_this_server(dbname: str) -> None:
    settings = settings_of(LOOPBACK.step_target(dbname, "postgres").conninfo)
    assert settings["dbname"] == dbname
    assert (settings["host"], settings["port"], settings["user"]) == ("/run/postgresql", "5432", "postgres")
    assert settings["application_name"] == "pgagent_py step 1/2"
    options = settings["options"].split(" -c ")
    assert "client_connection_check_interval=500" in options
    assert "idle_session_timeout=30000" in options
    assert "pgagent.step=on" in settings["options"]


def test_sessions_of_this_server_are_used_again_but_not_until_the_server_closes_them() -> None:
    target = LOOPBACK.step_target("jobs", "postgres")
    assert target.is_own_server
    assert 0 < target.kept_seconds < LOOPBACK.session_idle_timeout_seconds
    assert target == LOOPBACK.step_target("jobs", "postgres")
    assert target != LOOPBACK.step_target("other", "postgres")


def test_sessions_of_other_databases_are_kept_for_less_time_than_drop_database_waits() -> None:
    assert LOOPBACK.step_target("other", "postgres").kept_seconds < 5


def test_settings_of_the_installation_go_before_the_defaults() -> None:
    loopback = replace(LOOPBACK, overrides="host=127.0.0.1 port=6432 user=jobs password='it''s' sslmode=disable")
    with pytest.raises(InvalidTarget):
        loopback.step_target("jobs", "postgres")
    loopback = replace(LOOPBACK, overrides="host=127.0.0.1 port=6432 user=jobs password='it\\'s' sslmode=disable")
    for conninfo in (loopback.step_target("other", "jobs").conninfo, loopback.control_conninfo()):
        settings = settings_of(conninfo)
        assert (settings["host"], settings["port"], settings["user"]) == ("127.0.0.1", "6432", "jobs")
        assert (settings["password"], settings["sslmode"]) == ("it's", "disable")


def test_an_owner_logs_in_as_himself_and_not_with_anothers_password() -> None:
    loopback = replace(LOOPBACK, overrides="host=127.0.0.1 user=jobs password=secret")
    settings = settings_of(loopback.step_target("other", "alice' user='jobs").conninfo)
    assert (settings["user"], settings["host"]) == ("alice' user='jobs", "127.0.0.1")
    assert "password" not in settings


@pytest.mark.parametrize("name", SETTINGS_OF_SUPERUSERS)
@pytest.mark.parametrize("value", ["/tmp/x", ""])
def test_connection_string_of_a_job_user_names_no_file_of_the_server(name: str, value: str) -> None:
    connstr = compose({"host": "there", "password": "secret", name: value}).decode()
    try:
        parse(connstr)
    except InvalidTarget:
        return  # this libpq does not know the setting
    with pytest.raises(InvalidTarget, match=name):
        remote_target(connstr, 10, "step", is_superuser=False)
    assert not remote_target(connstr, 10, "step").needs_password


@pytest.mark.parametrize("connstr", ["host=there user=u", "host=there password=''", "postgresql://u@there/d"])
def test_connection_string_of_a_job_user_has_a_password(connstr: str) -> None:
    with pytest.raises(InvalidTarget, match="password is required"):
        remote_target(connstr, 10, "step", is_superuser=False)


def test_password_of_a_job_user_must_be_asked_for() -> None:
    assert remote_target("postgresql://u:p@there/d", 10, "step", is_superuser=False).needs_password


def test_advice_quotes_names_that_need_it() -> None:
    advice = advise_login("job user", "jobs", "postgres")
    assert 'local jobs "job user" peer map=pgagent_py' in advice
    assert 'pgagent_py postgres "job user"' in advice


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("jobs", "jobs"),
        ("all", '"all"'),
        ("replication", '"replication"'),
        ("two words", '"two words"'),
        ('q"uote', '"q""uote"'),
        ("+group", '"+group"'),
        ("größer", '"größer"'),
        ("x\nlocal all all trust", "DATABASE"),
        ("\u2028", "DATABASE"),
    ],
)
def test_advice_has_one_line_for_one_name(name: str, written: str) -> None:
    """Whoever names a database in a step must not write lines for pg_hba.conf."""
    assert f"\nlocal {written} alice peer map=pgagent_py\n" in advise_login("alice", name, "postgres")


def test_settings_of_the_installation_do_not_choose_the_database_or_the_name() -> None:
    loopback = replace(LOOPBACK, overrides="dbname=evil application_name=mine options='-c work_mem=64MB'")
    step = settings_of(loopback.step_target("other", "postgres").conninfo)
    assert (step["dbname"], step["application_name"]) == ("other", "pgagent_py step 1/2")
    assert step["options"].startswith("-c work_mem=64MB -c ")
    assert settings_of(loopback.control_conninfo())["dbname"] == "jobs"


def test_control_session_is_out_of_reach_of_roles_and_databases_settings() -> None:
    settings = settings_of(LOOPBACK.control_conninfo())
    assert settings["application_name"] == "pgagent_py engine"
    assert settings["client_encoding"] == "UTF8"
    for option in (
        "role=none",
        "statement_timeout=0",
        "default_transaction_read_only=off",
        "search_path=pg_catalog,pg_temp",
        "role=none",
        "log_parameter_max_length_on_error=0",
        "datestyle=ISO,YMD",
        "timezone=UTC",
    ):
        assert f"-c {option}" in settings["options"]


def test_connection_string_of_a_step_is_used_alone() -> None:
    target = remote_target("host=there dbname=d user=u password='p w'", 10, "pgagent_py step 1/2")
    assert settings_of(target.conninfo) == {
        "host": "there",
        "dbname": "d",
        "user": "u",
        "password": "p w",
        "fallback_application_name": "pgagent_py step 1/2",
    }
    assert not target.is_own_server


def test_uri_of_a_step() -> None:
    target = remote_target("postgresql://u:p%40w@there:6432/d?sslmode=require&application_name=mine", 10, "step")
    settings = settings_of(target.conninfo)
    assert (settings["user"], settings["password"], settings["host"]) == ("u", "p@w", "there")
    assert (settings["port"], settings["dbname"], settings["sslmode"]) == ("6432", "d", "require")
    assert settings["application_name"] == "mine"


@pytest.mark.parametrize(
    ("connstr", "seconds"),
    [
        ("", 10.0),
        ("connect_timeout=3", 3.0),
        ("connect_timeout=' 3 '", 3.0),
        ("connect_timeout=1", 1.0),
        ("connect_timeout=0", 10.0),
        ("connect_timeout=-1", 10.0),
        ("connect_timeout=rubbish", 10.0),
        ("postgresql://there/?connect_timeout=7", 7.0),
    ],
)
def test_connect_timeout_of_a_step(connstr: str, seconds: float) -> None:
    """libpq's own applies to blocking connections only; it must not reach it twice."""
    target = remote_target(connstr, 10.0, "step")
    assert target.connect_timeout_seconds == seconds
    assert "connect_timeout" not in settings_of(target.conninfo)


@pytest.mark.parametrize(
    "connstr",
    [
        "Geheimnis",
        "password=Geheimnis rubbish",
        "password='Geheimnis",
        "Geheimnis=1",
        "postgresql://u:Geheimnis%zz@there/d",
        "postgresql://u:Geheimnis@[::1/d",
        "postgresql://there/d?Geheimnis=1",
        "postgresql://there/d?password=Geheimnis&x",
    ],
)
def test_complaint_about_a_connection_string_shows_nothing_of_it(connstr: str) -> None:
    with pytest.raises(InvalidTarget) as caught:
        remote_target(connstr, 10, "step")
    assert "Geheimnis" not in str(caught.value)
    assert str(caught.value).strip()
    assert caught.value.__cause__ is None


def test_redact_hides_what_is_quoted() -> None:
    assert redact('missing "=" after "Geheimnis" in it') == 'missing "..." after "..." in it'


@pytest.mark.parametrize(
    ("value", "quoted"), [("", "''"), ("a", "'a'"), ("a'b", "'a\\'b'"), ("a\\b", "'a\\\\b'"), ("a b", "'a b'")]
)
def test_quote(value: str, quoted: str) -> None:
    assert quote(value) == quoted
