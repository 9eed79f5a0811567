"""The page on many machines: its recipes are there and parse, its options are those of the pool."""

import re
import subprocess
from typing import Any

import pytest
import yaml

from fewstep.errors import InvalidInput
from fewstep.search.evaluation.pool import open_pool
from fewstep.search.evaluation.ray_url import OPTIONS
from tests.docs.pages import DOCS, ROOT

PAGE = (DOCS / "cluster.md").read_text("utf-8")
MANIFEST = ROOT / "deploy/kubernetes/fewstep.yaml"
SCRIPT = ROOT / "deploy/slurm/fewstep.sbatch"


def documents() -> dict[str, Any]:
    """The manifest's documents by kind."""
    return {each["kind"]: each for each in yaml.safe_load_all(MANIFEST.read_text("utf-8"))}


def containers(document: Any) -> list[Any]:
    """Every container in a document, at any depth."""
    if isinstance(document, dict):
        return document.get("containers", []) + [each for value in document.values() for each in containers(value)]
    return [each for value in document for each in containers(value)] if isinstance(document, list) else []


def test_the_manifest_is_a_cluster_and_a_runner_on_it() -> None:
    """Every document loads; all containers are of one image and settings; the runner's pool is the cluster's head."""
    found = documents()
    assert found.keys() == {"ConfigMap", "RayCluster", "Deployment"}
    assert all({"apiVersion", "metadata"} <= document.keys() for document in found.values())
    images = {each["image"] for document in found.values() for each in containers(document)}
    assert len(images) == 1
    maps = {each["envFrom"][0]["configMapRef"]["name"] for kind in found for each in containers(found[kind])}
    assert maps == {found["ConfigMap"]["metadata"]["name"]}
    settings = found["ConfigMap"]["data"]
    assert all(isinstance(value, str) for value in settings.values())
    head = f"{found['RayCluster']['metadata']['name']}-head-svc:6379"
    assert settings["FEWSTEP_POOL"].startswith(f"ray://{head}?")
    (runner,) = containers(found["Deployment"])
    assert f"--address={head} --num-cpus=0" in runner["args"][0]
    assert settings["RAY_USAGE_STATS_ENABLED"] == "0"


def test_the_script_of_slurm_parses() -> None:
    """By bash itself; it asks for the folder and the database, and for a token."""
    subprocess.run(["bash", "-n", SCRIPT], check=True)
    text = SCRIPT.read_text("utf-8")
    assert {"FEWSTEP_DATA_DIR", "FEWSTEP_DATABASE_URL", "RAY_AUTH_TOKEN", "RAY_USAGE_STATS_ENABLED=0"} <= set(
        re.findall(r"FEWSTEP_D\w+|RAY_AUTH_TOKEN|RAY_USAGE_STATS_ENABLED=0", text)
    )


def test_the_options_of_the_page_are_the_pools() -> None:
    """Each is known, as the refusal of its empty value shows, and one that is not there is refused as unknown."""
    table = PAGE.partition("| option |")[2].partition("\n\n")[0]
    names = {
        name for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)
    }
    assert names == OPTIONS.keys()
    for name in names - {"gpu", "host"}:
        with pytest.raises(InvalidInput, match=f"option {name} is a .*, got 'much'"):
            open_pool(f"ray:2?{name}=much")
