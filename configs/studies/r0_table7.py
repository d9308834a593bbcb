"""R0's Table 7: one modality or both, convolutions or LSTM; and with speakers never heard.

python launch.py --config=configs/studies/r0_table7.py[:DATA]

DATA: bundled (the default), mnist_fsdd, or another set of pairs, as of configs/hybrid.py.
"""

from fdigits.cells import cell, claim, study, with_speakers
from fdigits.config import parse_arg


def get_config(arg: str = ""):
    data = parse_arg(arg, data="bundled")["data"]
    cells = {
        "image_cnn": cell("ImageNet_CNN", f"configs/image.py:{data}"),
        "audio_cnn": cell("AudioNet_CNN", f"configs/audio.py:{data}"),
        "audio_lstm": cell("AudioNet_LSTM", f"configs/audio.py:{data},net=lstm"),
        "hybrid_cnn": cell("HybridNet_CNN", f"configs/hybrid.py:{data}"),
        "hybrid_lstm": cell("HybridNet_CNN_LSTM", f"configs/hybrid.py:{data},audio=lstm"),
    }
    claims = [
        claim("Both modalities beat the picture alone", "beats", "hybrid_cnn", "image_cnn"),
        claim("Both modalities beat the recording alone", "beats", "hybrid_cnn", "audio_cnn"),
        claim("With an LSTM too, both beat the picture", "beats", "hybrid_lstm", "image_cnn"),
        claim("With an LSTM too, both beat the recording", "beats", "hybrid_lstm", "audio_lstm"),
        claim("An LSTM hears worse than convolutions", "beats", "audio_cnn", "audio_lstm"),
        claim("So it does where both are given", "beats", "hybrid_cnn", "hybrid_lstm"),
    ]
    return study(
        "r0_table7",
        data,
        title="R0: digits by picture, by recording, by both",
        paper="R0 Table 7",
        metrics=("accuracy", "macro_f1"),
        test_items=9000,
        **with_speakers(cells, claims),
    )
