#!/bin/sh
# The demo: a server and a ticker of its own, a job defined as pgAdmin does it, its run and its log.
#   docs/demo/demo.sh start     what "make demo" runs once the extension is installed; may be repeated
#   docs/demo/demo.sh stop      ends both and removes all of it
# The server listens on a Unix socket in a directory of its own and nowhere else.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
bin=$("$("$root/.ci/deps" --pg-config)" --bindir)
python=$("$root/.ci/deps" --python)

# PostgreSQL does not run as root.
if [ "$(id -u)" = 0 ]; then user=postgres; else user=$(id -un); fi

say() { printf '%s\n' "demo: $*"; }
fail() { printf '%s\n' "demo: $*" >&2; exit 1; }

as_user() {
    if [ "$(id -un)" = "$user" ]; then
        "$@"
    else
        setpriv --reuid "$user" --regid "$user" --init-groups -- "$@"
    fi
}

# Runs a command as the server's user, without the caller's PG* and PYTHON* variables.
isolated() { as_user env -i PATH="$bin:/usr/bin:/bin" LANG=C.UTF-8 HOME="$place" "$@"; }

# .demo in the checkout if the server's user can reach it and its path suits a socket, otherwise in /var/tmp.
choose_place() {
    place=$root/.demo
    case $place in
        *[!A-Za-z0-9/._-]*) ;;
        *) [ ${#place} -gt 80 ] || ! as_user test -x "$root" || return 0 ;;
    esac
    place=/var/tmp/pgagent_py-demo-$(id -u)
}

make_place() {
    if [ ! -e "$place" ]; then
        say "making $place"
        install -d -m 700 -o "$user" -g "$(id -gn "$user")" "$place"
    fi
    check_owner
}

check_owner() {
    owner=$(stat -c %U "$place")
    [ "$owner" = "$user" ] || fail "$place belongs to user $owner: run this as that user, or remove it"
}

query() { isolated psql -X -q -A -t -v ON_ERROR_STOP=1 -h "$place" -U postgres -d postgres "$@"; }

show() { isolated psql -X -q -P pager=off -v ON_ERROR_STOP=1 -h "$place" -U postgres -d postgres -c "$1"; }

server_runs() { isolated pg_isready -q -h "$place"; }

start_server() {
    if server_runs; then
        say "the server is running already"
        return
    fi
    if [ ! -e "$place/settings-written" ]; then
        say "making a cluster with $("$bin/postgres" --version)"
        isolated rm -rf "$place/data"
        isolated initdb -D "$place/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 >"$output" 2>&1
        printf "%s\n" "listen_addresses = ''" "unix_socket_directories = '$place'" |
            isolated tee -a "$place/data/postgresql.conf" >/dev/null
        isolated touch "$place/settings-written"
    fi
    say "starting the server, log in $place/server.log"
    isolated pg_ctl -D "$place/data" -l "$place/server.log" -w start >"$output" 2>&1
}

create_extension() {
    say "create extension if not exists pgagent_py cascade"
    query -c 'set client_min_messages = warning' -c 'create extension if not exists pgagent_py cascade'
    built=$(cksum <"$root/extension/build/pgagent_py--1.0.sql")
    [ -e "$place/built" ] || printf '%s\n' "$built" | isolated tee "$place/built" >/dev/null
    [ "$(isolated cat "$place/built")" = "$built" ] ||
        say "the extension was built anew since: the demo goes on with the old one until make demo-stop"
}

ticker_pid() {
    pid=$(isolated cat "$place/ticker.pid" 2>/dev/null) || return 1
    tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q "pgagent_ticker .*host=$place " && echo "$pid"
}

start_ticker() {
    if pid=$(ticker_pid); then
        say "the ticker is running already, process $pid"
        return
    fi
    # A copy: root's checkout may be closed to the server's user.
    isolated rm -rf "$place/ticker"
    tar -C "$root" -cf - ticker/pgagent_ticker | isolated tar -C "$place" -xf -
    isolated sh -c '
        cd "$1"
        PYTHONPATH=$1/ticker setsid "$2" -m pgagent_ticker -l 2 "host=$1 dbname=postgres user=postgres" \
            </dev/null >>ticker.log 2>&1 &
        echo $! >ticker.pid' sh "$place" "$python"
    say "started the ticker as user $user, log in $place/ticker.log"
}

define_job() {
    name="demo $(date '+%H:%M:%S')"
    jobid=$(query -v name="$name" -f - <"$root/docs/demo/job.sql")
    say "defined job $jobid, \"$name\": two SQL steps (one of them a VACUUM) and a shell step, every minute"
}

# The state of the job's first run in words; the text changes when there is something to tell.
progress() {
    query -v jobid="$jobid" -f - <<'SQL'
select coalesce(
    (select case jlgstatus
                when 'r' then 'running, ' || count(jslid) || ' steps begun'
                else 'ended: ' || jlgstatus end
     from pgagent.pga_joblog left join pgagent.pga_jobsteplog on jsljlgid = jlgid
     where jlgjobid = :jobid group by jlgid order by jlgid limit 1),
    (select 'due at ' || to_char(jobnextrun, 'HH24:MI:SS')
            || case when jobnextrun > clock_timestamp() then ', in about '
                    || ceil(extract(epoch from jobnextrun - clock_timestamp()) / 10) * 10 || ' s'
               else '' end
     from pgagent.pga_job where jobid = :jobid),
    'no next run')
SQL
}

wait_for_run() {
    last=
    end=$(($(date +%s) + 150))
    while [ "$(date +%s)" -lt "$end" ]; do
        now=$(progress)
        [ "$now" = "$last" ] || say "$now"
        last=$now
        case $now in ended:*) return ;; esac
        ticker_pid >/dev/null || fail "the ticker has ended"
        sleep 0.5
    done
    fail "the job has not run within 150 s"
}

