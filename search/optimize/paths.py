"""Students' paths side by side: the network's outputs along several tableaus, each from noises of its own, with a call
for all of them at every step.

A path takes the rows that its user finds on the way (`fewstep.search.optimize.fit`). Paths that begin with the same
noise and tell the network the same time share their first output: it is computed once.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import torch

from fewstep import Tableau
from fewstep.errors import InvalidInput
from fewstep.models.base import per_sample
from fewstep.sampling import guidance
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import NoiseSet
from fewstep.search.projection import projected

__all__ = ["Path", "Paths"]


class Path(NamedTuple):
    """The times of a ``tableau``, from those of the noises that have the numbers ``picks``."""

    tableau: Tableau
    picks: Sequence[int]


class Paths:
    """The paths of some of the ``noises``: y_0 and the outputs so far, of which projections are seen.

    Where these are large they are kept in the memory of the host, and only a batch of the samples is on the device.
    ``saved`` counts the first outputs that were shared. Raises `InvalidInput` where the paths differ in their number of
    calls.
    """

    def __init__(self, evaluator: Evaluator, noises: NoiseSet, paths: Sequence[Path]) -> None:
        calls = [path.tableau.calls for path in paths]
        if len(set(calls)) != 1:
            raise InvalidInput(f"paths side by side have as many calls, got {calls}")
        self._tableaus = [path.tableau for path in paths]
        self._evaluator, self._noises, self.saved = evaluator, noises, 0
        self._ends = list(accumulate(len(path.picks) for path in paths))[:-1]  # of each path's samples, but the last
        self._owner = np.repeat(np.arange(len(paths)), [len(path.picks) for path in paths])
        self._picks = np.concatenate([np.asarray(path.picks, dtype=int) for path in paths])
        self._times = np.stack([tableau.network_times for tableau in self._tableaus])
        scales = [np.full(calls[0], np.inf) if each.guidance is None else each.guidance for each in self._tableaus]
        self._scales = np.stack(scales)  # infinite: the model's own
        size = evaluator.at_once(calls[0] + 3)
        self._parts = [slice(first, first + size) for first in range(0, len(self._picks), size)]
        self._basis = list[list[torch.Tensor]]()  # of each part

    def begin(self) -> list[np.ndarray]:
        """Projections (n, p) of y_0, for each path."""
        features = []
        for part in self._parts:
            picks, places = np.unique(self._picks[part], return_inverse=True)
            noise = self._noises.draw(self._evaluator.shape, picks.tolist()).to(self._evaluator.device)
            start = self._evaluator.denoiser.process.prior_std * noise[torch.from_numpy(places).to(noise.device)]
            self._basis.append([self._kept(start)])
            features.append(projected(start))
        return self._by_path(features)

    def call(self, i: int, rows: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Projections (n, p) of the outputs of call i, for each path, at the states that its row makes of its y_0 and
        its outputs so far."""
        features = []
        weights = np.stack(rows)  # (M, i+1)
        for part, basis in zip(self._parts, self._basis, strict=True):
            owner, device, like = self._owner[part], self._evaluator.device, basis[0]
            state = torch.zeros_like(like, device=device)
            for column, value in zip(weights[owner].T, basis, strict=True):
                weight = torch.from_numpy(column).to(like.dtype).to(device)
                state = state + per_sample(weight, state) * value.to(device)
            t = torch.from_numpy(self._times[owner, i]).to(like.dtype).to(device)
            samples = np.arange(len(self._picks))[part]
            output = self._first(samples, state, t) if i == 0 else self._output(i, samples, state, t)
            basis.append(self._kept(output))
            features.append(projected(output))
        return self._by_path(features)

    def _first(self, samples: np.ndarray, state: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        owner = self._owner[samples]
        keys = np.stack([self._picks[samples], self._times[owner, 0], self._scales[owner, 0]], axis=1)
        _, where, places = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        self.saved += len(samples) - len(where)
        chosen, back = (torch.from_numpy(each.reshape(-1)).to(state.device) for each in (where, places))
        return self._output(0, samples[where], state[chosen], t[chosen])[back]

    def _output(self, i: int, samples: np.ndarray, state: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """The network's answer to call i, which takes as many calls as there are guidance scales."""
        scales = self._scales[self._owner[samples], i]
        output = torch.empty_like(state)
        for scale in np.unique(scales):
            same = np.flatnonzero(scales == scale)
            denoiser = self._evaluator.under(self._noises, self._picks[samples[same]].tolist())
            tableau = self._tableaus[self._owner[samples[same[0]]]]
            chosen = torch.from_numpy(same).to(state.device)
            output[chosen] = guidance.denoisers(denoiser, tableau)[i](state[chosen], t[chosen])
        return output

    def _kept(self, values: torch.Tensor) -> torch.Tensor:
        return values if len(self._parts) == 1 else values.cpu()

    def _by_path(self, features: Sequence[np.ndarray]) -> list[np.ndarray]:
        return np.split(np.concatenate(features), self._ends)
