"""One behavioural suite over all metrics: what they observe, the values they give, what they refuse, where they run."""

import pickle
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

import fewstep
from fewstep import models, solvers
from fewstep.errors import InvalidInput, UnknownName
from fewstep.search import find, metrics
from fewstep.search.evaluation import teacher
from fewstep.search.evaluation.evaluator import Evaluator, metrics_of, observe
from fewstep.search.evaluation.noises import SEARCH, TEST, NoiseSet
from fewstep.search.evaluation.pool import InlinePool
from fewstep.search.metrics import bootstrap
from fewstep.search.metrics.base import Metric, fewest
from fewstep.search.metrics.features import pixels
from fewstep.search.metrics.frechet import Frechet
from fewstep.search.metrics.kernel import KernelDistance, gaussian
from fewstep.search.metrics.paired import Paired, Quantile
from fewstep.search.metrics.reference import Reference, from_rows
from fewstep.search.metrics.switched import SwitchRate
from fewstep.search.metrics.wasserstein import SlicedWasserstein
from fewstep.values.catalogue import Catalogue
from fewstep.values.objective import METRICS, PAIRED, Objective, pattern

FEATURES = np.random.default_rng(0).normal(size=(300, 4))  # of a data set
ONCE = np.ones((1, 200), dtype=int)
DISTANCES = [name for name in METRICS if name not in PAIRED]
NAMED = [f"{features}:{reference}" for features in ("pixels", "digits") for reference in ("teacher", "digits")]
OBJECTIVES = [*PAIRED, *(f"{name}:{names}" for name in DISTANCES for names in NAMED)]


def data_set() -> Reference:
    """Statistics of normal features."""
    return from_rows(FEATURES)


@pytest.fixture(params=[*PAIRED, *(f"{name} to {kind}" for name in DISTANCES for kind in ("data", "teacher"))])
def metric(request: pytest.FixtureRequest) -> Metric:
    """Each metric in turn, on pixels of four numbers, against every kind of reference that it takes."""
    name, _, kind = request.param.partition(" to ")
    built: Metric = METRICS[name](pixels, data_set if kind == "data" else None) if kind else METRICS[name]()
    return built


def coupled(metric: Metric) -> bool:
    """Whether it compares with the teacher's samples of the same noises."""
    return getattr(metric, "reference", None) is None


def observed(metric: Metric, shift: float = 0.0, count: int = 200, seed: int = 1, blur: float = 0.0) -> np.ndarray:
    """The observations of normal samples moved by ``shift`` and blurred; the teacher's are the same ones, unmoved."""
    rng = np.random.default_rng(seed)
    clean = rng.normal(size=(count, 2, 2))
    return metric.observe(
        torch.from_numpy(clean + shift + blur * rng.normal(size=clean.shape)), torch.from_numpy(clean)
    )


def test_one_row_for_each_noise_whatever_the_batch(metric: Metric) -> None:
    """Observations of all samples are those of their parts, one after the other, in double precision."""
    samples, targets = torch.randn(7, 1, 2, 2), torch.zeros(7, 1, 2, 2)
    whole = metric.observe(samples, targets)
    parts = [metric.observe(samples[part], targets[part]) for part in (slice(0, 3), slice(3, 7))]
    assert whole.shape[0] == 7
    assert whole.dtype == np.float64
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_the_teachers_features_are_worked_out_once() -> None:
    """However many schedules are compared with the same samples of the teacher; others' are worked out anew."""
    passed: list[int] = []

    def counted(images: torch.Tensor) -> torch.Tensor:
        passed.append(len(images))
        return images.flatten(1)

    frechet, targets = METRICS["frechet"](counted), torch.randn(5, 4)
    first, again = (frechet.observe(torch.zeros(5, 4), targets) for _ in range(2))
    assert len(passed) == 3
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(frechet.observe(torch.zeros(5, 4), targets + 1), first)
    assert len(passed) == 5


def test_the_teacher_is_at_no_distance_from_itself(metric: Metric) -> None:
    """Zero where samples are the teacher's, at any number of noises and in every resample."""
    if coupled(metric):
        np.testing.assert_allclose(metric.values(observed(metric), bootstrap.resample(200, 5, seed=1)), 0.0, atol=1e-9)


def test_a_data_set_is_at_no_distance_from_itself(metric: Metric) -> None:
    """Zero where samples are the data set's; where the value has no bias a little below, as copies are too near."""
    if not coupled(metric):
        value = metric.value(FEATURES)
        assert value == pytest.approx(0.0, abs=1e-9) or (isinstance(metric, KernelDistance) and -0.1 < value < 0)


