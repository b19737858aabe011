"""`manage.py demo`: once around the loop on this machine, with a real model, real workers and a table at the end."""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from accounts.models import User
from config import processes
from config.env import BASE_DIR
from rl.demo.loop import DemoError, Loop, Outcome, Size, go_around
from runs.models import Run

# Label and decimals of each row; arrows say which way is better.
MEASURES = {
    "utility_helpfulness": ("true helpfulness ↑", 2),
    "utility_harmlessness": ("true harmlessness ↑", 2),
    "reward": ("reward ↑", 2),
    "kl": ("KL to start, nats", 2),
    "tokens": ("length, tokens", 1),
}


class Command(BaseCommand):
    help = "Go once around the whole loop on this machine: prompts, responses, rankings, reward model, DPO, PPO."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--no-serve", action="store_true", help="exit at the end instead of serving the web UI")
        parser.add_argument("--port", type=int, default=8000, help="where the web UI listens (default 8000)")
        parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
        for size in fields(Size):
            flag = "--" + size.name.replace("_", "-")
            parser.add_argument(flag, type=type(size.default), default=size.default, help=f"default {size.default}")

    def handle(self, **options: Any) -> None:
        console = Console()
        # The progress lines say what happens; the platform's own log is under var/log.
        logging.getLogger().setLevel(logging.WARNING)
        size = Size(**{size.name: options[size.name] for size in fields(Size)})
        with _platform(options["port"], console) as url:
            passwords = _accounts()
            start = time.monotonic()
            with _Watch(console) as watch:
                loop = Loop(size, User.objects.get(username="admin"), watch.report)
                try:
                    outcome = go_around(loop, annotator=User.objects.get(username="annotator"))
                except DemoError as error:
                    raise CommandError(str(error)) from None
            _show(console, outcome, loop, time.monotonic() - start, url, passwords)
            if options["json"]:
                options["json"].write_text(json.dumps(outcome.figures(loop), indent=1) + "\n", encoding="utf-8")
            if not options["no_serve"]:
                console.print("\nServing. Press Ctrl-C to stop; [bold]make serve[/] starts it again with all its data.")
                with contextlib.suppress(KeyboardInterrupt):
                    signal.pause()


def _accounts() -> dict[str, str]:
    """The demo's logins get fresh random passwords each time: even on a laptop, no well-known ones."""
    passwords = {}
    for name, staff in (("admin", True), ("annotator", False)):
        user, _ = User.objects.get_or_create(username=name)
        passwords[name] = secrets.token_urlsafe(9)
        user.is_staff = user.is_superuser = staff
        user.set_password(passwords[name])
        user.save()
    return passwords


@contextlib.contextmanager
def _platform(port: int, console: Console) -> Iterator[str]:
    """The running platform: the one that is already there on this var/, or one of our own for as long as we need it."""
    url = f"http://127.0.0.1:{port}"
    with socket.socket() as probe:
        taken = probe.connect_ex(("127.0.0.1", port)) == 0
    if taken:
        raise CommandError(f"Port {port} is in use. Stop what runs there, or choose another: --port {port + 1}.")
    log = settings.VAR / "log" / "demo-serve.log"
    serve = processes.spawn([sys.executable, "manage.py", "serve", "--port", str(port)], log=log, cwd=BASE_DIR)
    try:
        console.print(f"Starting the platform on {url} …")
        _wait_until_ready(url, serve, log)
        yield url
    finally:
        processes.stop(serve, (signal.SIGTERM, 40))


def _wait_until_ready(url: str, serve: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if serve.poll() is not None:
            raise CommandError(f"The platform did not start:\n{processes.tail(log, 30)}")
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(f"{url}/readyz", timeout=2).close()
            return
        time.sleep(0.3)
    raise CommandError(f"The platform was not ready within two minutes; see {log}.")


class _Watch:
    """One progress line per phase of the loop."""

    def __init__(self, console: Console) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description:<28}"), BarColumn(32), TimeElapsedColumn())
        self.progress = Progress(*columns, TextColumn("[dim]{task.fields[note]}"), console=console)
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self) -> _Watch:
        self.progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self._finish()
        self.progress.stop()

    def report(self, name: str, run: Run | None) -> None:
        if name not in self.tasks:
            self._finish()
            self.tasks[name] = self.progress.add_task(name, total=None, note="")
        if run is not None:
            total = run.progress_total or None
            note = run.progress_note or run.get_state_display()
            self.progress.update(self.tasks[name], completed=run.progress_done, total=total, note=note)

    def _finish(self) -> None:
        for task in self.progress.tasks:
            if not task.finished:
                self.progress.update(task.id, total=task.total or 1, completed=task.total or 1, note="")


def _show(console: Console, outcome: Outcome, loop: Loop, seconds: float, url: str, passwords: dict[str, str]) -> None:
    prompts = outcome.held_out
    title = f"Before and after, on {prompts} held-out prompts: mean and 95 % interval"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for name in outcome.comparison:
        table.add_column(name, justify="right", no_wrap=True)
    for key, (label, digits) in MEASURES.items():
        figures = [measures[key] for measures in outcome.comparison.values()]
        table.add_row(label, *(_estimate(figure["estimate"], digits) for figure in figures))
        changes = (_estimate(figure["change"], digits) if figure["change"] else "" for figure in figures)
        table.add_row("  change", *changes, style="dim")
    console.print()
    console.print(table)
    console.print(
        "[dim]The annotators are simulated: a noisy judge of a known utility\n"
        "(annotate/simulation.py). Changes are against the starting model, by prompt.\n"
        "With so few prompts, believe the intervals."
    )
    accuracy = ", ".join(
        f"{dimension} {100 * a['value']:.0f} % [{100 * a['low']:.0f}, {100 * a['high']:.0f}]"
        for dimension, a in outcome.accuracy.items()
        if a.get("value") is not None
    )
    console.print(f"\nReward model, held out          {accuracy}", soft_wrap=True)
    console.print(f"Rankings exported to            {outcome.pairs}", soft_wrap=True)
    console.print(f"The loop took                   {seconds / 60:.1f} minutes")
    console.print(f"\n[bold]{url}[/]")
    for name, password in passwords.items():
        console.print(f"  {name:<10} {password}")


def _estimate(estimate: dict[str, float], digits: int) -> str:
    value, low, high = (f"{estimate[name]:.{digits}f}".replace("-", "−") for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
