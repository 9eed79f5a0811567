"""The HTTP client where there is no service, or something else in its place."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from fewstep.client import Client
from fewstep.errors import InvalidInput, ServiceError


class Junk(BaseHTTPRequestHandler):
    """A server of something else."""

    def do_GET(self) -> None:
        self.answer(200, b"<h1>It works!</h1>")

    def do_POST(self) -> None:
        self.answer(418, b"I am a teapot")

    def answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving_junk() -> Iterator[str]:
    """The server of something else, while the block runs; gives its address."""
    with HTTPServer(("127.0.0.1", 0), Junk) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_service_that_is_not_there_is_named() -> None:
    """Where nothing listens the error says where it looked; an address that is none is bad input."""
    with serving_junk() as url:
        pass
    with Client(url) as nowhere, pytest.raises(ServiceError, match=f"{url}.*running") as failure:
        nowhere.models()
    assert failure.value.status is None
    for url in ("127.0.0.1:8471", "ftp://127.0.0.1", "http://", "http://[::1", "http://127.0.0.1:port"):
        with pytest.raises(InvalidInput, match="address"):
            Client(url)


def test_another_kind_of_server_is_noticed() -> None:
    """Answers that are not the service's are ServiceErrors that quote them, not tracebacks of a parser."""
    with serving_junk() as url, Client(url) as client:
        with pytest.raises(ServiceError, match="cannot read"):
            client.models()
        with pytest.raises(ServiceError, match="teapot") as failure:
            client.add_model("digits-mixture")
        assert failure.value.status == 418
