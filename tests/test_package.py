"""The package as users get it: the wheel's contents, public names, their documentation and examples."""

import doctest
import importlib
import inspect
import os
import pkgutil
import shutil
import subprocess
import sys
import sysconfig
import venv
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
    if name in ("fewstep.cli.app", "fewstep.cli.models"):
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
            fields = getattr(value, "__dataclass_fields__", {})  # the class says what they are
            for method, member in vars(value).items():
                if method.startswith("_") or method in fields:
                    continue
                if inspect.isfunction(member) or isinstance(member, property):
                    silent += [] if inspect.getdoc(getattr(value, method)) else [f"{name}.{public}.{method}"]
    return silent


def test_every_public_name_is_documented() -> None:
    """Modules, functions, classes and the methods of classes say what they are; protocols do so as a whole."""
    assert [silent for name in modules() for silent in undocumented(name)] == []


EXAMPLES = {
    "fewstep": ["Schedule", "Step", "Tableau", "compare", "compile", "sample", "states"],
    "fewstep.grids.arc_length": ["ArcLength"],
    "fewstep.grids": [
        "ays_sd15",
        "ays_sdxl",
        "ays_svd",
        "beta",
        "beta57",
        "default",
        "edm",
        "empirical_mu",
        "even_names",
        "flow_mu",
        "linear_quadratic",
        "logsnr",
        "named",
        "names",
        "posted_sigmas",
        "posted_timesteps",
        "quadratic",
        "sgm_uniform",
        "shifted",
        "stretched",
        "suitable",
        "time",
    ],
    "fewstep.models": ["Gaussian", "GaussianMixture", "Unconditional", "Wrapped", "from_callable"],
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
        "tune",  # whose example, on a pipeline, is docs/tuning.md
    }
    assert callables - types_only == set(EXAMPLES[name])


def test_the_stable_names_are_there() -> None:
    """What the first release promises: modules and verbs at the top, nothing to look for."""
    promised = {"Schedule", "compile", "grids", "models", "processes", "sample", "solvers"}
    assert promised <= set(fewstep.__all__)


def ran(*command: object, cwd: Path) -> str:
    """What a command prints; with all of its output where it fails."""
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources to build in, so that the checkout stays clean: links as links, and packages to be left out."""
    copy = tmp_path_factory.mktemp("copy")
    for name in ("fewstep", "search", "predictor", "storage", "api", "training"):
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    return copy


def built(copy: Path, *options: str) -> zipfile.ZipFile:
    """The wheel that ``python -m build`` makes, which is by way of a source distribution unless told otherwise."""
    out = copy / "dist" / "-".join(["built", *options])
    ran(sys.executable, "-m", "build", "--no-isolation", *options, "--outdir", out, copy, cwd=copy)
    (path,) = out.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def wheel(copy: Path) -> zipfile.ZipFile:
    """The wheel, built from the sources themselves."""
    return built(copy, "--wheel")


def test_the_wheel_holds_the_library_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    """Every source file of fewstep, of what is linked into it too, its weights, its schema and py.typed; no other
    package, no tests."""
    inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
    wanted = {
        Path(folder, name).relative_to(ROOT).as_posix()
        for folder, _, names in os.walk(SOURCES, followlinks=True)
        for name in names
        if name.endswith((".py", ".safetensors", ".json")) or name in ("py.typed", "prompts.txt")
    }
    assert inside == wanted
    assert "fewstep/models/weights/digits-mixture.safetensors" in inside
    assert {"fewstep/py.typed", "fewstep/schedule.schema.json"} <= inside
    assert {"fewstep/search/find.py", "fewstep/search/stages/fit.py", "fewstep/predictor/ranking.py"} <= inside


def test_a_source_distribution_gives_the_same_wheel(copy: Path, wheel: zipfile.ZipFile) -> None:
    """File for file: links do not have to survive the archive."""
    other = built(copy)
    assert sorted(other.namelist()) == sorted(wheel.namelist())
    assert [name for name in wheel.namelist() if other.read(name) != wheel.read(name)] == []


def test_the_wheel_brings_its_licence_command_and_needs(wheel: zipfile.ZipFile) -> None:
    """The licence file, the ``fewstep`` command, and only the library's own requirements outside extras."""
    read = {Path(name).name: wheel.read(name).decode() for name in wheel.namelist() if ".dist-info/" in name}
    assert "Apache License" in read["LICENSE"]
    assert "fewstep = fewstep.cli.app:app" in read["entry_points.txt"]
    lines = [line for line in read["METADATA"].splitlines() if line.startswith("Requires-Dist: ")]
    needs = {line.split()[1].split(">")[0] for line in lines if "extra ==" not in line}
    assert needs == {"httpx", "numpy", "rich", "safetensors", "torch", "typer"}


