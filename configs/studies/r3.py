"""R3: encoders trained alone, then fused; and with speakers never heard.

python launch.py --config=configs/studies/r3.py[:DATA][,protocol=paper]

DATA: bundled (the default), mnist_fsdd, or another set of pairs. The encoders alone are the first
two stages of the fusion's run. R3 does not say how many test items its figures stand on.
"""

from fdigits.cells import cell, claim, stage_of, study, with_speakers
from fdigits.config import parse_arg


def get_config(arg: str = ""):
    choice = parse_arg(arg, data="bundled", protocol="held_out")
    file = f"configs/conv1d_fusion.py:{choice['data']},protocol={choice['protocol']}"
    cells = {"fusion": cell("Both, fused", file)}
    cells["image"] = stage_of(cells, "Picture alone", "fusion/image")
    cells["audio"] = stage_of(cells, "Recording alone", "fusion/audio")
    claims = [
        claim("Fusion beats the picture alone", "beats", "fusion", "image"),
        claim("Fusion beats the recording alone", "beats", "fusion", "audio"),
        claim("The picture alone beats the recording alone", "beats", "image", "audio"),
    ]
    return study(
        "r3",
        choice["data"],
        title="R3: encoders trained alone, then fused",
        paper="R3 Results",
        metrics=("accuracy", "macro_f1"),
        **with_speakers(cells, claims),
    )