def test_worse_samples_score_worse(metric: Metric) -> None:
    """The further the samples are moved from the law they should have, the larger the value."""
    values = [metric.value(observed(metric, shift)) for shift in (0.0, 0.3, 1.0)]
    assert values[0] < values[1] < values[2]


def test_the_value_is_that_of_every_noise_taken_once(metric: Metric) -> None:
    """And values of many resamples are those of each."""
    kept, counts = observed(metric, 0.3, blur=0.1), bootstrap.resample(200, 4, seed=2)
    assert metric.value(kept) == pytest.approx(metric.values(kept, ONCE)[0], rel=1e-12)
    each = [metric.values(kept, row[None])[0] for row in counts]
    np.testing.assert_allclose(metric.values(kept, counts), each, rtol=1e-12)


def test_counting_a_noise_twice_is_having_it_twice(metric: Metric) -> None:
    """Values for counts are those of the observations repeated; but a kernel distance leaves out pairs of copies."""
    if isinstance(metric, KernelDistance) and metric.kernel is None:
        metric = replace(metric, kernel=gaussian(2.0))  # copies would move the median distance
    kept = observed(metric, 0.3)
    counts = bootstrap.resample(200, 3, seed=2)
    repeated = [metric.values(np.repeat(kept, row, axis=0), ONCE)[0] for row in counts]
    if isinstance(metric, KernelDistance):
        assert np.all(metric.values(kept, counts) < repeated)  # a copy is as near as can be
    elif isinstance(metric, SwitchRate):
        assert np.all(metric.values(kept, counts) >= repeated)  # to targets that a resample leaves out samples may go
    else:
        np.testing.assert_allclose(metric.values(kept, counts), repeated, rtol=1e-9)


def test_the_order_of_the_noises_does_not_matter(metric: Metric) -> None:
    """Shuffled observations have the same value."""
    kept = observed(metric, 0.3)
    shuffled = kept[np.random.default_rng(3).permutation(200)]
    np.testing.assert_allclose(metric.values(shuffled, ONCE), metric.values(kept, ONCE), rtol=1e-9)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1e200])
def test_samples_that_diverged_are_refused(metric: Metric, bad: float) -> None:
    """The message says how many observations are not finite."""
    kept = observed(metric)
    kept[5, 0] = kept[9, 0] = bad
    for ask in (metric.value, lambda rows: metric.values(rows, ONCE), metric.standard_error):
        with pytest.raises(InvalidInput, match="2 of 200 noises are not finite"):
            ask(kept)


def test_no_noises_are_refused(metric: Metric) -> None:
    """An empty table has no value; a single noise has one only where no spread is asked for."""
    with pytest.raises(InvalidInput, match="noises, got an array"):
        metric.values(observed(metric)[:0], ONCE[:, :0])
    with pytest.raises(InvalidInput, match="noises, got an array"):
        metric.value(observed(metric)[:0])
    if isinstance(metric, Paired) or (isinstance(metric, SlicedWasserstein) and not coupled(metric)):
        assert bootstrap.score(metric, observed(metric)[:1], calls=4).standard_error == 0
    else:
        with pytest.raises(InvalidInput, match="n >= 2 noises"):
            bootstrap.score(metric, observed(metric)[:1], calls=4)


def test_observations_of_another_width_are_refused(metric: Metric) -> None:
    """Features that do not fit the reference's, or are no pair, are told."""
    with pytest.raises(InvalidInput, match=r"wants observations \(n, [14]\)|features of two samples each, got 3"):
        metric.values(np.zeros((200, 3)), ONCE)


def test_the_standard_error_is_the_spread_over_fresh_noises(metric: Metric) -> None:
    """The mean stated error is right to a quarter against the spread of 150 values on noises of their own."""
    squares = np.random.default_rng(4).chisquare(4, size=(150, 200, 1))
    blur = 0.2 if coupled(metric) else 0.0
    tables = squares if isinstance(metric, Paired) else [observed(metric, 0.5, 200, 10 + i, blur) for i in range(150)]
    values = [metric.values(table, ONCE)[0] for table in tables]
    stated = [metric.standard_error(table, times=100, seed=i) for i, table in enumerate(tables[:8])]
    assert np.mean(stated) == pytest.approx(np.std(values, ddof=1), rel=0.25)
    assert bootstrap.score(metric, tables[0], 7, times=100).standard_error == stated[0] > 0


