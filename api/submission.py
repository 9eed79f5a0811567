"""From what somebody sent to a model of the store, and from there to what a worker opens."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from api.inspection import Inspected, describe
from api.settings import Settings
from fewstep import processes
from fewstep.errors import InvalidInput
from fewstep.models import zoo
from fewstep.models.reference import ModelReference
from fewstep.values.model import Facts, Model, ModelState
from storage.folders import ModelFolders
from storage.store import Store

__all__ = ["folder_under", "keep", "of_hub", "of_inspected", "of_zoo", "reference", "want_free"]

PROGRAM = "exported program"
KEPT = ("upload", "program", "hub")  # sources whose folders are ours
INNER = ("", "unet", "transformer", "scheduler")  # folders in a model folder that are read


def of_zoo(name: str) -> Model:
    """A model of the zoo, ready at once; raises `UnknownName`, which lists the zoo."""
    entry = zoo.describe(name)
    return Model(
        id=entry.digest[:16],
        name=entry.name,
        source="zoo",
        summary=entry.summary,
        shape=entry.shape,
        process=processes.to_dict(entry.process),
        digest=entry.digest,
        created=datetime.now(UTC),
        facts=_facts(describe(entry.path, entry.manifest)) if entry.path.is_dir() else Facts(prediction="data"),
    )


def of_inspected(found: Inspected, source: str, name: str | None, id: str | None = None) -> Model:
    """A model whose folder was looked through, still to be tried; by default named after its id."""
    id = id or found.digest[:16]
    kind = found.network or PROGRAM
    size = "" if found.parameters is None else f" of {found.parameters:,} parameters"
    return Model(
        id=id,
        name=name or f"model-{id[:8]}",
        source=source,
        summary=f"{kind}{size}, predicts {found.prediction}",
        shape=found.shape,
        process=found.process,
        digest=found.digest,
        created=datetime.now(UTC),
        state=ModelState.SUBMITTED,
        facts=_facts(found),
    )


def _facts(found: Inspected) -> Facts:
    return Facts(
        network=found.network or PROGRAM,
        prediction=found.prediction,
        parameters=found.parameters,
        conditions=found.conditions,
        guidance=None if found.guidance == 1.0 else found.guidance,
    )


def of_hub(repo: str, commit: str) -> Model:
    """A model that a runner will fetch from the hub; its id is that of its address."""
    digest = hashlib.sha256(f"hub/{repo}@{commit}".encode()).hexdigest()
    return Model(
        id=digest[:16],
        name=f"{repo}@{commit}",
        source="hub",
        summary=f"{repo} at commit {commit[:8]} of the hub",
        shape=(),
        process={},
        digest=digest,
        created=datetime.now(UTC),
        state=ModelState.SUBMITTED,
    )


def want_free(name: str | None) -> None:
    """Raise `InvalidInput` where a name for an upload is one of the zoo's, which would then mean two models."""
    if name in zoo.names():
        raise InvalidInput(f"{name} is the name of a model of the zoo: choose another")


def folder_under(roots: tuple[Path, ...], name: str) -> Path:
    """The folder ``name`` below one of the operator's roots, which no link in it or on the way to it leaves.

    Raises `InvalidInput`, in the same words whether there is something outside or nothing at all.
    """
    if not roots:
        raise InvalidInput("this service reads no folders: its operator may name some in FEWSTEP_MODEL_ROOTS")
    if not ("\0" in name or ".." in Path(name).parts or Path(name).is_absolute()):
        for root in roots:
            folder = (root / name).resolve()
            if folder.is_relative_to(root) and folder.is_dir() and _stays(folder, root):
                return folder
    raise InvalidInput(
        f"there is no folder {name[:80]!r} under the operator's roots that is whole and leaves none of them"
    )


def _stays(folder: Path, root: Path) -> bool:
    paths = [path for inner in INNER if (folder / inner).is_dir() for path in (folder / inner).iterdir()]
    return all(path.resolve().is_relative_to(root) for path in paths)


def keep(store: Store, folders: ModelFolders, folder: Path, model: Model) -> Model:
    """Move an incoming ``folder`` to its place and make its model known: both or neither. The store's model."""
    with folders.keep(folder, model.digest):
        kept = store.add_model(model)
        if kept.source not in KEPT:  # it was known from elsewhere
            folders.remove(model.digest)
        return kept


def reference(model: Model, settings: Settings) -> ModelReference:
    """What a worker needs to open a model; raises `InvalidInput` where its folder is not under a root any more."""
    if model.source == "zoo":
        return ModelReference("zoo", model.name, model.digest)
    if model.source == "folder":
        return ModelReference("folder", model.name, model.digest, folder_under(settings.model_roots, model.name))
    place = ModelFolders(settings.models_dir).path(model.digest)
    return ModelReference(model.source, model.name, model.digest, place)
