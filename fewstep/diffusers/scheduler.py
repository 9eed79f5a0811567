"""A schedule as a diffusers scheduler: put it into a pipeline in the place of the one that is there.

    pipe.scheduler = FewstepScheduler.from_schedule(schedule)
    image = pipe("a fox", num_inference_steps=schedule.nfe).images[0]

The state is kept in float32 or better, whatever the pipeline computes in; a step is one short sum
(`fewstep.sampling.plan`) and does not wait for the device.
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

NARROW = 4e-3  # bfloat16 keeps 8 bits of a time step
TYPES = {prediction: name for name, prediction in DIFFUSERS.items()}


class FewstepScheduler(SchedulerMixin, ConfigMixin):  # type: ignore[misc]
    """A diffusers scheduler over a schedule's tableau.

    ``schedule`` a Schedule or its JSON values · ``prediction_type`` what the network returns: "epsilon", "sample",
    "v_prediction" or "flow_prediction" · ``time_scale`` what the schedule's network times are multiplied with to make
    the network's own · ``num_train_timesteps`` what pipelines look for in the config. Raises `InvalidSchedule`,
    `InvalidInput` or `UnknownName`.

    >>> from fewstep import processes, solvers
    >>> schedule = solvers.named("dpmpp-2m").schedule(processes.Discrete.linear_betas(), nfe=4, grid="time")
    >>> scheduler = FewstepScheduler.from_schedule(schedule)
    >>> scheduler.set_timesteps(4)
    >>> scheduler.timesteps
    tensor([999.0000, 749.2500, 499.5000, 249.7500])
    """

    order = 1  # one entry of `timesteps` is one network call, whatever the solver
    shifted = False  # whether the network's times are shifted, by `fewstep.diffusers.shift_hook.attach`
    _begin: int | None  # where `set_begin_index` says to start
    _index: int | None  # the call that comes next
    _inner: torch.Tensor | None  # the last state, before it was rounded to the pipeline's dtype

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        schedule: Schedule | dict[str, Any],
        prediction_type: str | None = None,
        time_scale: float | None = None,
        num_train_timesteps: int = 1000,
    ) -> None:
        chosen = schedule if isinstance(schedule, Schedule) else Schedule.from_dict(schedule)
        process = chosen.process
        prediction = prediction_type or TYPES.get(process.default_prediction or "")
        scale = process.default_time_scale if time_scale is None else float(time_scale)
        if prediction is None or scale is None:
            raise InvalidInput(
                f"networks on {process.kind} are told their time in different units and predict different "
                f"things: pass prediction_type (one of {', '.join(DIFFUSERS)}) and time_scale (such as 1000.0)"
            )
        if prediction not in DIFFUSERS:
            raise UnknownName("prediction_type", prediction, DIFFUSERS)
        if chosen.shift is not None and chosen.shift.mode == "start":
            raise InvalidInput("a pipeline's steps leave from one time for the whole batch: shift in mode 'network'")
        self.register_to_config(  # type: ignore[no-untyped-call]
            schedule=chosen.to_dict(), prediction_type=prediction, time_scale=scale, _use_default_values=[]
        )
        self.schedule, self._scale = chosen, scale
        self._tableau, self._process = compile(chosen), process
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
        """Which call comes next; None before the first."""
        return self._index

    @property
    def begin_index(self) -> int | None:
        """The call that the run starts with, where `set_begin_index` chose one."""
        return self._begin

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Start the run at a later call: image-to-image pipelines say so through this."""
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
        """Get ready for a run on ``device``; ``num_inference_steps`` is None or the schedule's number of calls.

        Flow pipelines pass ``sigmas`` falling evenly from 1 where the user chose none, and ``mu``, a time shift by
        image size: the schedule has its own times and takes neither. Raises `InvalidInput` for other sigmas.
        """
        calls = self._tableau.calls
        wanted = calls if num_inference_steps is None else num_inference_steps
        if sigmas is not None:
            wanted = len(sigmas)
            if not np.allclose(np.asarray(sigmas, dtype=np.float64), np.linspace(1, 0, wanted + 1)[:-1], atol=1e-4):
                raise InvalidInput("a schedule has its own times: leave sigmas out, or make a schedule of them")
        if wanted != calls:
            raise InvalidInput(
                f"this schedule makes {calls} network calls: pass num_inference_steps={calls}, "
                f"not {wanted}, or take a schedule made for {wanted}"
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

        ``timestep`` is the entry of `timesteps` that the network was told. Where it has twice the channels, the second
        half is a learned variance and is left out. ``generator`` draws fresh noise: one for the batch or one for each
        sample. Raises `InvalidInput` where calls come out of order or shapes differ.
        """
        if self.schedule.shift is not None and not self.shifted:
            raise InvalidInput(
                "this schedule has a time shift, which the network must be told: fewstep.shift_hook.attach(pipe.unet, "
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
        self._first, self._history, self._inner = first, History(), None

    def _plan(self, begin: int) -> list[plan.Update]:
        if begin not in self._plans:
            tableau = plan.tail(self._tableau, self._process, begin)
            self._plans[begin] = plan.make(tableau, *(weights[begin:] for weights in self._data_weights))
        return self._plans[begin]

    def _exact(self, sample: torch.Tensor) -> torch.Tensor:
        """The state that ``sample`` is a rounding of, with what was done to the sample since the last step."""
        wide = torch.promote_types(sample.dtype, torch.float32)
        exact = sample.to(wide)
        if self._inner is None or wide == sample.dtype or self._inner.shape != sample.shape:
            return exact
        return self._inner + (exact - self._inner.to(sample.dtype).to(wide))

    def _call_of(self, timestep: float | torch.Tensor) -> int:
        """Which call a time step belongs to; its value is read only where that does not mean to wait for the device."""
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
        if off[nearest] > NARROW * abs(timestep):
            raise InvalidInput(f"{timestep} is not among this schedule's time steps {self._network_times.tolist()}")
        return nearest

    def add_noise(self, original_samples: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Clean samples (B, ...) brought to the noise level of ``timesteps`` (B,) or (1,), in the network's units.

        A time step of the schedule means the time of its state, even where the network is given another.
        """
        wide = torch.promote_types(original_samples.dtype, torch.float32)
        wanted = timesteps.to(original_samples.device, torch.float32).reshape(-1)
        off = (wanted[:, None] - self._network_times.to(wanted.device)).abs()
        nearest = off.argmin(1)
        states = torch.tensor(self._tableau.times[:-1], dtype=torch.float32, device=wanted.device)
        elsewhere = self._process.time_of_network(wanted / self._scale)
        times = torch.where(off.min(1).values <= NARROW * wanted.abs(), states[nearest], elsewhere)
        alpha, sigma = (
            per_sample(of(times.to(wide)), original_samples) for of in (self._process.alpha, self._process.sigma)
        )
        return (alpha * original_samples.to(wide) + sigma * noise.to(wide)).to(original_samples.dtype)

    def scale_noise(self, sample: torch.Tensor, timestep: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """`add_noise` as flow pipelines call it."""
        return self.add_noise(sample, noise, timestep)


FewstepScheduler.__module__ = "fewstep.scheduler"  # the module that saved pipelines name, and that users import
