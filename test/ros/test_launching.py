"""The arguments of the launch files: what they turn into, and what is refused with which words."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from support import write_bag

from seg_ros.errors import SegRosError
from seg_ros.ground.camera import CameraModel
from seg_ros.ground.camera_file import load_camera, save_camera
from seg_ros.results import topics
from seg_ros.results.parameters import BY_NAME
from seg_ros.results.params_file import parameters_for
from seg_ros.ros.launching import (
    REPLAY_ARGUMENTS,
    SEGMENTATION_ARGUMENTS,
    check_command_line,
    node_setups,
    rviz_config,
)
from seg_ros.ros.recording import Recording, open_recording
from seg_ros.support.share import share_file
from seg_ros.synthetic import SyntheticDrive

DEFAULTS = {argument.name: argument.default for argument in SEGMENTATION_ARGUMENTS}


def setups(pushed="", **given):
    return node_setups({**DEFAULTS, **{k: str(v) for k, v in given.items()}}, pushed)


def params_file(folder, text):
    file = folder / "params.yaml"
    file.write_text(text)
    return file


def test_every_argument_that_sets_a_parameter_sets_one_that_exists():
    for argument in SEGMENTATION_ARGUMENTS:
        if argument.parameter:
            assert argument.parameter in {*BY_NAME, "use_sim_time"}
            assert argument.default == "", "it would hide what params_file says"
    names = [argument.name for argument in SEGMENTATION_ARGUMENTS]
    assert len(set(names)) == len(names)


def test_the_defaults_are_one_node_as_it_is():
    (setup,) = setups()
    assert setup.namespace == "/"
    assert setup.overrides == {}
    assert setup.resolve("image") == "/image"
    assert setup.values["model"] == "default"
    assert setup.params_file.name == "segmentation.yaml"


def test_arguments_go_before_the_parameter_file(tmp_path):
    file = params_file(
        tmp_path, "/**: {ros__parameters: {image_transport: compressed, camera_z: 1.2}}"
    )
    (setup,) = setups(params_file=file)
    assert setup.values["image_transport"] == "compressed"
    assert setup.values["camera_z"] == 1.2
    (setup,) = setups(params_file=file, image_transport="raw", autostart="false", engine="openvino")
    assert setup.values["image_transport"] == "raw"
    assert setup.values["camera_z"] == 1.2
    assert setup.overrides == {
        "runtime": "openvino",
        "image_transport": "raw",
        "autostart": False,
    }


@pytest.mark.parametrize("name", ["segmentation", "cpu", "desktop_gpu", "jetson"])
def test_the_shipped_parameter_files_are_good(name):
    (setup,) = setups(params_file=share_file(f"config/{name}.yaml"))
    assert setup.values["model"] == "default"


@pytest.mark.parametrize("name", ["pinhole", "fisheye"])
def test_the_shipped_cameras_are_good_and_see_the_ground(name):
    camera = load_camera(share_file(f"config/cameras/{name}.yaml"))
    foot = np.array([[camera.mounting.x, camera.mounting.y, 0.0]])
    heading = np.array([[np.cos(camera.mounting.yaw), np.sin(camera.mounting.yaw), 0.0]])
    (pixel,) = camera.project(foot + 5 * heading)
    assert 0 <= pixel[0] < camera.width
    assert camera.height / 3 < pixel[1] < camera.height


def test_several_cameras_are_a_node_each(tmp_path):
    for camera in ("front", "left"):
        save_camera(CameraModel(640, 360, 500, 500, 320, 180), tmp_path / f"{camera}.yaml")
    front, left = setups(
        cameras="front, left",
        namespace="car",
        image="/sensing/{camera}/image_raw",
        camera_info="info",
        camera_params=tmp_path / "{camera}.yaml",
    )
    assert (front.namespace, left.namespace) == ("/car/front", "/car/left")
    assert left.remappings == {
        "image": "/sensing/left/image_raw",
        "image/compressed": "/sensing/left/image_raw/compressed",
        "image/video": "/sensing/left/image_raw/video",
        "image/ffmpeg": "/sensing/left/image_raw/ffmpeg",
        "camera_info": "info",
    }
    assert left.resolve("camera_info") == "/car/left/info"
    assert left.overrides == {"camera_file": str(tmp_path / "left.yaml")}


def test_a_namespace_pushed_by_an_including_launch_file_counts():
    assert setups("/robot")[0].namespace == "/robot"
    assert setups("/robot", namespace="car/")[0].namespace == "/robot/car"
    assert setups("/robot", namespace="/car")[0].namespace == "/car"


def test_home_is_where_the_user_is(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    params_file(tmp_path, "/**: {ros__parameters: {camera_z: 1.1}}")
    assert setups(params_file="~/params.yaml")[0].values["camera_z"] == 1.1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"image_transport": "jpeg"}, "image_transport:=jpeg: use one of raw, compressed, video"),
        ({"engine": "tpu"}, "engine:=tpu: use one of auto, "),
        ({"rviz": "yes"}, "rviz:=yes: use one of true, false"),
        ({"log_level": "loud"}, "log_level:=loud: use one of debug, "),
        ({"params_file": "/nowhere.yaml"}, "params_file /nowhere.yaml: No such file"),
        ({"camera_params": "/nowhere.yaml"}, "camera file /nowhere.yaml: No such file"),
        ({"model": "/nowhere/x.onnx"}, "model file /nowhere/x.onnx does not exist"),
        ({"cameras": "left,left"}, "cameras:=left,left: left is there twice"),
        ({"cameras": "left,"}, "cameras:=left,: '' is not a name"),
        ({"cameras": "front left"}, "'front left' is not a name"),
        (
            {"cameras": "a,b", "image": "/image"},
            "image:=/image is the same for 2 cameras; put {cam",
        ),
        ({"cameras": "a,b", "camera_params": "c.yaml"}, "camera_params:=c.yaml is the same for 2"),
        ({"image": "/{camera}/image"}, "for {camera}, name them with cameras:="),
        ({"image": "front camera"}, "image:=front camera is not a topic name"),
        ({"image": "/a/compressed"}, "leave /compressed away and set image_transport:=compressed"),
        ({"namespace": "1st"}, "namespace:=1st is not a namespace"),
    ],
)
def test_what_cannot_work_is_refused(given, said):
    with pytest.raises(SegRosError) as error:
        setups(**given)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: [", "not valid YAML"),
        ("model: default", "no 'ros__parameters' in it"),
        ("", "no 'ros__parameters' in it"),
        ("other: {ros__parameters: {a: 1}}", "nothing for /segmentation_node, only for /other"),
        ("/**: {ros__parameters: {camera_hz: 2.0}}", "has no parameter camera_hz; camera_z?"),
        ("segmentation_node: {ros__parameters: {speed: 1}}", "has no parameter speed"),
        ("/**: {ros__parameters: {camera_z: 2}}", "camera_z is 2; it takes 0.01 to 1000 (with a"),
        ("/**: {ros__parameters: {publish_mask: 1}}", "publish_mask is 1; it takes true, false"),
        ("/**: {ros__parameters: {jpeg_quality: 101}}", "jpeg_quality is 101; it must be 1 to 100"),
        ("/**: {ros__parameters: {grid_x_max: -1.0}}", "is empty; the maxima must be larger"),
    ],
)
def test_a_parameter_file_that_would_not_do_what_it_says_is_refused(tmp_path, text, said):
    file = params_file(tmp_path, text)
    with pytest.raises(SegRosError) as error:
        setups(params_file=file)
    assert said in str(error.value)
    assert str(error.value).startswith(f"params_file {file}")


@pytest.mark.parametrize(
    ("name", "matches"),
    [
        ("/**", True),
        ("/front/segmentation_node", True),
        ("front/segmentation_node", True),
        ("/**/segmentation_node", True),
        ("/*/segmentation_node", True),
        ("/*/*", True),
        ("/*", False),
        ("segmentation_node", False),
        ("/left/segmentation_node", False),
        ("/front/**", True),
        ("/front/segmentation_node_2", False),
    ],
)
def test_which_sections_of_a_parameter_file_mean_a_node(tmp_path, name, matches):
    file = params_file(
        tmp_path, yaml.safe_dump({name: {"ros__parameters": {"camera_z": 1.3}}, "x": {}})
    )
    if matches:
        assert parameters_for("/front/segmentation_node", file) == {"camera_z": 1.3}
    else:
        with pytest.raises(SegRosError, match="has nothing for /front/segmentation_node"):
            parameters_for("/front/segmentation_node", file)


def test_sections_may_be_nested_and_later_ones_win(tmp_path):
    text = """
