"""R4's Table 6: augmentation, then a GAN, then R4's classifier on all.

python launch.py --config=configs/studies/r4_table6.py[:DATA][,epochs=100][,auxiliary=imagenet]

DATA: digits (the default, which is small: a tenth of the paper's real and augmented pictures),
reduced_mnist. `epochs` are the GAN's: the paper's 100 take hours of two cores for each seed. The
table is one run, and one that is trained on the real pictures alone.
"""

from configs.studies.r4_table5 import row
from fdigits.cells import cell, claim, numbered, study
from fdigits.config import parse_arg


def get_config(arg: str = ""):
    choice = parse_arg(arg, data="digits", auxiliary="scratch", epochs="100")
    data, share = choice["data"], 10 if choice["data"] == "digits" else 1
    real, augmented, many = 300 // share, 1000 // share, 1000 // share
    file = f"configs/gan_pipeline.py:{data},real={real},augmented={augmented}"
    cells = row(
        "pipeline",
        f"{real} real, {augmented} augmented",
        f"{file},auxiliary={choice['auxiliary']}",
        f"stages.gan.epochs={choice['epochs']}",
    )
    plain, cut = "configs/augmentation.py", choice["epochs"] != "100"
    for count in (real, many):
        cells[f"real_{count}"] = cell(
            f"{count} real alone", f"{plain}:{data},real={count},generated=0"
        )
    claims = [
        claim("Augmentation alone helps", "beats", "pipeline_0", f"real_{real}"),
        claim("2000 drawn pictures help further", "beats", "pipeline_2000", "pipeline_0"),
        claim(
            "2000 drawn are the best number",
            "beats",
            "pipeline_2000",
            ("pipeline_1000", "pipeline_3000"),
        ),
        claim("All together beat the real ones", "beats", "pipeline_2000", f"real_{real}"),
        claim(
            f"All together come near {many} real", "equals", "pipeline_2000", f"real_{many}", 0.0025
        ),
    ]
    return study(
        "r4_table6",
        data,
        title="R4: augmentation, then a GAN",
        paper="R4 Table 6",
        notes=f"The GAN has {choice['epochs']} epochs, the paper's 100." if cut else "",
        test_items=2000,
        cells=cells,
        claims=numbered(claims),
    )
