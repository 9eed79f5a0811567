"""The choices of one step: its start state, the outputs that it extrapolates and how, its corrector and fresh noise.

Outputs and states are counted back from the step's target: −1 is the latest call, −2 the one before.
"""

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

from fewstep.checks import number
from fewstep.errors import InvalidSchedule
from fewstep.steps.exponential import SCALES
from fewstep.steps.fresh import KINDS

__all__ = ["CHOICES", "MAX_ORDER", "MAX_START", "PREDICTIONS", "RANGES", "VARIABLES", "Step"]

PREDICTIONS = ("data", "noise")
VARIABLES = ("lambda", "t", "rho", "velocity")
MAX_ORDER = 4
MAX_START = 4  # states that a step may go back: one for each stage of the classical Runge–Kutta step
CHOICES = {  # allowed values, the same as in `fewstep/schedule.schema.json`
    "prediction": PREDICTIONS,
    "scale": tuple(SCALES),
    "variable": VARIABLES,
    "noise": tuple(KINDS),
    "corrector_scale": tuple(SCALES),
}
RANGES = {"order": (1, MAX_ORDER), "start": (-MAX_START, -1), "corrector": (0, MAX_ORDER + 1)}  # whole numbers
BASE = ("prediction", "order", "scale", "slope", "second")  # entries that every stored step has
VELOCITY_SCALES = ("none", "linear")  # the others are made of the exponential of the data or noise form
Offsets = tuple[int, ...]


@dataclass(frozen=True, repr=False)
class Step:
    """One step of a schedule. Most solvers use ``prediction`` and ``order`` only.

    ``prediction``: the outputs that are interpolated, "data" or "noise". ``order``: the number of outputs, 1–4.
    ``variable`` of the polynomial: "lambda", "t" or "rho" = σ/α; or "velocity": data and noise both, in t. ``start``:
    the state that the step starts from, −1 (the latest) to −4. ``points``: for each derivative the outputs that
    estimate it, without the starting one; none for the nearest ones ("full order"). ``scale`` and ``slope`` multiply
    the first derivative ("linear": 1 + slope·h with h the λ-gap), ``second`` multiplies the second.

    ``weights``: instead of derivatives, a fixed average of ``order`` outputs, with ``points`` (one tuple) naming them.
    ``corrector``: order of the UniC correction once the target is evaluated, 0 for none, at most order + 1; it costs no
    call, and ``corrector_scale`` and ``corrector_slope`` belong to it. ``eta``: share of fresh noise, of kind
    ``noise``: "ancestral" (DDPM at 1), "bridge" (DDM at 1) or "langevin" (τ of the SDE). ``offset``: added to the
    network's time in this step's call.

    >>> Step("noise", order=1).canonical()  # one output: all predictions and factors are equal
    Step()
    >>> Step("data", 2, "bh2", corrector=3)
    Step(order=2, scale='bh2', corrector=3)
    """

    prediction: str = "data"
    order: int = 1
    scale: str = "none"
    slope: float = 0.0
    second: float = 1.0
    start: int = -1
    variable: str = "lambda"
    points: tuple[Offsets, ...] = ()
    weights: tuple[float, ...] = ()
    corrector: int = 0
    corrector_scale: str = "none"
    corrector_slope: float = 0.0
    eta: float = 0.0
    noise: str = "ancestral"
    offset: float = 0.0

    def __post_init__(self) -> None:
        for name, words in CHOICES.items():
            if not isinstance(getattr(self, name), str) or getattr(self, name) not in words:
                raise InvalidSchedule(f"{name} is one of {words}, got {getattr(self, name)!r}")
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise InvalidSchedule(f"{name} is a whole number from {low} to {high}, got {value!r}")
        for name in ("slope", "second", "corrector_slope", "eta", "offset"):
            object.__setattr__(self, name, number(name, getattr(self, name), InvalidSchedule))
        object.__setattr__(self, "weights", _numbers(self.weights))
        object.__setattr__(self, "points", _offsets(self.points))
        self._check_points()
        self._check_kinds()

    def _check_points(self) -> None:
        if self.weights:
            if len(self.weights) != self.order or abs(sum(self.weights) - 1) > 1e-12:
                raise InvalidSchedule(f"weights are {self.order} numbers (the order) with sum 1, got {self.weights}")
            if len(self.points) > 1 or any(len(each) != self.order for each in self.points):
                raise InvalidSchedule(f"with weights, points is one tuple of {self.order} outputs, got {self.points}")
        elif self.points and len(self.points) != self.order - 1:
            raise InvalidSchedule(f"points has one tuple for each of {self.order - 1} derivatives, got {self.points}")
        for k, each in enumerate(self.points, start=1):
            if len(set(each)) != len(each):
                raise InvalidSchedule(f"points names an output twice: {each}")
            if not self.weights and (self.start in each or not k <= len(each) <= MAX_ORDER):
                raise InvalidSchedule(
                    f"derivative {k} is estimated from {k} to {MAX_ORDER} outputs other than the starting one "
                    f"({self.start}), got {each}"
                )

    def _check_kinds(self) -> None:
        if self.corrector == 1 or self.corrector > self.order + 1:
            raise InvalidSchedule(
                f"corrector is 0 for none or an order from 2 to {self.order + 1} (the step's + 1), got {self.corrector}"
            )
        plain = self.order == 1 and not self.corrector
        if self.weights and (self.corrector or self.eta):
            raise InvalidSchedule("a step with weights has no corrector and no fresh noise: leave out one of them")
        if self.variable == "velocity" and not {self.scale, self.corrector_scale} <= set(VELOCITY_SCALES):
            raise InvalidSchedule(
                f"velocity takes the scales {VELOCITY_SCALES}, got {self.scale!r} and {self.corrector_scale!r}"
            )
        if self.eta < 0 or (self.eta > 1 and self.noise != "langevin"):
            raise InvalidSchedule(f"eta is at least 0, and at most 1 unless noise is 'langevin', got {self.eta}")
        if self.eta and not plain and (self.prediction, self.variable) != ("data", "lambda"):
            raise InvalidSchedule(
                "fresh noise beyond order 1 goes with data prediction in lambda, got "
                f"{self.prediction} in {self.variable}: set eta to 0 or change them"
            )

    def __repr__(self) -> str:
        changed = (f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if getattr(self, f.name) != f.default)
        return f"Step({', '.join(changed)})"

    @property
    def form(self) -> str:
        """The equation that the step integrates: in "data", "noise" or "velocity" prediction."""
        return "velocity" if self.variable == "velocity" else self.prediction

    @property
    def sets(self) -> tuple[Offsets, ...]:
        """For each derivative 1 … order − 1 the outputs that estimate it, without the starting one."""
        if self.weights:
            return ()
        return self.points or (_nearest(self.order - 1, self.start),) * (self.order - 1)

    @property
    def corrector_sets(self) -> tuple[Offsets, ...]:
        """The outputs for the corrector's derivatives 1 … corrector − 1; 0 is the new output, a member of every set."""
        if not self.points:
            return ((0, *_nearest(self.corrector - 2, self.start)),) * (self.corrector - 1)
        every = tuple(sorted({p for each in self.points for p in each}, reverse=True))
        return tuple((0, *each) for each in (*self.points, every)[: self.corrector - 1])

    def canonical(self, moved: bool = False) -> "Step":
        """The simplest equal step: choices without effect are reset to their defaults.

        ``moved``: the state that the step starts from was corrected after its call, so that predictions differ even
        at order 1.
        """
        return _canonical(self, moved)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: the entries that every step has, and the others where they are not the default."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        changed = {f.name for f in fields(self) if values[f.name] != f.default}
        return {k: _plain(v) for k, v in values.items() if k in BASE or k in changed}


