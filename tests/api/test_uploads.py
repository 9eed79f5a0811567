"""Models by upload and by folder: the same model is the same whichever way it came, and stays what it was."""

import shutil
from pathlib import Path

import pytest
from diffusers import UNet2DModel
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.app import create_app
from api.inspection import Inspector
from api.settings import Settings
from fewstep.models.manifest import Manifest
from fewstep.values.model import ModelState
from storage.store import Store
from tests.api.support import check
from tests.api.uploads import BOUNDARY, WEIGHTS, parts_of, pipeline, send, tree, upload_body
from tests.service.adapters import Net, exported


@pytest.fixture
def roots(tmp_path: Path) -> Path:
    return tmp_path / "roots"


@pytest.fixture
def settings(tmp_path: Path, roots: Path) -> Settings:
    (roots / "one").mkdir(parents=True)
    (roots / "two").mkdir()
    return Settings(data_dir=tmp_path / "data", model_roots=f"{roots / 'one'}:{roots / 'two'}")


@pytest.fixture(autouse=True)
def shared(client: TestClient, app: FastAPI, inspector: Inspector) -> None:
    """One inspecting process for all tests: it takes long to start."""
    app.state.inspector = inspector


@pytest.fixture
def folder(roots: Path) -> Path:
    """A pipeline below the second root."""
    return pipeline(roots / "two" / "team" / "tiny")


def test_an_upload_is_kept_under_its_digest(client: TestClient, settings: Settings, folder: Path, store: Store) -> None:
    """The answer says what was sent; the files lie whole under the digest that the library gives the pipeline's own
    folder, and nothing lies beside them."""
    parts = parts_of(folder)
    answer = send(client, upload_body(parts), "/v1/models/upload?name=my-tiny.v1")
    assert answer.status_code == 201, answer.text
    given, manifest = answer.json(), Manifest.read(folder)
    wanted = {
        "id": manifest.digest[:16],
        "digest": manifest.digest,
        "name": "my-tiny.v1",
        "source": "upload",
        "state": "submitted",
        "reason": None,
        "shape": [1, 8, 8],
        "network": "UNet2DModel",
        "prediction": "noise",
        "conditions": 0,
        "guidance": None,
        "passes": None,
        "seconds_per_call": None,
    }
    assert wanted.items() <= given.items()
    assert given["parameters"] == sum(p.numel() for p in network_of(folder).parameters())
    assert client.get(answer.headers["Location"]).json() == given
    kept = tree(settings.models_dir)
    assert {path for path in kept if path.startswith(manifest.digest)} == {
        manifest.digest,
        *(f"{manifest.digest}/{name}" for name in parts),
    }
    assert all(kept[f"{manifest.digest}/{name}"] == content for name, content in parts.items())
    assert [path for path in kept if path.startswith("incoming/")] == []


def network_of(folder: Path) -> UNet2DModel:
    return UNet2DModel.from_pretrained(folder / "unet", low_cpu_mem_usage=False)


def test_the_same_model_is_known_once(client: TestClient, settings: Settings, folder: Path, store: Store) -> None:
    """By folder, by upload and again: one id, 201 once and 200 ever after, and no second copy."""
    first = client.post("/v1/models", json={"source": "folder", "name": "team/tiny"})
    assert (first.status_code, first.json()["name"], first.json()["source"]) == (201, "team/tiny", "folder")
    before = tree(settings.models_dir)
    for again in (
        client.post("/v1/models", json={"source": "folder", "name": "team/./tiny/"}),
        send(client, upload_body(parts_of(folder))),
        send(client, upload_body(parts_of(folder)), "/v1/models/upload?name=other"),
    ):
        assert (again.status_code, again.json()) == (200, first.json())
    assert [model.id for model in store.models()] == [first.json()["id"]]
    assert tree(settings.models_dir).keys() - before.keys() <= {".lock"}


