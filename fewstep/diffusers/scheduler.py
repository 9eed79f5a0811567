"""A schedule as a diffusers scheduler, which replaces the scheduler of a pipeline.

    fewstep.diffusers.install(pipe, schedule)
    image = pipe("a fox").images[0]

or, where the network's facts are known, ``pipe.scheduler = FewstepScheduler.from_schedule(schedule)``. The state stays
in float32 or better, whatever the pipeline's dtype; a step is one short sum (`fewstep.sampling.plan`) and does not wait
for the device.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
import torch
from diffusers.configuration_utils import ConfigMixin
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from diffusers.utils.torch_utils import randn_tensor

from fewstep.diffusers import own_times
from fewstep.diffusers.place import (
    PREDICTION_TYPES,
    Place,
    config_entries,
    spec_of,
    spec_of_config,
    training_steps_of,
    values_of_config,
)
from fewstep.diffusers.step_output import StepOutput, StepPair
from fewstep.errors import InvalidInput
from fewstep.models.base import per_sample
from fewstep.models.reading import first_half, numbers, reading
from fewstep.models.scheduler_config import EDM, FLOW, TABLE
from fewstep.processes import Discrete, Process
from fewstep.sampling import plan
from fewstep.sampling.history import History, weighted_sum
from fewstep.schedule import Schedule, compile

__all__ = ["FewstepScheduler"]

TIMESTEP_TOLERANCE = 4e-3  # relative: bfloat16 has 8 bits for a time step


class FewstepScheduler(SchedulerMixin, ConfigMixin):  # type: ignore[misc]
    """A diffusers scheduler over a schedule's tableau.

    ``schedule`` a Schedule or its JSON values · ``prediction_type`` of the network: "epsilon", "sample", "v_prediction"
    or "flow_prediction" · ``time_scale`` the factor from the schedule's network times to the network's own ·
    ``num_train_timesteps`` for pipelines, which read it from the config · ``preconditioning`` of the network, as in
    `fewstep.models.scheduler_config.NetworkSpec`, with its ``sigma_data`` · ``place`` what `install` knows of the
    pipeline. Raises `InvalidSchedule`, `InvalidInput` or `UnknownName`.

    >>> from fewstep import processes, solvers
    >>> schedule = solvers.named("dpmpp-2m").schedule(processes.Discrete.linear_betas(), nfe=4, grid="time")
    >>> scheduler = FewstepScheduler.from_schedule(schedule)
    >>> scheduler.set_timesteps(4)
    >>> scheduler.timesteps
    tensor([999.0000, 749.2500, 499.5000, 249.7500])
    """

    order = 1  # one entry of `timesteps` is one network call, whatever the solver
    shifted = False  # whether the network's times are shifted, by `fewstep.diffusers.shift_hook.attach`
    guided = False  # whether the pipeline runs at the schedule's guidance, by `fewstep.diffusers.install`
    on_call: Callable[[int], None] | None = None  # called with the index of each call before the network is
    replaced: Any = None  # the scheduler that was there before, from `fewstep.diffusers.install`
    attachment: Any = None  # hooks of a time shift that `install` put on the network
    _compatibles = [*TABLE, *FLOW, *EDM]  # noqa: RUF012 - diffusers' name and type
    _begin_index: int | None  # first call, from `set_begin_index`
    _step_index: int | None  # next call; pipelines that step twice set it back
    _history: History
    _inner: torch.Tensor | None  # the last state, before it was rounded to the pipeline's dtype
    _before: tuple[int, History, torch.Tensor | None] | None  # call, history and state before the last step

    def __init__(
        self,
        schedule: Schedule | dict[str, Any],
        prediction_type: str | None = None,
        time_scale: float | None = None,
        num_train_timesteps: int | None = None,
        preconditioning: str | None = None,
        sigma_data: float | None = None,
        place: Place | None = None,
    ) -> None:
        checked = schedule if isinstance(schedule, Schedule) else Schedule.from_dict(schedule)
        if checked.shift is not None and checked.shift.mode == "start":
            raise InvalidInput("a pipeline's steps leave from one time for the whole batch: shift in mode 'network'")
        self.schedule = checked
        self.place = place or Place()
        self.network_spec = spec_of(checked.process, prediction_type, time_scale, preconditioning, sigma_data)
        self._training = (
            training_steps_of(self.network_spec) if num_train_timesteps is None else int(num_train_timesteps)
        )
        self._configure()
        self._tableau = compile(checked)
        self._process = checked.process
        self._numbers = numbers(self.network_spec, self._tableau.network_times)
        self._network_times = torch.tensor(self._numbers.network_times, dtype=torch.float32)
        self._plans: dict[int, list[plan.Update]] = {}
        self.init_noise_sigma = float(self._process.prior_std)
        if isinstance(self._process, Discrete):
            self.alphas_cumprod = torch.tensor(self._process.alphas_cumprod, dtype=torch.float32)
            self.alphas = self.alphas_cumprod / torch.cat([torch.ones(1), self.alphas_cumprod[:-1]])
            self.betas = 1 - self.alphas
        self.set_timesteps()

    def _configure(self) -> None:
        entries = config_entries(self.schedule, self.network_spec, self.place, self._training)
        self.register_to_config(**entries)  # type: ignore[no-untyped-call]

    @classmethod
    def from_schedule(
        cls,
        schedule: Schedule,
        prediction_type: str | None = None,
        time_scale: float | None = None,
        num_train_timesteps: int | None = None,
        preconditioning: str | None = None,
        sigma_data: float | None = None,
    ) -> Self:
        """The scheduler that runs ``schedule``; arguments as for the class."""
        return cls(schedule, prediction_type, time_scale, num_train_timesteps, preconditioning, sigma_data)

    @classmethod
    def from_config(  # type: ignore[override]
        cls,
        config: Mapping[str, Any],
        return_unused_kwargs: bool = False,
        schedule: Schedule | None = None,
        **more: Any,
    ) -> Any:
        """The scheduler that a config describes, even after it went through another class of diffusers.

        With ``schedule`` the config may be that of any scheduler of diffusers: the network's facts are read from it.
        Raises `InvalidInput` where there is no schedule.
        """
        values = values_of_config(config)
        if schedule is not None:
            spec = spec_of_config(config)
            values = {
                "schedule": schedule,
                "prediction_type": PREDICTION_TYPES[spec.prediction],
                "time_scale": spec.time_scale,
                "preconditioning": spec.preconditioning,
                "sigma_data": spec.sigma_data,
                "num_train_timesteps": config.get("num_train_timesteps"),
                "place": values["place"] if values and "place" in values else Place(settings=dict(config)),
            }
        if values is None:
            raise InvalidInput(
                "this config has no schedule: pass one, FewstepScheduler.from_config(config, schedule=schedule), or "
                "use fewstep.diffusers.install(pipe, schedule)"
            )
        names = ("prediction_type", "time_scale", "num_train_timesteps", "preconditioning", "sigma_data")
        values |= {name: more.pop(name) for name in names if name in more}
        scheduler = cls(**values)
        return (scheduler, more) if return_unused_kwargs else scheduler

    @classmethod
    def _get_compatibles(cls) -> list[type[Any]]:
        return [cls, *super()._get_compatibles()]

    def __len__(self) -> int:
        return self._training

    def __repr__(self) -> str:
        said = [f"{self._tableau.calls} calls on {self._process.kind}", self.config_prediction]
        if self.network_spec.preconditioning != "none":
            said.append(f"preconditioning {self.network_spec.preconditioning}")
        if self.place.replaced:
            said.append(f"in the place of {self.place.replaced}")
        return f"FewstepScheduler({', '.join(said)})"

    @property
    def config_prediction(self) -> str:
        """diffusers' name of what the network predicts."""
        return PREDICTION_TYPES[self.network_spec.prediction]

    @property
    def step_index(self) -> int | None:
        """Index of the next call; None before the first."""
        return self._step_index

    @property
    def begin_index(self) -> int | None:
        """Index of the run's first call, where `set_begin_index` set one."""
        return self._begin_index

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Start the run at a later call, as image-to-image pipelines do."""
        if begin_index:
            self._refuse_assumed_steps()
        if not 0 <= begin_index < self._tableau.calls:
            raise InvalidInput(f"this schedule has calls 0 to {self._tableau.calls - 1}, got begin index {begin_index}")
        self._begin_index = int(begin_index)
        if begin_index:
            self._announce(self._begin_index)

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        sigmas: Any = None,
        mu: float | None = None,
        timesteps: Any = None,
        original_inference_steps: int | None = None,
        strength: float = 1.0,
    ) -> None:
        """Begin a run on ``device``; ``num_inference_steps`` is None, the schedule's number of calls, or what the
        pipeline asks for where its user names no number (installed schedulers know it).

        ``sigmas`` and ``timesteps`` are the schedule's own, or those that a pipeline passes by itself
        (`fewstep.diffusers.own_times`); ``mu``, a time shift by image size, is compared with the one that the schedule
        was searched at. ``original_inference_steps`` (LCM) says nothing here; ``strength`` below 1 leaves out the first
        calls. Raises `InvalidInput` for other numbers and lists.
        """
        calls = self._tableau.calls
        given = [values for values in (sigmas, timesteps) if values is not None]
        steps = len(given[0]) if given else calls if num_inference_steps is None else num_inference_steps
        if steps not in (calls, self.place.default_steps):
            raise InvalidInput(
                f"this schedule makes {calls} network calls: pass num_inference_steps={calls}, "
                f"not {steps}, or take a schedule made for {steps}"
            )
        if "sigmas" in self.place.chosen:
            levels = [self._tableau.times[:-1], _levels_of(self._process, self._tableau.times[:-1])]
            own_times.check("sigmas", sigmas, levels, 1.0, self._training)
        if "timesteps" in self.place.chosen:
            own_times.check("timesteps", timesteps, [self._network_times.numpy()], self._training, self._training)
        if mu is not None and self.place.searched is not None:
            self.place.searched.compare(mu=float(mu))
        self._assumed = steps != calls
        self._checked = False
        self.num_inference_steps = calls
        first = calls - min(int(calls * strength), calls)
        if first == calls:
            raise InvalidInput(f"strength {strength} leaves none of {calls} calls: pass at least {1 / calls:.3g}")
        self.timesteps = self._network_times.to(device, copy=True)[first:]
        if self._process.kind in ("flow", "ve"):
            noise: np.ndarray = self._process.sigma(self._tableau.times[first:])
            inverted = self.network_spec.preconditioning == "inverted"
            self.sigmas = torch.tensor(1 - noise if inverted else noise, dtype=torch.float32)
        self._begin_index = first or None
        self._step_index = None
        self._restart(first)
        self._announce(first)

    def scale_model_input(self, sample: torch.Tensor, timestep: Any = None) -> torch.Tensor:
        """``sample`` as the network takes it: as it is, or times EDM's c_in at ``timestep``."""
        if not self.network_spec.preconditioning.startswith("edm"):
            return sample
        return sample * float(self._numbers.scale[self._call_of(timestep)])

    def _get_conditioning_c_in(self, sigma: torch.Tensor | float) -> torch.Tensor | float:
        """EDM's c_in at ``sigma``, by the name under which Cosmos looks for it."""
        data = self.network_spec.sigma_data
        if data is None:
            raise InvalidInput(f"c_in belongs to EDM's preconditioning, not to {self.network_spec.preconditioning}")
        return 1 / (sigma**2 + data**2) ** 0.5

    def step(
        self,
        model_output: torch.Tensor,
        timestep: float | torch.Tensor,
        sample: torch.Tensor,
        generator: torch.Generator | list[torch.Generator] | None = None,
        return_dict: bool = True,
        eta: float | None = None,
        use_clipped_model_output: bool | None = None,
        pred_original_sample: torch.Tensor | None = None,
        per_token_timesteps: torch.Tensor | None = None,
        prev_timestep: int | None = None,
    ) -> StepOutput | StepPair:
        """The next state and the data prediction, shaped as ``sample`` and in its dtype, from the network's output.

        ``timestep`` is the entry of `timesteps` that the network got. Where the output has twice the channels, the
        second half is a learned variance and is left out. ``generator`` draws fresh noise: one for the batch or one for
        each sample. ``pred_original_sample`` is the data prediction where the pipeline made it (Cosmos);
        ``per_token_timesteps`` says that the output's sign is turned (LTX with conditions, which keeps the states of
        its other tokens itself). ``prev_timestep`` (unCLIP) says nothing here. Raises `InvalidInput` where calls come
        out of order or shapes differ, and for an ``eta`` or clipping, which the schedule does not have.
        """
        if eta or use_clipped_model_output:
            raise InvalidInput(
                f"a schedule has its own noise and no clipping, got eta={eta} and use_clipped_model_output="
                f"{use_clipped_model_output}: leave them out, or take a stochastic schedule"
            )
        if self.schedule.guidance is not None and not self.guided:
            raise InvalidInput(
                "this schedule sets the guidance of each call, which the pipeline must run at: "
                "fewstep.diffusers.install(pipe, schedule) has it do so"
            )
        if self.schedule.shift is not None and not self.shifted:
            raise InvalidInput(
                "this schedule has a time shift, which the network must get: fewstep.shift_hook.attach(pipe.unet, "
                "pipe.scheduler), or drop the shift"
            )
        call = self._enter(timestep)
        output = first_half(model_output if per_token_timesteps is None else -model_output, sample)
        if output.shape != sample.shape:
            raise InvalidInput(f"the network made {tuple(output.shape)} of states {tuple(sample.shape)}")
        if not self._checked:
            self._check_circumstances(sample, model_output)
        state = self._exact(sample)
        weights = [(state, float(self._numbers.state[call])), (output, float(self._numbers.output[call]))]
        if pred_original_sample is not None:
            data = pred_original_sample.to(state.dtype)
            output = (data - weights[0][1] * state) / weights[1][1]
        if self._inner is not None and self._inner.shape != sample.shape:
            following = torch.full_like(sample, torch.nan)  # half of a guided pair: asked for its data prediction alone
        else:
            following = self._advance(call, state, output, generator).to(sample.dtype)
        self._step_index = call + 1
        if call + 1 < self._tableau.calls:
            self._announce(call + 1)

        def predict() -> torch.Tensor:
            data = weighted_sum(weights, state) if pred_original_sample is None else pred_original_sample
            return data.to(sample.dtype)

        return StepOutput(following, predict()) if return_dict else StepPair(following, predict)

    def _advance(
        self,
        call: int,
        state: torch.Tensor,
        output: torch.Tensor,
        generator: torch.Generator | list[torch.Generator] | None,
    ) -> torch.Tensor:
        if self.network_spec.preconditioning.startswith("edm"):
            self._before = call, copy.deepcopy(self._history), self._inner

        def draw() -> torch.Tensor:
            noise: torch.Tensor = randn_tensor(state.shape, generator, state.device, state.dtype)
            return noise

        self._inner = self._history.advance(self._plan(self._first)[call - self._first], state, output, draw)
        return self._inner

    def _enter(self, timestep: float | torch.Tensor) -> int:
        """The index of the call at ``timestep``, which begins a run or comes next in it."""
        call = self._call_of(timestep)
        if self._step_index is None or (call == self._first and call != self._step_index):
            if call and self._begin_index is None:
                self._refuse_assumed_steps()
            self._restart(call)
        elif call != self._step_index:
            raise InvalidInput(
                f"call {self._step_index} comes next, got the time step of call {call}: set_timesteps begins anew"
            )
        if self._before is not None and self._before[0] == call:  # the pipeline set the index back (Cosmos)
            _, self._history, self._inner = self._before
        self._before = None
        return call

    def _announce(self, call: int) -> None:
        if self.on_call is not None:
            self.on_call(call)

    def _refuse_assumed_steps(self) -> None:
        if self._assumed:
            raise InvalidInput(
                f"this run takes a part of the steps, counted in the pipeline's own {self.place.default_steps}, but "
                f"the schedule makes {self._tableau.calls} network calls: pass num_inference_steps="
                f"{self._tableau.calls}"
            )

    def _check_circumstances(self, sample: torch.Tensor, output: torch.Tensor) -> None:
        self._checked = True
        if self.place.searched is not None:
            shape = tuple(sample.shape[1:])
            self.place.searched.compare(shape=shape, dtype=str(output.dtype).removeprefix("torch."))

    def _restart(self, first: int) -> None:
        self._first = first
        self._history = History()
        self._inner = None
        self._before = None

    def _plan(self, begin: int) -> list[plan.Update]:
        if begin not in self._plans:
            tableau = plan.tail(self._tableau, self._process, begin)
            self._plans[begin] = plan.make(tableau, self._numbers.state[begin:], self._numbers.output[begin:])
        return self._plans[begin]

    def _exact(self, sample: torch.Tensor) -> torch.Tensor:
        """The unrounded state of ``sample``, with any change that the pipeline made to it since the last step."""
        wide = torch.promote_types(sample.dtype, torch.float32)
        exact = sample.to(wide)
        if self._inner is None or wide == sample.dtype or self._inner.shape != sample.shape:
            return exact
        return self._inner + (exact - self._inner.to(sample.dtype).to(wide))

    def _call_of(self, timestep: float | torch.Tensor) -> int:
        """Index of the call at a time step, whose value is read only where that does not wait for the device."""
        if self._step_index is None and self._begin_index is not None:
            return self._begin_index
        if isinstance(timestep, torch.Tensor):
            if timestep.untyped_storage().data_ptr() == self.timesteps.untyped_storage().data_ptr():
                return int(timestep.storage_offset())
            if self._step_index is not None and timestep.device.type != "cpu":
                return self._step_index
            timestep = float(timestep.reshape(-1)[0])
        off = np.abs(self._network_times.numpy() - timestep)
        nearest = len(off) - 1 - int(off[::-1].argmin())  # of several calls at one time the last: it begins a stride
        following = self._step_index
        if following is not None and following < len(off) and off[following] == off[nearest]:
            return following
        if off[nearest] > TIMESTEP_TOLERANCE * abs(timestep):
            raise InvalidInput(f"{timestep} is not among this schedule's time steps {self._network_times.tolist()}")
        return nearest

    def add_noise(self, original_samples: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Clean samples (B, ...) brought to the noise level of ``timesteps`` (B,) or (1,), in the network's units.

        A time step of the schedule stands for the time of its state, even where the network's time differs; any other
        one for the time of which the network is told so.
        """
        alpha, sigma = self._levels(timesteps, original_samples)
        wide = torch.promote_types(original_samples.dtype, torch.float32)
        return (alpha * original_samples.to(wide) + sigma * noise.to(wide)).to(original_samples.dtype)

    def get_velocity(self, sample: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """α·noise − σ·sample at ``timesteps`` (B,): what a network with v-prediction is trained on."""
        alpha, sigma = self._levels(timesteps, sample)
        return (alpha * noise - sigma * sample).to(sample.dtype)

    def _levels(self, timesteps: torch.Tensor, samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """α and σ, (B, 1, …), of time steps as the pipeline has them."""
        if not timesteps.numel():
            self._refuse_assumed_steps()
            raise InvalidInput("there is no time step left to begin at: raise the strength")
        wide = torch.promote_types(samples.dtype, torch.float32)
        kept = timesteps.dtype if timesteps.is_floating_point() else torch.float32  # half precision rounds time steps
        timesteps = timesteps.to(samples.device).reshape(-1)
        own = self._network_times.to(device=timesteps.device, dtype=kept)
        same = timesteps[:, None].to(kept) == own
        states = torch.tensor(self._tableau.times[:-1], dtype=torch.float32).to(timesteps.device)
        times = torch.where(
            same.any(1), states[same.int().argmax(1)], reading(self.network_spec).time(timesteps.to(torch.float32))
        )
        alpha = per_sample(self._process.alpha(times.to(wide)), samples)
        return alpha, per_sample(self._process.sigma(times.to(wide)), samples)

    def scale_noise(self, sample: torch.Tensor, timestep: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """`add_noise` in the order of arguments of flow pipelines."""
        return self.add_noise(sample, noise, timestep)


def _levels_of(process: Process, times: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(process.sampler_sigma(times))


FewstepScheduler.__module__ = "fewstep.scheduler"  # the module that saved pipelines name, and that users import
