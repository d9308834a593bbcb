"""A page on which a digit is drawn, photographed or said, and recognised.

python -m fdigits.demo [RUN] [--drawer RUN]    # pip install -c constraints.txt -e '.[demo]'

Without RUN, the weights that ship. `--drawer` is a run of `configs/sound_to_image.py`, which draws
the digit that it hears. Only this machine can open the page, unless `--host` says otherwise; it
needs no network, and what it writes lies in a temporary folder that goes when it ends.
"""

import base64
import html
import io
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from fdigits import trained
from fdigits.arguments import Parser
from fdigits.data import features
from fdigits.data.corpora import bundled
from fdigits.data.corpus import CLASSES
from fdigits.errors import UserError, exit_cleanly
from fdigits.explain import camera
from fdigits.files import path_of
from fdigits.models import ears
from fdigits.models.places import folded
from fdigits.recogniser import Recogniser, Recognition, hear

LARGEST = "10mb"  # of an upload
SHOWN = 168  # pixels, of a picture's side
ENDS = 50.0  # dB below the loudest moment at which a word's picture is black
STYLE, PEN = (Path(__file__).with_suffix(end).read_text() for end in (".css", ".js"))
CANVAS = "<canvas width=420 height=420 aria-label='draw a digit'></canvas><button>Clear</button>"
NAMES = {"image": "picture", "word": "word"}
EMPTY = "<p class='fd-hint'>Draw a digit, or say one: the answer appears here.</p>"
Inputs = Mapping[str, np.ndarray]


class Page:
    """What the page tells of a person's files."""

    def __init__(self, run: Path | None, drawer: Path | None):
        self.recognise = Recogniser(run)
        self.drawer = Drawer(drawer) if drawer else None
        self._cameras = {}
        self._outputs = jax.jit(self.recognise.trained.task.evaluate)

    def warm(self, folder: Path) -> None:
        """Compiles and imports all that an answer needs, which takes seconds."""
        sample, large = bundled.FOLDER / bundled.SAMPLES / "7", folder / "warm.png"
        Image.open(sample.with_suffix(".png")).resize((280, 280)).save(large)
        self.answer(large, sample.with_suffix(".wav"))

    def answer(self, picture: Path | None, recording: Path | None) -> str:
        """HTML; what a person can mend is told in it."""
        if picture is None and recording is None:
            return EMPTY
        try:
            return "".join(self._sections(picture, recording))
        except UserError as error:
            return warned([named(str(error), picture, recording)])

    def _sections(self, picture: Path | None, recording: Path | None) -> Iterator[str]:
        read = self.recognise.read(picture, recording)
        found = self.recognise.judged(read, picture, recording)
        yield answered(found)
        yield warned([named(text, picture, recording) for text in found.warnings])
        yield "<div class='fd-bars'>" + "".join(self._bars(found)) + "</div>"
        inputs = {name: x for one in read.values() for name, x in one.inputs.items()}
        yield "<div class='fd-views'>" + "".join(self._views(inputs)) + "</div>"
        if (weights := self._weights(inputs)) and len(inputs) > 1:
            yield f"<p class='fd-note'>Weights of the fusion: {weights}.</p>"
        if self.drawer and recording:
            yield figure("the digit that it draws", self.drawer.drawn(recording))

    def _bars(self, found: Recognition) -> Iterator[str]:
        for kind, one in found.modalities.items():
            yield bars(kind, one.probabilities)
        if len(found.modalities) != 1:
            yield bars("both" if found.modalities else "answer", found.probabilities)

    def _views(self, inputs: Inputs) -> Iterator[str]:
        """What the model reads, and Grad-CAM over it."""
        maps = self._maps(inputs)
        for name, x in inputs.items():
            title = NAMES.get(name, name)
            if name == "word":
                yield figure("the word's spectrum", loud(x))
            shown = seen(name, x)
            coloured = grey(shown) if name == "image" else features.colour(shown)
            yield figure(f"the {title} as the model reads it", coloured)
            if name in maps:
                yield figure(f"what speaks for the answer: {title}", over(shown, maps[name][0]))

    def _maps(self, inputs: Inputs) -> dict[str, np.ndarray]:
        """Grad-CAM of each modality's own digit where either is enough, else of the answer's."""
        alone = not self.recognise.trained.task.given
        groups = [{name: x} for name, x in inputs.items()] if alone else [inputs]
        found = {}
        for group in groups:
            arrays = self.recognise.trained.arrays({name: x[None] for name, x in group.items()})
            if (key := tuple(arrays)) not in self._cameras:
                model = self.recognise.trained
                self._cameras[key] = camera(model.task, model, arrays)
            found |= self._cameras[key](arrays)
        return found

    def _weights(self, inputs: Inputs) -> str:
        """Of experts what their opinions are raised to; of a weighted fusion this pair's."""
        model = self.recognise.trained
        trusts = {name: model.params.get(f"{name}_trust") for name in inputs}
        found = {name: np.exp(x) for name, x in trusts.items() if x is not None}
        if not found:
            arrays = model.arrays({name: x[None] for name, x in inputs.items()})
            outputs = self._outputs(model.params, model.batch_stats, arrays)
            if "weights" in outputs:
                found = dict(zip(arrays, np.asarray(outputs["weights"])[0], strict=True))
        return ", ".join(f"{NAMES.get(name, name)} {x:.2f}" for name, x in found.items())


