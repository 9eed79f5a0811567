"""Packages of pictures, tiny, in the place of the real ones."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def idx(values: np.ndarray) -> bytes:
    """Bytes as a gzipped IDX file."""
    header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">i4").tobytes()
    return gzip.compress(header + values.tobytes())


@pytest.fixture
def packages(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with both: six garments, all grey 51 · label; four emoji, of which one has no picture, one two tones,
    and one is a swatch. A picture is a red square on nothing."""
    root = tmp_path_factory.mktemp("packages")
    garments = root / "fashion-mnist"
    garments.mkdir()
    labels = np.arange(6, dtype=np.uint8)
    for part in ("train", "t10k"):
        (garments / f"{part}-labels-idx1-ubyte.gz").write_bytes(idx(labels))
        pixels = np.broadcast_to(51 * labels[:, None, None], (6, 28, 28))
        (garments / f"{part}-images-idx3-ubyte.gz").write_bytes(idx(pixels.astype(np.uint8)))
    source = root / "emoji-datasource-google"
    pictures = source / "img" / "google" / "64"
    pictures.mkdir(parents=True)
    square = np.zeros((64, 64, 4), np.uint8)
    square[16:48, 16:48] = (255, 0, 0, 255)
    for name in ("flag", "hand", "light", "dark", "swatch"):
        Image.fromarray(square).save(pictures / f"{name}.png")
    tones = {code: {"image": f"{code}.png", "has_img_google": True} for code in ("light", "dark")}
    entries = [
        {"category": "Flags", "image": "flag.png", "has_img_google": True},
        {"category": "People & Body", "image": "hand.png", "has_img_google": True, "skin_variations": tones},
        {"category": "Objects", "image": "nothing.png", "has_img_google": False},
        {"category": "Component", "image": "swatch.png", "has_img_google": True},
    ]
    (source / "emoji.json").write_text(json.dumps(entries))
    monkeypatch.setenv("FASHION_MNIST", str(garments))
    monkeypatch.setenv("EMOJI_DATASOURCE", str(source))
    return root
