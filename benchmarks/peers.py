r"""Published ways to learn a sampler, in this library's numbers: what searches are compared with.

Each is written from its paper's facts and keeps its recipe: parameters, start, loss, optimiser, rates, batches. It gets
so many ``passes``, forward and backward, its teacher included; where its own recipe costs more, it has fewer noises and
iterations, and its rates rise and fall within these. Teacher ends are those of this library's teacher after as many
calls as the method's own takes.

| name | learns | source |
|---|---|---|
| LD3 | times and network times of DPM-Solver++ 2M; start noises may move in small balls | Tong et al. 2025 |
| DyWeight | weights of the last three slopes and a scale of each network time | arXiv 2603.11607 |
| GS | times, network times, corrections to the numbers of DPM-Solver++ 3M | arXiv 2510.17699 |

What differs: LD3 has a loss in LPIPS, here the distance of each sample (its square does worse: far samples rule it).
DyWeight has one in Inception features, here in those of the evaluator; without any both take pixels, as DyWeight does
for latents. GS takes the l1 distance, as it does for latents. The first network time stays. DyWeight's free first
step, which leads to pure noise at the next time, is a later start.

| symbol | meaning | shape |
|---|---|---|
| t, λ | times and log-SNRs | (N+1,) |
| x_i | state i as weights of (y_0, D_0, …, D_{N−1}) | (N+1,) |
| v_i | output D_i, a unit vector there | (N+1,) |
"""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch

from fewstep import Schedule, Step, Tableau
from fewstep.processes import Process
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import NoiseSet
from fewstep.search.gaps import ends
from fewstep.search.optimize.relaxed import Numbers, walk

__all__ = ["PEERS", "dyweight", "gs", "ld3", "multistep", "rows"]

ROLE = "peers"  # of their noises
TEACHER_SHARE = 1 / 3  # of the passes, at most
SMALLEST = 1e-20  # squared distance that counts as none
CLIP = 1.0  # longest gradient of LD3 and GS

Peer = Callable[[Evaluator, int, int, int], Schedule]


