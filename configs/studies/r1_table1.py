"""R1's Table 1: learned weights of modalities; and with speakers never heard.

python launch.py --config=configs/studies/r1_table1.py[:DATA][,protocol=held_out]

DATA: bundled (the default), mnist_fsdd, or another set of pairs. As in the paper, what is reported
was watched during training: its 20 % validation part, the last weights (protocol=held_out keeps a
validation part beside it).
"""

from fdigits.cells import cell, claim, study, with_speakers
from fdigits.config import parse_arg

ROWS = {
    "image": "Picture alone",
    "audio": "Recording alone",
    "add": "Sum without weights",
    "weighted": "Sum with weights",
}


def get_config(arg: str = ""):
    choice = parse_arg(arg, data="bundled", protocol="paper")
    file = f"configs/weighted_fusion.py:{choice['data']}"
    cells = {
        name: cell(title, f"{file},fusion={name},protocol={choice['protocol']}")
        for name, title in ROWS.items()
    }
    claims = [
        claim("Learned weights beat the plain sum", "beats", "weighted", "add"),
        claim("The weighted sum beats the picture alone", "beats", "weighted", "image"),
        claim("The weighted sum beats the recording alone", "beats", "weighted", "audio"),
        claim("The plain sum is as good as the picture alone", "equals", "add", "image", 0.001),
    ]
    return study(
        "r1_table1",
        choice["data"],
        title="R1: fusion by learned weights",
        paper="R1 Table 1",
        metrics=("macro_f1", "accuracy"),
        test_items=12_000,
        **with_speakers(cells, claims),
    )