/**: {ros__parameters: {camera_z: 1.0, camera_x: 0.5, other_node: {speed: 3}}}
front:
  segmentation_node: {ros__parameters: {camera_z: 2.0, use_sim_time: true}}
"""
    assert parameters_for("/front/segmentation_node", params_file(tmp_path, text)) == {
        "camera_z": 2.0,
        "camera_x": 0.5,
        "other_node.speed": 3,
        "use_sim_time": True,
    }


RVIZ = {
    "Visualization Manager": {
        "Displays": [
            {"Class": "rviz_default_plugins/TF", "Name": "TF"},
            {"Name": "Image", "Topic": {"Value": "/image"}},
            {
                "Name": "Grid",
                "Topic": {"Value": "/segmentation/driveable_grid"},
                "Update Topic": {"Value": "/segmentation/driveable_grid_updates"},
            },
        ],
        "Global Options": {"Fixed Frame": "base_link"},
    }
}


def test_rviz_shows_the_topics_of_the_node(tmp_path):
    file = params_file(
        tmp_path, "/**: {ros__parameters: {base_frame: car, image_transport: compressed}}"
    )
    made = rviz_config(RVIZ, setups(namespace="front", image="image_raw", params_file=file))
    tf, image, grid = made["Visualization Manager"]["Displays"]
    assert tf["Name"] == "TF"
    assert image["Topic"]["Value"] == "/front/image_raw/compressed"
    assert grid["Topic"]["Value"] == "/front/segmentation/driveable_grid"
    assert grid["Update Topic"]["Value"] == "/front/segmentation/driveable_grid_updates"
    assert made["Visualization Manager"]["Global Options"]["Fixed Frame"] == "car"
    assert RVIZ["Visualization Manager"]["Global Options"]["Fixed Frame"] == "base_link"


def test_rviz_shows_every_camera_in_a_group_of_its_own():
    made = rviz_config(RVIZ, setups(cameras="left,right"))
    _, left, right = made["Visualization Manager"]["Displays"]
    assert (left["Class"], left["Name"], right["Name"]) == ("rviz_common/Group", "left", "right")
    assert [display["Name"] for display in right["Displays"]] == ["right Image", "right Grid"]
    assert right["Displays"][0]["Topic"]["Value"] == "/right/image"
    assert left["Displays"][0]["Topic"]["Value"] == "/left/image"
    assert left["Displays"][0]["Enabled"] is False, "the overlay shows the image, too"
    assert left["Displays"][1].get("Enabled", True) is True


@pytest.fixture(scope="module")
def frames():
    return [(1_000_000_000, SyntheticDrive(frames=1, width=64, height=36)[0].image)]


def test_a_bag_tells_its_camera(tmp_path, frames):
    camera = CameraModel(64, 36, 50, 50, 32, 18)
    bag = write_bag(tmp_path / "a", frames, topic="/front/image_raw", camera=camera)
    recording = open_recording(str(bag))
    assert sorted(recording.inputs) == ["/front/camera_info", "/front/image_raw"]
    assert recording.camera_arguments() == {
        "image": "/front/image_raw",
        "camera_info": "/front/camera_info",
        "image_transport": "raw",
    }
    file = next(bag.glob("*.mcap"))
    assert open_recording(str(file)) == recording

    bag = write_bag(tmp_path / "b", frames, compressed=True, sqlite=True)
    assert open_recording(str(bag)).camera_arguments("/camera/image_raw") == {
        "image": "/camera/image_raw",
        "camera_info": "/camera/camera_info",
        "image_transport": "compressed",
    }


def test_a_result_or_a_clock_in_a_bag_is_not_played(tmp_path, frames):
    bag = write_bag(tmp_path / "a", frames, topic="/segmentation/overlay")
    recording = open_recording(str(bag))
    assert recording.inputs == []
    with pytest.raises(SegRosError, match=r"choose a camera of .* with image:=; it has none"):
        recording.camera_arguments()
    assert open_recording(str(write_bag(tmp_path / "b", frames, topic="/clock"))).inputs == []


def test_a_bag_that_cannot_be_played_is_refused(tmp_path, frames):
    (tmp_path / "empty").mkdir()
    bag = write_bag(tmp_path / "bag", frames)
    with pytest.raises(SegRosError, match=r"image:=/other is not a camera of .*/camera/image_raw"):
        open_recording(str(bag)).camera_arguments("/other")
    next(bag.glob("*.mcap")).write_bytes(b"no MCAP at all")
    for name, said in [
        ("", "which bag"),
        (tmp_path / "none", "none does not exist"),
        (tmp_path / "empty", "is no rosbag2: "),
        (bag, "mcap"),
    ]:
        with pytest.raises(SegRosError) as error:
            open_recording(str(name))
        assert said in str(error.value)


