"""R4's Table 10: attention on pictures.

python launch.py --config=configs/studies/r4_table10.py[:DATA][,protocol=held_out]

DATA: digits (the default), reduced_mnist, mnist. As in the paper the test part is watched.
"""

from fdigits.cells import cell, claim, numbered, study
from fdigits.config import parse_arg

ROWS = {
    "base": "No attention",
    "spatial": "Spatial attention",
    "self": "Self-attention",
    "cbam": "CBAM",
    "se": "Squeeze and excitation",
}


def get_config(arg: str = ""):
    choice = parse_arg(arg, data="digits", protocol="paper")
    file = f"configs/attention.py:{choice['data']},protocol={choice['protocol']}"
    cells = {name: cell(title, f"{file},{name}") for name, title in ROWS.items()}
    claims = [
        claim("SE is best", "beats", "se", ("base", "spatial", "self", "cbam")),
        claim("SE beats no attention", "beats", "se", "base"),
        claim("CBAM beats no attention", "beats", "cbam", "base"),
        claim("Self-attention beats no attention", "beats", "self", "base"),
        claim("Spatial attention alone does harm", "beats", "base", "spatial"),
    ]
    return study(
        "r4_table10",
        choice["data"],
        title="R4: attention on pictures",
        paper="R4 Table 10",
        test_items=2000,
        cells=cells,
        claims=numbered(claims),
    )
