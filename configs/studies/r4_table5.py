"""R4's Table 5: pictures that a GAN draws, beside few real ones.

python launch.py --config=configs/studies/r4_table5.py[:DATA][,auxiliary=imagenet]

DATA: digits (the default, which is small: a tenth of the paper's real pictures), reduced_mnist. A
row of the table is one run: judge, auxiliary classifier, GAN, then a classifier on each mix. The
full GAN learns from all pictures of the set (reduced_mnist: of MNIST). The flow is ours.
"""

from fdigits.cells import cell, claim, numbered, stage_of, study
from fdigits.config import parse_arg

REAL = (300, 700, 1000)
DRAWN = (0, 1000, 2000, 3000)


def row(name: str, title: str, config: str, overrides: str = "") -> dict[str, dict]:
    """The cells of one run of configs/gan.py or gan_pipeline.py: its mixes, by what was drawn."""
    last = f"{name}_{DRAWN[-1]}"
    cells = {last: cell(f"{title} + {DRAWN[-1]}", config, overrides, x=DRAWN[-1])}
    for drawn in DRAWN[:-1]:
        of = f"{last}/mix_{drawn}"
        cells[f"{name}_{drawn}"] = stage_of(cells, f"{title} + {drawn}", of, x=drawn)
    return {f"{name}_{drawn}": cells[f"{name}_{drawn}"] for drawn in DRAWN}


def get_config(arg: str = ""):
    choice = parse_arg(arg, data="digits", auxiliary="scratch")
    share = 10 if choice["data"] == "digits" else 1
    few, some, many = reals = [real // share for real in REAL]
    cells = {}
    for real in reals:
        file = f"configs/gan.py:{choice['data']},real={real},auxiliary={choice['auxiliary']}"
        cells |= row(f"own_{real}", f"{real} real, own GAN", file)
        full = row(f"full_{real}", f"{real} real, full GAN", f"{file},generator=full")
        del full[f"full_{real}_0"]  # nothing drawn: as of its own GAN
        cells |= full
    flow = f"configs/gan.py:{choice['data']},real={few},generator=flow"
    made = f"stages.gan.augment.generated={6000 // share}"  # of each class, to learn from
    cells |= row(f"flow_{few}", f"{few} real, our flow", flow, made)
    own = {real: [f"own_{real}_{drawn}" for drawn in DRAWN] for real in reals}
    ours = [f"flow_{few}_{drawn}" for drawn in DRAWN]
    claims = [
        claim(f"The GAN's pictures hurt {few} real ones", "beats", own[few][0], own[few][1:]),
        claim(f"With {few} real, more of them hurt more", "falls", own[few]),
        claim(f"1000 of them help {some} real ones", "beats", own[some][1], own[some][0]),
        claim(f"1000 of them help {many} real ones", "beats", own[many][1], own[many][0]),
        claim(f"Of the full GAN, 2000 help {few}", "beats", f"full_{few}_2000", own[few][0]),
        claim(f"For {few}, the full GAN is better", "beats", f"full_{few}_2000", own[few][2]),
        claim(f"For {many}, the own GAN is better", "beats", own[many][1], f"full_{many}_1000"),
        claim(f"Our flow's pictures help {few}", "beats", ours[1:], ours[0]),
        claim(f"Our flow's are better than the GAN's for {few}", "beats", ours[1:], own[few][1:]),
    ]
    return study(
        "r4_table5",
        choice["data"],
        title="R4: a GAN for scarce pictures",
        paper="R4 Table 5",
        test_items=2000,
        cells=cells,
        claims=numbered(claims),
    )
