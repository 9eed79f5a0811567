"""``python -m api``: start the web service, a runner, or both; ask whether they are well."""

import os
import signal
import subprocess
import sys
import threading
import time
from typing import Annotated

import httpx
import typer
import uvicorn

from api import runner as work
from api.app import create_app
from api.log import configure
from api.settings import load
from fewstep.errors import FewstepError

cli = typer.Typer(add_completion=False, no_args_is_help=True, help="The fewstep service.")

RESTART_SECONDS = 1.0
GRACE_SECONDS = 2  # for event streams that are still open


@cli.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; by default loopback.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    runner: Annotated[bool, typer.Option(help="Start a runner beside the web service.")] = True,
) -> None:
    """Start the web service and dashboard, and a runner beside it."""
    settings = load(**{name: value for name, value in {"host": host, "port": port}.items() if value is not None})
    configure(settings)
    over = threading.Event()
    keeper = threading.Thread(target=_keep_runner, args=(over,), name="runner-keeper")
    if runner:
        keeper.start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # the web server hands the signal on when it has finished
    try:
        typer.echo(f"fewstep serves http://{settings.host}:{settings.port}")
        uvicorn.run(
            create_app(settings),
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    finally:
        over.set()
        if runner:
            keeper.join()


@cli.command()
def runner(
    parent: Annotated[int | None, typer.Option(help="Stop when this process is no longer the parent.")] = None,
) -> None:
    """Work on queued searches until told to stop."""
    settings = load()
    configure(settings)
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    if parent is not None:
        threading.Thread(target=_follow_parent, args=(parent, stop), name="parent-watch", daemon=True).start()
    work.serve(settings, stop)


@cli.command()
def healthy(what: Annotated[str, typer.Argument(help="api or runner")]) -> None:
    """Exit with 0 where the web service is ready, or a runner alive, by the settings at hand."""
    settings = load()
    if what == "api":
        httpx.get(f"http://127.0.0.1:{settings.port}/readyz").raise_for_status()
    elif what == "runner":
        silence = time.time() - work.alive_file(settings.data_dir).stat().st_mtime
        if silence > 2 * settings.lease_seconds:
            raise typer.Exit(1)
    else:
        raise typer.BadParameter("say api or runner")


def _keep_runner(over: threading.Event) -> None:
    """Keep one runner process alive until ``over``; one that dies is replaced."""
    while not over.is_set():
        child = subprocess.Popen([sys.executable, "-m", "api", "runner", "--parent", str(os.getpid())])
        while child.poll() is None and not over.wait(0.2):
            pass
        if over.is_set():
            child.terminate()
            child.wait()
        else:
            over.wait(RESTART_SECONDS)


def _follow_parent(parent: int, stop: threading.Event) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    stop.set()


def main() -> None:
    """Entry point: errors that fewstep raises on purpose become one line."""
    try:
        cli()
    except FewstepError as error:
        typer.secho(f"fewstep: {error}", err=True, fg="red")
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
