"""Tables of ᾱ by the rules that diffusers' schedulers have for β, and the settings of a given table.

A table is the noise level of every training step: ᾱ_t = Π (1 − β_i). Float64, where diffusers has float32.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fewstep.checks import number
from fewstep.errors import InvalidModel, UnknownName
from fewstep.processes.betas import linear, scaled_linear, stretched

__all__ = ["BETAS", "MAX_TABLE", "alphas_cumprod", "settings_of", "training_steps"]

MAX_TABLE = 100_000  # entries of a table
SAME_TABLE = 2e-4  # relative: a table from a scheduler object is float32
RANGES = ((1e-4, 0.02), (0.00085, 0.012))  # first and last β of pixel models and of latent ones


def alphas_cumprod(config: Mapping[str, Any]) -> np.ndarray:
    """The table ᾱ (T,) of a config with ``trained_betas``, or ``beta_schedule``, ``beta_start`` and ``beta_end``.

    ``snr_shift_scale`` s turns ᾱ into ᾱ/(s + (1 − s)·ᾱ), as CogVideoX's schedulers do. With ``rescale_betas_zero_snr``
    √ᾱ is stretched to end at zero (Lin et al. 2024, algorithm 1), or close to it: the last ᾱ is 2⁻²⁴, or a quarter of
    the one before. Raises `InvalidModel` or `UnknownName`.

    >>> alphas_cumprod({"beta_schedule": "linear", "beta_start": 0.1, "beta_end": 0.5, "num_train_timesteps": 2})
    array([0.9 , 0.45])
    """
    trained = config.get("trained_betas")
    if trained is not None:
        if isinstance(trained, np.ndarray):
            trained = trained.tolist()
        if not isinstance(trained, list | tuple) or not 2 <= len(trained) <= MAX_TABLE:
            raise InvalidModel(f"trained_betas is a list of 2 to {MAX_TABLE} numbers, got {str(trained)[:80]}")
        betas = np.array([number(f"trained_betas[{i}]", beta, InvalidModel) for i, beta in enumerate(trained)])
    else:
        first, last = (number(key, config.get(key), InvalidModel) for key in ("beta_start", "beta_end"))
        kind = config.get("beta_schedule")
        if not isinstance(kind, str) or kind not in BETAS:
            raise UnknownName("beta_schedule", str(kind)[:80], BETAS)
        betas = BETAS[kind](first, last, training_steps(config))
    if not np.all((betas > 0) & (betas < 1)):
        raise InvalidModel(f"betas lie between 0 and 1, got {betas.min():g} to {betas.max():g}")
    bars: np.ndarray = np.cumprod(1 - betas)
    if "snr_shift_scale" in config:
        shift = number("snr_shift_scale", config["snr_shift_scale"], InvalidModel)
        if shift <= 0:
            raise InvalidModel(f"snr_shift_scale is above 0 (1 for none), got {shift:g}")
        bars = bars / (shift + (1 - shift) * bars)
    if config.get("rescale_betas_zero_snr"):
        bars = stretched(bars)
    return bars


def settings_of(table: np.ndarray) -> dict[str, Any]:
    """The settings with which any of diffusers' schedulers makes the ``table`` ᾱ (T,): a rule's, or ``trained_betas``.

    >>> settings_of(alphas_cumprod({"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}))
    {'beta_schedule': 'linear', 'beta_start': 0.0001, 'beta_end': 0.02, 'num_train_timesteps': 1000}
    """
    count = len(table)
    for kind in BETAS:
        for first, last in RANGES:
            settings = {"beta_schedule": kind, "beta_start": first, "beta_end": last, "num_train_timesteps": count}
            for more in ({}, {"rescale_betas_zero_snr": True}):
                if np.allclose(alphas_cumprod(settings | more), table, rtol=SAME_TABLE, atol=0):
                    return settings | more
    betas = 1 - table / np.append(1.0, table[:-1])
    return {"trained_betas": betas.tolist(), "num_train_timesteps": count}


def training_steps(config: Mapping[str, Any], least: int = 2) -> int:
    """``num_train_timesteps`` of a config, 1000 where it is left out; raises `InvalidModel` below ``least``.

    >>> training_steps({})
    1000
    """
    steps = config.get("num_train_timesteps", 1000)
    if type(steps) is not int or not least <= steps <= MAX_TABLE:
        raise InvalidModel(f"num_train_timesteps is a whole number from {least} to {MAX_TABLE}, got {str(steps)[:40]}")
    return steps


def _scaled_linear(first: float, last: float, count: int) -> np.ndarray:
    if min(first, last) < 0:
        raise InvalidModel(f"betas lie between 0 and 1, got {first:g} and {last:g}")
    return scaled_linear(first, last, count)


def _cosine(first: float, last: float, count: int) -> np.ndarray:
    """Nichol and Dhariwal 2021, eq. 17; β is cut at 0.999; ``first`` and ``last`` have no effect."""
    bar = np.cos((np.arange(count + 1) / count + 0.008) / 1.008 * np.pi / 2) ** 2
    betas: np.ndarray = np.minimum(1 - bar[1:] / bar[:-1], 0.999)
    return betas


def _sigmoid(first: float, last: float, count: int) -> np.ndarray:
    betas: np.ndarray = first + (last - first) / (1 + np.exp(-np.linspace(-6, 6, count)))
    return betas


BETAS = {"linear": linear, "scaled_linear": _scaled_linear, "squaredcos_cap_v2": _cosine, "sigmoid": _sigmoid}
