"""R0's grid search: layers, filters and learning rate of its convolutions.

python launch.py --config=configs/studies/r0_grid.py[:DATA][,model=image][,epochs=10]

The ranges are R0's: 2 or 3 convolutions, whose first has 32, 64 or 128 filters and each further
one twice as many; a learning rate of 1e-3, 1e-4 or 1e-5; `epochs` 10 (R0: 10 to 100). MODEL: hybrid
(the default), image, audio. R0 took the best on the validation part, whose figures each run holds
too.
"""

from fdigits.cells import cell, study
from fdigits.config import choose, parse_arg
from fdigits.errors import UserError

MODELS = {name: f"configs/{name}.py" for name in ("hybrid", "image", "audio")}


def get_config(arg: str = ""):
    choice = parse_arg(arg, data="bundled", model="hybrid", epochs="10")
    data, epochs = choice["data"], choice["epochs"]
    file = choose(choice["model"], MODELS, "model")
    if not epochs.isdecimal():
        raise UserError(f"epochs={epochs!r} is no number of epochs")
    cells = {}
    for layers in (2, 3):
        for first in (32, 64, 128):
            filters = tuple(first * 2**layer for layer in range(layers))
            for rate in ("1e-3", "1e-4", "1e-5"):
                told = ",".join(map(str, filters))
                cells[f"filters_{'_'.join(map(str, filters))}-rate_{rate}"] = cell(
                    f"{'-'.join(map(str, filters))}, rate {rate}",
                    f"{file}:{data}",
                    f"model.filters=({told}),optimizer.learning_rate={rate},epochs={epochs}",
                )
    return study(
        f"r0_grid_{choice['model']}",
        data,
        title=f"R0's grid search of the {choice['model']} model",
        paper="R0 Training",
        notes=f"R0 trained for 10 to 100 epochs; here {epochs}.",
        seeds=(0,),
        metrics=("accuracy", "macro_f1"),
        cells=cells,
    )
