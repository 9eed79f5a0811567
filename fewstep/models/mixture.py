"""Gaussian mixtures: exact denoisers, so that all error of a sample is the solver's.

    p(x_0) = Σ_k w_k N(μ_k, C_k),  C_k = U_k diag(v_k) U_kᵀ,  so p(x_t) = Σ_k w_k N(α μ_k, α² C_k + σ² I)

| symbol | shape | meaning |
|---|---|---|
| w, μ, U, v | (K,), (K, d), (K, d, d), (K, d) | weights, means, eigenvectors (columns), eigenvalues ≥ 0 |
| r_k | (B, K) | posterior probability of component k |
| D | (B, d) | Σ_k r_k (μ_k + U_k [α v_k / (α² v_k + σ²)] U_kᵀ (x − α μ_k)) |
"""

from copy import copy
from typing import Self

import torch

from fewstep.errors import InvalidInput, InvalidModel
from fewstep.models.base import Unconditional
from fewstep.processes import Process

__all__ = ["Gaussian", "GaussianMixture"]


class GaussianMixture(Unconditional):
    """Exact denoiser of a full-covariance Gaussian mixture. Samples may have any shape with d numbers in all.

    ``weights`` (K,) positive, made to sum to 1 · ``means`` (K, d) · ``covariances`` (K, d, d) symmetric, positive
    semi-definite. Computes in the precision of the states. Raises `InvalidModel` where shapes or values do not fit.

    >>> from fewstep import processes
    >>> two = GaussianMixture(processes.VPLinear(), torch.ones(2), torch.tensor([[-1.0], [1.0]]), torch.zeros(2, 1, 1))
    >>> two(torch.zeros(1, 1), torch.ones(1)).abs().item() < 1e-6
    True
    """

    def __init__(self, process: Process, weights: torch.Tensor, means: torch.Tensor, covariances: torch.Tensor) -> None:
        count, d = means.shape if means.ndim == 2 else (0, 0)
        if count < 1 or weights.shape != (count,) or covariances.shape != (count, d, d):
            raise InvalidModel(
                "a mixture wants weights (K,), means (K, d), covariances (K, d, d); got "
                f"{tuple(weights.shape)}, {tuple(means.shape)}, {tuple(covariances.shape)}"
            )
        if not all(tensor.isfinite().all() for tensor in (weights, means, covariances)):
            raise InvalidModel("a mixture's weights, means and covariances must be finite")
        if not (weights > 0).all():
            raise InvalidModel("a mixture's weights must be positive")
        if not torch.allclose(covariances, covariances.mT, atol=1e-6):
            raise InvalidModel("a mixture's covariances must be symmetric")
        values, vectors = torch.linalg.eigh(covariances.double())
        if values.min() < -1e-6 * values.max():
            raise InvalidModel("a mixture's covariances must be positive semi-definite")
        self.process = process
        self._exact = weights.double() / weights.double().sum(), means.double(), values.clamp_min(0), vectors
        self._casts: dict[tuple[torch.dtype, torch.device], Self] = {}
        self._set(*self._exact)

    def _set(self, weights: torch.Tensor, means: torch.Tensor, values: torch.Tensor, vectors: torch.Tensor) -> None:
        self.weights = weights
        self.means = means
        self.values = values
        self.vectors = vectors
        count, d = means.shape
        self._project = vectors.permute(1, 0, 2).reshape(d, count * d)  # (d, K·d): x -> U_kᵀ x for all k at once
        self._centres = torch.einsum("kde,kd->ke", vectors, means)  # (K, d): U_kᵀ μ_k

    def to(self, dtype: torch.dtype, device: torch.device | str | None = None) -> Self:
        """The same mixture with its tables in ``dtype`` on ``device``, cast from float64; cached."""
        key = dtype, torch.device(device or self.means.device)
        if key not in self._casts:
            other = copy(self)
            other._set(*(table.to(key[1], dtype) for table in self._exact))
            self._casts[key] = other
        return self._casts[key]

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """E[x_0 | x_t = x] for ``x`` (B, ...) and ``t`` (B,); same shape and dtype as ``x``.

        Raises `InvalidInput` where a sample has another size than the mixture's means, or the batches differ.
        """
        if len(t) != len(x) or x[:1].numel() != self.means.shape[1] * len(x[:1]):
            raise InvalidInput(
                f"this mixture wants x (B, ...) with {self.means.shape[1]} numbers in a sample and t (B,), got "
                f"{tuple(x.shape)} and {tuple(t.shape)}"
            )
        if x.dtype != self.means.dtype or x.device != self.means.device:
            return self.to(x.dtype, x.device)(x, t)
        count, d = self.means.shape
        t = t[:1] if bool((t == t[:1]).all()) else t  # one time for all, as in sampling: α and σ once
        alpha = self.process.alpha(t)[:, None, None]  # (B or 1, 1, 1)
        sigma = self.process.sigma(t)[:, None, None]
        rotated = (x.reshape(-1, d) @ self._project).reshape(-1, count, d) - alpha * self._centres  # (B, K, d)
        spread = (alpha**2 * self.values + sigma**2).clamp_min(torch.finfo(x.dtype).tiny)  # (B or 1, K, d)
        logits = self.weights.log() - 0.5 * ((rotated**2 / spread).sum(-1) + spread.log().sum(-1))  # (B, K)
        posterior = logits.softmax(-1)
        shift = posterior[:, :, None] * (alpha * self.values / spread) * rotated  # (B, K, d)
        mean = posterior @ self.means + shift.reshape(-1, count * d) @ self._project.T
        return mean.reshape(x.shape)


class Gaussian(Unconditional):
    """One Gaussian N(mean, covariance): the denoiser whose probability-flow ODE has a closed form.

    ``mean`` (d,) · ``covariance`` (d, d). It computes as the `GaussianMixture` of one component.

    >>> from fewstep import processes
    >>> standard = Gaussian(processes.VPLinear(), mean=torch.zeros(2), covariance=torch.eye(2))
    >>> standard.flow(torch.ones(1, 2), start=1.0, end=0.001)  # N(0, I) stays N(0, I)
    tensor([[1., 1.]])
    """

    def __init__(self, process: Process, mean: torch.Tensor, covariance: torch.Tensor) -> None:
        self.process = process
        self.mixture = GaussianMixture(process, torch.ones(1), mean[None], covariance[None])

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """E[x_0 | x_t = x] for ``x`` (B, ...) and ``t`` (B,); same shape, dtype and errors as a mixture's."""
        return self.mixture(x, t)

    def flow(self, noise: torch.Tensor, start: float, end: float) -> torch.Tensor:
        """The exact probability-flow map of a state at time ``start``, (B, d), to time ``end``; same shape.

        Along each eigenvector, (y − α μ) scales with √(α² v + σ²).
        """
        process = self.process
        vectors = self.mixture.vectors[0].to(noise)
        values = self.mixture.values[0].to(noise)
        mean = self.mixture.means[0].to(noise)
        spread = [process.alpha(t) ** 2 * values + process.sigma(t) ** 2 for t in (start, end)]
        rotated = (noise - process.alpha(start) * mean) @ vectors
        return process.alpha(end) * mean + (rotated * (spread[1] / spread[0]).sqrt()) @ vectors.T
