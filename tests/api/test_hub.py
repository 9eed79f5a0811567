"""Fetching from a hub, against a server on this machine that speaks as much of its protocol as the library asks."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from api.hub import fetch
from api.inspection import inspect
from fewstep.errors import InvalidModel
from tests.api.uploads import pipeline, tree

REPO, COMMIT = "owner/tiny", "0123456789" * 4
BESIDES = {
    "README.md": b"# tiny",
    "unet/diffusion_pytorch_model.bin": b"a pickle",
    "unet/model.py": b"import os",
    "vae/diffusion_pytorch_model.safetensors": b"x" * 10_000,
    "text_encoder/model.safetensors": b"x" * 10_000,
    "unet/deep/config.json": b"{}",
    ".gitattributes": b"",
}


class Hub(BaseHTTPRequestHandler):
    """One repository at one commit."""

    files: dict[str, bytes]
    claims: dict[str, int]
    asked: list[str]

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.asked.append(path)
        if path == f"/api/models/{REPO}/revision/{COMMIT}":
            files = [{"rfilename": name, "size": self.claims.get(name, len(data))} for name, data in self.files.items()]
            return self._answer(json.dumps({"id": REPO, "sha": COMMIT, "siblings": files}).encode(), {})
        if path == f"/api/models/{REPO}/tree/{COMMIT}":
            listed = [
                {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                for name, data in self.files.items()
            ]
            return self._answer(json.dumps(listed).encode(), {})
        name = path.removeprefix(f"/{REPO}/resolve/{COMMIT}/")
        if name in self.files:
            etag = hashlib.sha256(self.files[name]).hexdigest()
            return self._answer(self.files[name], {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})
        return self._answer(b"{}", {"X-Error-Code": "RepoNotFound"}, 404)

    do_HEAD = do_GET  # noqa: N815

    def _answer(self, content: bytes, headers: dict[str, str], status: int = 200) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return pipeline(tmp_path / "tiny")


@pytest.fixture
def hub(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[str, type[Hub]]]:
    """The address of a hub that has the folder's pipeline and much besides, and its handler."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    files = {path: data for path, data in tree(folder).items() if data is not None} | BESIDES
    handler = type("Handler", (Hub,), {"files": files, "claims": {}, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_model_is_fetched_and_nothing_else(hub: tuple[str, type[Hub]], folder: Path, tmp_path: Path) -> None:
    """Configs and safetensors of the network and its scheduler come, byte for byte; no pickle, no code, no other part
    of the pipeline is even asked for."""
    address, handler = hub
    into = tmp_path / "into"
    into.mkdir()
    fetch(REPO, COMMIT, into, 10**7, address)
    wanted = {path: data for path, data in tree(folder).items() if path != "model_index.json"}
    assert tree(into) == wanted
    assert inspect(into) == inspect(folder)
    assert not any(name in asked for asked in handler.asked for name in ("pickle", ".bin", ".py", "vae", "README"))


def test_a_model_that_is_too_large_is_not_fetched(hub: tuple[str, type[Hub]], tmp_path: Path) -> None:
    """The hub's own sizes are summed before anything is downloaded, and the files are measured afterwards."""
    address, handler = hub
    with pytest.raises(InvalidModel, match="at most 1000 are taken"):
        fetch(REPO, COMMIT, tmp_path / "into", 1000, address)
    assert not any("/resolve/" in asked for asked in handler.asked)
    handler.claims.update(dict.fromkeys(handler.files, 1))
    with pytest.raises(InvalidModel, match="larger than the hub said"):
        fetch(REPO, COMMIT, tmp_path / "into", 1000, address)


def test_what_a_hub_does_not_have_is_named(hub: tuple[str, type[Hub]], tmp_path: Path) -> None:
    """Another repository, another commit, or a hub that does not answer: the reason names what was asked."""
    address, _ = hub
    for repo, commit, where in (
        (REPO, "9" * 40, address),
        ("owner/other", COMMIT, address),
        (REPO, COMMIT, "http://127.0.0.1:9"),
    ):
        with pytest.raises(InvalidModel, match=f"{repo} at commit {commit[:8]} cannot be fetched"):
            fetch(repo, commit, tmp_path / "into", 10**7, where)