def test_the_wheel_runs_without_the_checkout(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    """Unpacked elsewhere, the library imports from there, search and predictor too, finds its weights and samples."""
    wheel.extractall(tmp_path)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import torch, fewstep\n"
        "from fewstep.predictor import ranker\n"
        "from fewstep.search import find\n"
        "for module in (fewstep, sys.modules['fewstep.search'], sys.modules['fewstep.predictor']):\n"
        "    assert module.__file__.startswith(sys.argv[1]), module.__file__\n"
        "denoiser = fewstep.models.zoo.load('digits-mixture')\n"
        "schedule = fewstep.solvers.named('dpmpp-2m').schedule(denoiser.process, nfe=4)\n"
        "print(tuple(fewstep.sample(denoiser, schedule, torch.ones(2, 1, 8, 8)).shape))\n"
    )
    assert ran(sys.executable, "-c", code, tmp_path, cwd=tmp_path) == "(2, 1, 8, 8)"


ONE_NAME = """
import importlib, os, pkgutil, sys

root, first = sys.argv[1:]
for name in (first, "fewstep.search", "search", "fewstep.predictor", "predictor"):
    importlib.import_module(name)

import search.find, predictor.ranking
from fewstep import predictor as whole_predictor, search as whole_search
from fewstep.predictor import ranker
from fewstep.search import find
from predictor import ranker as short_ranker
from search import find as short_find

assert search is whole_search and predictor is whole_predictor
assert find is short_find and callable(find)
assert ranker is short_ranker and callable(ranker)
assert whole_search.__file__.startswith(root), whole_search.__file__

names = [m.name for p in (search, predictor) for m in pkgutil.walk_packages(p.__path__, p.__name__ + ".")]
assert "fewstep.search.stages.fit" in names and "fewstep.predictor.ranking" in names
for name in names:
    if not name.endswith("__main__"):
        assert importlib.import_module(name.removeprefix("fewstep.")) is importlib.import_module(name), name
assert whole_search.find is find  # importing the module `search.find` has not put it in the place of the function

at, folders = {}, tuple(os.path.realpath(os.path.join(root, name)) for name in ("fewstep", "search", "predictor"))
for name, module in list(sys.modules.items()):
    file = os.path.realpath(getattr(module, "__file__", None) or "/")
    if file.endswith(".py") and os.path.dirname(file).startswith(folders):
        assert at.setdefault(file, module) is module, (name, file)
print(len(at) > len(names))
"""


@pytest.mark.parametrize("first", ["search", "fewstep.search"])
def test_the_folders_of_a_checkout_are_the_modules_of_the_library(first: str) -> None:
    """By either name and in any order `find` and `ranker` are the same objects, and no file is imported twice."""
    assert ran(sys.executable, "-c", ONE_NAME, ROOT, first, cwd=ROOT) == "True"


def test_an_editable_install_has_search_and_predictor(copy: Path, tmp_path: Path) -> None:
    """Installed for editing, in a Python that borrows all else from this one, they are importable from anywhere; from
    the checkout itself by the folders' names too, as the same objects."""
    venv.create(tmp_path, with_pip=False)
    python = tmp_path / "bin" / "python"
    site = Path(ran(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path))
    (site / "borrowed.pth").write_text("\n".join({sysconfig.get_path(part) for part in ("purelib", "platlib")}))
    install = ("install", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    ran(sys.executable, "-m", "pip", "--python", python, *install, "--editable", copy, cwd=tmp_path)
    code = "from fewstep.search import find; from fewstep.predictor import ranker; print(find.__code__.co_filename)"
    assert ran(python, "-c", code, cwd=tmp_path) == str(copy / "fewstep" / "search" / "find.py")
    assert ran(python, "-c", ONE_NAME, copy, "search", cwd=copy) == "True"