def test_an_interval_holds_its_value(metric: Metric) -> None:
    """Also with few noises of a good schedule, where a resample's distance is far above that of the noises themselves;
    the interval is about four standard errors wide."""
    squares = np.random.default_rng(4).chisquare(4, size=(40, 1))
    kept = squares if isinstance(metric, Paired) else observed(metric, 0.1, blur=0.3 if coupled(metric) else 0.0)[:40]
    score = bootstrap.score(metric, kept, calls=0)
    low, high = bootstrap.interval(metric, kept, seed=0, times=400)
    assert low < score.value < high
    rough = isinstance(metric, Quantile)  # of 40 noises a quantile takes few values
    assert high - low == pytest.approx(4 * score.standard_error, rel=0.6 if rough else 0.4)
    assert bootstrap.interval(metric, kept, seed=0) == bootstrap.interval(metric, kept, 0, metric.resamples)


def test_pairs_are_compared_on_the_same_noises(metric: Metric) -> None:
    """A table against itself leaves no width, and a much worse one lies above."""
    good, worse = (observed(metric, shift, blur=0.1) for shift in (0.3, 1.5))
    assert bootstrap.difference_error(metric, good, good) == 0
    assert bootstrap.ratio_interval(metric, good, good, seed=0, times=50) == (1.0, 1.0)
    low, high = bootstrap.ratio_interval(metric, worse, good, seed=0, times=50)
    assert 1 < low < high
    with pytest.raises(InvalidInput, match="observations of the same noises"):
        bootstrap.ratio_interval(metric, good, good[:50], seed=0)


@pytest.fixture(scope="module")
def digits() -> Evaluator:
    """A model of digits."""
    return Evaluator(models.zoo.load("digits-mixture"), (1, 8, 8))


def test_observing_here_and_in_a_worker_is_the_same(digits: Evaluator) -> None:
    """By whatever path an objective becomes a metric, a schedule has the same observations and the same value: those of
    a metric here, those of a pool's worker, those of the metric that the pool gives the coordinator."""
    noises, schedule = NoiseSet(0, SEARCH, 12), solvers.named("ddim").schedule(digits.denoiser.process, 3)
    objectives = [Objective.parse(text) for text in OBJECTIVES]
    pool = InlinePool(digits)
    in_workers = pool.submit(observe, noises, schedule, objectives).result()
    judges = pool.submit(metrics_of, objectives).result()
    noise, targets = digits.pairs(noises, teacher.CALLS)
    samples = fewstep.sample(digits.under(noises), schedule, noise)
    values = {}
    for objective, observations, judge in zip(objectives, in_workers, judges, strict=True):
        metric = metrics.of(objective)
        np.testing.assert_array_equal(metric.observe(samples, targets), observations)
        values[str(objective)] = metric.value(observations)
        assert judge.value(metric.observe(samples, targets)) == values[str(objective)]
    assert len(set(values.values())) == len(values)  # features of two kinds, of one width, are not mistaken


@pytest.mark.parametrize("text", OBJECTIVES)
def test_a_metric_travels_between_processes(text: str) -> None:
    """Before it has worked anything out and after, and gives the same value there."""
    metric = metrics.of(Objective.parse(text))
    fresh = pickle.loads(pickle.dumps(metric))
    samples = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    observations = metric.observe(samples, samples.flip(0))
    value = metric.value(observations)
    for other in (fresh, pickle.loads(pickle.dumps(metric))):
        assert other.value(other.observe(samples, samples.flip(0))) == value
    assert len(pickle.dumps(metric)) < 1000


@pytest.mark.parametrize("text", OBJECTIVES)
def test_what_diverged_is_observed_as_not_finite(text: str, digits: Evaluator) -> None:
    """Of samples that are not finite every metric observes that, and has no value for it."""
    process, noises, objective = digits.denoiser.process, NoiseSet(0, SEARCH, 4), Objective.parse(text)
    broken = models.from_callable(lambda x, t: torch.full_like(x, np.nan), process, prediction="data")
    evaluator = Evaluator(broken, (1, 8, 8))
    evaluator.keep_targets(noises, teacher.CALLS, lambda: torch.zeros(4, 1, 8, 8))
    (observations,) = observe(evaluator, noises, solvers.named("ddim").schedule(process, 3), [objective])
    assert not np.isfinite(observations).all(axis=1).any()
    with pytest.raises(InvalidInput, match="4 of 4 noises are not finite"):
        metrics.of(objective).value(observations)