def test_an_uploaded_model_sent_again_by_folder_stays_where_it_is(
    client: TestClient, settings: Settings, folder: Path
) -> None:
    """The other way round, too; the uploaded copy is kept, since searches open it."""
    first = send(client, upload_body(parts_of(folder)))
    again = client.post("/v1/models", json={"source": "folder", "name": "team/tiny"})
    assert (again.status_code, again.json()) == (200, first.json())
    assert (settings.models_dir / first.json()["digest"] / WEIGHTS).is_file()


def test_other_weights_or_settings_are_another_model(client: TestClient, roots: Path) -> None:
    """The identity covers weights, scheduler and manifest, and not the version that saved them."""
    first, other = pipeline(roots / "one" / "a"), pipeline(roots / "one" / "b", seed=1)
    parts = parts_of(first)
    ids = {send(client, upload_body(parts)).json()["id"], send(client, upload_body(parts_of(other))).json()["id"]}
    ids.add(send(client, upload_body(parts | {"fewstep.json": b'{"format": 1, "prediction": "data"}'})).json()["id"])
    assert len(ids) == 3
    older = parts | {"config.json": parts["config.json"].replace(b"_diffusers_version", b"_older_version")}
    assert older != parts
    assert send(client, upload_body(older)).json()["id"] in ids


def test_a_deleted_upload_is_gone_and_can_be_sent_again(
    client: TestClient, settings: Settings, folder: Path, store: Store
) -> None:
    """DELETE takes the files away; a folder of the operator's is never touched."""
    body = upload_body(parts_of(folder))
    for _ in range(2):
        sent = send(client, body)
        assert sent.status_code == 201
        assert client.delete(f"/v1/models/{sent.json()['id']}").status_code == 204
        assert store.models() == []
        assert set(tree(settings.models_dir)) == {"incoming", ".lock"}
    before = tree(folder)
    sent = client.post("/v1/models", json={"source": "folder", "name": "team/tiny"})
    assert client.delete(f"/v1/models/{sent.json()['id']}").status_code == 204
    assert tree(folder) == before


def test_an_upload_in_small_pieces_is_the_same(client: TestClient, folder: Path) -> None:
    """Boundaries and headers may be cut anywhere; file names and types of parts mean nothing."""
    parts = parts_of(folder)
    whole = send(client, upload_body(parts)).json()["id"]
    body = upload_body(parts)
    assert send(client, (body[i : i + 7] for i in range(0, len(body), 7))).json()["id"] == whole
    named = client.post(
        "/v1/models/upload",
        files={name: (f"other-{name}", content, "text/plain") for name, content in reversed(parts.items())},
    )
    assert named.json()["id"] == whole


def test_a_model_must_be_ready_before_it_is_searched(client: TestClient, folder: Path) -> None:
    """A search of a submitted model is refused with 409, which names the state."""
    sent = send(client, upload_body(parts_of(folder))).json()
    assert sent["state"] == ModelState.SUBMITTED
    check(client.post("/v1/searches", json={"model": sent["id"], "nfe": 4}), 409, "submitted", "wait until it is ready")
    assert client.get("/v1/searches").json()["items"] == []


@pytest.mark.parametrize(
    "name", ["..", "../two/team/tiny", "/etc", "nonesuch", "team/tiny/unet/config.json", "a\0b", "~"]
)
def test_folders_outside_the_roots_do_not_exist(client: TestClient, folder: Path, store: Store, name: str) -> None:
    """Whether there is something or not, the answer is the same, and it tells nothing of what lies there."""
    answer = client.post("/v1/models", json={"source": "folder", "name": name})
    check(answer, 422, "under the operator's roots")
    assert "root:" not in answer.text
    assert store.models() == []


def test_an_absolute_path_of_the_folder_itself_is_refused(client: TestClient, folder: Path) -> None:
    """Paths are relative to a root, also those that lead into it."""
    check(client.post("/v1/models", json={"source": "folder", "name": str(folder)}), 422, "under the operator's roots")


