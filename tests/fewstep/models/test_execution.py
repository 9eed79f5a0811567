"""How a network runs: the same numbers in another precision, layout or compiled, and the plain network on any fault."""

import functools
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from api.inspection import inspect
from fewstep import sample, solvers
from fewstep.client.uploading import Upload
from fewstep.errors import InvalidInput
from fewstep.models import folder
from fewstep.models.execution import MODES, Execution
from fewstep.models.manifest import Manifest
from fewstep.models.network import NetworkDenoiser
from fewstep.models.prepare import precision, prepare
from fewstep.models.reference import ModelReference
from tests.fewstep.models.tiny import sd3, shaken, states, text_unet, unet
from tests.fewstep.models.truths import LATENT, Save

OURS = "fewstep.models.prepare"
REAL = torch.compile
DTYPE = "unknown dtype of an execution 'int8'; known: float32, bfloat16, float16"
COMPILE = "unknown compile of an execution 'fastest'; known: default, reduce-overhead, max-autotune"
KEYS = "an execution is an object with some of dtype, channels_last, compile"
WRONG = {
    '{"dtype": "int8"}': DTYPE,
    '{"dtype": ["float32"]}': "unknown dtype of an execution",
    '{"channels_last": 1}': "channels_last of an execution is true or false, got '1'",
    '{"channels_last": "yes"}': "channels_last of an execution is true or false, got 'yes'",
    '{"compile": "fastest"}': COMPILE,
    '{"compile": true}': "unknown compile of an execution 'True'",
    '{"backend": "eager"}': KEYS,
    '"bfloat16"': KEYS,
    "null": KEYS,
}


def says(path: Path, **execution: Any) -> Path:
    """The folder, whose fewstep.json has that execution."""
    (path / "fewstep.json").write_text(json.dumps({"execution": execution}))
    return path


def saved(save: Save) -> Path:
    """A folder with a network that uses everything."""
    return save(shaken(unet(3)), DDPMScheduler())


def off(got: torch.Tensor, wanted: torch.Tensor) -> float:
    """The largest difference, beside the largest number."""
    return float((got - wanted).abs().max() / wanted.abs().max())


def drawn(denoiser: NetworkDenoiser) -> torch.Tensor:
    """Samples of eight calls."""
    noise = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    return sample(denoiser, solvers.named("dpmpp-2m").schedule(denoiser.process, 8), noise)


@pytest.mark.parametrize(("text", "message"), WRONG.items(), ids=range(len(WRONG)))
def test_wrong_values_are_refused_by_name(save: Save, text: str, message: str) -> None:
    """With what is known; so are other keys, and what is no object."""
    path = saved(save)
    (path / "fewstep.json").write_text(f'{{"execution": {text}}}')
    with pytest.raises(InvalidInput, match=re.escape(message)):
        Manifest.read(path)


def test_an_execution_travels_as_json() -> None:
    """Through JSON and back it is the same; what is at its default is left out."""
    assert Execution().to_dict() == {}
    for execution in (Execution(), Execution("float32"), Execution("float16", True, "max-autotune")):
        assert Execution.from_dict(json.loads(json.dumps(execution.to_dict()))) == execution


def test_half_precision_is_the_networks_own(save: Save) -> None:
    """bfloat16 has eight bits: a call and whole samples are float32's within a few roundings, and of that type."""
    path = saved(save)
    whole, half = folder.open(path), folder.open(says(path, dtype="bfloat16"))
    x, t = states(3, 8, 8)
    calls = half(x, 600 * t), whole(x, 600 * t)
    assert (half.dtype, calls[0].dtype) == (torch.bfloat16, torch.float32)
    assert 0 < off(*calls) < 2**-5
    samples = drawn(half), drawn(whole)
    assert samples[0].dtype == torch.float32
    assert 0 < off(*samples) < 2**-5


def test_a_wider_precision_than_the_weights(save: Save) -> None:
    """Weights stored in bfloat16 run in float32 where fewstep.json says so: the network's own numbers, widened."""
    network = shaken(unet(3)).bfloat16()
    denoiser = folder.open(
        says(save(network, DDPMScheduler(prediction_type="sample")), dtype="float32", channels_last=False)
    )
    x, t = states(3, 8, 8)
    assert denoiser.dtype == torch.float32
    with torch.no_grad():
        torch.testing.assert_close(denoiser(x, 999 * t), network.float()(x, 999 * t).sample, rtol=0, atol=0)


def test_float16_on_a_cpu_is_float32(save: Save) -> None:
    """The numbers of float32, to the bit; on a GPU it is float16."""
    path = saved(save)
    whole, half = drawn(folder.open(path)), drawn(folder.open(says(path, dtype="float16")))
    assert torch.equal(half, whole)
    assert precision(Execution("float16"), torch.float32, "cuda") == torch.float16


