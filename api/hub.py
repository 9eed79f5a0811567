"""Download of a model from a hub at one commit: configuration files and safetensors weights alone."""

import shutil
from fnmatch import fnmatch
from pathlib import Path

from fewstep.errors import InvalidModel

__all__ = ["fetch"]

NETWORK = ("config.json", "diffusion_pytorch_model*.safetensors", "diffusion_pytorch_model.safetensors.index.json")
PATTERNS = (
    *(f"{folder}{name}" for folder in ("", "unet/", "transformer/") for name in NETWORK),
    "scheduler/scheduler_config.json",
    "scheduler_config.json",
    "fewstep.json",
    "conditions.safetensors",
)
DOWNLOAD_CACHE = ".cache"  # which the download leaves in the folder


def fetch(repo: str, commit: str, folder: Path, max_bytes: int, endpoint: str | None = None) -> None:
    """Download the model of ``repo`` ("owner/name") at ``commit`` (40 hexadecimal digits) into ``folder``.

    ``endpoint`` is the hub's address where it is not the usual one. Raises `InvalidModel` where the hub does not have
    it, does not answer, or has files of more than ``max_bytes`` bytes together.
    """
    from huggingface_hub import HfApi, snapshot_download

    try:
        info = HfApi(endpoint=endpoint, token=False).model_info(repo, revision=commit, files_metadata=True)
        files = {file.rfilename: file.size or 0 for file in info.siblings or [] if _is_part_of_model(file.rfilename)}
        if sum(files.values()) > max_bytes:
            raise InvalidModel(f"the model's files have {sum(files.values())} bytes, at most {max_bytes} are taken")
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
    shutil.rmtree(folder / DOWNLOAD_CACHE, ignore_errors=True)
    if sum(path.stat().st_size for path in folder.rglob("*")) > max_bytes:
        raise InvalidModel(f"the model's files are larger than the hub said, at most {max_bytes} bytes are taken")


def _is_part_of_model(path: str) -> bool:
    return any(fnmatch(path, pattern) for pattern in PATTERNS) and "/" not in path.partition("/")[2]
