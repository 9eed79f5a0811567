"""Bodies that mean harm: part names, sizes, boundaries and connections; each refused, with nothing left behind."""

import socket
import time
from typing import Any

import pytest
import structlog

from api.settings import Settings
from tests.api.support import serving
from tests.api.uploads import BOUNDARY, MOST, WEIGHTS, Parts, multipart, tree, upload_body

NAMES = [
    'form-data; name="../../etc/passwd"',
    'form-data; name="config.json/../../evil"',
    'form-data; name="/etc/passwd"',
    'form-data; name="..\\\\evil"',
    'form-data; name="config.json\0.py"',
    'form-data; name=""',
    'form-data; name="model.py"',
    'form-data; name="evil.pkl"',
    'form-data; filename="config.json"',
    'form-data; name="config.json"; filename="../../evil.json"',
    'form-data; name="config.json"; filename="..\\\\evil.json"',
    'form-data; name="config.json"; filename=".."',
    "form-data; name*=utf-8''config.json",
    'attachment; name="config.json"',
    "",
]


@pytest.mark.parametrize("disposition", NAMES)
def test_wrong_part_names(refused: Any, parts: Parts, disposition: str) -> None:
    """Only the names of the list are taken, whatever else a part says."""
    good = [(f'form-data; name="{name}"', content) for name, content in parts.items() if name != "config.json"]
    refused(422, "a part", multipart(*good, (disposition, b"{}")))


def test_a_part_sent_twice(refused: Any, parts: Parts) -> None:
    """The second one does not replace the first."""
    twice = [(f'form-data; name="{name}"', content) for name, content in [*parts.items(), *parts.items()]]
    refused(422, "was sent twice", multipart(*twice))


def test_too_large_a_body(refused: Any, parts: Parts) -> None:
    """By its declared length, before a byte is read, and by its bytes where it declares none."""
    refused(413, f"got {10**10}", iter([b"never read"]), **{"Content-Length": str(10**10)})
    refused(413, str(MOST), (bytes(2**16) for _ in range(64)))
    large = upload_body(parts | {WEIGHTS: bytes(MOST)})
    refused(413, str(MOST), large)
    refused(413, str(MOST), (large[i : i + 2**16] for i in range(0, len(large), 2**16)))


def test_too_large_a_description(refused: Any, parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A config has a ceiling of its own, below that of weights."""
    monkeypatch.setattr("api.receiver.PARTS", {name: 500 if name == "config.json" else 10**9 for name in parts})
    refused(413, "config.json has at most 500 bytes", upload_body(parts))


@pytest.mark.parametrize("cut", [3, 5, 41, 1000, 100_000])
def test_a_body_that_was_cut(refused: Any, parts: Parts, cut: int) -> None:
    """However much is missing at the end, the last boundary is missing too."""
    refused(400, "send it whole", upload_body(parts)[:-cut])


def test_a_body_that_does_not_follow_its_boundary(refused: Any, parts: Parts) -> None:
    """Another boundary than declared, no boundary, or headers without end."""
    body = upload_body(parts)
    refused(400, "boundary", body.replace(BOUNDARY.encode(), b"another"))
    refused(400, "boundary", b"{}")
    refused(400, "boundary", f"--{BOUNDARY}\r\n".encode() + b"X-Header: x\r\n" * 1000)
    refused(400, "boundary", f"--{BOUNDARY}\r\nX-Header: ".encode() + b"x" * 10**6)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
def test_a_connection_that_breaks(settings: Settings, parts: Parts, share: float) -> None:
    """The sender goes away at the start, in the middle or just before the end: nothing is left, and the service goes
    on."""
    body = upload_body(parts)
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    request = f"POST /v1/models/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
    with structlog.testing.capture_logs() as log, serving(settings) as service:
        before = tree(settings.data_dir)
        with socket.create_connection(("127.0.0.1", int(service.url.rpartition(":")[2]))) as sender:
            sender.sendall(f"{request}Content-Length: {len(body)}\r\n\r\n".encode() + body[: int(share * len(body))])
            while not any(path.startswith("models/incoming/") for path in tree(settings.data_dir)):
                time.sleep(0.01)
        while not any(entry.get("path") == "/v1/models/upload" for entry in log):
            time.sleep(0.01)
        assert tree(settings.data_dir) == before
        assert service.http.get("/v1/models").json() == []
    assert [entry for entry in log if entry["log_level"] == "error"] == []
