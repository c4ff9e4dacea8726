"""``seg_ros play`` of drives whose stamps are no pace to play at."""

import subprocess
import sys

import pytest
from support import write_bag

from seg_ros.drive.messages import stamp_ns
from seg_ros.results import topics

pytest.importorskip("rclpy", reason="rclpy is not installed")

DAY = 86_400 * 10**9


@pytest.mark.parametrize(("step", "words"), [(DAY, "24 hours"), (-DAY, "1 day back")])
def test_a_step_of_a_day_is_not_waited_for(tmp_path, client, scene, step, words):
    stamps = [10**18 + number * 10**8 for number in range(3)]
    stamps += [stamp + step for stamp in stamps]
    frames = [(stamp, scene[0].image) for stamp in stamps]
    bag = write_bag(tmp_path / "bag", frames, log_ns=range(10**18, 10**18 + 6))
    client.listen(topics.IMAGE)
    command = [sys.executable, "-m", "seg_ros.cli", "play", str(bag), "--wait"]
    player = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        images = client.wait_for(topics.IMAGE, len(stamps))
        said = player.communicate(timeout=60)[1]
    finally:
        player.kill()
    assert [stamp_ns(image.header.stamp) for image in images] == stamps
    assert f"seg_ros play: stamps step by {words} before frame 3: not waited for" in said
