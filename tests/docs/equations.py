"""The equations of docs/maths.md as code of their own: states, moments, derivatives, φ functions."""

import math
from collections.abc import Callable, Sequence

import mpmath
import numpy as np
from scipy.integrate import quad

from fewstep import Schedule, Step, compile
from fewstep.processes import Process

__all__ = ["TIMES", "Run", "varphi"]

TIMES = (0.9, 0.7, 0.45, 0.25, 0.1)


class Run:
    """A schedule's states y_i by its compiled rows, (11), from random outputs D_j and noises z_k of three numbers."""

    def __init__(self, law: Process, steps: Sequence[Step], times: Sequence[float] = TIMES) -> None:
        times = np.array(times[: len(steps)] + times[-1:])
        self.law, self.steps, self.t = law, steps, times
        self.alpha, self.sigma, self.lam = law.alpha(times), law.sigma(times), law.log_snr(times)
        self.tableau = compile(Schedule(law, tuple(times), tuple(steps)))
        draw = np.random.default_rng(0).standard_normal
        self.D, self.z = draw((len(steps), 3)), draw((self.tableau.noise.shape[1], 3))
        start = draw((1, 3))
        rows = self.tableau.start[:, None] * start + self.tableau.outputs @ self.D + self.tableau.noise @ self.z
        self.y = np.concatenate([start, rows])
        self.eps = (self.y[:-1] - self.alpha[:-1, None] * self.D) / self.sigma[:-1, None]  # (12)

    def shape(self, form: str, s: int, t: int) -> tuple[float, Callable[[float], float]]:
        """a and the kernel of (15) or (16), which f is integrated with over λ."""
        if form == "data":
            return self.sigma[t] / self.sigma[s], lambda lam: self.sigma[t] * math.exp(lam)
        return self.alpha[t] / self.alpha[s], lambda lam: -self.alpha[t] * math.exp(-lam)

    def place(self, variable: str, s: int, lam: float) -> float:
        """x of (18)."""
        if variable == "lambda":
            return lam - self.lam[s]
        if variable == "t":
            return float(self.law.time(np.float64(lam))) - self.t[s]
        return math.exp(self.lam[s] - lam) - 1

    def moments(self, form: str, variable: str, s: int, t: int, count: int) -> list[float]:
        """M_k of (19) by adaptive quadrature."""
        _, kernel = self.shape(form, s, t)
        ends = (self.lam[s], self.lam[t])
        return [
            quad(lambda lam, k=k: kernel(lam) * self.place(variable, s, lam) ** k, *ends, epsabs=1e-13, epsrel=1e-12)[0]
            for k in range(count)
        ]

    def coefficients(self, f: np.ndarray, variable: str, s: int, sets: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """c_k of (24), from the Vandermonde system of the polynomial through f_s and the outputs in each set."""
        found = [f[s]]
        for k, each in enumerate(sets, start=1):
            x = [self.place(variable, s, self.lam[p]) for p in each]
            powers = np.vander(x, len(x) + 1, increasing=True)[:, 1:]
            found.append(np.linalg.solve(powers, f[list(each)] - f[s])[k - 1])
        return found


def varphi(k: int, z: float) -> float:
    """(21) with 60 digits, where the recursion may lose 40 of them."""
    with mpmath.workdps(60):
        value, z = mpmath.exp(z), mpmath.mpf(z)
        for j in range(k):
            value = (value - 1 / mpmath.factorial(j)) / z
        return float(value)
