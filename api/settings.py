"""Settings of the service, from environment variables that begin with FEWSTEP_; checked, then frozen."""

import ipaddress
import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from fewstep.blobs import Blobs
from fewstep.errors import InvalidInput
from fewstep.values.rankers import RANKERS

__all__ = ["Settings", "is_loopback", "load"]


class Settings(BaseSettings):
    """The service's settings; ``FEWSTEP_PORT=9000`` in the environment or ``Settings(port=9000)`` set one.

    ``host`` must be a loopback address unless ``allow_public`` says that something else guards the port (a container's
    network, a proxy that asks for keys). ``pool`` is the URL of the runner's pool ("local:4", "local:cuda:0,cuda:1");
    by default every GPU of this machine once, or ``slots`` evaluations at a time on its CPU. It works on at most
    ``searches`` at a time, all of one model, so that slots which one search has no task for work for another; by
    default on as many as there are slots, but two at least and eight at most.
    ``ranker`` is the name of what forecasts schedules in its searches (`fewstep.values.rankers`). ``lease_seconds`` is
    how long a silent runner keeps its search, ``task_seconds`` how long the worker of a task may be without a call of
    the network before the task is lost, ``poll_seconds`` how often an event stream polls for events.

    Models come from the zoo, from folders under ``model_roots``, from uploads of at most ``max_model_bytes``, and where
    the operator says so, from a hub (``allow_hub``) or as exported programs (``allow_programs``), whose graphs run in
    the workers. The inspection of a model may take ``inspect_seconds``. ``metrics_dir`` is a folder with features and
    references that metrics may name (`fewstep.values.catalogue`). ``blobs`` is the URL of a store from which a runner
    fetches the models that its own folder lacks (`fewstep.blobs`); by default the models' folder is the only one.
    """

    model_config = SettingsConfigDict(env_prefix="FEWSTEP_", frozen=True, extra="forbid")

    data_dir: Path = Path("var")
    database_url: str = Field(
        default_factory=lambda fields: f"sqlite:///{fields['data_dir']}/fewstep.db" if "data_dir" in fields else "",
        repr=False,  # it may hold a password
    )
    host: str = Field("127.0.0.1", min_length=1)
    port: int = Field(8471, ge=0, le=65_535)
    allow_public: bool = False
    pool: str | None = Field(None, min_length=1, max_length=1024)
    slots: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, le=1024)
    searches: int | None = Field(None, ge=1, le=64)
    ranker: str = Field("learned", max_length=200)
    lease_seconds: float = Field(30.0, gt=0, le=3600)
    task_seconds: float = Field(600.0, gt=0, le=7 * 86_400)
    poll_seconds: float = Field(0.25, gt=0, le=60)
    max_body_bytes: int = Field(2**20, ge=1024)
    model_roots: Annotated[tuple[Path, ...], NoDecode] = ()
    allow_hub: bool = False
    allow_programs: bool = False
    max_model_bytes: int = Field(2**32, ge=2**20)
    inspect_seconds: float = Field(300.0, gt=0, le=3600)
    metrics_dir: Path | None = None
    blobs: str | None = Field(None, min_length=1, max_length=1024, repr=False)  # it may hold a password
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["console", "json"] = "console"

    @property
    def models_dir(self) -> Path:
        """The folder of uploaded and fetched models."""
        return self.data_dir / "models"

    @property
    def store_of_models(self) -> Blobs | None:
        """Where the models of all machines are, if these do not share the folder."""
        return None if self.blobs is None else Blobs(self.blobs, self.models_dir)

    @field_validator("model_roots", mode="before")
    @classmethod
    def _split(cls, paths: Any) -> Any:
        """Folders as a search path has them: separated by a colon."""
        return tuple(filter(None, paths.split(os.pathsep))) if isinstance(paths, str) else paths

    @field_validator("model_roots")
    @classmethod
    def _folders(cls, roots: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(_folder(root) for root in roots)

    @field_validator("ranker")
    @classmethod
    def _ranker(cls, name: str) -> str:
        if name not in RANKERS:
            raise ValueError(f"there is no ranker of that name: choose one of {', '.join(RANKERS)}")
        return name

    @field_validator("metrics_dir")
    @classmethod
    def _metrics(cls, folder: Path | None) -> Path | None:
        return None if folder is None else _folder(folder)

    @model_validator(mode="after")
    def _check_host(self) -> Self:
        if not (self.allow_public or is_loopback(self.host)):
            raise ValueError(
                f"host {self.host!r} can be reached from other machines, and the service asks nobody who they are: "
                "use 127.0.0.1, or set FEWSTEP_ALLOW_PUBLIC=true where a proxy or a container's network guards the port"
            )
        return self


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise ValueError(f"{str(path)!r} is not a folder")
    return path.resolve()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def load(**options: Any) -> Settings:
    """The settings from ``options`` and the environment; raises `InvalidInput`, which names the faulty setting."""
    try:
        return Settings(**options)
    except ValidationError as error:
        faults = []
        for fault in error.errors(include_url=False):
            name = ".".join(str(part) for part in fault["loc"])
            message = fault["msg"].removeprefix("Value error, ")
            faults.append(f"{name}: {message}, got {fault['input']!r}" if name else message)
        raise InvalidInput(f"settings cannot be used: {'; '.join(faults)}") from None
