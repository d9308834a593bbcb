"""Every system of the papers by a short name: the one table that benchmarks and tests share."""

import importlib.util
from pathlib import Path

from ml_collections import ConfigDict

from fdigits.config import choose

ROOT = Path(__file__).parents[1]
FUSIONS = ("weighted", "add", "concat", "gated", "low_rank", "cross_attention", "late")
SYSTEMS = {  # name -> config file, its argument
    "image_cnn": ("image", ""),
    "audio_cnn": ("audio", ""),
    "audio_lstm": ("audio", "net=lstm"),
    "hybrid_cnn": ("hybrid", ""),
    "hybrid_lstm": ("hybrid", "audio=lstm"),
    **{f"fusion_{x}": ("weighted_fusion", f"fusion={x}") for x in (*FUSIONS, "image", "audio")},
    **{f"conv1d_{x}": ("conv1d_fusion", f"modality={x}") for x in ("fusion", "image", "audio")},
    **{f"attention_{x}": ("attention", x) for x in ("base", "spatial", "self", "cbam", "se")},
    **{f"spectrogram_{x}": ("spectrogram", x) for x in ("lenet", "cbam", "hybrid")},
    "augmentation": ("augmentation", "real=20,generated=30"),
    "sound_to_image": ("sound_to_image", "vae"),
}


def load_config(system: str) -> ConfigDict:
    """The config of a system of `SYSTEMS`; of several stages, of the last.

    Raises:
      UserError: no such system; names the nearest.
    """
    name, arg = choose(system, SYSTEMS, "system")
    spec = importlib.util.spec_from_file_location(name, ROOT / "configs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(arg)
