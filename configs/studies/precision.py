"""R0's systems in float32 and in bfloat16: whether mixed precision changes what they learn.

python launch.py --config=configs/studies/precision.py[:DATA]

DATA: bundled (the default), mnist_fsdd, or another set of pairs. Parameters, statistics and losses
are float32 in both; layers compute in bfloat16. R0 does not say what its figures are of.
"""

from configs.studies import r0_table7
from fdigits.cells import SPLIT, claim, in_order, numbered, study
from fdigits.config import parse_arg

NEAR = 0.005  # of accuracy: AudioNet_CNN's seeds lie up to .7 points apart, AudioNet_LSTM's 1.8


def get_config(arg: str = ""):
    data = parse_arg(arg, data="bundled")["data"]
    systems = r0_table7.get_config(data)
    cells, claims = {}, []
    for name in in_order(systems):
        one = systems.cells[name].to_dict()
        if one["group"] != SPLIT:
            continue
        title, other = one["title"], f"{name}-bfloat16"
        cells[name] = one | dict(title=f"{title}, float32")
        cells[other] = one | dict(title=f"{title}, bfloat16", overrides="dtype=bfloat16")
        claims.append(claim(f"{title} learns as well in bfloat16", "equals", other, name, NEAR))
    return study(
        "precision",
        data,
        title="R0's systems in float32 and in bfloat16",
        paper="R0 Table 7",
        cells=cells,
        claims=numbered(claims),
    )
