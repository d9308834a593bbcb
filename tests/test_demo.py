"""The page: what it tells of files; and, in headless Chromium, drawn and uploaded digits (slow)."""

import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from fdigits import demo, tasks
from fdigits.data.corpora import bundled
from fdigits.errors import UserError
from fdigits.tasks.task import blank_batch
from tests.browsers import chromium
from tests.test_systems import short

ROOT = Path(__file__).parents[1]
SAMPLES = bundled.FOLDER / bundled.SAMPLES
PICTURE, RECORDING = SAMPLES / "7.png", SAMPLES / "7.wav"
SCREENSHOTS = os.environ.get("FDIGITS_SCREENSHOTS")  # a folder to keep them in
SEVEN = [(-60, -80), (0, -80), (60, -80), (30, -20), (0, 40), (-15, 90)]  # pixels from the middle


@pytest.fixture(scope="module")
def page():
    return demo.Page(None, None)


def digit(told: str) -> str:
    return re.search(r"data-digit='(.)'", told)[1]


def kinds(told: str) -> list[str]:
    return re.findall(r"data-kind='(\w+)'", told)


def test_each_modality_and_both_are_told(page):
    told = page.answer(PICTURE, RECORDING)
    assert digit(told) == "7" and kinds(told) == ["picture", "recording", "both"]
    assert "Weights of the fusion: picture" in told
    assert told.count("<img") == 5 and told.count("<figcaption>what speaks") == 2
    assert kinds(page.answer(PICTURE, None)) == ["picture"]
    assert page.answer(None, None) == demo.EMPTY


def test_what_cannot_be_read_is_told_without_the_folder(page, tmp_path):
    (tmp_path / "7.png").write_text("<b>no picture</b>")
    told = page.answer(tmp_path / "7.png", None)
    assert "fd-warning" in told and "7.png" in told and str(tmp_path) not in told
    told = page.answer(tmp_path / "7.png", RECORDING)
    assert kinds(told) == ["recording"] and "alone, since 7.png" in told
    assert demo.warned(["<b>"]) == "<p class='fd-warning'>&lt;b&gt;</p>"


def test_grad_cam_lies_where_it_speaks():
    cam = np.zeros((7, 7))
    cam[0, 6] = 1
    laid = demo.over(np.zeros((28, 28), np.uint8), cam).sum(-1)
    assert laid[0, 27] == laid.max() > 0 and laid[20:, :20].max() == 0


def test_grad_cam_over_mfcc_follows_time():
    """Maps of a convolution over [39, 13] and of one along the 507 places of the flattened MFCC
    (`[1, 126]`), hot at the end of the recording, where the picture `[13, 39]` has its right."""
    plane, line = np.zeros((19, 6)), np.zeros((1, 126))
    plane[-2:], line[0, -12:] = 1, 1
    for cam in (plane, line):
        heat = demo.over(np.zeros((13, 39), np.uint8), cam).sum(-1).astype(float)
        assert heat.shape == (13, 39)
        assert heat[:, -3:].mean() > 0.9 * heat.max() and heat[:, :30].max() == 0


def test_no_probability_is_certain():
    assert [demo.percent(p) for p in (1.0, 0.5, 0.0)] == ["> 99.9 %", "50.0 %", "< 0.1 %"]


def test_a_drawer_that_draws_nothing_is_one_line(tmp_path, monkeypatch):
    found = type("Found", (), {"config": type("Config", (), {"task": "classify"})})
    monkeypatch.setattr(demo.trained, "load", lambda run: found)
    with pytest.raises(UserError, match="draws nothing"):
        demo.Drawer(tmp_path)


def random(system, monkeypatch, folder, **fields):
    """Lets `trained.load` give a model with random weights."""
    config = short(system, **fields)
    task = tasks.make(config)
    made = jax.jit(task.init)(jax.random.key(0), blank_batch(task.reads))
    statistics = {"mean": [0.0] * 13, "std": [1.0] * 13}
    weights = made["params"], made.get("batch_stats", {})
    found = demo.trained.Trained(config, task, *weights, statistics, folder)
    monkeypatch.setattr(demo.trained, "load", lambda run: found)


def test_a_drawer_draws_what_it_hears(tmp_path, monkeypatch):
    random("sound_to_image", monkeypatch, tmp_path, model__sound="audio")
    drawn = demo.Page(None, tmp_path)
    assert drawn.drawer.drawn(RECORDING).shape == (28, 28, 3)
    assert "the digit that it draws" in drawn.answer(None, RECORDING)