class Drawer:
    """A run that draws the digit that it hears.

    Raises:
      UserError: it is another kind of run.
    """

    def __init__(self, run: Path):
        self.trained = trained.load(run)
        if self.trained.config.task != "sound_to_image":
            raise UserError(f"--drawer {run} draws nothing: give a run of sound_to_image.py")
        self._evaluate = jax.jit(self.trained.task.evaluate)

    def drawn(self, recording: Path) -> np.ndarray:
        """The picture [28, 28, 3] uint8 of what is said."""
        heard = hear(recording, self.trained.task.given).inputs
        arrays = self.trained.arrays({name: x[None] for name, x in heard.items()})
        outputs = self._evaluate(self.trained.params, self.trained.batch_stats, arrays)
        return grey(np.asarray(outputs["picture"])[0])


def grey(picture: np.ndarray) -> np.ndarray:
    """[h, w] -> [h, w, 3]."""
    return np.repeat(picture[..., None], 3, -1)


def seen(name: str, x: np.ndarray) -> np.ndarray:
    """One input as a picture [h, w] uint8: of a word its cepstra's size, time to the right."""
    if name == "word":
        x = np.abs(_cepstra(x[None])[0])  # 0: as the word is on average, or quiet
    if x.dtype == np.uint8:
        return x
    x = np.atleast_2d(x).T
    low, high = np.percentile(x, [1, 99])
    return np.uint8(255 * np.clip((x - low) / max(high - low, 1e-9), 0, 1))


@jax.jit
def _cepstra(word_BxT: jax.Array) -> jax.Array:
    return ears.cepstra(word_BxT.astype(jnp.float32) / 32_768)


@jax.jit
def _powers(word_BxT: jax.Array) -> jax.Array:
    return ears.band_powers(word_BxT.astype(jnp.float32) / 32_768)


def loud(word: np.ndarray) -> np.ndarray:
    """A word's bands, high above low, as a picture [32, 49, 3] uint8."""
    power = np.asarray(_powers(word[None]))[0].T[::-1]
    level = 1 + 10 * np.log10(power / (power.max() + 1e-12) + 1e-12) / ENDS
    return features.colour(np.uint8(255 * level.clip(0, 1)))


def over(shown: np.ndarray, cam: np.ndarray) -> np.ndarray:
    """A picture in grey [h, w, 3] uint8 with Grad-CAM's map laid over it in orange."""
    timed = shown.shape[0] < shown.shape[1]  # it runs to the right
    if cam.shape[0] == 1:  # along a flattened input
        (cam,) = folded(cam, *(shown.shape[::-1] if timed else shown.shape))
    cam = cam.T if timed else cam
    size = shown.shape[::-1]
    heat = np.asarray(Image.fromarray(np.float32(cam)).resize(size, Image.Resampling.BILINEAR))
    share = 0.75 * heat.clip(0, 1)[..., None]
    return np.uint8(grey(shown) * (1 - share) + share * np.array([255, 120, 0]))


def figure(title: str, picture: np.ndarray) -> str:
    """A picture [h, w, 3] uint8 with its title under it."""
    height, width = picture.shape[:2]
    size = (round(SHOWN * width / height) if width < 2 * height else 2 * SHOWN, SHOWN)
    buffer = io.BytesIO()
    Image.fromarray(picture).resize(size, Image.Resampling.NEAREST).save(buffer, "png")
    data = base64.b64encode(buffer.getvalue()).decode()
    return (
        f"<figure><img alt='{title}' src='data:image/png;base64,{data}'>"
        f"<figcaption>{title}</figcaption></figure>"
    )


def percent(p: float) -> str:
    """A probability, none of which is certain."""
    return "> 99.9 %" if 0.999 < p <= 1 else "< 0.1 %" if p < 0.001 else f"{100 * p:.1f} %"


def bars(title: str, probabilities: tuple[float, ...]) -> str:
    """Ten bars."""
    best = int(np.argmax(probabilities))
    rows = "".join(
        f"<div class='fd-bar{' fd-best' if digit == best else ''}'><b>{digit}</b>"
        f"<i><s style='width:{100 * p:.1f}%'></s></i><span>{html.escape(percent(p))}</span></div>"
        for digit, p in enumerate(probabilities[:CLASSES])
    )
    return f"<section data-kind='{title}'><h3>{title}</h3>{rows}</section>"


