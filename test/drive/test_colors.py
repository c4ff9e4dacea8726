"""Who converts colours: a cv_bridge is believed with those encodings whose values are right."""

import sys

import cv2
import numpy as np
import pytest
from rosbags.image.image import convert_color

from seg_ros.drive import colors

RIGHT = "from rosbags.image.image import convert_color\n"
SAMPLES = {source: colors._sample(source) for source in colors._CHANNELS}


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Install a cv_bridge, which has no wheel, with the given code in place of its one module."""

    def install(code):
        folder = tmp_path / "cv_bridge" / "boost"
        folder.mkdir(parents=True)
        (folder / "cv_bridge_boost.py").write_text(code, encoding="utf-8")
        for package in (folder, folder.parent):
            (package / "__init__.py").touch()

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    _forget_cv_bridge()
    yield install
    _forget_cv_bridge()


def _forget_cv_bridge():
    colors._cv_bridge.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] == "cv_bridge"]:
        del sys.modules[name]


def expected(source):
    return convert_color(SAMPLES[source], source, colors._target(source))


def test_the_trial_is_of_every_encoding_that_is_converted():
    from seg_ros.drive import images

    names = {images._SAME_AS.get(name, name) for name in images._PIXEL_BYTES}
    assert names - {"bgr8", "bgr16"} == set(colors._CHANNELS)
    for source, sample in SAMPLES.items():
        assert sample.nbytes == 16 * 16 * images._PIXEL_BYTES[source]


@pytest.mark.parametrize("source", SAMPLES)
def test_cv_bridge_itself_gives_the_same_picture(source):
    if not colors.color_library().startswith("cv_bridge"):
        pytest.skip("cv_bridge is not installed or does not fit numpy; it comes with ROS 2")
    assert np.abs(colors.convert(SAMPLES[source], source).astype(int) - expected(source)).max() <= (
        colors._ROUNDING * (257 if "16" in source else 1)
    )


def test_cv_bridge_converts_where_it_is_right(stand_in):
    stand_in(
        RIGHT + "asked = []\n"
        "def cvtColor2(image, source, target):\n"
        "    asked.append((image.shape, source, target))\n"
        "    return convert_color(image, source, target)\n"
    )
    assert np.array_equal(colors.convert(SAMPLES["rgb8"], "rgb8"), expected("rgb8"))
    assert colors.color_library() == "cv_bridge"
    assert sys.modules["cv_bridge.boost.cv_bridge_boost"].asked == [((16, 16, 3), "rgb8", "bgr8")]


@pytest.mark.parametrize("wrong", SAMPLES)
def test_one_encoding_with_wrong_values_is_not_left_to_it(stand_in, wrong):
    """Nothing raises and the process ends with 0, so only the values tell."""
    stand_in(
        RIGHT + "def cvtColor2(image, source, target):\n"
        "    made = convert_color(image, source, target)\n"
        f"    return made[::-1] if source == {wrong!r} else made\n"
    )
    assert np.array_equal(colors.convert(SAMPLES[wrong], wrong), expected(wrong))
    assert colors.color_library() == f"cv_bridge; rosbags-image for {wrong}"


@pytest.mark.parametrize(
    "result",
    [
        "image.copy()",  # red for blue, and no colour made of a mosaic
        "image.reshape(-1)",
        "image.astype('float32')",
        "np.zeros((*image.shape[:2], 3), image.dtype)",
        "None",
        "(_ for _ in ()).throw(RuntimeError('OpenCV(4.6.0) Assertion failed'))",
    ],
)
def test_one_that_takes_types_for_others_is_left_alone(stand_in, result):
    stand_in(f"import numpy as np\ndef cvtColor2(image, source, target):\n    return {result}\n")
    for source, sample in SAMPLES.items():
        assert np.array_equal(colors.convert(sample, source), expected(source))
    assert colors.color_library() == "rosbags-image"


def test_rounding_of_another_opencv_is_no_fault(stand_in):
    stand_in(
        RIGHT + "def cvtColor2(image, source, target):\n"
        "    made = convert_color(image, source, target)\n"
        "    made[4, 4] += made.dtype.type(1)\n"
        "    return made\n"
    )
    assert colors.color_library() == "cv_bridge"


def test_what_cv_bridge_does_not_know_is_converted_all_the_same(stand_in):
    stand_in(
        "def cvtColor2(image, source, target):\n"
        "    if source != 'rgb8':\n"
        "        raise RuntimeError(f'Unknown encoding {source}')\n"
        "    return image[:, :, ::-1]\n"
    )
    decoded = colors.convert(SAMPLES["yuv422_yuy2"], "yuv422_yuy2")
    assert np.array_equal(decoded, cv2.cvtColor(SAMPLES["yuv422_yuy2"], cv2.COLOR_YUV2BGR_YUY2))
    assert colors.color_library().startswith("cv_bridge; rosbags-image for bgra8, ")


def test_a_cv_bridge_that_ends_the_process_is_left_alone(stand_in):
    stand_in("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    assert np.array_equal(colors.convert(SAMPLES["rgb8"], "rgb8"), expected("rgb8"))
    assert colors.color_library() == "rosbags-image"
