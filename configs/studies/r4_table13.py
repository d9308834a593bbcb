"""R4's Table 13: attention on spectrograms; and with speakers never heard.

python launch.py --config=configs/studies/r4_table13.py[:DATA]

DATA: espeak (the default), fsdd, or another set of recordings.
"""

from fdigits.cells import cell, claim, study, with_speakers
from fdigits.config import parse_arg

ROWS = {"lenet": "LeNet", "cbam": "With CBAM", "hybrid": "With channel attention (hybrid)"}


def get_config(arg: str = ""):
    data = parse_arg(arg, data="espeak")["data"]
    file = f"configs/spectrogram.py:{data}"
    cells = {name: cell(title, f"{file},{name}") for name, title in ROWS.items()}
    claims = [
        claim("CBAM beats LeNet", "beats", "cbam", "lenet"),
        claim("The hybrid beats LeNet", "beats", "hybrid", "lenet"),
        claim("CBAM beats the hybrid", "beats", "cbam", "hybrid"),
    ]
    return study(
        "r4_table13",
        data,
        title="R4: attention on spectrograms",
        paper="R4 Table 13",
        test_items=256,
        **with_speakers(cells, claims),
    )
