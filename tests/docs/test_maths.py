"""docs/maths.md: every numbered equation, evaluated by code of its own, is what processes and compiled rows say."""

import ast
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from fewstep import models, solvers
from fewstep.processes import DDM, VE, Cosine, Discrete, Flow, Process, VPLinear

PAGE = (Path(__file__).parents[2] / "docs" / "maths.md").read_text()
TAGS = [int(tag) for tag in re.findall(r"\\tag\{(\d+)\}", PAGE)]
LAWS = [VPLinear(), Flow(shift=3.0), DDM(), VE()]


def cited(text: str) -> set[int]:
    """The equations that a text names: (7), or (4)–(10) for all from one to the other."""
    ranges = re.findall(r"\((\d{1,2})\)–\((\d{1,2})\)", text)
    single = re.findall(r"(?<![\w.])\((\d{1,2})\)", text)
    return {int(number) for number in single} | {k for low, high in ranges for k in range(int(low), int(high) + 1)}


def in_tests() -> set[int]:
    """The equations that tests of this page name in their docstrings."""
    trees = [ast.parse(path.read_text()) for path in Path(__file__).parent.glob("test_maths*.py")]
    functions = [node for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)]
    tests = [node for node in functions if node.name.startswith("test_")]
    return set().union(*(cited(ast.get_docstring(node) or "") for node in tests))


def test_the_page_numbers_its_equations_and_all_are_evaluated() -> None:
    """Tags count from 1 without a gap, and there is a test for each; equations that the text names exist."""
    assert list(range(1, len(TAGS) + 1)) == TAGS
    assert set(TAGS) == in_tests()
    assert cited(re.sub(r"\$\$.*?\$\$", "", PAGE, flags=re.DOTALL)) <= set(TAGS)


def test_every_named_solver_is_a_special_case_on_the_page() -> None:
    """Each name is in the first column of the table, as itself or by its family, with its declared order."""
    rows = [line.split("|") for line in PAGE.split("## Named solvers")[1].split("\n## ")[0].splitlines()]
    table = {row[1]: row[4].strip() for row in rows if len(row) == 6 and "`" in row[1]}
    for name in solvers.names():
        family = re.sub(r"unipc-\d", "unipc-p", re.sub(r"(deis|lms|ipndm|solver)-\d", r"\1-k", name))
        heun = name.removesuffix("-heun")
        found = [order for names, order in table.items() if f"`{name}`" in names or f"`{family}`" in names]
        found += [order for names, order in table.items() if f"`{heun}`" in names and "and `-heun`" in names]
        assert found, name
        digit = re.search(r"-(\d)", name)
        k = int(digit[1]) if digit else 0
        known = {"k": k, "p + 1": k + 1, "2 for k ≥ 2": min(k, 2)}
        orders = {known[order] if order in known else int(order) for order in found}
        assert solvers.named(name).order in orders, name


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.kind)
def test_predictions_become_data(law: Process) -> None:
    """(1)–(3): whatever the network predicts of α x_0 + σ ε, exactly, the denoiser returns x_0."""
    t, x0, eps = torch.tensor([0.3, 0.6]).double(), torch.ones(2, 3).double(), torch.randn(2, 3).double()
    alpha, sigma = law.alpha(t)[:, None], law.sigma(t)[:, None]
    outputs = {"data": x0, "noise": eps, "velocity": alpha * eps - sigma * x0, "flow": eps - x0}
    for prediction, output in outputs.items():
        denoiser = models.from_callable(lambda x, t, output=output: output, law, prediction)
        torch.testing.assert_close(denoiser(alpha * x0 + sigma * eps, t), x0)
    torch.testing.assert_close(law.log_snr(t), torch.log(law.alpha(t) / law.sigma(t)))


def test_processes() -> None:
    """(4)–(10): α, σ, λ and t(λ) of every noise law."""
    t = np.array([0.05, 0.3, 0.6, 0.9])
    b0, b1, s, shift = 0.2, 15.0, 0.01, 3.0
    log_alpha = -0.25 * t**2 * (b1 - b0) - 0.5 * t * b0
    vp, lam = VPLinear(b0, b1), log_alpha - 0.5 * np.log(1 - np.exp(2 * log_alpha))
    back = -0.5 * np.log(1 + np.exp(-2 * lam))
    assert_allclose(vp.log_snr(t), lam)
    assert_allclose(vp.time(lam), -4 * back / (b0 + np.sqrt(b0**2 - 4 * (b1 - b0) * back)))
    cosine, scale, zero = Cosine(s), np.pi / 2 / (1 + s), math.cos(math.pi / 2 * s / (1 + s))
    assert_allclose(cosine.alpha(t), np.cos(scale * (t + s)) / zero)
    assert_allclose(cosine.time(cosine.log_snr(t)), np.arccos(cosine.alpha(t) * zero) / scale - s)
    discrete = Discrete((0.9, 0.5, 0.1))
    assert_allclose(discrete.alpha(1.25), math.exp(0.5 * (0.75 * math.log(0.5) + 0.25 * math.log(0.1))))
    assert_allclose(discrete.alpha(-0.5), math.exp(0.5 * 0.5 * math.log(0.9)))
    assert_allclose([VE().alpha(t), VE().sigma(t), VE().time(-np.log(t))], [np.ones(4), t, t])
    flow, sigma = Flow(shift), shift * t / (1 + (shift - 1) * t)
    assert_allclose([flow.alpha(t), flow.sigma(t)], [1 - sigma, sigma])
    assert_allclose(flow.log_snr(t), np.log((1 - t) / (shift * t)))
    assert_allclose(flow.time(flow.log_snr(t)), 1 / (1 + shift * np.exp(flow.log_snr(t))))
    ddm, q = DDM(), np.exp(2 * DDM().log_snr(t))
    assert_allclose([ddm.alpha(t), ddm.sigma(t)], [1 - t, np.sqrt(t)])
    assert_allclose(ddm.time(ddm.log_snr(t)), 2 / (2 + q + np.sqrt(q * q + 4 * q)))
