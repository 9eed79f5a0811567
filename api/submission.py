"""Submitted models: from a source (zoo, folder, upload, hub) to a `Model`, and to the reference that workers open."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from api.inspection import Inspected, describe
from api.settings import Settings
from fewstep import processes
from fewstep.blobs import Blobs
from fewstep.errors import FewstepError, InvalidInput, NotFound, ServiceError
from fewstep.models import zoo
from fewstep.models.reference import ModelReference
from fewstep.values.model import Facts, Model, ModelState
from storage.folders import ModelFolders
from storage.store import Store

__all__ = ["ModelAway", "folder_under", "keep", "of_hub", "of_inspected", "of_zoo", "reference", "check_name"]


class ModelAway(FewstepError):
    """This runner has no files of a model: others may; the message says where they were looked for."""


PROGRAM = "exported program"
STORED = ("upload", "program", "hub")  # sources whose folders the service stores
SUBFOLDERS = ("", "unet", "transformer", "scheduler")  # of a model folder, that are read


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


def of_inspected(inspected: Inspected, source: str, name: str | None, id: str | None = None) -> Model:
    """A model by its inspected folder, submitted for a check; by default named after its id."""
    id = id or inspected.digest[:16]
    kind = inspected.network or PROGRAM
    size = "" if inspected.parameters is None else f" of {inspected.parameters:,} parameters"
    return Model(
        id=id,
        name=name or f"model-{id[:8]}",
        source=source,
        summary=f"{kind}{size}, predicts {inspected.prediction}",
        shape=inspected.shape,
        process=inspected.process,
        digest=inspected.digest,
        created=datetime.now(UTC),
        state=ModelState.SUBMITTED,
        facts=_facts(inspected),
    )


def _facts(inspected: Inspected) -> Facts:
    return Facts(
        network=inspected.network or PROGRAM,
        prediction=inspected.prediction,
        parameters=inspected.parameters,
        conditions=inspected.conditions,
        guidance=None if inspected.guidance == 1.0 else inspected.guidance,
    )


def of_hub(repo: str, commit: str) -> Model:
    """A model that a runner will download from the hub; its id is that of its address."""
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


def check_name(name: str | None) -> None:
    """Raise `InvalidInput` where the name of an upload is one of the zoo's, which would then mean two models."""
    if name in zoo.names():
        raise InvalidInput(f"{name} is the name of a model of the zoo: choose another")


def folder_under(roots: tuple[Path, ...], name: str) -> Path:
    """The folder ``name`` below one of the operator's roots, with no link in it or above it that leaves the root.

    Raises `InvalidInput`, with the same message whether something exists outside or nothing at all.
    """
    if not roots:
        raise InvalidInput("this service reads no folders: its operator may name some in FEWSTEP_MODEL_ROOTS")
    if not ("\0" in name or ".." in Path(name).parts or Path(name).is_absolute()):
        for root in roots:
            folder = (root / name).resolve()
            if folder.is_relative_to(root) and folder.is_dir() and _is_within(folder, root):
                return folder
    raise InvalidInput(
        f"there is no folder {name[:80]!r} under the operator's roots that is whole and leaves none of them"
    )


def _is_within(folder: Path, root: Path) -> bool:
    """Whether no file of a model folder is a link out of ``root``."""
    folders = [folder / name for name in SUBFOLDERS if (folder / name).is_dir()]
    return all(path.resolve().is_relative_to(root) for each in folders for path in each.iterdir())


def keep(store: Store, folders: ModelFolders, folder: Path, model: Model, blobs: Blobs | None = None) -> Model:
    """Store an incoming ``folder`` and its model, both or neither; returns the store's model."""
    if blobs is not None:
        blobs.put(folder, model.digest)
    with folders.keep(folder, model.digest):
        stored = store.add_model(model)
        if stored.source not in STORED:  # the store has the same model from elsewhere
            folders.remove(model.digest)
        return stored


def reference(model: Model, settings: Settings) -> ModelReference:
    """The reference by which a worker opens a model, fetched from the store of models where this machine lacks it.

    Raises `ModelAway` where neither has it.
    """
    if model.source == "zoo":
        return ModelReference("zoo", model.name, model.digest)
    blobs = settings.store_of_models
    kept = ModelFolders(settings.models_dir).path(model.digest)
    try:
        folder = kept if model.source != "folder" else folder_under(settings.model_roots, model.name)
    except InvalidInput as error:
        folder, why = kept, str(error)
    else:
        why = f"this runner has no folder of model {model.name}"
    if not folder.is_dir():
        if blobs is None:
            raise ModelAway(f"{why}, and no store to fetch it from (FEWSTEP_BLOBS)")
        try:
            folder = blobs.fetch(model.digest)
        except (NotFound, ServiceError) as error:  # the store may answer later, and another runner has it now
            raise ModelAway(f"{why}, and {error}") from error
    return ModelReference(model.source, model.name, model.digest, folder, blobs)
