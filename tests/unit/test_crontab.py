"""Crontabs as jobs documents: times, names, scripts, users, and the report of what has no counterpart."""

from __future__ import annotations

import subprocess
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from pgagent_cli.conversion import Finding, Owners
from pgagent_cli.crontab import Options, convert

DEBIAN = """\
# Edit this file to introduce tasks to be run by cron.
#
# Each task to run has to be defined through a single line
# For more information see the manual pages of crontab(5) and cron(8)
#
# m h  dom mon dow   command
0 5 * * 1 tar -zcf /var/backups/home.tgz /home/
"""

SYSTEM = """\
# /etc/crontab: system-wide crontab
SHELL=/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin

# Example of job definition:
# .---------------- minute (0 - 59)
# |  .------------- hour (0 - 23)
# |  |  .---------- day of month (1 - 31)
# |  |  |  .------- month (1 - 12) OR jan,feb,mar,apr ...
# |  |  |  |  .---- day of week (0 - 6) (Sunday=0 or 7) OR sun,mon,tue,wed,thu,fri,sat
# |  |  |  |  |
# *  *  *  *  * user-name command to be executed
17 *\t* * *\troot\tcd / && run-parts --report /etc/cron.hourly
25 6\t* * *\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }
*/5 * * * *\twww-data\t/srv/app/bin/tick  >> /var/log/tick.log 2>&1
"""


def jobs(text: str, options: Options | None = None) -> list[dict[str, Any]]:
    """The jobs of a crontab."""
    document = convert(dedent(text), options or Options(timezone="UTC")).document
    assert document["version"] == 1
    found: list[dict[str, Any]] = document["jobs"]
    return found


def job(text: str, options: Options | None = None) -> dict[str, Any]:
    (found,) = jobs(text, options)
    return found


def script(text: str) -> str:
    found: str = job(text)["steps"][0]["batch"]
    return found


def findings(text: str, options: Options | None = None, *, kind: str = "left out") -> list[Finding]:
    return [one for one in convert(dedent(text), options or Options()).findings if one.kind == kind]


def test_line_becomes_a_job() -> None:
    assert job("30 2 * * 1-5 /usr/local/bin/backup --full\n", Options()) == {
        "name": "backup --full",
        "steps": [{"name": "01", "batch": "cd\n/usr/local/bin/backup --full\n"}],
        "schedules": [{"name": "30 2 * * 1-5", "cron": "30 2 * * 1-5"}],
    }


def test_empty_crontab_is_an_empty_document() -> None:
    converted = convert("# nothing\n\n")
    assert converted.document == {"version": 1, "jobs": []}
    assert converted.findings == ()


def test_debians_own_comment_names_nothing() -> None:
    found = job(DEBIAN)
    assert found["name"] == "tar -zcf /var/backups/home.tgz /home/"
    assert "description" not in found


def test_comment_above_a_line_names_its_job() -> None:
    found = job("""\
        # Something else

        # Nightly backup.
        # Takes about an hour.
        # 0 1 * * * /usr/local/bin/old-backup
        30 2 * * * backup
        """)
    assert (found["name"], found["description"]) == ("Nightly backup", "Takes about an hour.")


def test_comment_above_several_lines_describes_them() -> None:
    first, second = jobs("""\
        # Backups:
        0 1 * * * backup one
        0 2 * * * backup two
        """)
    assert [one["name"] for one in (first, second)] == ["backup one", "backup two"]
    assert first["description"] == second["description"] == "Backups:"


def test_long_names_are_cut_and_equal_ones_numbered() -> None:
    names = [one["name"] for one in jobs(f"0 1 * * * x {'y' * 80}\n0 2 * * * a >/dev/null 2>&1\n0 3 * * * /bin/a\n")]
    assert names == [f"x {'y' * 55}...", "a", "a (2)"]


def test_both_kinds_of_days_become_two_schedules_and_a_note() -> None:
    text = "0 5 1 * mon report\n"
    assert [one["cron"] for one in job(text)["schedules"]] == ["0 5 1 * *", "0 5 * * mon"]
    (note,) = findings(text, Options(timezone="UTC"), kind="note")[:1]
    assert (note.place, "two schedules" in note.text) == ("line 1", True)