show_logs() {
    printf '\npgagent.pga_joblog\n'
    show "select jlgid, jlgjobid, jlgstatus, jlgstart, jlgduration from pgagent.pga_joblog
          where jlgjobid = $jobid order by jlgid"
    printf 'pgagent.pga_jobsteplog\n'
    show "select jslid, jstname, jslstatus, jslresult, jslduration, rtrim(jsloutput, E'\n') as jsloutput
          from pgagent.pga_jobsteplog join pgagent.pga_jobstep on jstid = jsljstid
          where jstjobid = $jobid order by jslid"
}

show_tail() {
    cat "$output"
    for log in server.log ticker.log; do
        printf '%s\n' "--- the last lines of $place/$log"
        isolated tail -n 20 "$place/$log" || true
    done
}

on_exit() {
    status=$?
    [ $status = 0 ] || { say "failed (exit status $status)"; show_tail; } >&2
    rm -f "$output"
    exit $status
}

start() {
    output=$(mktemp)
    trap on_exit EXIT
    make_place
    start_server
    create_extension
    start_ticker
    define_job
    wait_for_run
    show_logs
    [ "$last" = 'ended: s' ] || fail "the job did not succeed"
    say "look further:  $bin/psql -h $place -U postgres"
    say "               select * from pgagent.jobs;"
    say "or:            $root/.venv/bin/pgagent-py -h $place -U postgres -d postgres top"
    say "the job runs every minute until you say:  make demo-stop"
}

stop() {
    if [ ! -e "$place" ]; then
        say "there is no demo in $place"
        return
    fi
    check_owner
    if pid=$(ticker_pid); then
        say "ending the ticker"
        isolated sh -c "kill $pid"
        end=$(($(date +%s) + 20))
        while ticker_pid >/dev/null && [ "$(date +%s)" -lt "$end" ]; do sleep 0.1; done
        ! ticker_pid >/dev/null || isolated sh -c "kill -9 $pid"
    fi
    if isolated test -e "$place/data/postmaster.pid"; then
        say "stopping the server"
        isolated pg_ctl -D "$place/data" -m fast -w stop >/dev/null ||
            say "it did not stop: a server whose directory is gone ends by itself within a minute"
    fi
    rm -rf "$place"
    say "removed $place"
}

choose_place
cd /
case ${1:-} in
    start) start ;;
    stop) stop ;;
    *) fail 'usage: demo.sh start | stop' ;;
esac
