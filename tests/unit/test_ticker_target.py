from __future__ import annotations

import pytest

from pgagent_ticker.target import BadConninfo, read_target, resolve

PG_VARIABLES = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGSERVICE", "PGCONNECT_TIMEOUT", "PGPASSWORD", "PGOPTIONS")


@pytest.fixture(autouse=True)
def _no_pg_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PG_VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_a_dead_link_is_noticed_by_default() -> None:
    (attempt,) = read_target("host=/run").attempts
    assert attempt["keepalives_idle"] == "10"
    assert attempt["tcp_user_timeout"] == "20000"
    assert attempt["fallback_application_name"] == "pgagent-ticker"


def test_the_user_has_the_last_word() -> None:
    (attempt,) = read_target("host=/run keepalives_idle=99 application_name=mine").attempts
    assert attempt["keepalives_idle"] == "99"
    assert attempt["application_name"] == "mine"
    assert "target_session_attrs" not in attempt


def test_settings_of_roles_and_databases_do_not_reach_the_ticker_but_the_users_own_do() -> None:
    (attempt,) = read_target("options='-c statement_timeout=5s -c geqo=off'").attempts
    assert attempt["options"].startswith("-c role=none -c statement_timeout=0 ")
    assert attempt["options"].endswith(" -c statement_timeout=5s -c geqo=off")


def test_client_encoding_is_ours() -> None:
    assert read_target("client_encoding=LATIN1").attempts[0]["client_encoding"] == "UTF8"


@pytest.mark.parametrize(
    ("conninfo", "expected"),
    [("", 10.0), ("connect_timeout=3", 3.0), ("connect_timeout=1", 2.0), ("connect_timeout=0", None)],
)
def test_connect_timeout(conninfo: str, expected: float | None) -> None:
    assert read_target(conninfo).timeout_seconds == expected


def test_connect_timeout_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "7")
    assert read_target("").timeout_seconds == 7.0


def test_each_host_is_an_attempt() -> None:
    attempts = read_target("postgresql://a:1,b:2/db").attempts
    assert [(one["host"], one["port"]) for one in attempts] == [("a", "1"), ("b", "2")]
    attempts = read_target("host=a,b port=5").attempts
    assert [(one["host"], one["port"]) for one in attempts] == [("a", "5"), ("b", "5")]


def test_hosts_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "a,b")
    assert [one["host"] for one in read_target("dbname=x").attempts] == ["a", "b"]
    assert [one["host"] for one in read_target("host=c").attempts] == ["c"]


def test_each_address_is_a_connection_string() -> None:
    found = resolve({"host": "localhost", "port": "5"})
    assert "hostaddr=127.0.0.1" in " ".join(found)
    assert all("host=localhost" in one for one in found)


@pytest.mark.parametrize("attempt", [{"host": "/run"}, {"host": "@x"}, {"dbname": "d"}, {"hostaddr": "::1"}])
def test_what_needs_no_resolving(attempt: dict[str, str]) -> None:
    (found,) = resolve(attempt)
    assert found.count("=") == len(attempt)


def test_passwords_are_known_and_never_shown() -> None:
    target = read_target("host=/run password=geheim123")
    assert target.password_given
    assert target.redact("the word geheim123 here") == "the word *** here"
    assert "geheim123" not in repr(target).replace(repr(target.attempts), "")
    assert not read_target("host=/run").password_given


def test_the_password_of_the_environment_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "geheim123")
    target = read_target("host=/run")
    assert target.redact("the word geheim123 here") == "the word *** here"
    assert not target.password_given


@pytest.mark.parametrize(
    "conninfo",
    [
        "password=top secret99",
        "password='top secret99",
        "postgresql://u:secret99%zz@host/db",
        "password=x connect_timeout=secret99",
    ],
)
def test_a_bad_string_is_refused_without_showing_a_password(conninfo: str) -> None:
    with pytest.raises(BadConninfo) as refusal:
        read_target(conninfo)
    assert "secret99" not in str(refusal.value)


def test_a_bad_string_without_a_password_is_explained() -> None:
    with pytest.raises(BadConninfo, match='invalid connection option "hots"'):
        read_target("hots=a")
