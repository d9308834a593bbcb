"""R4's Problem 1: codes of spoken digits (Table 1, and Figure 2's curve over the bottleneck).

python launch.py --config=configs/studies/r4_p1.py[:DATA]

DATA: espeak (the default), fsdd, or another set of recordings; and with speakers never heard. The
paper's text gives its baseline .9511, its plot and Table 1 .9311. `improved` is ours.
"""

from fdigits.cells import cell, claim, study, with_speakers
from fdigits.config import parse_arg

WIDTHS = (50, 100, 150, 200, 250, 300, 350, 400)


def get_config(arg: str = ""):
    data = parse_arg(arg, data="espeak")["data"]
    codes = [f"autoencoder_{width}" for width in WIDTHS]
    cells = {"baseline": cell("Mean MFCC (baseline)", f"configs/audio_mlp.py:{data}")}
    for name, width in zip(codes, WIDTHS, strict=True):
        file = f"configs/audio_autoencoder.py:{data},dim={width}"
        cells[name] = cell(f"A: autoencoder, {width}", file, x=width)
    file = f"configs/audio_merger.py:{data}"
    cells["merger"] = cell("B: frames merged one by one", file)
    cells["merger_improved"] = cell("Ours: mean of the chain's codes", f"{file},improved")
    claims = [
        claim("The baseline beats A's best (400)", "beats", "baseline", "autoencoder_400"),
        claim("A's accuracy rises with its bottleneck", "rises", codes),
        claim("The smallest bottleneck, 50, is worst", "beats", codes[1:], codes[0]),
        claim("The baseline beats B", "beats", "baseline", "merger"),
        claim("A (300) beats B", "beats", "autoencoder_300", "merger"),
    ]
    return study(
        "r4_p1",
        data,
        title="R4: codes of spoken digits",
        paper="R4 Problem 1 (Table 1, Figure 2)",
        test_items=450,
        **with_speakers(cells, claims),
    )
