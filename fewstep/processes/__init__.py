"""Noise processes: x_t = α(t) x_0 + σ(t) ε, with λ(t) = log(α/σ), the half log signal-to-noise ratio.

Every formula is written once and works on Python floats, NumPy arrays (float64) and torch tensors alike.

| symbol | name in code | meaning |
|---|---|---|
| t | ``t`` | time in the process's own units; sampling runs from ``t_max`` down |
| α, σ | ``alpha(t)``, ``sigma(t)`` | scale of the data and of the noise |
| λ | ``log_snr(t)`` | log(α/σ); −∞ where α = 0, +∞ where σ = 0 |
| t(λ) | ``time(lam)`` | the inverse of λ |

``t_zero`` is the time where σ = 0 (the earliest time a schedule may name); ``t_min`` is where sampling ends by default.
``knots`` are the times where α or σ has a corner, if any; ``prior_std`` scales the start noise.
"""

from dataclasses import asdict
from typing import Any

from fewstep.errors import InvalidInput, UnknownName
from fewstep.processes import betas
from fewstep.processes.base import Process
from fewstep.processes.ddm import DDM
from fewstep.processes.discrete import Discrete
from fewstep.processes.flow import Flow
from fewstep.processes.ve import VE
from fewstep.processes.vp import Cosine, VPLinear
from fewstep.registry import Registry

__all__ = ["KINDS", "DDM", "VE", "Cosine", "Discrete", "Flow", "Process", "VPLinear", "from_dict", "names", "to_dict"]

KINDS: Registry[type[Any]] = Registry(
    "process", "fewstep.processes", {cls.kind: cls for cls in (Cosine, Discrete, VPLinear, DDM, Flow, VE)}
)
"""Classes of processes by kind; a package or a script adds its own (`fewstep.registry`)."""


def names() -> list[str]:
    """Names of the process kinds.

    >>> names()
    ['cosine', 'discrete', 'vp-linear', 'ddm', 'flow', 've']
    """
    return list(KINDS)


def to_dict(process: Process, by_rule: bool = False) -> dict[str, Any]:
    """A process as plain JSON values: its kind and its parameters; ``by_rule`` a table by the rule of its betas, where
    it has one (`fewstep.processes.betas`).

    >>> to_dict(Discrete((0.9, 0.5)))
    {'kind': 'discrete', 'alphas_cumprod': [0.9, 0.5]}
    """
    rule = betas.recognise(process.alphas_cumprod) if by_rule and isinstance(process, Discrete) else None
    if rule is not None:
        return {"kind": process.kind, **rule}
    parameters = asdict(process)  # type: ignore[call-overload]
    return {"kind": process.kind, **{k: list(v) if isinstance(v, tuple) else v for k, v in parameters.items()}}


def from_dict(data: Any) -> Process:
    """The process that `to_dict` described; raises `InvalidInput` where the description is wrong.

    >>> from_dict({"kind": "vp-linear", "beta_max": 10}).beta_max
    10.0
    """
    if not isinstance(data, dict) or "kind" not in data:
        raise InvalidInput(f'a process is an object with a "kind" ({", ".join(names())}), got {str(data)[:80]}')
    kind = data["kind"]
    parameters = {k: v for k, v in data.items() if k != "kind"}
    if not isinstance(kind, str) or kind not in KINDS:
        raise UnknownName("process", kind, KINDS)
    if kind == Discrete.kind and "betas" in parameters:
        return Discrete(betas.expand(parameters))
    parameters = {k: tuple(v) if isinstance(v, list) else v for k, v in parameters.items()}
    try:
        process: Process = KINDS[kind](**parameters)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"process {kind!r} cannot be made from {sorted(parameters)}: {error}") from error
    return process
