"""What the tests of HTML pages ask of a page in Chromium."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support import wait_until

PHONE, DESKTOP = (360, 740), (1280, 900)


def open_page(
    browser: Any, path: Path, size: tuple[int, int] = DESKTOP, dark: bool = False
) -> None:
    """Open a file as a screen of that size and that colour scheme shows it."""
    width, height = size
    for log in ("browser", "performance"):
        browser.get_log(log)  # what was there is another page's
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == PHONE},
    )
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    browser.get(path.as_uri())
    wait_until(lambda: where(browser).startswith("frame"), "the page's script")


def where(browser: Any) -> str:
    """What the player says it shows."""
    return str(browser.find_element("id", "where").text)


def slide(browser: Any, position: int) -> None:
    """Move the slider as a hand does."""
    browser.execute_script(
        "const s = document.getElementById('slider'); s.value = arguments[0];"
        "s.dispatchEvent(new Event('input', {bubbles: true}));",
        position,
    )


def grey_shown(browser: Any) -> float:
    """Grey level in the middle of what the player shows; -1 while it shows nothing."""
    level = browser.execute_script(
        """const screen = document.getElementById("screen");
        const canvas = document.createElement("canvas");
        canvas.width = canvas.height = 1;
        const pen = canvas.getContext("2d");
        const width = screen.videoWidth || screen.naturalWidth;
        const height = screen.videoHeight || screen.naturalHeight;
        if (!width || screen.seeking || screen.readyState < 2) return -1;
        pen.drawImage(screen, width / 2, height / 2, 1, 1, 0, 0, 1, 1);
        return pen.getImageData(0, 0, 1, 1).data[1];"""
    )
    return float(level)


def cursors(browser: Any) -> list[float]:
    """Place of the cursor in every chart over the frames, 0 at its left end and 1 at its right."""
    return list(
        browser.execute_script(
            """return [...document.querySelectorAll(".plot:not(.histogram)")].map((plot) => {
            const cursor = plot.querySelector("line.cursor").x1.baseVal.value;
            const rule = plot.querySelector("line.rule");
            const [left, right] = [rule.x1.baseVal.value, rule.x2.baseVal.value];
            return (cursor - left) / (right - left);
            });"""
        )
    )


def complaints(browser: Any) -> list[str]:
    """What the console says: errors of scripts and refused loads among them."""
    return [entry["message"] for entry in browser.get_log("browser")]


def requests(browser: Any) -> set[str]:
    """Schemes of everything that was asked for since the page was opened."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return {
        event["params"]["request"]["url"].partition(":")[0]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }
