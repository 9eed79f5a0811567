"""Manifest of a model: the facts in its folder that make its identity, read without loading a weight."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import prod
from pathlib import Path
from typing import Any

from fewstep import processes
from fewstep.checks import number
from fewstep.errors import InvalidInput, InvalidModel, UnknownName
from fewstep.models import conditions, scheduler_config
from fewstep.models.execution import Execution
from fewstep.models.layout import Layout, locate, read_json, sha256
from fewstep.models.predictions import PREDICTIONS
from fewstep.processes import Process

__all__ = ["KINDS", "NETWORKS", "Manifest"]

KINDS = ("diffusers", "program")
NETWORKS = (
    "DiTTransformer2DModel",
    "FluxTransformer2DModel",
    "SD3Transformer2DModel",
    "UNet2DConditionModel",
    "UNet2DModel",
)
PRECONDITIONINGS = tuple(name for name in scheduler_config.PRECONDITIONINGS if name != "pipeline")
PATCHED = ("FluxTransformer2DModel", "SD3Transformer2DModel")
MANIFEST_KEYS = {
    "execution",
    "format",
    "guidance",
    "preconditioning",
    "prediction",
    "process",
    "shape",
    "sigma_data",
    "time_scale",
}
FORMAT = 1
MAX_SIZE = 2**16  # of one dimension of a sample
MAX_DIMENSIONS = 8
MAX_NUMBERS = 2**26  # in a sample


@dataclass(frozen=True)
class Manifest:
    """A model's description; equal models have equal ones, whatever folder they lie in.

    ``kind`` "diffusers" or "program" · ``network`` one of `NETWORKS`, "" for a program · ``config`` its constructor's
    settings · ``process``, ``prediction`` (of `PREDICTIONS`, or "heads") and ``time_scale`` as in
    `fewstep.models.scheduler_config.NetworkSpec` · ``preconditioning`` as there, "edm" with its ``sigma_data`` ·
    ``shape`` of one sample · ``guidance`` 1 for none · ``conditions`` their number ·
    ``files`` role -> SHA-256 · ``execution`` how a network of diffusers runs.

    Raises `InvalidModel`, `UnknownName` or `InvalidInput` where something does not fit.
    """

    kind: str
    network: str
    config: Mapping[str, Any]
    process: Process
    prediction: str
    shape: tuple[int, ...]
    time_scale: float = 1.0
    preconditioning: str = "none"
    sigma_data: float = 0.5
    guidance: float = 1.0
    conditions: int = 0
    files: Mapping[str, str] = field(default_factory=dict)
    execution: Execution = field(default_factory=Execution)

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("kind", self.kind, KINDS),
            ("network class", self.network, NETWORKS if self.kind == "diffusers" else ("",)),
            ("prediction", self.prediction, (*PREDICTIONS, "heads")),
            ("preconditioning", self.preconditioning, PRECONDITIONINGS),
        ):
            if not isinstance(value, str) or value not in allowed:
                raise UnknownName(name, str(value)[:80], allowed)
        for name in ("time_scale", "sigma_data", "guidance"):
            object.__setattr__(self, name, number(name, getattr(self, name), InvalidModel))
        sizes = tuple(self.shape) if isinstance(self.shape, (list, tuple)) else ()
        fits = 1 <= len(sizes) <= MAX_DIMENSIONS
        fits = fits and all(type(size) is int and 1 <= size <= MAX_SIZE for size in sizes)
        if not fits or prod(sizes) > MAX_NUMBERS:
            raise InvalidModel(f"shape is that of one sample, for instance [3, 32, 32], got {str(self.shape)[:80]}")
        object.__setattr__(self, "shape", sizes)
        if type(self.conditions) is not int or self.conditions < 0:
            raise InvalidModel(f"conditions is how many there are, got {self.conditions!r}")
        if "quantization_config" in self.config:
            raise InvalidModel("quantised networks cannot be opened: save the network in half precision instead")
        if self.guidance != 1.0 and not self.conditions:
            raise InvalidModel("guidance leads away from a condition, but this model has none: leave it at 1")
        if self.kind == "program" and self.execution != Execution():
            raise InvalidModel(
                f"execution {self.execution.to_dict()} is for networks of diffusers, and this is a program, which runs "
                "as it was exported: leave execution out of fewstep.json, or export the program in the precision wanted"
            )
        _check_channels(self.config, self.prediction == "heads")
        if self.prediction == "heads" and self.process.kind != "ddm":
            raise InvalidModel(f"the prediction heads belongs to the process ddm, not {self.process.kind}")
        _ = self.spec  # checks the preconditioning

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """The manifest of a model folder (`fewstep.models.layout`): JSON is parsed, files are hashed, none is loaded.

        Raises `InvalidModel` with the reason.

        >>> from fewstep.models import zoo
        >>> manifest = Manifest.read(zoo.describe("digits-flow").path)
        >>> manifest.network, manifest.shape, manifest.prediction, manifest.time_scale
        ('UNet2DModel', (1, 8, 8), 'flow', 1000.0)
        """
        return cls._from_layout(locate(folder))

    @classmethod
    def _from_layout(cls, layout: Layout) -> "Manifest":
        extra = read_json(layout.manifest) if layout.manifest else {}
        unknown = sorted(set(extra) - MANIFEST_KEYS)
        if unknown:
            keys = ", ".join(sorted(MANIFEST_KEYS))
            raise InvalidModel(f"fewstep.json has unknown keys {str(unknown)[:120]}; known: {keys}")
        if extra.pop("format", FORMAT) != FORMAT:
            raise InvalidModel(f"fewstep.json is of another format than {FORMAT}: update fewstep")
        config = read_json(layout.network / "config.json") if layout.network else {}
        network = str(config.get("_class_name")) if layout.network else ""
        shape = _shape(config)
        facts = _of_scheduler(layout, _tokens(network, extra.get("shape", shape)), optional="process" in extra)
        if "process" in extra:
            facts["process"] = processes.from_dict(extra.pop("process"))
        if "execution" in extra:
            facts["execution"] = Execution.from_dict(extra.pop("execution"))
        facts |= {"shape": shape, **extra}
        lacking = [name for name in ("process", "prediction", "shape") if not facts.get(name)]
        if lacking:
            raise InvalidModel(f"neither the configs nor fewstep.json say {' and '.join(lacking)}: add to fewstep.json")
        roles = {"program": layout.program, "conditions": layout.conditions}
        files = {role: path for role, path in roles.items() if path}
        for i, path in enumerate(layout.weights):
            files["weights" if len(layout.weights) == 1 else f"weights-{i + 1}"] = path
        return cls(
            kind="program" if layout.program else "diffusers",
            network=network,
            config={key: value for key, value in config.items() if not key.startswith("_")},
            conditions=conditions.count(layout.conditions, network, config, facts.get("guidance", 1.0)),
            files={role: sha256(path) for role, path in sorted(files.items())},
            **facts,
        )

    def to_dict(self) -> dict[str, Any]:
        """The manifest as plain JSON values, without an ``execution`` that sets nothing: digests from before there was
        one stay."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        execution = values.pop("execution").to_dict()
        values |= {"execution": execution} if execution else {}
        plain = {"config": dict(self.config), "files": dict(self.files), "shape": list(self.shape)}
        return values | plain | {"process": processes.to_dict(self.process)}

    @classmethod
    def from_dict(cls, data: Any) -> "Manifest":
        """The manifest that `to_dict` described; raises `InvalidModel` where it is none."""
        names = {each.name for each in fields(cls)}
        if not isinstance(data, dict) or set(data) | {"execution"} != names:
            raise InvalidModel(f"a manifest is an object with {', '.join(sorted(names))}; got {str(data)[:80]}")
        for name in ("config", "files"):
            if not isinstance(data[name], dict):
                raise InvalidModel(f"a manifest's {name} is an object, got {str(data[name])[:80]}")
        execution = Execution.from_dict(data.get("execution", {}))
        return cls(**{**data, "process": processes.from_dict(data["process"]), "execution": execution})

    @property
    def spec(self) -> scheduler_config.NetworkSpec:
        """How the network takes its inputs and what its output means."""
        data = self.sigma_data if self.preconditioning.startswith("edm") else None
        return scheduler_config.NetworkSpec(self.process, self.prediction, self.time_scale, data, self.preconditioning)

    @property
    def digest(self) -> str:
        """The model's identity: SHA-256 of the manifest's canonical JSON, in hexadecimal."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def _of_scheduler(layout: Layout, tokens: int | None, optional: bool) -> dict[str, Any]:
    """The facts in the scheduler's config; none where it cannot be read and is ``optional`` beside fewstep.json."""
    if layout.scheduler is None:
        return {}
    try:
        spec = scheduler_config.read(read_json(layout.scheduler), tokens=tokens)
    except InvalidInput:
        if optional:
            return {}
        raise
    facts = {"process": spec.process, "prediction": spec.prediction, "time_scale": spec.time_scale}
    if spec.preconditioning == "pipeline":
        raise InvalidModel(
            "this scheduler's pipeline prepares the network's inputs itself (sigma_max beside flow matching): search "
            "the pipeline, not its folder"
        )
    if spec.preconditioning != "none":
        facts |= {"preconditioning": spec.preconditioning}
    if spec.sigma_data is not None:
        facts |= {"sigma_data": spec.sigma_data}
    return facts


def _check_channels(config: Mapping[str, Any], heads: bool) -> None:
    """A network has as many output as input channels, twice as many with two heads or a learned variance."""
    inputs = config.get("in_channels")
    outputs = config.get("out_channels")
    if type(inputs) is not int or type(outputs) is not int:
        return
    if outputs not in ((2 * inputs,) if heads else (inputs, 2 * inputs)):
        raise InvalidModel(
            f"this network makes {outputs} channels of {inputs}; wanted {'' if heads else 'as many or '}twice as many"
        )


def _shape(config: Mapping[str, Any]) -> list[Any] | None:
    """Channels, height and width of a sample, from a network's config."""
    size = config.get("sample_size")
    channels = config.get("in_channels")
    if size is None or channels is None:
        return None
    return [channels, *(size if isinstance(size, list) else (size, size))]


def _tokens(network: str, shape: Any) -> int | None:
    """Length of the sequence of 2 × 2 patches that a transformer makes of a sample, from which pipelines compute mu."""
    if network not in PATCHED or not isinstance(shape, list) or len(shape) != 3:
        return None
    sizes = [size for size in shape[1:] if type(size) is int]
    return (sizes[0] // 2) * (sizes[1] // 2) if len(sizes) == 2 else None