def test_a_weighted_fusion_tells_the_weights_of_the_pair(tmp_path, monkeypatch):
    random("weighted_fusion", monkeypatch, tmp_path)
    told = demo.Page(tmp_path, None).answer(PICTURE, RECORDING)
    assert kinds(told) == ["answer"]
    assert re.search(r"fusion: picture 0\.\d\d, audio 0\.\d\d\.", told)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The page's address, its process and its home, in which no file may be left."""
    pytest.importorskip("gradio", reason="the page needs Gradio: pip install -e '.[browser]'")
    home = tmp_path_factory.mktemp("home")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    env |= {"HOME": str(home), "TMPDIR": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    start = time.time()
    process = subprocess.Popen(
        [sys.executable, "-m", "fdigits.demo", "--port", str(port)],
        cwd=ROOT,
        env=env | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert f"http://127.0.0.1:{port}" in process.stdout.readline()
        print(f"started in {time.time() - start:.1f} s")
        yield f"http://127.0.0.1:{port}", process, home
    finally:
        process.kill()


@pytest.fixture(scope="module")
def browser(served):
    yield from chromium()


def wait(function, seconds=30):
    """What `function` finds, as soon as it finds something."""
    end = time.time() + seconds
    while time.time() < end:
        try:
            if found := function():
                return found
        except Exception as error:  # elements that are drawn anew
            last = error
        time.sleep(0.02)
    raise AssertionError(f"nothing within {seconds} s") from locals().get("last")


def find(browser, selector):
    return browser.find_elements("css selector", selector)


def listens(port) -> set[str]:
    """The local addresses at which a port is open, in Linux' notation; 0100007F is 127.0.0.1."""
    rows = [
        row.split()
        for file in ("tcp", "tcp6")
        if Path(f"/proc/net/{file}").exists()
        for row in Path(f"/proc/net/{file}").read_text().splitlines()
    ]
    places = [row[1].split(":") for row in rows if row[3] == "0A"]
    return {host for host, number in places if int(number, 16) == int(port)}


def opened(browser, address):
    browser.get(address)
    wait(lambda: find(browser, "#drawing canvas") and find(browser, "#recording"))
    time.sleep(0.5)


def drawn(browser, points):
    from selenium.webdriver import ActionChains

    canvas = find(browser, "#drawing canvas")[0]
    hand = ActionChains(browser, duration=20).move_to_element_with_offset(canvas, *points[0])
    hand.click_and_hold()
    for before, after in itertools.pairwise(points):
        hand.move_by_offset(*(b - a for a, b in zip(before, after, strict=True)))
    hand.release().perform()


def answer(browser) -> str:
    return find(browser, ".fd-answer")[0].get_attribute("data-digit")


def shown(browser) -> list[str]:
    return [one.get_attribute("data-kind") for one in find(browser, "[data-kind]")]


def upload(browser, tab_or_source, selector, file):
    """Opens a tab or a source of a component and gives it a file."""
    if tab_or_source:
        wait(lambda: find(browser, tab_or_source))[0].click()
    field = wait(lambda: find(browser, f"{selector} input[type=file]"))[0]
    field.send_keys(str(file))


UPLOAD_TAB = "button[role=tab]:nth-of-type(2)"
UPLOAD_SOUND = "#recording button[aria-label='Upload file']"


def keep(browser, name, width, height):
    if SCREENSHOTS:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        time.sleep(1)
        browser.save_screenshot(f"{SCREENSHOTS}/{name}.png")
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.slow
def test_a_drawn_seven_and_a_spoken_one(browser, served):
    opened(browser, served[0])
    assert listens(served[0].rpartition(":")[2]) == {"0100007F"}
    drawn(browser, SEVEN)
    assert wait(lambda: answer(browser), 120) == "7"  # it compiles
    assert shown(browser) == ["picture"]
    find(browser, "#drawing button")[0].click()
    wait(lambda: not find(browser, ".fd-answer"))
    drawn(browser, SEVEN)
    start = time.time()
    assert wait(lambda: answer(browser)) == "7"
    print(f"answered in {time.time() - start:.2f} s")
    upload(browser, UPLOAD_SOUND, "#recording", RECORDING)
    wait(lambda: shown(browser) == ["picture", "recording", "both"])
    assert answer(browser) == "7"
    keep(browser, "demo", 1280, 960)
    keep(browser, "demo-phone", 400, 1880)
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.execute_script(wide) <= 0
    find(browser, "#drawing button")[0].click()
    wait(lambda: shown(browser) == ["recording"])


@pytest.mark.slow
def test_an_uploaded_picture_and_what_is_none(browser, served, tmp_path):
    opened(browser, served[0])
    upload(browser, UPLOAD_TAB, "#picture", SAMPLES / "3.png")
    assert wait(lambda: answer(browser)) == "3"
    (tmp_path / "note.png").write_text("no picture")
    opened(browser, served[0])
    upload(browser, UPLOAD_TAB, "#picture", tmp_path / "note.png")
    told = wait(lambda: find(browser, ".fd-warning")[0].text)
    assert "note.png" in told and "/" not in told.partition("note.png")[0]


@pytest.mark.slow
def test_a_file_of_50_megabytes_is_refused(browser, served, tmp_path):
    (tmp_path / "huge.png").write_bytes(bytes(50_000_000))
    opened(browser, served[0])
    upload(browser, UPLOAD_TAB, "#picture", tmp_path / "huge.png")
    assert "size" in wait(lambda: find(browser, ".toast-body")[0].text).lower()
    assert not find(browser, ".fd-answer")


@pytest.mark.slow
def test_two_tabs_do_not_see_each_other(browser, served):
    opened(browser, served[0])
    first = browser.current_window_handle
    upload(browser, UPLOAD_TAB, "#picture", SAMPLES / "3.png")
    browser.switch_to.new_window("tab")
    opened(browser, served[0])
    drawn(browser, SEVEN)
    assert wait(lambda: answer(browser)) == "7"
    browser.close()
    browser.switch_to.window(first)
    assert wait(lambda: answer(browser)) == "3"


@pytest.mark.slow
def test_nothing_is_asked_of_others_and_nothing_stays(browser, served):
    """The last: it ends the page."""
    address, process, home = served
    opened(browser, address)
    sent = [line["message"] for line in browser.get_log("performance")]
    urls = {url for line in sent for url in re.findall(r'"url":"(https?://[^"]+)"', line)}
    assert urls and all(url.startswith(address) for url in urls)
    outside = [p for p in home.rglob("*") if p.is_file() and "fdigits-" not in str(p)]
    assert not outside
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert not [p for p in home.rglob("*") if p.is_file()]