def test_what_no_metric_can_use_counts_as_diverged(digits: Evaluator) -> None:
    """Samples so large that their squares' powers overflow fail one trial, and do not end a search."""
    process, noises = digits.denoiser.process, NoiseSet(0, SEARCH, 4)
    wild = models.from_callable(lambda x, t: torch.full_like(x, 1e30), process, prediction="data")
    evaluator = Evaluator(wild, (1, 8, 8))
    evaluator.keep_targets(noises, teacher.CALLS, lambda: torch.zeros(4, 1, 8, 8))
    (observations,) = observe(evaluator, noises, solvers.named("ddim").schedule(process, 3), [Objective()])
    assert np.isinf(observations).all()


def test_data_sets_are_loaded_for_values_only(tmp_path: Path) -> None:
    """Who observes needs no statistics, and who compares needs no network of features."""
    (tmp_path / "broken.npz").write_text("no statistics")
    (tmp_path / "broken.pt2").write_text("no program")
    np.savez(tmp_path / "moments.npz", mu=np.zeros(4), sigma=np.eye(4))
    samples = torch.randn(5, 4)
    worker = metrics.of(Objective("frechet", "pixels", "broken"), tmp_path)
    observations = worker.observe(samples, samples)
    with pytest.raises(InvalidInput, match=r"broken\.npz"):
        worker.value(observations)
    assert metrics.of(Objective("frechet", "broken", "moments"), tmp_path).value(observations) > 0


def test_names_are_checked(tmp_path: Path) -> None:
    """An unknown name of a metric, of features or of a reference lists the known ones, at once."""
    with pytest.raises(UnknownName, match="frechet, kid"):
        Objective("beauty")
    with pytest.raises(UnknownName, match="unknown features 'round'; known: pixels, digits"):
        metrics.of(Objective("kid", "round"), tmp_path)
    with pytest.raises(UnknownName, match="unknown reference 'coco'; known: teacher, digits"):
        metrics.of(Objective("kid", "pixels", "coco"), tmp_path)


@dataclass(frozen=True)
class Drift:
    """Root mean square difference between the mean features of samples and of the teacher's; written from outside."""

    features: object
    reference: object
    can_vanish = True
    resamples = 100

    def observe(self, samples: torch.Tensor, targets: torch.Tensor) -> np.ndarray:
        difference: np.ndarray = (self.features(samples) - self.features(targets)).double().cpu().numpy()
        return difference

    def value(self, observations: np.ndarray) -> float:
        return float(self.values(observations, np.ones((1, len(observations))))[0])

    def values(self, observations: np.ndarray, counts: np.ndarray) -> np.ndarray:
        means = counts @ observations / counts.sum(axis=1, keepdims=True)
        roots: np.ndarray = np.sqrt((means**2).mean(axis=1))
        return roots

    def standard_error(self, observations: np.ndarray, times: int = 200, seed: int = 0) -> float:
        return bootstrap.standard_error(self, observations, times, seed)


def test_few_noises_are_not_shown(metric: Metric) -> None:
    """The Fréchet distance wants twice as many noises as features have dimensions, whatever it is compared with; the
    other distances want a spread, and an error that of any noise."""
    wanted = 2 * 4 if isinstance(metric, Frechet) else 1 if isinstance(metric, Paired) else 2
    assert {fewest(metric, observed(metric, count=count)) for count in (2, 50)} == {wanted}
    assert np.isfinite(metric.value(observed(metric, 0.1, count=wanted)))


def test_a_metric_from_outside_is_one_like_the_others(blobs: models.GaussianMixture) -> None:
    """Added by its name, it can be written, checked, searched by and reported; removed, it is unknown again."""
    METRICS.add("drift", Drift)
    try:
        assert "drift" in pattern()
        objective = Objective.parse("drift")
        assert str(objective) == "drift:pixels:teacher"
        Catalogue().check([objective], (4,))
        assert fewest(metrics.of(objective), np.zeros((3, 4))) == 1
        result = find(blobs, nfe=3, shape=(4,), metric="drift", budget=16, noises=16)
        noises, evaluator = NoiseSet(0, TEST, 128), Evaluator(blobs, (4,))
        (observations,) = observe(evaluator, noises, result.schedule, [objective])
        assert result.problem.metric == "drift:pixels:teacher"
        assert result.score.value == pytest.approx(metrics.of(objective).value(observations), rel=1e-4)
        assert result.score.standard_error > 0
        assert result.winner.interval.low <= result.score.value <= result.winner.interval.high
    finally:
        METRICS.remove("drift")
    with pytest.raises(UnknownName, match="unknown metric 'drift'"):
        Objective.parse("drift")