@pytest.mark.parametrize("rate", ["0", "-1", "fast", "nan", "", "1e3"])
def test_rates_that_are_none(rate):
    argument = next(a for a in REPLAY_ARGUMENTS if a.name == "rate")
    argument.read("0.5")
    argument.read("10")
    with pytest.raises(SegRosError, match="use a number above 0"):
        argument.read(rate)


def test_the_replays_own_defaults_are_arguments_of_the_node():
    known = {argument.name for argument in SEGMENTATION_ARGUMENTS}
    own = {argument.name for argument in REPLAY_ARGUMENTS} - known
    assert own == {"bag", "rate", "loop", "record"}
    assert Path(DEFAULTS["params_file"]).is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model:=x.onnx", "rviz:=true"], ""),
        (
            ["modle:=x.onnx"],
            "modle:= is no argument of segmentation.launch.py; did you mean model?",
        ),
        (
            ["mounting_source:=tf"],
            "is no argument of segmentation.launch.py; --show-args lists them",
        ),
    ],
)
def test_an_argument_that_is_not_there_is_refused(words, said):
    """`ros2 launch` would go on without it."""
    for start in (["ros2", "launch", "seg_ros"], ["ros2", "launch"]):
        command = [*start, "/anywhere/segmentation.launch.py", *words]
        if said:
            with pytest.raises(SegRosError) as caught:
                check_command_line(command, "segmentation.launch.py")
            assert said in str(caught.value)
        else:
            check_command_line(command, "segmentation.launch.py")
    check_command_line(
        ["ros2", "launch", "mine", "mine.launch.py", *words], "segmentation.launch.py"
    )


