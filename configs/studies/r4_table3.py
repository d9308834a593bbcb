"""R4's Table 3: augmented pictures beside few real ones.

python launch.py --config=configs/studies/r4_table3.py[:DATA]

DATA: digits (the default, which is small: a tenth of the paper's numbers), reduced_mnist, mnist.
"""

from fdigits.cells import cell, claim, numbered, study
from fdigits.config import parse_arg

COUNTS = (0, 1000, 2000, 3000)
REAL = (300, 700, 1000)


def get_config(arg: str = ""):
    data = parse_arg(arg, data="digits")["data"]
    share = 10 if data == "digits" else 1
    few, some, many = (real // share for real in REAL)
    none, *made = (count // share for count in COUNTS)
    cells = {
        f"{real}_{count}": cell(
            f"{real} real + {count} augmented",
            f"configs/augmentation.py:{data},real={real},generated={count}",
            x=count,
        )
        for real in (few, some, many)
        for count in (none, *made)
    }
    least, middle, _ = made
    row = [f"{few}_{count}" for count in (none, *made)]
    claims = [
        claim(f"Augmentation helps {few} real pictures a class", "beats", row[1:], row[0]),
        claim(f"With {few} real, more helps more", "rises", row),
        claim(
            f"{middle} augmented help {some} real", "beats", f"{some}_{middle}", f"{some}_{none}"
        ),
        claim(f"{least} augmented help {many} real", "beats", f"{many}_{least}", f"{many}_{none}"),
    ]
    return study(
        "r4_table3",
        data,
        title="R4: augmentation of scarce pictures",
        paper="R4 Table 3",
        test_items=2000,
        cells=cells,
        claims=numbered(claims),
    )