@lru_cache(maxsize=2**14)  # a search asks for the same steps again and again
def _canonical(step: Step, moved: bool) -> Step:
    if step.weights:
        outputs = step.points[0] if step.points else tuple(range(-1, -step.order - 1, -1))
        pairs = sorted(((p, w) for p, w in zip(outputs, step.weights, strict=True) if w), reverse=True)
        named = tuple(p for p, _ in pairs)
        weights = tuple(w for _, w in pairs)
        plain = named == (step.start,)
        latest = plain or named == tuple(range(-1, -len(named) - 1, -1))
        step = replace(step, order=len(named), weights=() if plain else weights, points=() if latest else (named,))
    derived = step.order > 1 and not step.weights
    interpolates = derived or step.corrector > 0
    step = replace(step, points=tuple(tuple(sorted(each, reverse=True)) for each in step.points))
    short = replace(step, points=()) if derived else step
    nearest = (short.sets, short.corrector_sets) == (step.sets, step.corrector_sets)
    scale, slope = _factor(step.scale, step.slope, derived)
    corrector_scale, corrector_slope = _factor(step.corrector_scale, step.corrector_slope, step.corrector > 0)
    return replace(
        step,
        prediction=step.form if step.form == "noise" and (interpolates or step.weights or moved) else "data",
        scale=scale,
        slope=slope,
        second=step.second if derived and step.order > 2 else 1.0,
        variable=step.variable if interpolates or (step.form == "velocity" and (step.weights or moved)) else "lambda",
        points=short.points if nearest else step.points,
        corrector_scale=corrector_scale,
        corrector_slope=corrector_slope,
        noise=step.noise if step.eta and (step.noise, step.eta) != ("langevin", 1.0) else "ancestral",
    )


def _plain(value: Any) -> Any:
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _factor(scale: str, slope: float, effective: bool) -> tuple[str, float]:
    if not effective or (scale, slope) == ("linear", 0.0):
        return "none", 0.0
    return scale, slope if scale == "linear" else 0.0


def _nearest(count: int, start: int) -> Offsets:
    """The ``count`` latest outputs other than the starting one."""
    return tuple(p for p in range(-1, -count - 2, -1) if p != start)[:count]


def _numbers(values: Any) -> tuple[float, ...]:
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        raise InvalidSchedule(f"weights is a sequence of numbers, got {str(values)[:80]!r}")
    return tuple(number(f"weights[{i}]", w, InvalidSchedule) for i, w in enumerate(values))


def _offsets(values: Any) -> tuple[Offsets, ...]:
    try:
        points = tuple(tuple(each) for each in values)
    except TypeError as error:
        raise InvalidSchedule(f"points is a sequence of sequences of outputs: {error}") from error
    for each in points:
        for p in each:
            if type(p) is not int or p >= 0:
                raise InvalidSchedule(f"points names outputs by how far they lie back, −1, −2, …; got {p!r}")
    return points