def test_variables_directory_and_shell_go_into_the_script() -> None:
    text = """\
        SHELL=/bin/bash
        PATH = "/opt/it's/bin:/usr/bin"
        'GREETING' = ' hello '
        0 * * * * greet
        GREETING=bye
        """
    assert script(text) == dedent("""\
        #!/bin/bash
        export PATH='/opt/it'"'"'s/bin:/usr/bin'
        export GREETING=' hello '
        cd
        greet
        """)


def test_percent_signs_are_line_ends_of_the_input() -> None:
    text = r"0 * * * * cat; date +\%F%one%two \% three%END_OF_INPUT"
    assert script(text) == dedent("""\
        cd
        exec <<'END_OF_INPUT_'
        one
        two % three
        END_OF_INPUT
        END_OF_INPUT_
        cat; date +%F
        """)


def test_script_does_what_cron_does(tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    text = f'HOME={tmp_path}\nWHO="a \'b\' $c"\n0 * * * * ls; printf "\\%s|" "$WHO"; cat%first%second\n'
    done = subprocess.run(["/bin/sh", "-c", script(text)], capture_output=True, text=True, check=True)
    assert done.stdout == "here\na 'b' $c|first\nsecond\n"


def test_system_crontab_names_users() -> None:
    options = Options(has_users=True, owners=Owners({"root": "postgres"}, "batch"), timezone="UTC")
    hourly, daily, tick = jobs(SYSTEM, options)
    assert hourly["name"] == "cd / && run-parts --report /etc/cron.hourly"
    assert daily["name"] == "test -x /usr/sbin/anacron || { cd / && run-parts --report..."
    assert tick["name"] == "tick"
    assert [one["owner"] for one in (hourly, daily, tick)] == ["postgres", "postgres", "batch"]
    assert hourly["schedules"] == [{"name": "17 * * * *", "cron": "17 * * * *", "timezone": "UTC"}]
    differing = findings(SYSTEM, options, kind="differs")
    assert [one.place for one in differing] == ["lines 13, 14", "line 15"]
    assert "--run-as www-data" in differing[1].remedy


def test_prefix_owner_and_zone() -> None:
    found = job("@daily a\n", Options(prefix="web: ", owners=Owners(others="alice"), timezone="Europe/Berlin"))
    assert (found["name"], found["owner"]) == ("web: a", "alice")
    assert found["schedules"] == [{"name": "@daily", "cron": "@daily", "timezone": "Europe/Berlin"}]


def test_zone_of_the_crontab_wins() -> None:
    text = "CRON_TZ=Asia/Tokyo\n0 0 * * * a\n"
    assert job(text)["schedules"][0]["timezone"] == "Asia/Tokyo"
    assert script(text) == "cd\na\n"
    assert not [one for one in findings(text, kind="note") if "time zone" in one.remedy]


def test_without_a_zone_the_report_says_whose_times_they_are() -> None:
    assert [one.remedy for one in findings("0 0 * * * a", kind="note") if "times" in one.text] == [
        "--timezone names a time zone for them."
    ]


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("@reboot a", "line 1", "names no time"),
        ("\n0 0 * * *", "line 2", "not a time and a command"),
        ("61 * * * * a", "line 1", "no minute"),
        ("5/10 * * * * a", "line 1", "alike"),
        ("MAILTO=root\n* * * * * a", "line 1", "no mail is sent"),
        ("RANDOM_DELAY=10\n* * * * * a", "line 1", "start at their time"),
        ("a.b=1\n* * * * * a", "line 1", "no name of a variable"),
        ("nonsense", "line 1", '"nonsense" has not'),
    ],
)
def test_what_has_no_counterpart_is_reported(text: str, place: str, reason: str) -> None:
    (found,) = findings(text)
    assert (found.place, reason in found.text) == (place, True), found


def test_no_mail_wanted_is_no_finding() -> None:
    assert findings('MAILTO=""\n* * * * * a') == []


def test_foreign_shell_is_told_of() -> None:
    (found,) = findings("SHELL=/usr/bin/fish\n* * * * * a", kind="differs")
    assert "/usr/bin/fish" in found.text


def test_report_is_in_order_of_lines() -> None:
    text = "MAILTO=x\n@reboot a\n0 0 1 * 1 b\nwrong\n"
    places = [one.place for one in convert(text).findings]
    assert places == ["line 1", "line 2", "line 3", "line 4", "", "", ""]


def test_hyphen_of_cronie_and_line_ends_of_windows() -> None:
    assert job("-*/5 * * * * a\r\n")["steps"] == [{"name": "01", "batch": "cd\na\n"}]