class Seen(torch.nn.Module):
    """A convolution that remembers the layout of what it was called on."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Conv2d(3, 5, 3, padding=1).requires_grad_(False)
        self.lasts: list[bool] = []

    def forward(self, x: torch.Tensor, t: torch.Tensor, *, tokens: torch.Tensor | None = None) -> torch.Tensor:
        """The convolution of the state, plus time and tokens."""
        self.lasts.append(x.is_contiguous(memory_format=torch.channels_last))
        moved: torch.Tensor = self.inner(x) + t[:, None, None, None]
        return moved if tokens is None else moved + tokens.mean()


@pytest.mark.parametrize(("execution", "lasts"), [(Execution(), True), (Execution(channels_last=False), False)])
def test_channels_are_last_on_a_cpu_unless_the_model_says_otherwise(execution: Execution, lasts: bool) -> None:
    """Where there are convolutions; a network without any is called as it is."""
    network = Seen()
    prepare(network, execution, "cpu")(*states(3, 8, 8))
    assert network.lasts == [lasts]
    flat = torch.nn.Linear(2, 2)
    assert prepare(flat, execution, "cpu") is flat


@pytest.mark.parametrize("network", ["unet", "text_unet", "sd3"])
def test_channels_last_is_the_same_network(save: Save, network: str) -> None:
    """Numbers are equal to rounding, for U-Nets and for transformers, whose tokens have no channels to be last."""
    prompt = torch.randn(2, 3, 6)
    path, shape = {
        "unet": lambda: (save(shaken(unet(3)), DDPMScheduler()), (3, 8, 8)),
        "text_unet": lambda: (save(shaken(text_unet()), LATENT, prompt=prompt), (4, 8, 8)),
        "sd3": lambda: (save(shaken(sd3()), DDIMScheduler(), prompt=prompt, pooled=torch.randn(2, 5)), (2, 8, 8)),
    }[network]()
    x, t = states(*shape)
    usual, last = (folder.open(says(path, channels_last=each))(x, 600 * t) for each in (False, True))
    torch.testing.assert_close(last, usual, rtol=1e-4, atol=1e-4 * float(usual.abs().max()))
    assert last.is_contiguous()


def test_layouts_on_the_way_in_and_out() -> None:
    """Weights and inputs of four dimensions have channels last inside; the output does not, and tokens are left."""
    network = Seen()
    x, t = states(3, 8, 8)
    output = prepare(network, Execution(channels_last=True), "cpu")(x, t, tokens=torch.ones(2, 3, 4))
    assert network.inner.weight.is_contiguous(memory_format=torch.channels_last)
    assert network.lasts == [True]
    assert output.is_contiguous()
    torch.testing.assert_close(output, network(x, t, tokens=torch.ones(1)))
    assert network.lasts == [True, False]


@pytest.mark.filterwarnings("ignore:Dynamo detected a call")
def test_compiled_is_the_same_network(save: Save, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """By a backend that runs what it is given: the numbers are equal for batches of every size, compiled when the model
    is opened and not again, and gradients are the plain network's."""
    graphs = []

    def backend(graph: torch.fx.GraphModule, example: Any, **options: Any) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", functools.partial(REAL, backend=backend))
    path = saved(save)
    plain = folder.open(path)
    compiled = folder.open(says(path, compile="default"))
    opened = len(graphs)
    assert opened > 0
    for count in (1, 2, 3, 5):
        x, t = states(3, 8, 8, count=count)
        torch.testing.assert_close(compiled(x, 600 * t), plain(x, 600 * t), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(drawn(compiled), drawn(plain), rtol=1e-4, atol=1e-4)
    slopes = []
    for denoiser in (compiled, plain):
        moved = x.clone().requires_grad_(True)
        slopes.append(torch.autograd.grad(denoiser(moved, 600 * t).square().sum(), moved)[0])
    assert torch.equal(*slopes)
    assert len(graphs) == opened
    assert not [record for record in caplog.records if record.name == OURS]


@pytest.mark.filterwarnings("ignore:Dynamo detected a call")
@pytest.mark.parametrize("where", ["made", "run", "nowhere to begin"])
def test_a_network_that_cannot_be_compiled_runs_plain(
    save: Save, where: str, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """Whether the backend fails, what it made, or torch.compile itself: the log says why, once, and the numbers are the
    plain network's."""

    def fails(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError("no C++ compiler\nhere")

    stands = {
        "made": functools.partial(REAL, backend=fails),
        "run": functools.partial(REAL, backend=lambda graph, example, **options: fails),
        "nowhere to begin": fails,
    }
    monkeypatch.setattr(torch, "compile", stands[where])
    path = saved(save)
    plain = folder.open(path)
    x, t = states(3, 8, 8)
    with caplog.at_level(logging.WARNING):
        compiled = folder.open(says(path, compile="default"))
        assert torch.equal(compiled(x, 600 * t), plain(x, 600 * t))
        assert torch.equal(drawn(compiled), drawn(plain))
    (message,) = [record.getMessage() for record in caplog.records if record.name == OURS]
    assert "no C++ compiler here" in message
    assert "going on with the plain one" in message


def full(*arguments: Any, **options: Any) -> Any:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")


def test_a_lack_of_memory_goes_to_the_caller(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """It is no fault of compiling: what fits afterwards runs compiled, and the log has nothing to say."""
    network, calls = Seen(), list[int]()

    def limited(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        calls.append(len(x))
        return full() if len(x) > 2 else network(x, t)

    monkeypatch.setattr(torch, "compile", lambda network, mode: limited)
    run = prepare(network, Execution(compile="default"), "cpu")
    x, t = states(3, 8, 8)
    for _ in range(2):
        with pytest.raises(torch.OutOfMemoryError):
            run(x, t)
    assert torch.equal(run(x[:2], t[:2]), network(x[:2], t[:2]))
    assert calls == [5, 5, 2]
    assert not caplog.records


def test_a_model_opens_where_two_samples_do_not_fit(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    """One is enough to begin with; where not even one fits, opening says so."""
    path = says(saved(save), compile="default")

    def compile(network: torch.nn.Module, mode: str, fits: int) -> Callable[..., Any]:
        return lambda x, *rest, **options: network(x, *rest, **options) if len(x) <= fits else full()

    monkeypatch.setattr(torch, "compile", functools.partial(compile, fits=1))
    x, t = states(3, 8, 8)
    assert folder.open(path)(x[:1], 600 * t[:1]).isfinite().all()
    monkeypatch.setattr(torch, "compile", functools.partial(compile, fits=0))
    with pytest.raises(torch.OutOfMemoryError):
        folder.open(path)


def test_a_fault_of_the_arguments_is_none_of_compiling(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """It is raised as the plain network raises it, and the compiled one goes on."""
    network, calls = Seen(), list[int]()

    def counted(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        calls.append(len(x))
        return network(x, t)

    monkeypatch.setattr(torch, "compile", lambda network, mode: counted)
    run = prepare(network, Execution(compile="default"), "cpu")
    x, t = states(3, 8, 8)
    with pytest.raises(RuntimeError, match="channels"):
        run(x[:, :2], t)
    run(x[:1], t[:1])
    assert calls == [5, 1]
    assert not caplog.records


@pytest.mark.parametrize("mode", MODES)
def test_outputs_of_cuda_graphs_are_kept(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph writes every output to the same memory: earlier ones must not change, and each call is a new step. The
    default mode records no graph, and its outputs are not copied."""
    network, buffer, steps, modes = Seen(), torch.empty(5, 5, 8, 8), list[None](), list[str]()

    def compile(network: torch.nn.Module, mode: str) -> Callable[..., Any]:
        modes.append(mode)
        return lambda x, t: {"sample": buffer.copy_(network(x, t))}

    monkeypatch.setattr(torch, "compile", compile)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: steps.append(None))
    run = prepare(network, Execution(compile=mode), "cpu")
    x, t = states(3, 8, 8)
    first, second = run(x, t)["sample"], run(2 * x, t)["sample"]
    assert modes == [mode]
    assert torch.equal(second, network(2 * x, t))
    assert torch.equal(first, network(x, t)) == (mode != "default")
    assert (second is buffer) == (mode == "default")
    assert len(steps) == (0 if mode == "default" else 2)


@pytest.mark.parametrize("mode", MODES)
def test_gradients_are_those_of_the_plain_network(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an argument wants one, nothing compiled is called; without a gradient enabled it is again."""
    network, calls = Seen(), list[int]()

    def compiled(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        calls.append(len(x))
        return network(x, t)

    monkeypatch.setattr(torch, "compile", lambda network, mode: compiled)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: None)
    run = prepare(network, Execution(compile=mode), "cpu")
    x, t = states(3, 8, 8)
    x.requires_grad_(True)
    (slope,) = torch.autograd.grad(run(x, t).sum(), x)
    assert slope.abs().sum() > 0
    assert calls == []
    with torch.no_grad():
        run(x, t)
    run(x.detach(), t)
    assert calls == [5, 5]


def test_what_is_uploaded_says_how_it_runs(save: Save) -> None:
    """Its inspection has the digest of the folder, a guidance set at the upload leaves the execution, and a worker
    opens it so."""
    path = says(save(shaken(unet(num_class_embeds=3)), DDPMScheduler()), dtype="bfloat16", channels_last=True)
    digest = Manifest.read(path).digest
    assert inspect(path).digest == digest
    text = json.loads(Upload(path, guidance=2.0).texts["fewstep.json"])
    assert text == {"execution": {"dtype": "bfloat16", "channels_last": True}, "guidance": 2.0}
    denoiser, _ = ModelReference("upload", "mine", digest, path).open()
    assert isinstance(denoiser, NetworkDenoiser)
    assert denoiser.dtype == torch.bfloat16
