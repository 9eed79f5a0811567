"""The package as users get it: the wheel's contents, public names, their documentation and examples."""

import doctest
import importlib
import inspect
import pkgutil
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

import fewstep

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "fewstep"


def modules() -> list[str]:
    """Every module of the library by name."""
    found = pkgutil.walk_packages(fewstep.__path__, "fewstep.")
    return ["fewstep", *(module.name for module in found if not module.name.endswith("__main__"))]


def defined(module: ModuleType) -> dict[str, object]:
    """Functions and classes that a module defines itself, without leading underscore."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == module.__name__
    }


def misnamed(name: str) -> set[str]:
    """What is wrong with ``__all__`` of a module: public but not in it, in it but not there, in it twice."""
    module = importlib.import_module(name)
    if not defined(module) and not hasattr(module, "__all__"):
        return set()  # a folder that only says what is in it
    if name in ("fewstep.cli", "fewstep.cli.models"):
        return set(module.__all__) ^ {"app"}  # its functions are commands, reached through the app
    doubles = {public for public in module.__all__ if module.__all__.count(public) > 1}
    return (defined(module).keys() - set(module.__all__)) | (set(module.__all__) - set(dir(module))) | doubles


def test_all_names_what_is_public() -> None:
    """``__all__`` has every function and class that the module defines, nothing that is not there, and no doubles."""
    assert {name: wrong for name in modules() if (wrong := misnamed(name))} == {}


def undocumented(name: str) -> list[str]:
    """The module, its functions, classes and the methods of classes that have no docstring."""
    module = importlib.import_module(name)
    silent = [] if module.__doc__ else [name]
    for public, value in defined(module).items():
        if not value.__doc__:
            silent.append(f"{name}.{public}")
        if inspect.isclass(value) and not getattr(value, "_is_protocol", False):
            for method, member in vars(value).items():
                if not method.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
                    silent += [] if inspect.getdoc(getattr(value, method)) else [f"{name}.{public}.{method}"]
    return silent


def test_every_public_name_is_documented() -> None:
    """Modules, functions, classes and the methods of classes say what they are; protocols do so as a whole."""
    assert [silent for name in modules() for silent in undocumented(name)] == []


EXAMPLES = {
    "fewstep": ["Schedule", "Step", "Tableau", "compile", "sample", "states"],
    "fewstep.grids.arc_length": ["ArcLength"],
    "fewstep.grids": ["edm", "logsnr", "named", "names", "quadratic", "suitable", "time"],
    "fewstep.models": ["Gaussian", "GaussianMixture", "from_callable"],
    "fewstep.models.zoo": ["describe", "load", "names"],
    "fewstep.processes": ["DDM", "VE", "Cosine", "Discrete", "Flow", "VPLinear", "from_dict", "names", "to_dict"],
    "fewstep.grids.score_optimal": ["levels", "measure"],
    "fewstep.solvers": ["Solver", "named", "names"],
    "fewstep.timeshift": ["TimeShift", "pixel_variance", "wrap"],
    "search": ["find"],
}


def has_example(name: str, public: str) -> bool:
    """Whether the docstring of a public name holds a doctest."""
    value = getattr(importlib.import_module(name), public)
    return any(test.examples for test in doctest.DocTestFinder(recurse=False).find(inspect.unwrap(value), public))


def test_every_name_in_the_users_guide_has_an_example() -> None:
    """The names that users meet first carry an example that runs with the tests."""
    assert [f"{name}.{public}" for name in EXAMPLES for public in EXAMPLES[name] if not has_example(name, public)] == []


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name.startswith("fewstep")])
def test_the_users_guide_names_everything(name: str) -> None:
    """A new function or class in these modules needs an example too."""
    module = importlib.import_module(name)
    callables = {public for public in module.__all__ if callable(getattr(module, public))}
    types_only = {
        "Denoiser",
        "Grid",
        "Process",
        "ShiftedDenoiser",
        "ZooMixture",
        "ZooModel",
        "read_mixture",
        "read_weights",
    }
    assert callables - types_only == set(EXAMPLES[name])


def test_the_stable_names_are_there() -> None:
    """What the first release promises: modules and verbs at the top, nothing to look for."""
    promised = {"Schedule", "compile", "grids", "models", "processes", "sample", "solvers"}
    assert promised <= set(fewstep.__all__)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from a copy so that the checkout stays clean; all packages are there to be left out."""
    copy = tmp_path_factory.mktemp("copy")
    for name in ("fewstep", "search", "predictor", "storage", "api", "training"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(copy / "dist"), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = (copy / "dist").glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_holds_the_library_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    """Every source file of fewstep, its weights, its schema and py.typed; no other package, no tests."""
    inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
    wanted = {
        path.relative_to(ROOT).as_posix()
        for path in SOURCES.rglob("*")
        if path.is_file() and (path.suffix in (".py", ".safetensors", ".json") or path.name == "py.typed")
    }
    assert inside == wanted
    assert "fewstep/models/weights/digits-mixture.safetensors" in inside
    assert {"fewstep/py.typed", "fewstep/schedule.schema.json"} <= inside


def test_the_wheel_brings_its_licence_command_and_needs(wheel: zipfile.ZipFile) -> None:
    """The licence file, the ``fewstep`` command, and only the library's own requirements outside extras."""
    read = {Path(name).name: wheel.read(name).decode() for name in wheel.namelist() if ".dist-info/" in name}
    assert "Apache License" in read["LICENSE"]
    assert "fewstep = fewstep.cli:app" in read["entry_points.txt"]
    lines = [line for line in read["METADATA"].splitlines() if line.startswith("Requires-Dist: ")]
    needs = {line.split()[1].split(">")[0] for line in lines if "extra ==" not in line}
    assert needs == {"httpx", "numpy", "rich", "safetensors", "torch", "typer"}


def test_the_wheel_runs_without_the_checkout(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    """Unpacked elsewhere, the library imports from there, finds its weights and samples."""
    wheel.extractall(tmp_path)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import torch, fewstep\n"
        "assert fewstep.__file__.startswith(sys.argv[1]), fewstep.__file__\n"
        "denoiser = fewstep.models.zoo.load('digits-mixture')\n"
        "schedule = fewstep.solvers.named('dpmpp-2m').schedule(denoiser.process, nfe=4)\n"
        "print(tuple(fewstep.sample(denoiser, schedule, torch.ones(2, 1, 8, 8)).shape))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(2, 1, 8, 8)"
