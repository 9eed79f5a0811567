"""The contract of `fewstep.models.Denoiser`, over every implementation and every wrapper."""

import copy
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import pytest
import torch

from fewstep import Schedule, models, sample, solvers, states
from fewstep.errors import InvalidInput
from fewstep.models import Denoiser, Unconditional, Wrapped, base, zoo
from fewstep.models.network import NetworkDenoiser, Plain
from fewstep.processes import VPLinear
from fewstep.search import find
from fewstep.search.evaluation.evaluator import Evaluator, count_passes
from fewstep.search.evaluation.microbatch import Chunked
from fewstep.search.evaluation.noises import SEARCH, NoiseSet
from fewstep.search.limit import Limit
from fewstep.timeshift import TimeShift, wrap

SHAPE, BATCH = (1, 8, 8), 12
LAW = VPLinear()
CONDITIONS = (7, 7, 2, 0, 9, 7, 17, 3, 1, 1, 5, 8)  # 17 is 7 modulo 10
Function = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Own(Unconditional):
    """A user's class: a process and a call."""

    process = LAW

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return 0.5 * x


class OwnModule(torch.nn.Module, Unconditional):
    """A user's network with the base beside its own."""

    process = LAW

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x)


@dataclass(frozen=True)
class Clamped(Wrapped):
    """A user's wrapper with fields of its own."""

    low: float
    high: float

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.denoiser(x, t).clamp(self.low, self.high)


