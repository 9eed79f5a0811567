"""The switch rate, on samples whose modes are known."""

import numpy as np
import torch

from fewstep.search.metrics.switched import SwitchRate


def test_a_sample_switches_when_it_is_nearer_to_another_target() -> None:
    """Of four samples the one that took another's place counts, a small miss does not."""
    targets = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 4.0]])
    samples = targets + 0.5
    samples[3] = torch.tensor([0.4, 3.9])
    metric = SwitchRate()
    observations = metric.observe(samples, targets)
    assert metric.value(observations) == 0.25
    counts = np.array([[1, 1, 1, 1], [2, 2, 0, 0], [0, 0, 0, 4]])
    assert metric.values(observations, counts).tolist() == [0.25, 0.0, 1.0]


def test_wide_samples_are_compared_by_projections() -> None:
    """Of 10 000 numbers 64 projections stay, and say the same of samples that are far apart."""
    targets = torch.randn(20, 10_000, generator=torch.Generator().manual_seed(0))
    samples = targets + 0.1 * torch.randn(20, 10_000, generator=torch.Generator().manual_seed(1))
    samples[0] = targets[1]
    observations = SwitchRate().observe(samples, targets)
    assert observations.shape == (20, 128)
    assert SwitchRate().switched(observations).tolist() == [1.0] + [0.0] * 19