@pytest.mark.parametrize("what", ["folder", "config", "weights", "scheduler"])
def test_links_out_of_a_root_are_not_followed(client: TestClient, folder: Path, roots: Path, what: str) -> None:
    """A linked folder or file outside is refused; one that stays below the root is read."""
    outside = roots.parent / "outside"
    shutil.copytree(folder, outside)
    link, target = {
        "folder": (roots / "two" / "link", outside),
        "config": (folder / "unet" / "config.json", outside / "unet" / "config.json"),
        "weights": (folder / "unet" / WEIGHTS, outside / "unet" / WEIGHTS),
        "scheduler": (folder / "scheduler", outside / "scheduler"),
    }[what]
    name = "link" if what == "folder" else "team/tiny"
    if link.exists():
        link.rename(roots / "two" / "moved")
    link.symlink_to(target)
    check(client.post("/v1/models", json={"source": "folder", "name": name}), 422, "under the operator's roots")
    link.unlink()
    link.symlink_to(folder if what == "folder" else roots / "two" / "moved")
    assert client.post("/v1/models", json={"source": "folder", "name": name}).status_code == 201


def test_a_service_without_roots_reads_no_folder(tmp_path: Path) -> None:
    """Where the operator lists none, the answer names the setting."""
    with TestClient(create_app(Settings(data_dir=tmp_path))) as client:
        answer = client.post("/v1/models", json={"source": "folder", "name": "team/tiny"})
    check(answer, 422, "FEWSTEP_MODEL_ROOTS")


def test_hubs_and_programs_wait_for_the_operator(client: TestClient, store: Store, roots: Path) -> None:
    """Both are off by default: 403 names the setting, for programs by upload and in folders."""
    hub = {"source": "hub", "repo": "google/ddpm-cifar10-32", "commit": "0" * 40}
    check(client.post("/v1/models", json=hub), 403, "FEWSTEP_ALLOW_HUB")
    check(send(client, upload_body({"program.pt2": b"PK"})), 403, "FEWSTEP_ALLOW_PROGRAMS")
    exported(roots / "one" / "program", Net())
    check(client.post("/v1/models", json={"source": "folder", "name": "program"}), 403, "FEWSTEP_ALLOW_PROGRAMS")
    assert store.models() == []


def test_a_hub_is_asked_later(tmp_path: Path) -> None:
    """Where hubs are allowed the answer comes at once, and the same repository and commit are the same model."""
    with TestClient(create_app(Settings(data_dir=tmp_path, allow_hub=True))) as client:
        address = {"source": "hub", "repo": "google/ddpm-cifar10-32", "commit": "0123456789" * 4}
        first, again = client.post("/v1/models", json=address), client.post("/v1/models", json=address)
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json() == again.json()
        assert (first.json()["state"], first.json()["shape"]) == ("submitted", [])
        other = client.post("/v1/models", json=address | {"commit": "9" * 40})
        assert other.json()["id"] != first.json()["id"]
        for wrong in (
            {"repo": "../../etc"},
            {"repo": "a/b/c"},
            {"repo": "https://x/y"},
            {"commit": "main"},
            {"code": "x"},
        ):
            check(client.post("/v1/models", json=address | wrong), 422)


def test_a_name_of_the_zoo_is_taken(client: TestClient, folder: Path, store: Store) -> None:
    """Names that would mean two models, or that could not be written in a path, are refused before the body is read."""
    for name in ("digits-mixture", "a/b", "", "x" * 101, "ü"):
        check(send(client, upload_body(parts_of(folder)), f"/v1/models/upload?name={name}"), 422)
    assert store.models() == []


def test_what_is_no_multipart_is_refused(client: TestClient) -> None:
    """Another content type, or none, is 415 and says what is wanted."""
    for kind in ("application/json", "multipart/form-data", "multipart/mixed; boundary=x", ""):
        answer = client.post("/v1/models/upload", content=b"{}", headers={"Content-Type": kind})
        check(answer, 415, "multipart/form-data")
    check(
        client.post("/v1/models/upload", content=b"x", headers={"Content-Type": f"text/plain; boundary={BOUNDARY}"}),
        415,
    )
