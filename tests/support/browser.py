"""Open a page in a headless Chromium that has no network, and check it there."""

import importlib.util
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest


def skip_without_browser() -> None:
    """Skip a test with a reason where Chromium, its driver or selenium is missing."""
    for name in ("chromium", "chromedriver"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
    if importlib.util.find_spec("selenium") is None:
        pytest.skip("selenium is not installed")


@contextmanager
def browser(width: int = 1400, height: int = 900, *, is_dark: bool = False) -> Iterator[Any]:
    """Yield a driver; its log holds the errors of scripts and what the policy refused."""
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = str(shutil.which("chromium"))
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{argument}")
    options.add_argument(f"--window-size={width},{height}")
    if is_dark:
        options.add_argument("--force-dark-mode")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # Chromium leaves folders behind; its last processes may write there when the driver has ended.
    with TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        environment = {**os.environ, "TMPDIR": temporary}
        service = Service(str(shutil.which("chromedriver")), env=environment)
        driver = webdriver.Chrome(options, service)
        try:
            resize(driver, width, height)
            yield driver
        finally:
            driver.quit()


def resize(driver: Any, width: int, height: int) -> None:
    """Set the size of the page; a window of Chromium is never narrower than 500 pixels."""
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
    )


def prefer(driver: Any, scheme: str) -> None:
    """Let the system prefer `light` or `dark`."""
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def open_file(driver: Any, path: Path, width: int = 1400, scheme: str = "light") -> None:
    """Open a page at a width; what an earlier one logged is forgotten."""
    for log in ("browser", "performance"):
        driver.get_log(log)
    resize(driver, width, 900)
    prefer(driver, scheme)
    driver.get(path.absolute().as_uri())


def wait(driver: Any, condition: str) -> None:
    """Wait until a condition holds; fail after a minute."""
    for _ in range(600):
        if driver.execute_script(f"return Boolean({condition})"):
            return
        time.sleep(0.1)
    raise AssertionError(condition)


def texts(driver: Any, selector: str) -> list[str]:
    """Return the text of each element."""
    script = "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)"
    found: list[str] = driver.execute_script(script, selector)
    return found


def click(driver: Any, selector: str, number: int = 0) -> None:
    """Click an element; one that the page replaces meanwhile is found again."""
    from selenium.common.exceptions import StaleElementReferenceException

    wait(driver, f"document.querySelectorAll({json.dumps(selector)}).length > {number}")
    for _ in range(50):
        try:
            driver.find_elements("css selector", selector)[number].click()
        except StaleElementReferenceException:
            continue
        return
    raise AssertionError(f"{selector} is replaced all the time")


def cut_off(driver: Any) -> list[str]:
    """Return the texts that do not fit in their fields: what was typed, or the placeholder."""
    script = """
    const context = document.createElement('canvas').getContext('2d');
    const isCut = (field, shown) => {
      const { font, paddingLeft, paddingRight } = getComputedStyle(field);
      const space = field.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight);
      const buttons = field.type === 'number' ? 16 : 0;  // that raise and lower the number
      context.font = font;
      return field.clientWidth && context.measureText(shown).width > space - buttons;
    };
    return [...document.querySelectorAll('input')]
      .filter((field) => ['text', 'number'].includes(field.type))
      .map((field) => [field, field.value || field.placeholder])
      .filter(([field, shown]) => isCut(field, shown)).map(([, shown]) => shown);
    """
    found: list[str] = driver.execute_script(script)
    return found


def press(driver: Any, keys: str) -> None:
    """Press keys in the element that has the focus."""
    driver.switch_to.active_element.send_keys(keys)


def assert_quiet(driver: Any) -> None:
    """Assert that the page raised no error and sent no request."""
    assert [entry["message"] for entry in driver.get_log("browser")] == []
    asked = [
        message["params"]["request"]["url"]
        for entry in driver.get_log("performance")
        if (message := json.loads(entry["message"])["message"])["method"]
        == "Network.requestWillBeSent"
    ]
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


def barriers(driver: Any) -> list[str]:
    """Return what axe finds serious or critical in a page; skips where axe is not installed."""
    driver.execute_script(_axe())
    found = driver.execute_async_script(
        "const done = arguments[0];"
        "axe.run({resultTypes: ['violations']}).then((found) => done(found.violations))"
    )
    return [
        f"{one['id']}: {one['help']}: {node['html']:.200}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


@cache
def _axe() -> str:
    """Return the script of axe-core, which `npm install -g axe-core` installs."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    done = subprocess.run([npm, "root", "-g"], capture_output=True, text=True, check=True)
    path = Path(done.stdout.strip()) / "axe-core" / "axe.min.js"
    if not path.exists():
        pytest.skip("axe-core is not installed: npm install -g axe-core")
    return path.read_text("utf-8")