def multistep(process: Process, times: torch.Tensor, i: int, order: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Step ``i`` of DPM-Solver++ of an order from 1 to 3: the weight of x_i, and those of D_i, D_{i−1}, …

    ``times`` (N+1,), float64, through which gradients go.
    """
    alpha, sigma, lam = process.alpha(times), process.sigma(times), process.log_snr(times)
    state = sigma[i + 1] / sigma[i]
    first = alpha[i + 1] - state * alpha[i]  # α (1 − e^−h)
    if order == 1:
        return state, [first]
    h = lam[i + 1] - lam[i]
    near = lam[i - 1] - lam[i]
    if order == 2:
        slope = 0.5 * first * h / near
        return state, [first - slope, slope]
    far = lam[i - 2] - lam[i]
    phi_2 = (-torch.expm1(-h) / h - 1) / -h
    phi_3 = (phi_2 - 0.5) / -h
    slope, bend = alpha[i + 1] * h**2 * phi_2, alpha[i + 1] * h**3 * phi_3  # of the derivative, of half the second
    before = (bend - far * slope) / (near * (near - far))
    earlier = (bend - near * slope) / (far * (far - near))
    return state, [first - before - earlier, before, earlier]


def orders(process: Process, times: torch.Tensor, most: int) -> list[int]:
    """The order of each step: it rises, falls at the end, and is 1 at infinite log-SNR."""
    finite = process.log_snr(times.detach()).isfinite().tolist()
    count = len(finite) - 1
    return [min(most, sum(finite[: i + 1]), count - i) if finite[i] and finite[i + 1] else 1 for i in range(count)]


def rows(process: Process, times: torch.Tensor, most: int) -> torch.Tensor:
    """Rows (N, N+1) of DPM-Solver++ of order ``most`` at ``times`` (N+1,), differentiable in them.

    >>> from fewstep import processes
    >>> rows(processes.Flow(), torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64), 2).tolist()
    [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    """
    basis = torch.eye(len(times), dtype=torch.float64)
    states = [basis[0]]
    for i, order in enumerate(orders(process, times, most)):
        state, weights = multistep(process, times, i, order)
        slopes = [weight * basis[i + 1 - k] for k, weight in enumerate(weights)]
        states.append(state * states[-1] + torch.stack(slopes).sum(0))
    return torch.stack(states[1:])


def schedule(process: Process, numbers: Numbers) -> Schedule:
    """The numbers as a schedule; raises `InvalidSchedule` where times meet."""
    times, network_times, weights = (values.detach().numpy() for values in numbers)
    noise = np.zeros((len(weights), 0))
    tableau = Tableau(times, network_times, weights[:, 0], np.tril(weights[:, 1:]), noise)
    return Schedule(process, tuple(times.tolist()), (Step(),) * len(weights), tableau)


class Sampler:
    """Walks some of the noises of a set along numbers, with gradients; knows where the teacher ends."""

    def __init__(self, evaluator: Evaluator, noises: NoiseSet, teacher: int) -> None:
        self.evaluator, self.noises = evaluator, noises
        self.noise, self.ends = evaluator.pairs(noises, teacher)

    def __call__(self, numbers: Numbers, picks: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        """Samples (b, ...) of noises ``picks`` (b,) from ``start`` (b, ...)."""
        denoiser = self.evaluator.under(self.noises, picks.tolist())
        return walk([denoiser] * numbers.network_times.numel(), numbers, denoiser.process.prior_std * start)[0]

    def errors(self, numbers: Numbers, picks: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        """Root mean square distances (b,) to the teacher's ends."""
        squares = (self(numbers, picks, start) - self.ends[picks]).double().square()
        return squares.flatten(1).mean(1).clamp_min(SMALLEST).sqrt()

    def batches(self, size: int, seed: int) -> list[torch.Tensor]:
        """All noises in a new order, so many at a time."""
        order = torch.randperm(self.noises.count, generator=torch.Generator().manual_seed(seed))
        return [order[i : i + size] for i in range(0, len(order), size)]


class Balls:
    """LD3's soft targets: every start noise may move within a small ball, to where its error is lower."""

    def __init__(self, sampler: Sampler, nfe: int) -> None:
        self.sampler, self.start = sampler, sampler.noise.clone()
        self.radius = 0.001 * self.start[0].numel() / nfe**2
        self.rate = 12 / nfe

    def slopes(
        self, numbers: Numbers, picks: torch.Tensor, *also: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
        """Errors (b,), and the gradients of their mean by the starts (b, ...) and by the tensors named ``also``."""
        start = self.start[picks].requires_grad_(True)
        errors = self.sampler.errors(numbers, picks, start)
        first, *others = torch.autograd.grad(errors.mean(), [start, *also], materialize_grads=True)
        return errors.detach(), first, others

    @torch.no_grad()
    def move(self, numbers: Numbers, picks: torch.Tensor, errors: torch.Tensor, slope: torch.Tensor) -> bool:
        """Go against the slope, no farther than the ball; keep what lowers the errors (b,). Says whether any did."""
        away = self.start[picks] - self.rate * slope - self.sampler.noise[picks]
        length = away.flatten(1).norm(dim=1).clamp_min(1e-20)
        shrink = (self.radius / length).clamp(max=1.0).reshape(-1, *(1,) * (away.ndim - 1))
        moved = self.sampler.noise[picks] + shrink * away
        lower = self.sampler.errors(numbers, picks, moved) < errors
        self.start[picks[lower]] = moved[lower]
        return bool(lower.any())


def ld3(evaluator: Evaluator, nfe: int, passes: int, seed: int) -> Schedule:
    """LD3: fifty noises to learn from and fifty to validate on after every update, batches of two; RMSprop for the
    times, plain descent for the network times, first the times alone."""
    alone, together, pairs, teacher, batch = 2, 5, 50, 20, 2
    patience, shrink, floors, most_floors = 5, 0.8, (5e-5, 1e-6), 5
    rounds = alone + together

    def cost(count: int) -> int:
        a_round = 3 * count + -(-count // batch) * (3 * batch + count)  # walks: soft targets, updates, validations
        return 2 * count * teacher + (count + rounds * a_round) * nfe

    count = next((n for n in range(pairs, 1, -1) if cost(n) <= passes), 2)
    process = evaluator.denoiser.process
    learn, judge = (
        Balls(Sampler(evaluator, part, teacher), nfe) for part in NoiseSet(seed, ROLE, 2 * count).split(count, count)
    )
    logits = torch.ones(nfe + 1, dtype=torch.float64, requires_grad=True)
    offsets = torch.zeros(nfe, dtype=torch.float64, requires_grad=True)  # in units of the range of times
    fast = torch.optim.RMSprop([logits], lr=5e-3, momentum=0.9)
    slow = torch.optim.SGD([offsets], lr=0.1 / nfe)

    def numbers() -> Numbers:
        shares = logits.softmax(0).cumsum(0)  # rising; the first times are the last shares
        along = ((shares - shares[0]) / (shares[-1] - shares[0])).flip(0)
        times = _times(process, along)
        widest = 0.5 * (times[:-1] - times[1:]).min().detach()
        moved = times[:-1] + (offsets * (process.t_max - process.t_min)).clamp(-widest, widest)
        return Numbers(times, _inside(process, moved, times), rows(process, times, 2))

    every = torch.arange(count)

    @torch.no_grad()
    def validated() -> float:
        return float(judge.sampler.errors(numbers(), every, judge.start).mean())

    best, kept, stale, floored = validated(), (logits.detach().clone(), offsets.detach().clone()), 0, 0
    for turn in range(rounds):
        errors, slope, _ = judge.slopes(numbers(), every)
        if not judge.move(numbers(), every, errors, slope):
            judge.rate, learn.rate = judge.rate / 2, learn.rate / 2
        for picks in learn.sampler.batches(batch, 1_000 * seed + turn):
            errors, slope, (logits.grad, offsets.grad) = learn.slopes(numbers(), picks, logits, offsets)
            torch.nn.utils.clip_grad_norm_([logits, offsets], CLIP)
            fast.step()
            if turn >= alone:
                slow.step()
            learn.move(numbers(), picks, errors, slope)
            error = validated()
            if error < best:
                best, kept, stale = error, (logits.detach().clone(), offsets.detach().clone()), 0
                continue
            stale += 1
            if stale < patience:
                continue
            stale = 0
            for values, old in zip((logits, offsets), kept, strict=True):
                values.data.copy_(old)
            for optimiser, floor in zip((fast, slow), floors, strict=True):
                group = optimiser.param_groups[0]
                group["lr"] = max(shrink * group["lr"], floor)
            floored += fast.param_groups[0]["lr"] == floors[0]
        if floored >= most_floors:
            break
    for values, old in zip((logits, offsets), kept, strict=True):
        values.data.copy_(old)
    return schedule(process, numbers())


def dyweight(evaluator: Evaluator, nfe: int, passes: int, seed: int) -> Schedule:
    """DyWeight: Adams–Bashforth weights on the EDM grid to begin with, Adam with a warm-up and a cosine; fresh noises,
    from a teacher of 35 calls, until its share of the passes is spent."""
    teacher, batch, most, rate, warm, last = 35, 16, 10_000, 1e-2, 0.1, 0.01
    bashforth = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12))  # latest first
    count = _pairs(passes, teacher, most, batch)
    iterations = min((passes - count * teacher) // (batch * (2 * nfe - 1)), 625)
    sampler = Sampler(evaluator, NoiseSet(seed, ROLE, count), teacher)
    process = evaluator.denoiser.process
    low, high = (math.exp(-lam) for lam in reversed(ends(process)))
    levels = np.linspace(high ** (1 / 7), low ** (1 / 7), nfe + 2)[1:] ** 7  # σ/α after the free first step, (N+1,)
    times = process.time(torch.from_numpy(-np.log(levels)))
    times[-1] = process.t_min
    sigmas = [*levels[:-1].tolist(), math.exp(-float(process.log_snr(np.float64(process.t_min))))]
    weights = torch.zeros(nfe, 3, dtype=torch.float64)
    for i in range(nfe):
        used = bashforth[min(i + 1, 2)]
        weights[i, : len(used)] = torch.tensor(used)
    weights.requires_grad_(True)
    scales = torch.ones(nfe, dtype=torch.float64, requires_grad=True)

    def numbers() -> Numbers:
        """x = y/α is the state of EDM's units, at the noise level σ/α that the weights say it has reached."""
        basis = torch.eye(nfe + 1, dtype=torch.float64)
        level = torch.tensor(sigmas[0], dtype=torch.float64)
        state, slopes, seen, states = basis[0] / float(process.alpha(times[0])), [basis[0]], [times[0]], []
        for i in range(nfe):
            slopes.append((state - basis[i + 1]) / level)
            past = torch.stack(slopes[:-4:-1])  # latest first; the free step's own is the noise itself
            gap = sigmas[i + 1] - level
            state = state + gap * (weights[i, : len(past)] @ past)
            level = level + gap * weights[i, : len(past)].sum()
            if i + 1 < nfe:
                told = process.time(-(scales[i + 1] * level.clamp(low, high)).clamp(low, high).log())
                seen.append(told)
                states.append(process.alpha(told) * state)
        states.append(process.alpha(times[-1]) * state)
        return Numbers(times, torch.stack(seen), torch.stack(states))

    adam = torch.optim.Adam([weights, scales], lr=rate)
    features = evaluator.features or (lambda images: images.flatten(1))
    for k, picks in enumerate(_forever(sampler, batch, seed, iterations)):
        share = k / max(iterations, 1)
        cosine = 0.5 * (1 + math.cos(math.pi * max(share - warm, 0.0) / (1 - warm)))
        adam.param_groups[0]["lr"] = rate * min((k + 1) / max(warm * iterations, 1), 1.0) * (last + (1 - last) * cosine)
        samples = sampler(numbers(), picks, sampler.noise[picks])
        _descend(adam, (features(samples) - features(sampler.ends[picks])).double().square().mean())
    return schedule(process, numbers())


def gs(evaluator: Evaluator, nfe: int, passes: int, seed: int) -> Schedule:
    """GS: DPM-Solver++ 3M on even times to begin with; Adam, batches of 24, l1; the moving average is the result.

    10 000 iterations are its own. With fewer the rate rises as the root of what is missing, at most tenfold, and the
    average spans the same tenth of them.
    """
    teacher, batch, most, own, rate, tiny = 20, 24, 1_400, 10_000, 1e-3, 1e-5
    count = _pairs(passes, teacher, most, batch)
    iterations = min((passes - count * teacher) // (batch * (2 * nfe - 1)), own)
    sampler = Sampler(evaluator, NoiseSet(seed, ROLE, count), teacher)
    process = evaluator.denoiser.process
    left = 1 - torch.arange(nfe, dtype=torch.float64) / nfe  # of the range, at times 0 … N − 1
    free = {
        "times": torch.logit((left[1:] / left[:-1] - tiny) / (1 - 2 * tiny)),
        "offsets": torch.zeros(nfe, dtype=torch.float64),  # in units of the range of times
        "states": torch.zeros(nfe, nfe, dtype=torch.float64),
        "outputs": torch.zeros(nfe, nfe, dtype=torch.float64),
    }

    def numbers(free: Mapping[str, torch.Tensor]) -> Numbers:
        kept = (tiny + (1 - 2 * tiny) * free["times"].sigmoid()).cumprod(0)
        times = _times(process, torch.cat([kept.new_ones(1), kept, kept.new_zeros(1)]))
        basis = torch.eye(nfe + 1, dtype=torch.float64)
        states = [basis[0]]
        for i, order in enumerate(orders(process, times, 3)):
            state, weights = multistep(process, times, i, order)
            main = state * states[-1] + sum(weight * basis[i + 1 - k] for k, weight in enumerate(weights))
            more = free["states"][i, : i + 1] @ torch.stack(states) + free["outputs"][i, : i + 1] @ basis[1 : i + 2]
            states.append(main + more)
        told = times[:-1] + (process.t_max - process.t_min) * free["offsets"]
        return Numbers(times, _inside(process, told, times), torch.stack(states[1:]))

    for values in free.values():
        values.requires_grad_(True)
    average = {name: values.detach().clone() for name, values in free.items()}
    decay = max(1 - 10 / max(iterations, 11), 0.0)
    adam = torch.optim.Adam(free.values(), lr=rate * min(math.sqrt(own / max(iterations, 1)), 10.0))
    for picks in _forever(sampler, batch, seed, iterations):
        samples = sampler(numbers(free), picks, sampler.noise[picks])
        _descend(adam, (samples - sampler.ends[picks]).double().abs().mean(), CLIP)
        for name, values in free.items():
            average[name].lerp_(values.detach(), 1 - decay)
    return schedule(process, numbers(average))


PEERS: Mapping[str, Peer] = MappingProxyType({"LD3": ld3, "DyWeight": dyweight, "GS": gs})
"""``peer(evaluator, nfe, passes, seed) -> Schedule`` by name."""


def _times(process: Process, along: torch.Tensor) -> torch.Tensor:
    """Times (N+1,) from ``along``, which falls from 1 to 0; both ends are exact."""
    inner = process.t_min + along[1:-1] * (process.t_max - process.t_min)
    both = inner.new_tensor([process.t_max, process.t_min])
    return torch.cat([both[:1], inner, both[1:]])


def _inside(process: Process, told: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """Network times (N,) within the process's, the first that of the first call; none is clean data."""
    lowest = max(process.t_min, process.t_zero + 1e-3 * (process.t_max - process.t_zero))
    return torch.cat([times[:1].detach(), told[1:].clamp(lowest, process.t_max)])


def _pairs(passes: int, teacher: int, most: int, batch: int) -> int:
    """How many noises the teacher is asked for."""
    return max(min(int(TEACHER_SHARE * passes) // teacher, most), batch)


def _forever(sampler: Sampler, batch: int, seed: int, iterations: int) -> Sequence[torch.Tensor]:
    """Batches of every noise in turn, in a new order every round."""
    each = sampler.noises.count // batch
    rounds = [sampler.batches(batch, 1_000 * seed + k)[:each] for k in range(-(-iterations // each))]
    return [picks for part in rounds for picks in part][:iterations]


def _descend(optimiser: torch.optim.Optimizer, loss: torch.Tensor, longest: float = math.inf) -> None:
    """One step of the optimiser down the loss, its gradient no longer than that; one that is not finite is none."""
    values = [each for group in optimiser.param_groups for each in group["params"]]
    for each, slope in zip(values, torch.autograd.grad(loss, values, materialize_grads=True), strict=True):
        each.grad = slope.nan_to_num(0.0, 0.0, 0.0)
    torch.nn.utils.clip_grad_norm_(values, longest)
    optimiser.step()
