"""Chromium, for tests of what a person sees."""

import shutil
from collections.abc import Iterator

import pytest


def chromium() -> Iterator:
    """A headless Chromium, driven by Selenium; the test is skipped where either is missing."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium: '.[browser]'")
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (browser and driver):
        pytest.skip("no chromium and chromedriver to look at the page with")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "window-size=1280,1300"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    started = webdriver.Chrome(options, webdriver.ChromeService(driver))
    try:
        yield started
    finally:
        started.quit()