@pytest.mark.parametrize("value", ["True", "TRUE", "true"])
def test_booleans_are_read_as_other_launch_files_write_them(value):
    (setup,) = setups(use_sim_time=value, respawn=value)
    assert setup.overrides["use_sim_time"] is True


def test_a_bag_that_was_cut_off_is_refused(tmp_path, frames):
    bag = write_bag(tmp_path / "a", frames * 3, topic="/front/image_raw")
    file = next(bag.glob("*.mcap"))
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(SegRosError, match="is damaged: it was cut off, or is still being recorded"):
        open_recording(str(bag))


def test_a_transport_that_the_bag_lacks_is_refused(tmp_path, frames):
    bag = write_bag(tmp_path / "a", frames, topic="/front/image_raw", compressed=True)
    recording = open_recording(str(bag))
    assert recording.camera_arguments("", "compressed")["image_transport"] == "compressed"
    with pytest.raises(
        SegRosError, match="image_transport:=raw: /front/image_raw is compressed in"
    ):
        recording.camera_arguments("", "raw")


def test_compressed_images_of_another_name_are_played_by_the_name_the_node_knows():
    types = {
        "/CAM/image_rect_compressed": "sensor_msgs/msg/CompressedImage",
        "/CAM/camera_info": "sensor_msgs/msg/CameraInfo",
    }
    recording = Recording(Path("bag"), types)
    camera = recording.camera_arguments()
    assert camera["image"] == "/CAM/image_rect_compressed"
    assert camera["image_transport"] == "compressed"
    (setup,) = setups(**camera)
    ((recorded, played),) = (word.split(":=") for word in recording.remappings)
    assert recorded in types
    assert played == setup.resolve(topics.IMAGE_COMPRESSED.name)
    usual = Recording(Path("bag"), {"/image/compressed": types["/CAM/image_rect_compressed"]})
    assert usual.remappings == []