def answered(found: Recognition) -> str:
    """The digit, large, and how sure."""
    digit = "–" if found.digit is None else found.digit
    sure = "no digit" if found.digit is None else f"{percent(max(found.probabilities))} sure"
    told = f"<b>{digit}</b><span>{html.escape(sure)}</span>"
    return f"<div class='fd-answer' data-digit='{digit}'>{told}</div>"


def warned(texts: list[str]) -> str:
    """Warnings, one a line."""
    return "".join(f"<p class='fd-warning'>{html.escape(text)}</p>" for text in texts)


def named(text: str, *files: Path | None) -> str:
    """`text` with files called by their names alone: their folders are the page's own."""
    for file in filter(None, files):
        text = text.replace(str(file), Path(file).name)
    return text


def inked(drawing: str | None, folder: Path) -> Path | None:
    """The file of a drawing, which comes as the URL of a PNG, or None where nothing is drawn."""
    content = base64.b64decode((drawing or "").partition(",")[2])
    if not content:
        return None
    handle, path = tempfile.mkstemp(".png", "drawing", folder)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    return Path(path)


def as_it_came(component):
    """Lets a component give its file unread: fdigits says itself what is wrong with it."""
    component.preprocess = lambda payload: payload and payload.path
    return component


def blocks(page: Page, folder: Path):
    """The page's elements."""
    import gradio as gr

    def answer(drawing, picture, recording) -> str:
        drawn = None if picture else inked(drawing, folder)
        try:
            chosen = Path(picture) if picture else drawn
            return page.answer(chosen, Path(recording) if recording else None)
        finally:
            if drawn:
                drawn.unlink(missing_ok=True)

    with gr.Blocks(title="fdigits", analytics_enabled=False, fill_width=True) as made:
        gr.HTML("<h1>Write a digit, say a digit</h1>")
        with gr.Row(equal_height=False):
            with gr.Column(min_width=320):
                with gr.Tab("Draw"):
                    drawing = gr.HTML("", html_template=CANVAS, js_on_load=PEN, elem_id="drawing")
                with gr.Tab("Upload or photograph"):
                    picture = gr.Image(
                        sources=["upload", "webcam"],
                        type="filepath",
                        show_label=False,
                        buttons=[],
                        elem_id="picture",
                    )
                    gr.HTML("<p class='fd-note'>It goes before a drawing. At most 10 MB.</p>")
                recording = gr.Audio(
                    sources=["microphone", "upload"],
                    type="filepath",
                    label="one word, zero to nine",
                    buttons=[],
                    elem_id="recording",
                )
            with gr.Column(min_width=320, scale=2):
                told = gr.HTML(EMPTY, elem_id="answer")
        given = [drawing, as_it_came(picture), as_it_came(recording)]
        for one in given:
            one.change(
                answer, given, told, queue=False, show_progress="hidden", trigger_mode="always_last"
            )
    return made


def serve(page: Page, host: str, port: int | None, folder: Path) -> None:
    """Shows the page until the process is asked to end."""
    import gradio as gr

    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["monospace"]}
    warming = threading.Thread(target=page.warm, args=(folder,))
    warming.start()
    made = blocks(page, folder)
    _, url, _ = made.launch(
        server_name=host,
        server_port=port,
        share=False,
        quiet=True,
        ssr_mode=False,
        prevent_thread_lock=True,
        max_file_size=LARGEST,
        footer_links=[],
        run_history=False,
        theme=gr.themes.Base(**fonts),
        css=STYLE,
    )
    print(f"open {url}   (Ctrl-C ends)", flush=True)
    try:
        threading.Event().wait()
    finally:
        made.close(verbose=False)
        warming.join()  # JAX aborts where it is left compiling


@exit_cleanly
def main(arguments: list[str] | None = None) -> None:
    parser = Parser("fdigits.demo", __doc__)
    parser.add_argument("run", type=path_of, nargs="?", help="workdir of a finished run")
    parser.add_argument("--drawer", type=path_of, metavar="RUN", help="of sound_to_image.py")
    parser.add_argument("--host", default="127.0.0.1", help="whom to listen to; 0.0.0.0: anyone")
    parser.add_argument("--port", type=int, help="else the first free one from 7860")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="fdigits-", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        os.environ["MPLCONFIGDIR"] = folder  # Gradio's, which asks for Matplotlib
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        try:
            import gradio  # noqa: F401
        except ImportError:
            raise UserError("the page needs Gradio: pip install -e '.[demo]'") from None
        try:
            serve(Page(given.run, given.drawer), given.host, given.port, Path(folder))
        except OSError as error:
            raise UserError(f"{given.host}, port {given.port}: cannot listen ({error})") from None


if __name__ == "__main__":
    main()
