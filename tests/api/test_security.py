"""Where the service listens, whom it answers, and what browsers are told."""

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.app import create_app
from api.settings import Settings, load
from fewstep.errors import InvalidInput
from fewstep.values.model import Model
from storage.store import Store


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.5", "::1", "localhost"])
def test_loopback_is_fine(host: str) -> None:
    """Addresses of this machine only need nothing else."""
    assert load(host=host).host == host
    assert load().host == "127.0.0.1"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.com", "localhost.example.com"])
def test_any_other_host_must_be_allowed(host: str) -> None:
    """An address that others can reach is refused, saying what to set; with allow_public it is taken."""
    with pytest.raises(InvalidInput, match="FEWSTEP_ALLOW_PUBLIC") as refusal:
        load(host=host)
    assert repr(host) in str(refusal.value)
    assert load(host=host, allow_public=True).host == host


def test_the_environment_sets_what_the_code_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """FEWSTEP_… variables are read, named arguments win, and the database follows the data folder."""
    monkeypatch.setenv("FEWSTEP_PORT", "9000")
    monkeypatch.setenv("FEWSTEP_DATA_DIR", "/srv/fewstep")
    assert load().port == 9000
    assert load(port=9001).port == 9001
    assert load().database_url == "sqlite:////srv/fewstep/fewstep.db"


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that cannot be used is refused with its name, what was given and what is wanted."""
    monkeypatch.setenv("FEWSTEP_PORT", "web")
    with pytest.raises(InvalidInput, match=r"port: .*integer.*'web'"):
        load()
    monkeypatch.delenv("FEWSTEP_PORT")
    with pytest.raises(InvalidInput, match="speed"):
        load(speed=9)


def test_every_answer_carries_the_security_headers(client: TestClient, model: Model) -> None:
    """Success and failure alike allow no foreign script, no sniffing and no framing."""
    for path in ("/v1/models", f"/v1/models/{model.id}", "/v1/nonesuch", "/openapi.json", "/healthz"):
        headers = client.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert len(headers["X-Request-ID"]) == 32


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8471", "127.0.0.1.evil.example"])
def test_a_rebound_name_is_refused(client: TestClient, host: str) -> None:
    """A request under a public DNS name is refused: a browser may have been led here by it."""
    answer = client.get("/v1/models", headers={"Host": host})
    assert (answer.status_code, answer.json()["status"]) == (400, 400)
    assert repr(host) in answer.json()["detail"]


@pytest.mark.parametrize("host", ["localhost:8471", "127.0.0.1:8471", "[::1]:8471", "fewstep", "10.0.0.7"])
def test_addresses_and_plain_names_are_answered(client: TestClient, host: str) -> None:
    """Names that no public DNS entry can have are fine."""
    assert client.get("/v1/models", headers={"Host": host}).status_code == 200


def test_behind_a_proxy_any_name_is_answered(settings: Settings) -> None:
    """With allow_public the proxy or network in front decides about names."""
    app = create_app(settings.model_copy(update={"host": "0.0.0.0", "allow_public": True}))
    with TestClient(app) as client:
        assert client.get("/v1/models", headers={"Host": "fewstep.example"}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://testserver.evil.example", "http://[::1"])
def test_pages_of_other_sites_change_nothing(client: TestClient, store: Store, model: Model, origin: str) -> None:
    """A request with a foreign Origin is refused with 403, and the model is still there."""
    answer = client.delete(f"/v1/models/{model.id}", headers={"Origin": origin})
    assert answer.status_code == 403
    assert store.models() == [model]


def test_our_own_pages_may_change_things(client: TestClient, model: Model) -> None:
    """The same request from the service's own pages passes."""
    assert client.delete(f"/v1/models/{model.id}", headers={"Origin": "http://testserver"}).status_code == 204


def test_an_answer_keeps_a_policy_of_its_own(app: FastAPI, client: TestClient) -> None:
    """A route that sets a header itself is not overruled."""
    from fastapi import Response

    @app.get("/own")
    def own() -> Response:
        return Response(headers={"Content-Security-Policy": "sandbox"})

    assert client.get("/own").headers["Content-Security-Policy"] == "sandbox"
