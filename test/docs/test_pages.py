"""What the README and the pages of docs/ promise: snippets run, commands and links exist."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from seg_ros.cli.parser import make_parser
from seg_ros.synthetic import SyntheticDrive

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


@pytest.fixture
def street(tmp_path, monkeypatch):
    """A folder with the picture and the camera that the snippets read."""
    cv2.imwrite(str(tmp_path / "street.png"), SyntheticDrive(frames=1)[0].image)
    (camera,) = (
        text for text in blocks(ROOT / "docs" / "replay.md", "yaml") if "camera_matrix" in text
    )
    (tmp_path / "camera.yaml").write_text(camera, encoding="utf-8")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("street")
def test_the_readmes_snippets_run():
    masks, grid = blocks(ROOT / "README.md", "python")
    said: dict[str, object] = {}
    exec(masks, said)
    mask = said["mask"]
    assert mask.shape == (720, 1280)
    assert mask.dtype == np.uint8
    assert np.bincount(mask.ravel()).argmax() in range(11)
    exec(grid, said)
    cells = said["cells"]
    assert cells.shape == (200, 300)
    assert set(np.unique(cells)) == {-1, 0, 1}
    assert (cells == 0).sum() > 1000


def parsers() -> dict[str, argparse.ArgumentParser]:
    (commands,) = (
        action
        for action in make_parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return dict(commands.choices)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_their_options_exist(page):
    known = parsers()
    for block in blocks(page, "[a-z]*"):
        for line in block.replace("\\\n", " ").splitlines():
            said = re.match(r"(?:\S*/)?seg_ros ([a-z]+)(.*)", line)
            if not said:
                continue
            name, rest = said[1], said[2].split("#")[0]
            assert name in known, f"{page.name}: there is no command {name!r}"
            for option in re.findall(r"(?<![\w-])(--[a-z-]+|-[a-z])(?![\w-])", rest):
                assert option in known[name]._option_string_actions, f"{page.name}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_page_is_linked_from_the_readme():
    text = PAGES[0].read_text(encoding="utf-8")
    for page in PAGES[1:]:
        assert str(page.relative_to(ROOT)) in text
