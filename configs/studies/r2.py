"""R2: from a spoken digit to a picture of it; and with speakers never heard.

python launch.py --config=configs/studies/r2.py[:DATA]

DATA: bundled (the default), mnist_fsdd, or another set of pairs. The judge and R2's autoencoder are
stages of the run whose last stage tunes the judge. `sharp` is ours.
"""

from fdigits.cells import cell, claim, stage_of, study, with_speakers
from fdigits.config import parse_arg


def get_config(arg: str = ""):
    data = parse_arg(arg, data="bundled")["data"]
    file = f"configs/sound_to_image.py:{data}"
    cells = {"tuned": cell("R2's autoencoder, tuned judge", f"{file},tuned")}
    cells["vae"] = stage_of(cells, "R2's autoencoder, untouched judge", "tuned/vae")
    cells["sharp"] = cell("Ours, from 40 means", f"{file},sharp")
    cells["sharp_mfcc"] = cell("Ours, from 39 × 13 MFCC", f"{file},sharp,features=mfcc")
    claims = [
        claim("The tuned judge reads 82.29 % of the drawings", "above", "tuned", value=0.8229),
        claim("The judge has to be tuned to read drawings", "beats", "tuned", "vae"),
    ]
    fields = with_speakers(cells, claims)
    title = "The judge, of true pictures"
    judge = {"judge": stage_of(cells, title, "tuned/judge", test_items=10_000)}
    fields["cells"] = judge | fields["cells"]
    told = "The judge reads 99 % of true pictures"
    fields["claims"]["judge"] = claim(told, "above", "judge", value=0.99)
    return study(
        "r2",
        data,
        title="R2: pictures drawn of spoken digits",
        paper="R2 Results",
        test_items=4500,
        **fields,
    )
