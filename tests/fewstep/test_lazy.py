"""What costs seconds to import is imported when it is used: the client and the command line run without torch."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import fewstep
from fewstep.lazy import lazy_names
from tests.storage import samples

HEAVY = ("diffusers", "optuna", "pandas", "scipy", "sklearn", "torch")
LAZY = ("fewstep", "fewstep.diffusers", "fewstep.export", "fewstep.models")
CODE = f"""
import sys
import fewstep, fewstep.client
from fewstep.cli.app import app
from typer.testing import CliRunner

for name in ("processes", "solvers", "grids", "Schedule", "compile"):
    getattr(fewstep, name)
commands = (["--help"], ["submit", "--help"], ["models", "list"], ["watch", "1"], ["fetch", "m", "--nfe", "4"])
for arguments in (*commands, ["publish", sys.argv[1]]):
    CliRunner().invoke(app, arguments, env={{"FEWSTEP_URL": "http://127.0.0.1:9"}})
print(sorted(set(sys.modules) & set({HEAVY!r})))
"""


def test_the_client_and_the_service_commands_do_not_import_torch(tmp_path: Path) -> None:
    """Nothing heavy is loaded by importing fewstep, its client and its commands, nor by asking the service."""
    result = tmp_path / "result.json"
    result.write_text(samples.publication().to_json())
    done = subprocess.run([sys.executable, "-c", CODE, str(result)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("package", LAZY)
def test_every_public_name_resolves_and_is_listed(package: str) -> None:
    """``__all__`` and ``dir()`` agree, and each name is there when it is asked for, twice the same."""
    module = importlib.import_module(package)
    assert set(module.__all__) <= set(dir(module))
    for name in module.__all__:
        assert getattr(module, name) is getattr(module, name)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """Python's own message, which names module and attribute."""
    with pytest.raises(AttributeError, match="module 'fewstep' has no attribute 'tensorflow'"):
        fewstep.tensorflow  # noqa: B018


def test_names_are_modules_or_attributes() -> None:
    """A name without a colon is a module; one with it an attribute, kept in the package once it was asked for."""
    load, listed = lazy_names("fewstep", {"checks": "fewstep.checks", "number": "fewstep.checks:number"})
    assert load("checks").number is load("number")
    assert {"checks", "number", "__all__"} <= set(listed())
    del fewstep.number
