"""Memory beside the model is bounded: counted on latents of Flux's size, with a network that takes none."""

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fewstep import models, processes, solvers
from fewstep.search.evaluation import evaluator as evaluate
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.memory import beside_model
from fewstep.search.evaluation.noises import SEARCH, NoiseSet
from fewstep.search.optimize import descent
from fewstep.search.optimize.fit import cross_fit, fit
from fewstep.search.optimize.span import out_of_span
from fewstep.values.objective import Objective

FLUX = (16, 128, 128)
NOISES = NoiseSet(0, SEARCH, 16)
NFE = 8


class Counting(TorchDispatchMode):
    """Bytes of all tensors that are alive, and the most there ever were."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._users: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._add(tensor)
        return made

    def _add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        place, size = storage.data_ptr(), storage.nbytes()
        if place not in self._users:
            self._users[place] = 0
            self.now += size
            self.most = max(self.most, self.now)
        self._users[place] += 1
        weakref.finalize(tensor, self._drop, place, size)

    def _drop(self, place: int, size: int) -> None:
        self._users[place] -= 1
        if not self._users[place]:
            del self._users[place]
            self.now -= size


def test_the_count_is_that_of_live_tensors() -> None:
    """A view takes nothing, what is dropped is given back; the most is remembered."""
    with Counting() as memory:
        kept = torch.zeros(1000)
        view = kept[10:].reshape(-1, 2)
        more = kept + 1
        assert memory.now == 8000
        del more, kept
        assert (memory.now, memory.most) == (4000, 8000)
        del view
    assert memory.now == 0


def test_latents_of_flux_take_at_most_a_gibibyte_beside_the_model() -> None:
    """Teacher, trial, fits, polish and the out-of-span share on 16 noises of 1 MiB, all in the memory that is counted:
    no more than the estimate, which is under 1 GiB."""
    process = processes.Flow()
    model = models.from_callable(lambda x, t: 0.5 * x, process, "data")
    schedule = solvers.named("ddim").schedule(process, NFE, "time")
    estimate = beside_model(FLUX, NOISES.count, NFE)
    with Counting() as memory:
        evaluator = Evaluator(model, FLUX)
        followed = evaluate.follow(evaluator, NoiseSet(0, SEARCH, 8))
        evaluator.keep_targets(NoiseSet(0, SEARCH, 4, first=8), 48, lambda: torch.zeros(4, *FLUX))
        evaluator.keep_targets(NoiseSet(0, SEARCH, 4, first=12), 48, lambda: torch.zeros(4, *FLUX))
        evaluate.observe(evaluator, NOISES, schedule, [Objective("rms"), Objective("switch")])
        fit(evaluator, NoiseSet(0, SEARCH, 8), followed, schedule)
        cross_fit(evaluator, NOISES, followed.first(4), [schedule], Objective("mean"))
        out_of_span(evaluator, NOISES, 4, schedule)
        task = descent.Task(schedule, NOISES, NoiseSet(0, SEARCH, 4), 1)
        descent.advance(evaluator, task, descent.begin(evaluator, task))
    assert memory.most <= estimate <= 2**30
    assert memory.most > estimate / 4  # which says something
