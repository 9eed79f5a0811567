"""Models of a hub, at one commit: only the small files that describe a network, and its weights as safetensors."""

import shutil
from fnmatch import fnmatch
from pathlib import Path

from fewstep.errors import InvalidModel

__all__ = ["fetch"]

NETWORK = ("config.json", "diffusion_pytorch_model*.safetensors", "diffusion_pytorch_model.safetensors.index.json")
WANTED = (
    *(f"{folder}{name}" for folder in ("", "unet/", "transformer/") for name in NETWORK),
    "scheduler/scheduler_config.json",
    "scheduler_config.json",
    "fewstep.json",
    "conditions.safetensors",
)
TRACES = ".cache"  # which the download leaves in the folder


def fetch(repo: str, commit: str, folder: Path, most: int, endpoint: str | None = None) -> None:
    """Download the model of ``repo`` ("owner/name") at ``commit`` (40 hexadecimal digits) into ``folder``.

    ``endpoint`` is the hub's address where it is not the usual one. Raises `InvalidModel` where the hub does not have
    it, does not answer, or has files of more than ``most`` bytes together.
    """
    from huggingface_hub import HfApi, snapshot_download

    try:
        found = HfApi(endpoint=endpoint, token=False).model_info(repo, revision=commit, files_metadata=True)
        files = {file.rfilename: file.size or 0 for file in found.siblings or [] if _is_wanted(file.rfilename)}
        if sum(files.values()) > most:
            raise InvalidModel(f"the model's files have {sum(files.values())} bytes, at most {most} are taken")
        snapshot_download(
            repo, revision=commit, local_dir=folder, allow_patterns=list(files), token=False, endpoint=endpoint
        )
    except InvalidModel:
        raise
    except Exception as error:  # of the hub's library, of its HTTP client, or of the network
        reason = " ".join(str(error).split())[:300]
        raise InvalidModel(
            f"{repo} at commit {commit[:8]} cannot be fetched: {reason or type(error).__name__}"
        ) from error
    shutil.rmtree(folder / TRACES, ignore_errors=True)
    if sum(path.stat().st_size for path in folder.rglob("*")) > most:
        raise InvalidModel(f"the model's files are larger than the hub said, at most {most} bytes are taken")


def _is_wanted(path: str) -> bool:
    return any(fnmatch(path, pattern) for pattern in WANTED) and "/" not in path.partition("/")[2]
