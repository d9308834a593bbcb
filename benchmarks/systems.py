"""Every system of the papers by a short name: the one table that benchmarks and tests share."""

import importlib.util
from pathlib import Path

from ml_collections import ConfigDict

from fdigits.config import choose, stage_config
from fdigits.errors import UserError

ROOT = Path(__file__).parents[1]
FUSIONS = ("weighted", "add", "concat", "gated", "low_rank", "cross_attention", "late")
SYSTEMS = {  # name -> config file, its argument, and an earlier stage where it is one
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
    "gan": ("gan", "", "gan"),
    "audio_mlp": ("audio_mlp", ""),
    "audio_autoencoder": ("audio_autoencoder", "", "autoencoder"),
    "audio_pairs": ("audio_merger", "", "pairs"),
    "audio_merger": ("audio_merger", "", "merger"),
    "sound_to_image": ("sound_to_image", "vae"),
}


def load_config(system: str) -> ConfigDict:
    """The config of a system of `SYSTEMS`; of several stages, of the last unless it names another.

    Raises:
      UserError: no such system; names the nearest.
    """
    name, arg, *stage = choose(system, SYSTEMS, "system")
    config = config_of(ROOT / "configs" / f"{name}.py", arg)
    return stage_config(config, *stage) if stage else config


def config_of(file: Path, arg: str = "") -> ConfigDict:
    """What a config file gives for an argument.

    Raises:
      UserError: there is no such file.
    """
    if not file.is_file():
        raise UserError(f"there is no config file {file}: see configs/")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(arg)