def scaled(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return 0.5 * x


LABELS = torch.randn(10, *SHAPE, generator=torch.Generator().manual_seed(4))


def labelled(x: torch.Tensor, t: torch.Tensor, conditions: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """A network of ten classes."""
    return torch.tanh(x / 2 + LABELS[conditions["labels"]])


class Small(torch.nn.Module):
    """Small enough to export in no time."""

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x + (t / 999)[:, None, None, None])


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Denoiser:
    """An exported program, opened from its folder."""
    folder = tmp_path_factory.mktemp("program")
    some = {0: torch.export.Dim("B")}
    exported = torch.export.export(
        Small(), (torch.ones(2, *SHAPE), torch.ones(2)), dynamic_shapes={"x": some, "t": some}
    )
    torch.export.save(exported, folder / "program.pt2")
    own = '{"shape": [1, 8, 8], "process": {"kind": "vp-linear"}, "prediction": "data", "time_scale": 999}'
    (folder / "fewstep.json").write_text(own)
    return models.folder.open(folder)


LEAVES: dict[str, Callable[[], Denoiser]] = {
    "callable": lambda: models.from_callable(scaled, LAW, "data"),
    "gaussian": lambda: models.Gaussian(LAW, torch.zeros(64), 0.25 * torch.eye(64)),
    "mixture": lambda: zoo.load("digits-mixture"),
    "network": lambda: zoo.load("digits-unet"),
    "heads": lambda: zoo.load("digits-ddm"),
    "conditional": lambda: NetworkDenoiser(
        labelled,
        Plain(LAW, "data"),
        positive={"labels": torch.arange(10)},
        negative={"labels": torch.tensor([9])},
        conditions=10,
        guidance=1.5,
    ),
    "digits-cond": lambda: zoo.load("digits-cond"),
    "own": Own,
    "own module": OwnModule,
}


def shift_of(denoiser: Denoiser, mode: str = "network") -> TimeShift:
    """A shift that moves times: a window of a quarter of the range, from a third of the range on."""
    span = denoiser.process.t_max - denoiser.process.t_min
    return TimeShift(0.25 * span, denoiser.process.t_min + span / 3, "calibrated", mode, variance=0.5)


def in_parts(denoiser: Denoiser, batch: int = 5) -> Denoiser:
    return Chunked(denoiser, range(BATCH), Limit(batch))


# name -> the wrapper, and what it computes of a plain denoiser
WRAPPERS: dict[str, tuple[Callable[[Denoiser], Denoiser], Callable[[Denoiser], Function]]] = {
    "shifted": (
        lambda d: wrap(d, shift_of(d)),
        lambda d: lambda x, t: d(x, shift_of(d).network_times(d.process, x, t)),
    ),
    "micro-batches": (in_parts, lambda d: d),
    "clamped": (lambda d: Clamped(d, -0.8, 0.9), lambda d: lambda x, t: d(x, t).clamp(-0.8, 0.9)),
    "micro-batches of shifted": (
        lambda d: in_parts(wrap(d, shift_of(d))),
        lambda d: lambda x, t: d(x, shift_of(d).network_times(d.process, x, t)),
    ),
    "shifted micro-batches": (
        lambda d: wrap(in_parts(d), shift_of(d)),
        lambda d: lambda x, t: d(x, shift_of(d).network_times(d.process, x, t)),
    ),
    "clamped shifted": (
        lambda d: Clamped(wrap(d, shift_of(d)), -0.8, 0.9),
        lambda d: lambda x, t: d(x, shift_of(d).network_times(d.process, x, t)).clamp(-0.8, 0.9),
    ),
}

each_leaf = pytest.mark.parametrize("leaf", LEAVES)
each_wrapper = pytest.mark.parametrize("wrapper", WRAPPERS)


@cache
def states_and_times(leaf: str) -> tuple[torch.Tensor, torch.Tensor]:
    """States (B, 1, 8, 8) as sampling meets them and a time (B,) for each."""
    process = LEAVES[leaf]().process
    generator = torch.Generator().manual_seed(5)
    share = torch.linspace(0.4, 0.9, BATCH)
    t = process.t_min + share * (process.t_max - process.t_min)
    clean, noise = 0.7 * torch.randn(2, BATCH, *SHAPE, generator=generator)
    return base.per_sample(process.alpha(t), clean) * clean + base.per_sample(process.sigma(t), noise) * noise, t


def noise() -> torch.Tensor:
    return torch.randn(BATCH, *SHAPE, generator=torch.Generator().manual_seed(1))


def schedule_of(denoiser: Denoiser, mode: str | None = None) -> Schedule:
    """Four calls, with a time shift of that mode."""
    schedule = solvers.named("dpmpp-2m").schedule(denoiser.process, 4, "time")
    return schedule if mode is None else replace(schedule, shift=shift_of(denoiser, mode))


def every_member(denoiser: Denoiser) -> None:
    assert isinstance(denoiser, Denoiser)
    base.check_denoiser(denoiser)
    assert type(denoiser.conditions) is int
    assert denoiser.conditions >= 0
    assert type(denoiser.passes) is int
    assert denoiser.passes >= 1
    assert callable(denoiser)
    assert isinstance(denoiser.bound([0, 1]), Denoiser)


@each_leaf
def test_a_leaf_has_every_member(leaf: str) -> None:
    """Process, conditions, passes, bound, guided and the call; an unconditional one is bound to itself."""
    denoiser = LEAVES[leaf]()
    every_member(denoiser)
    assert (denoiser.bound([3, 1]) is denoiser) == (denoiser.conditions == 0)


def test_a_program_has_every_member(program: Denoiser) -> None:
    """What torch.export wrote is a denoiser without conditions."""
    every_member(program)
    assert (program.conditions, program.passes) == (0, 1)
    assert program.bound([3, 1]) is program


@each_wrapper
@each_leaf
def test_a_wrapper_has_every_member_of_what_it_wraps(leaf: str, wrapper: str) -> None:
    """Process, conditions and passes are those inside, and binding keeps the wrapper."""
    inside = LEAVES[leaf]()
    wrapped = WRAPPERS[wrapper][0](inside)
    every_member(wrapped)
    for name in ("process", "conditions", "passes"):
        assert getattr(wrapped, name) == getattr(inside, name)
        assert getattr(wrapped.bound([1, 2]), name) == getattr(inside, name)
    assert type(wrapped.bound([1, 2])) is type(wrapped)
    assert (wrapped.bound([3, 1]) is wrapped) == (inside.conditions == 0)


@pytest.mark.parametrize("leaf", ["network", "heads", "conditional", "digits-cond"])
def test_passes_are_those_of_the_network(leaf: str) -> None:
    """A call passes the network ``passes`` times for each sample."""
    denoiser = LEAVES[leaf]()
    assert isinstance(denoiser, NetworkDenoiser)
    sizes = []

    def network(x: torch.Tensor, t: torch.Tensor, conditions: object) -> torch.Tensor:
        sizes.append(len(x))
        return denoiser.network(x, t, conditions)

    replace(denoiser, network=network)(*states_and_times(leaf))
    assert sizes == [denoiser.passes * BATCH]


@each_wrapper
@each_leaf
def test_a_bound_wrapper_is_the_plain_model_under_those_conditions(leaf: str, wrapper: str) -> None:
    """Bound outside or inside, sample i runs under its condition, modulo their number; binding again replaces."""
    denoiser, (x, t) = LEAVES[leaf](), states_and_times(leaf)
    make, effect = WRAPPERS[wrapper]
    with torch.no_grad():
        wanted = effect(denoiser.bound([c % 10 for c in CONDITIONS]))(x, t)
        for bound in (make(denoiser).bound(CONDITIONS), make(denoiser).bound(range(BATCH)).bound(CONDITIONS)):
            torch.testing.assert_close(bound(x, t), wanted, rtol=1e-4, atol=1e-3)  # σ/α enlarges rounding near t_max
        by_position = make(denoiser).bound(range(BATCH))(x, t)
    assert (denoiser.conditions > 0) == bool((by_position - wanted).abs().max() > 0.1)


def test_a_shifted_model_runs_under_the_condition_that_it_is_bound_to() -> None:
    """Three samples under condition 7 are the plain model's under condition 7, to the last bit, in two passes each."""
    plain = zoo.load("digits-cond")
    shift = TimeShift(100.0, 300.0)
    x, t = noise()[:3], torch.full((3,), 600.0)
    shifted = wrap(plain, shift)
    with torch.no_grad():
        got, times = shifted.bound([7, 7, 7])(x, t), shift.network_times(plain.process, x, t)
        assert torch.equal(got, plain.bound([7, 7, 7])(x, times))
        assert (got - plain.bound([0, 1, 2])(x, times)).abs().max() > 1
    assert (shifted.conditions, shifted.passes) == (10, 2)
    assert count_passes(Evaluator(shifted, SHAPE)) == 2


@each_wrapper
@pytest.mark.parametrize("leaf", ["callable", "conditional"])
def test_samples_do_not_depend_on_the_batch(leaf: str, wrapper: str) -> None:
    """`fewstep.sample` over 12 samples at once, in fours and one by one, each bound to its own conditions."""
    denoiser = WRAPPERS[wrapper][0](LEAVES[leaf]())
    schedule, start = schedule_of(denoiser), noise()

    def drawn(batch: int) -> torch.Tensor:
        parts = [slice(first, first + batch) for first in range(0, BATCH, batch)]
        return torch.cat([sample(denoiser.bound(CONDITIONS[part]), schedule, start[part]) for part in parts])

    for batch in (4, 1):
        torch.testing.assert_close(drawn(batch), drawn(BATCH), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("mode", [None, "network", "start"])
@pytest.mark.parametrize(
    ("leaf", "wrapper"), [("digits-cond", "shifted"), *(("conditional", name) for name in ("none", *WRAPPERS))]
)
def test_a_search_does_not_depend_on_its_micro_batch(leaf: str, wrapper: str, mode: str | None) -> None:
    """An evaluator's samples of a conditional model are its plain model's, in micro-batches of 12, 4 and 1."""
    plain = LEAVES[leaf]()
    make, effect = WRAPPERS.get(wrapper, (lambda d: d, lambda d: d))
    noises, schedule = NoiseSet(0, SEARCH, BATCH, first=4), schedule_of(plain, mode)
    bound = plain.bound(range(4, 4 + BATCH))
    wanted = sample(models.from_callable(effect(bound), plain.process, "data"), schedule, noises.draw(SHAPE))
    for batch in (12, 4, 1):
        under = Evaluator(make(plain), SHAPE, batch=batch).under(noises)
        torch.testing.assert_close(sample(under, schedule, noises.draw(SHAPE)), wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("wrapper", ["none", *WRAPPERS])
def test_guidance_leads_away_from_none_by_its_scale(wrapper: str) -> None:
    """D at scale w is D at 0 and w times the way from there to D at 1; conditions and passes stay."""
    plain, (x, t) = LEAVES["conditional"](), states_and_times("conditional")
    make, effect = WRAPPERS.get(wrapper, (lambda d: d, lambda d: d))
    without, under = (plain.guided(scale).bound(CONDITIONS) for scale in (0, 1))
    guided = make(plain).guided(3.5)
    with torch.no_grad():
        wanted = effect(
            models.from_callable(
                lambda x, t: without(x, t) + 3.5 * (under(x, t) - without(x, t)), plain.process, "data"
            )
        )(x, t)
        torch.testing.assert_close(guided.bound(CONDITIONS)(x, t), wanted, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(make(plain).bound(CONDITIONS).guided(3.5)(x, t), wanted, rtol=1e-4, atol=1e-4)
    assert (guided.conditions, guided.passes) == (10, 2)


@pytest.mark.parametrize("wrapper", ["none", *WRAPPERS])
@pytest.mark.parametrize("leaf", sorted(LEAVES.keys() - {"conditional", "digits-cond"}))
def test_what_has_no_guidance_refuses_it(leaf: str, wrapper: str) -> None:
    """The error says the scale, what was wanted and what to do."""
    make = WRAPPERS[wrapper][0] if wrapper in WRAPPERS else copy.copy
    with pytest.raises(InvalidInput, match=r"guidance at scale 3\.5 wants a .*: open a conditional"):
        make(LEAVES[leaf]()).guided(3.5)


def test_a_guidance_scale_is_a_finite_number() -> None:
    """Anything else is named."""
    with pytest.raises(InvalidInput, match="guidance scale is a finite number, got nan"):
        LEAVES["conditional"]().guided(float("nan"))


@pytest.mark.parametrize("wrapper", ["none", *WRAPPERS])
@each_leaf
def test_a_deep_copy_is_the_same_denoiser(leaf: str, wrapper: str) -> None:
    """Members and outputs stay, also where it is bound."""
    denoiser, (x, t) = LEAVES[leaf](), states_and_times(leaf)
    denoiser = (WRAPPERS[wrapper][0] if wrapper in WRAPPERS else copy.copy)(denoiser).bound(CONDITIONS)
    with torch.no_grad():
        assert torch.equal(copy.deepcopy(denoiser)(x, t), denoiser(x, t))


@pytest.mark.parametrize("wrapper", ["none", *WRAPPERS])
@pytest.mark.parametrize("leaf", ["callable", "gaussian", "mixture", "conditional"])
def test_tables_and_functions_travel(leaf: str, wrapper: str) -> None:
    """Pickled and back, they compute the same, to the last bit."""
    denoiser, (x, t) = LEAVES[leaf](), states_and_times(leaf)
    denoiser = (WRAPPERS[wrapper][0] if wrapper in WRAPPERS else copy.copy)(denoiser).bound(CONDITIONS)
    assert torch.equal(pickle.loads(pickle.dumps(denoiser))(x, t), denoiser(x, t))


def test_a_wrapper_keeps_its_own_fields_when_bound_and_guided() -> None:
    """Only the denoiser inside is another."""
    wrapped = Clamped(LEAVES["conditional"](), -0.8, 0.9).bound([3]).guided(2.0)
    assert (wrapped.low, wrapped.high) == (-0.8, 0.9)
    assert isinstance(wrapped.denoiser, NetworkDenoiser)
    assert (wrapped.denoiser.indices, wrapped.denoiser.guidance) == ((3,), 2.0)


class Bare:
    """What some may pass: a process and a call, and nothing else."""

    process = LAW

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return 0.5 * x


DOORS: dict[str, Callable[[Denoiser], object]] = {
    "sample": lambda d: sample(d, solvers.named("ddim").schedule(LAW, 2), noise()),
    "states": lambda d: next(states(d, solvers.named("ddim").schedule(LAW, 2), noise())),
    "find": lambda d: find(d, nfe=2, shape=SHAPE, budget=2),
    "evaluator": lambda d: Evaluator(d, SHAPE),
    "wrap": lambda d: wrap(d, TimeShift(0.1, 0.3)),
    "wrapper": lambda d: Clamped(d, -1.0, 1.0),
}


@pytest.mark.parametrize("door", DOORS)
def test_a_model_that_lacks_members_is_refused_at_the_door(door: str) -> None:
    """The error names what is missing and the two ways to have it."""
    lacks = "this Bare lacks conditions, passes, bound, guided: .*from_callable, .*fewstep.models.Unconditional"
    with pytest.raises(InvalidInput, match=lacks):
        DOORS[door](Bare())  # type: ignore[arg-type]


@pytest.mark.parametrize("missing", base.MEMBERS)
def test_each_missing_member_is_named(missing: str) -> None:
    """Whichever it is."""
    members = {name: vars(Own).get(name, getattr(Own, name)) for name in base.MEMBERS if name != missing}
    with pytest.raises(InvalidInput, match=f"this Lacking lacks {missing}: "):
        base.check_denoiser(type("Lacking", (), members)())


@pytest.mark.parametrize("mend", [lambda bare: models.from_callable(bare, bare.process, "data"), lambda bare: Own()])
def test_either_way_out_is_one_line(mend: Callable[[Bare], Denoiser]) -> None:
    """A function in `from_callable`, or the base class: both sample as the bare object would."""
    schedule, start = solvers.named("ddim").schedule(LAW, 2), noise()
    torch.testing.assert_close(
        sample(mend(Bare()), schedule, start), sample(models.from_callable(scaled, LAW, "data"), schedule, start)
    )


def test_parts_are_bound_to_their_own_conditions() -> None:
    """Of 12 samples in parts of 5, each part of the model inside sees 5, 5 and 2 of the conditions."""
    bound_to: list[Sequence[int]] = []

    @dataclass(frozen=True)
    class Recorder(Wrapped):
        def bound(self, conditions: Sequence[int]) -> Denoiser:
            bound_to.append(list(conditions))
            return self.denoiser.bound(conditions)

        def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            raise AssertionError("called without conditions")

    with torch.no_grad():
        in_parts(Recorder(LEAVES["conditional"]())).bound(CONDITIONS)(*states_and_times("conditional"))
    assert bound_to == [list(CONDITIONS[:5]), list(CONDITIONS[5:10]), list(CONDITIONS[10:])]
