"""A schedule as a diffusers scheduler, which replaces the scheduler of a pipeline.

    pipe.scheduler = FewstepScheduler.from_schedule(schedule)
    image = pipe("a fox", num_inference_steps=schedule.nfe).images[0]

The state stays in float32 or better, whatever the pipeline's dtype; a step is one short sum (`fewstep.sampling.plan`)
and does not wait for the device.
"""

from typing import Any, Self

import numpy as np
import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.schedulers.scheduling_utils import SchedulerMixin, SchedulerOutput
from diffusers.utils.torch_utils import randn_tensor

from fewstep.errors import InvalidInput, UnknownName
from fewstep.models.base import data_weights, per_sample
from fewstep.models.predictions import DIFFUSERS
from fewstep.sampling import plan
from fewstep.sampling.history import History
from fewstep.schedule import Schedule, compile

__all__ = ["FewstepScheduler"]

TIMESTEP_TOLERANCE = 4e-3  # relative: bfloat16 has 8 bits for a time step
PREDICTION_TYPES = {prediction: name for name, prediction in DIFFUSERS.items()}


class FewstepScheduler(SchedulerMixin, ConfigMixin):  # type: ignore[misc]
    """A diffusers scheduler over a schedule's tableau.

    ``schedule`` a Schedule or its JSON values · ``prediction_type`` of the network: "epsilon", "sample", "v_prediction"
    or "flow_prediction" · ``time_scale`` the factor from the schedule's network times to the network's own ·
    ``num_train_timesteps`` for pipelines, which read it from the config. Raises `InvalidSchedule`, `InvalidInput` or
    `UnknownName`.

    >>> from fewstep import processes, solvers
    >>> schedule = solvers.named("dpmpp-2m").schedule(processes.Discrete.linear_betas(), nfe=4, grid="time")
    >>> scheduler = FewstepScheduler.from_schedule(schedule)
    >>> scheduler.set_timesteps(4)
    >>> scheduler.timesteps
    tensor([999.0000, 749.2500, 499.5000, 249.7500])
    """

    order = 1  # one entry of `timesteps` is one network call, whatever the solver
    shifted = False  # whether the network's times are shifted, by `fewstep.diffusers.shift_hook.attach`
    _begin: int | None  # first call, from `set_begin_index`
    _index: int | None  # next call
    _inner: torch.Tensor | None  # the last state, before it was rounded to the pipeline's dtype

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        schedule: Schedule | dict[str, Any],
        prediction_type: str | None = None,
        time_scale: float | None = None,
        num_train_timesteps: int = 1000,
    ) -> None:
        checked = schedule if isinstance(schedule, Schedule) else Schedule.from_dict(schedule)
        process = checked.process
        prediction = prediction_type or PREDICTION_TYPES.get(process.default_prediction or "")
        scale = process.default_time_scale if time_scale is None else float(time_scale)
        if prediction is None or scale is None:
            raise InvalidInput(
                f"networks on {process.kind} take their time in different units and predict different "
                f"things: pass prediction_type (one of {', '.join(DIFFUSERS)}) and time_scale (such as 1000.0)"
            )
        if prediction not in DIFFUSERS:
            raise UnknownName("prediction_type", prediction, DIFFUSERS)
        if checked.shift is not None and checked.shift.mode == "start":
            raise InvalidInput("a pipeline's steps leave from one time for the whole batch: shift in mode 'network'")
        self.register_to_config(  # type: ignore[no-untyped-call]
            schedule=checked.to_dict(), prediction_type=prediction, time_scale=scale, _use_default_values=[]
        )
        self.schedule = checked
        self._scale = scale
        self._tableau = compile(checked)
        self._process = process
        times = self._tableau.network_times
        self._data_weights = data_weights(DIFFUSERS[prediction], process, times)
        self._network_times = torch.tensor(process.network_time(times) * scale, dtype=torch.float32)
        self._plans: dict[int, list[plan.Update]] = {}
        self.init_noise_sigma = float(process.prior_std)
        self.set_timesteps()

    @classmethod
    def from_schedule(
        cls,
        schedule: Schedule,
        prediction_type: str | None = None,
        time_scale: float | None = None,
        num_train_timesteps: int = 1000,
    ) -> Self:
        """The scheduler that runs ``schedule``; arguments as for the class."""
        scheduler: Self = cls(schedule, prediction_type, time_scale, num_train_timesteps)
        return scheduler

    def __len__(self) -> int:
        return int(self.config["num_train_timesteps"])

    @property
    def step_index(self) -> int | None:
        """Index of the next call; None before the first."""
        return self._index

    @property
    def begin_index(self) -> int | None:
        """Index of the run's first call, where `set_begin_index` set one."""
        return self._begin

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Start the run at a later call, as image-to-image pipelines do."""
        if not 0 <= begin_index < self._tableau.calls:
            raise InvalidInput(f"this schedule has calls 0 to {self._tableau.calls - 1}, got begin index {begin_index}")
        self._begin = int(begin_index)

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        sigmas: Any = None,
        mu: float | None = None,
    ) -> None:
        """Begin a run on ``device``; ``num_inference_steps`` is None or the schedule's number of calls.

        Flow pipelines pass default ``sigmas``, which fall evenly from 1, and ``mu``, a time shift by image size: the
        schedule has its own times and ignores both. Raises `InvalidInput` for other sigmas.
        """
        calls = self._tableau.calls
        steps = calls if num_inference_steps is None else num_inference_steps
        if sigmas is not None:
            steps = len(sigmas)
            if not np.allclose(np.asarray(sigmas, dtype=np.float64), np.linspace(1, 0, steps + 1)[:-1], atol=1e-4):
                raise InvalidInput("a schedule has its own times: leave sigmas out, or make a schedule of them")
        if steps != calls:
            raise InvalidInput(
                f"this schedule makes {calls} network calls: pass num_inference_steps={calls}, "
                f"not {steps}, or take a schedule made for {steps}"
            )
        self.num_inference_steps = calls
        self.timesteps = self._network_times.to(device, copy=True)
        self._begin = self._index = None
        self._restart(0)

    def scale_model_input(self, sample: torch.Tensor, timestep: Any = None) -> torch.Tensor:
        """``sample`` as it is: the network takes the state itself."""
        return sample

    def step(
        self,
        model_output: torch.Tensor,
        timestep: float | torch.Tensor,
        sample: torch.Tensor,
        generator: torch.Generator | list[torch.Generator] | None = None,
        return_dict: bool = True,
    ) -> SchedulerOutput | tuple[torch.Tensor]:
        """The next state, shaped as ``sample`` and in its dtype, from the network's output at ``sample``.

        ``timestep`` is the entry of `timesteps` that the network got. Where the output has twice the channels, the
        second half is a learned variance and is left out. ``generator`` draws fresh noise: one for the batch or one for
        each sample. Raises `InvalidInput` where calls come out of order or shapes differ.
        """
        if self.schedule.shift is not None and not self.shifted:
            raise InvalidInput(
                "this schedule has a time shift, which the network must get: fewstep.shift_hook.attach(pipe.unet, "
                "pipe.scheduler), or drop the shift"
            )
        call = self._call_of(timestep)
        if self._index is None or (call == self._first and call != self._index):
            self._restart(call)
        elif call != self._index:
            raise InvalidInput(
                f"call {self._index} comes next, got the time step of call {call}: set_timesteps begins anew"
            )
        if model_output.shape[:1] == sample.shape[:1] and model_output.shape[1] == 2 * sample.shape[1]:
            model_output = model_output[:, : sample.shape[1]]
        if model_output.shape != sample.shape:
            raise InvalidInput(f"the network made {tuple(model_output.shape)} of states {tuple(sample.shape)}")
        state = self._exact(sample)

        def draw() -> torch.Tensor:
            noise: torch.Tensor = randn_tensor(state.shape, generator, state.device, state.dtype)
            return noise

        self._inner = self._history.advance(self._plan(self._first)[call - self._first], state, model_output, draw)
        self._index = call + 1
        following = self._inner.to(sample.dtype)
        return SchedulerOutput(prev_sample=following) if return_dict else (following,)

    def _restart(self, first: int) -> None:
        self._first = first
        self._history = History()
        self._inner = None

    def _plan(self, begin: int) -> list[plan.Update]:
        if begin not in self._plans:
            tableau = plan.tail(self._tableau, self._process, begin)
            self._plans[begin] = plan.make(tableau, *(weights[begin:] for weights in self._data_weights))
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
        if self._index is None and self._begin is not None:
            return self._begin
        if isinstance(timestep, torch.Tensor):
            if timestep.untyped_storage().data_ptr() == self.timesteps.untyped_storage().data_ptr():
                return int(timestep.storage_offset())
            if self._index is not None and timestep.device.type != "cpu":
                return self._index
            timestep = float(timestep.reshape(-1)[0])
        off = np.abs(self._network_times.numpy() - timestep)
        nearest = len(off) - 1 - int(off[::-1].argmin())  # of several calls at one time the last: it begins a stride
        if self._index is not None and self._index < len(off) and off[self._index] == off[nearest]:
            return self._index
        if off[nearest] > TIMESTEP_TOLERANCE * abs(timestep):
            raise InvalidInput(f"{timestep} is not among this schedule's time steps {self._network_times.tolist()}")
        return nearest

    def add_noise(self, original_samples: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Clean samples (B, ...) brought to the noise level of ``timesteps`` (B,) or (1,), in the network's units.

        A time step of the schedule stands for the time of its state, even where the network's time differs.
        """
        wide = torch.promote_types(original_samples.dtype, torch.float32)
        timesteps = timesteps.to(original_samples.device, torch.float32).reshape(-1)
        off = (timesteps[:, None] - self._network_times.to(timesteps.device)).abs()
        nearest = off.argmin(1)
        states = torch.tensor(self._tableau.times[:-1], dtype=torch.float32, device=timesteps.device)
        elsewhere = self._process.time_of_network(timesteps / self._scale)
        times = torch.where(off.min(1).values <= TIMESTEP_TOLERANCE * timesteps.abs(), states[nearest], elsewhere)
        alpha = per_sample(self._process.alpha(times.to(wide)), original_samples)
        sigma = per_sample(self._process.sigma(times.to(wide)), original_samples)
        return (alpha * original_samples.to(wide) + sigma * noise.to(wide)).to(original_samples.dtype)

    def scale_noise(self, sample: torch.Tensor, timestep: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """`add_noise` in the order of arguments of flow pipelines."""
        return self.add_noise(sample, noise, timestep)


FewstepScheduler.__module__ = "fewstep.scheduler"  # the module that saved pipelines name, and that users import
