"""``python -m api``: start the web service, a runner, or both; health checks of either."""

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

from api import runner as runner_process
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
    options = {"host": host, "port": port}
    settings = load(**{name: value for name, value in options.items() if value is not None})
    configure(settings)
    stop = threading.Event()
    keeper = threading.Thread(target=_keep_runner, args=(stop,), name="runner-keeper")
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
        stop.set()
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
    runner_process.serve(settings, stop)


@cli.command()
def healthy(process: Annotated[str, typer.Argument(help="api or runner")]) -> None:
    """Exit with 0 where the web service is ready, or a runner alive, by the present settings."""
    settings = load()
    if process == "api":
        httpx.get(f"http://127.0.0.1:{settings.port}/readyz").raise_for_status()
    elif process == "runner":
        silence = time.time() - runner_process.alive_file(settings.data_dir).stat().st_mtime
        if silence > 2 * settings.lease_seconds:
            raise typer.Exit(1)
    else:
        raise typer.BadParameter("say api or runner")


def _keep_runner(stop: threading.Event) -> None:
    """Keep one runner process alive until ``stop`` is set; one that dies is replaced."""
    while not stop.is_set():
        child = subprocess.Popen([sys.executable, "-m", "api", "runner", "--parent", str(os.getpid())])
        while child.poll() is None and not stop.wait(0.2):
            pass
        if stop.is_set():
            child.terminate()
            child.wait()
        else:
            stop.wait(RESTART_SECONDS)


def _follow_parent(parent: int, stop: threading.Event) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    stop.set()


def main() -> None:
    """Entry point: an error of fewstep's own becomes one line."""
    try:
        cli()
    except FewstepError as error:
        typer.secho(f"fewstep: {error}", err=True, fg="red")
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
