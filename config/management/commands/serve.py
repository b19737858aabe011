"""`manage.py serve`: the whole platform in the foreground, until Ctrl-C."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connections

from config import embedded, processes, static
from config.stack import Stack, platform

READY_SECONDS = 90.0


class Command(BaseCommand):
    help = "Run the whole platform: embedded servers, migrations, web, workers and beat. Ctrl-C stops all of it."
    requires_system_checks: list[str] = []  # migrate runs them, once there is a database

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="where the web UI listens (default 127.0.0.1)")
        parser.add_argument("--port", type=int, default=8000, help="default 8000")
        parser.add_argument("--workers", type=int, default=2, help="web processes (default 2)")

    def handle(self, *, host: str, port: int, workers: int, **options: Any) -> None:
        var: Path = settings.VAR
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM and a closed terminal mean Ctrl-C
        signal.signal(signal.SIGHUP, signal.default_int_handler)
        url = f"http://{reachable(host)}:{port}"
        stack = Stack(platform(host=host, port=port, workers=workers), logs=var / "log", say=self.say)
        began = time.monotonic()
        with only_one(var, url), self.stopping(stack, var):
            refuse_taken_port(host, port)
            self.prepare(var)
            stack.start()
            self.await_ready(stack, url)
            self.welcome(url, var, time.monotonic() - began)
            while True:
                stack.watch()
                time.sleep(0.2)

    def prepare(self, var: Path) -> None:
        try:
            if settings.EMBEDDED:
                self.say("Starting PostgreSQL and Valkey …")
                embedded.ensure(var)
            call_command("migrate", interactive=False, verbosity=0)
        except (embedded.EmbeddedServerError, OperationalError) as error:
            raise CommandError(str(error).strip()) from None
        finally:
            connections.close_all()
        static.collect_if_changed()

    def await_ready(self, stack: Stack, url: str) -> None:
        web = next(child for child in stack.children if child.name == "web")

        def ready() -> bool:
            stack.watch()
            try:
                return urllib.request.urlopen(f"{url}/readyz", timeout=5).status == 200
            except (urllib.error.URLError, OSError):
                return False

        if not processes.wait_until(ready, READY_SECONDS, 0.1):
            raise CommandError(f"The web server is not ready. The end of its log:\n{processes.tail(stack.log(web))}")

    def welcome(self, url: str, var: Path, seconds: float) -> None:
        from accounts.models import User

        self.say(f"\nPlumbline is running at {self.style.MIGRATE_HEADING(url)}  ({seconds:.1f} s)")
        self.say(f"  data  {var}\n  logs  {var / 'log'}")
        try:
            if not User.objects.filter(is_staff=True, is_active=True).exists():
                self.say("  There is no admin yet: python manage.py createsuperuser")
        finally:
            connections.close_all()
        self.say("Press Ctrl-C to stop.\n")

    @contextlib.contextmanager
    def stopping(self, stack: Stack, var: Path) -> Iterator[None]:
        """Whatever ends the platform, nothing of it is left."""
        try:
            yield
        except KeyboardInterrupt:
            self.say("\nStopping …")
        finally:
            for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(signum, signal.SIG_IGN)  # it is under way, and bounded
            stack.stop()
            if settings.EMBEDDED:
                connections.close_all()
                embedded.release(var)
                if not embedded.wait_until_stopped(var):
                    self.say("The database stays up: another process uses it, and it stops when that one ends.")
            self.say("Stopped.")

    def say(self, text: str) -> None:
        with contextlib.suppress(OSError):  # the terminal may be gone
            self.stdout.write(text)
            self.stdout.flush()


@contextlib.contextmanager
def only_one(var: Path, url: str) -> Iterator[None]:
    """Refuse a second platform on the same var/. The lock goes with the process, however it ends."""
    (var / "run").mkdir(parents=True, exist_ok=True)
    with (var / "run" / "serve.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            with contextlib.suppress(ValueError, KeyError):
                other = json.loads(file.read())
                raise CommandError(
                    f"Plumbline is already running on {var}: {other['url']}, process {other['pid']}. "
                    "Stop it first, or set PLUMBLINE_VAR to another folder."
                ) from None
            raise CommandError(f"Plumbline is already running on {var}.") from None
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "url": url}))
        file.flush()
        yield
        file.truncate(0)


def reachable(host: str) -> str:
    """How this machine calls a server that listens on `host`."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"[{host}]" if ":" in host else host


def refuse_taken_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise CommandError(f"Cannot listen on {host}:{port} ({error}). Choose another: --port, --host.") from None
