"""What the launch files are given, checked before anything starts.

The files in ``launch/`` are thin: what an argument means and why it is refused is here, where it is
tested without the package launch. Importing this needs no ROS.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from seg_ros.errors import SegRosError
from seg_ros.ground.camera_file import load_camera
from seg_ros.models.catalogue import find_model
from seg_ros.results import topics
from seg_ros.results.parameters import PARAMETERS, TRANSPORTS
from seg_ros.results.params_file import checked_parameters
from seg_ros.support.choices import RUNTIMES
from seg_ros.support.share import share_file

NODE = "segmentation_node"
"""Name of the node, in whatever namespace."""

CAMERA = "{camera}"
"""Stands for the camera's name in the arguments of several cameras."""

RESPAWN_SECONDS = 2.0
"""Between the end of a node that died and its next start."""

_BOOLEAN = ("true", "false")


@dataclass(frozen=True)
class Argument:
    """An argument of a launch file."""

    name: str
    default: str
    description: str
    choices: tuple[str, ...] = ()
    parameter: str = ""
    """The node's parameter it sets; an empty argument leaves what params_file says."""
    positive: bool = False
    """Whether it is a number, and more than 0."""

    @property
    def text(self) -> str:
        """What ``--show-args`` says."""
        allowed = f": {', '.join(self.choices)}" if self.choices else ""
        return f"{self.description}{allowed}"

    def read(self, value: str) -> str:
        """Return the value; of a boolean in small letters, as others write True.

        Raises:
            SegRosError: it cannot be that; it says what it can.

        """
        if set(self.choices) & set(_BOOLEAN):
            value = value.lower()
        if self.choices and value not in self.choices and value != self.default:
            raise SegRosError(f"{self.name}:={value}: use one of {', '.join(self.choices)}")
        if self.positive and not (re.fullmatch(r"\d*\.?\d+", value) and float(value)):
            raise SegRosError(f"{self.name}:={value}: use a number above 0")
        return value


SEGMENTATION_ARGUMENTS = (
    Argument(
        "params_file",
        str(share_file("config/segmentation.yaml")),
        "YAML file with the node's parameters; what is empty below stays as this file says",
    ),
    Argument("model", "", "catalogue name ('seg_ros models' lists them) or file", (), "model"),
    Argument("engine", "", "what runs the network (parameter runtime)", RUNTIMES, "runtime"),
    Argument("namespace", "", "of node and topics"),
    Argument(
        "cameras",
        "",
        "names of several cameras, such as front,left,right: a node each, in a namespace of that "
        "name; {camera} in the arguments below stands for it",
    ),
    Argument(
        "processes",
        "one",
        "of several cameras: one for all, whose nodes share the engine, or one each, so that what "
        "ends one leaves the others alone",
        ("one", "each"),
    ),
    Argument("image", "image", "camera topic, without /compressed"),
    Argument("camera_info", "camera_info", "its calibration"),
    Argument("image_transport", "", "how images come", TRANSPORTS, "image_transport"),
    Argument(
        "camera_params",
        "",
        "YAML file with calibration and mounting, instead of camera_info",
        (),
        "camera_file",
    ),
    Argument("use_sim_time", "", "take the time from /clock", _BOOLEAN, "use_sim_time"),
    Argument(
        "autostart",
        "",
        "the node configures and activates itself; false where a lifecycle manager does",
        _BOOLEAN,
        "autostart",
    ),
    Argument("respawn", "true", f"start a node that died after {RESPAWN_SECONDS:g} s", _BOOLEAN),
    Argument("rviz", "false", "show image, overlay, grid and scan in RViz", _BOOLEAN),
    Argument("log_level", "info", "least level logged", ("debug", "info", "warn", "error")),
)
"""Of ``segmentation.launch.py``."""

REPLAY_ARGUMENTS = (
    Argument("bag", "", "the rosbag2 to play: a folder, or a file in it"),
    Argument("rate", "1.0", "times real time", positive=True),
    Argument("loop", "false", "start again at the end", _BOOLEAN),
    Argument("record", "", "folder for a rosbag2 of what the node publishes"),
    Argument("rviz", "true", "show image, overlay, grid and scan in RViz", _BOOLEAN),
    Argument("image", "", "camera topic; empty for the bag's only one"),
    Argument("camera_info", "", "its calibration; empty for the one beside it"),
    Argument("image_transport", "", "how images come; empty for what is in the bag", TRANSPORTS),
    Argument("use_sim_time", "true", "the time is that of the bag", ("true",)),
    Argument("autostart", "false", "this file takes the node through its states", ("false",)),
    Argument("respawn", "false", "a node that dies ends the replay", ("false",)),
)
"""Of ``replay.launch.py``; the other ones of ``segmentation.launch.py`` are as there."""


def check_command_line(
    command: Sequence[str], file: str, arguments: Sequence[Argument] = SEGMENTATION_ARGUMENTS
) -> None:
    """Refuse arguments that a launch file does not have; ``ros2 launch`` takes them in silence.

    Args:
        command: ``sys.argv``. Where it is not this file that was started, what stands there may
            be for the one that includes it, and is left alone.
        file: name of the launch file.
        arguments: that it has.

    Raises:
        SegRosError: it names them, and what was probably meant.

    """
    if not any(Path(word).name == file for word in command):
        return
    known = [argument.name for argument in arguments]
    for name in (word.partition(":=")[0] for word in command if ":=" in word):
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "--show-args lists them"
            raise SegRosError(f"{name}:= is no argument of {file}; {hint}")


_FILES = ("params_file", "camera_params")
_TOPICS = ("image", "camera_info")
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_TOPIC = re.compile(r"/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*", re.ASCII)


@dataclass(frozen=True)
class NodeSetup:
    """One node to start."""

    camera: str
    """Name of its camera; empty when there is only one."""
    namespace: str
    """Absolute."""
    params_file: Path
    overrides: dict[str, str | bool]
    """Parameters that go before those of params_file."""
    remappings: dict[str, str]
    values: dict[str, Any]
    """All parameters as the node will have them."""

    @property
    def full_name(self) -> str:
        """The node's name with its namespace."""
        return f"{self.namespace.rstrip('/')}/{NODE}"

    @property
    def command(self) -> str:
        """What ``--camera`` of the node's program is given for it."""
        words = [self.namespace, "--params-file", str(self.params_file)]
        for name, value in self.overrides.items():
            words += ["-p", f"{name}:={json.dumps(value)}"]
        for name, target in self.remappings.items():
            words += ["-r", f"{name}:={target}"]
        return shlex.join(words)

    def resolve(self, name: str) -> str:
        """Return the full name of one of the node's topics, after remapping."""
        name = self.remappings.get(name, name)
        return name if name.startswith("/") else f"{self.namespace.rstrip('/')}/{name}"


def node_setups(arguments: Mapping[str, str], pushed_namespace: str = "") -> list[NodeSetup]:
    """Turn the arguments of ``segmentation.launch.py`` into the nodes to start, all checked.

    Args:
        arguments: the value of each of :data:`SEGMENTATION_ARGUMENTS`.
        pushed_namespace: that of an including launch file (PushRosNamespace).

    Raises:
        SegRosError: something in them would not work; the message names argument and remedy.

    """
    arguments = {a.name: a.read(arguments[a.name]) for a in SEGMENTATION_ARGUMENTS}
    return [_setup(arguments, camera, pushed_namespace) for camera in _cameras(arguments)]


def _cameras(arguments: Mapping[str, str]) -> list[str]:
    text = arguments["cameras"].strip()
    names = [name.strip() for name in text.split(",")] if text else [""]
    for name in names:
        if text and not _NAME.fullmatch(name):
            raise SegRosError(
                f"cameras:={text}: {name!r} is not a name; give letters, digits and _, "
                "separated by commas"
            )
        if names.count(name) > 1:
            raise SegRosError(f"cameras:={text}: {name} is there twice")
    for argument in ("camera_params", *_TOPICS):
        value = arguments[argument]
        if CAMERA in value and not text:
            raise SegRosError(f"{argument}:={value}: for {CAMERA}, name them with cameras:=")
        relative = argument in _TOPICS and not value.startswith("/")
        if len(names) > 1 and value and CAMERA not in value and not relative:
            raise SegRosError(
                f"{argument}:={value} is the same for {len(names)} cameras; put {CAMERA} where "
                "the camera's name belongs"
            )
    return names


def _setup(arguments: Mapping[str, str], camera: str, pushed_namespace: str) -> NodeSetup:
    given = {name: value.replace(CAMERA, camera) for name, value in arguments.items()}
    for name in _FILES:
        if given[name]:  # no shell expands ~ after :=
            given[name] = str(Path(given[name]).expanduser())
    for name in _TOPICS:
        if not _TOPIC.fullmatch(given[name]):
            raise SegRosError(f"{name}:={given[name]} is not a topic name")
    if given["image"].endswith("/compressed"):
        raise SegRosError(
            f"image:={given['image']}: leave /compressed away and set image_transport:=compressed"
        )
    space = given["namespace"].rstrip("/")
    if not space.startswith("/"):
        space = f"{pushed_namespace.rstrip('/')}/{space}".rstrip("/")
    space = f"{space}/{camera}".rstrip("/")
    if space and not _TOPIC.fullmatch(space):
        raise SegRosError(f"namespace:={given['namespace']} is not a namespace")
    flags = {"true": True, "false": False}
    overrides = {
        a.parameter: flags.get(given[a.name], given[a.name])
        for a in SEGMENTATION_ARGUMENTS
        if a.parameter and given[a.name]
    }
    file = Path(given["params_file"])
    return NodeSetup(
        camera=camera,
        namespace=space or "/",
        params_file=file,
        overrides=overrides,
        remappings={
            **{t.name: t.name.replace("image", given["image"], 1) for t in topics.IMAGES},
            topics.CAMERA_INFO.name: given["camera_info"],
        },
        values=_checked(f"{space}/{NODE}", file, overrides),
    )


def _checked(node: str, file: Path, overrides: Mapping[str, str | bool]) -> dict[str, Any]:
    """Return the parameters a node will have."""
    values = {spec.name: spec.default for spec in PARAMETERS}
    values |= checked_parameters(node, file, overrides)
    find_model(str(values["model"]), str(values["labels"]))
    if values["camera_file"]:
        load_camera(str(values["camera_file"]))
    return values


def rviz_config(config: Mapping[str, Any], setups: Sequence[NodeSetup]) -> dict[str, Any]:
    """Return the RViz configuration that shows these nodes.

    Args:
        config: ``rviz/segmentation.rviz``, whose topics are those of a node that nothing remaps.
        setups: the nodes; several get a group of displays each.

    """
    made = deepcopy(dict(config))
    manager = made["Visualization Manager"]
    shared = [display for display in manager["Displays"] if "Topic" not in display]
    ours = [display for display in manager["Displays"] if "Topic" in display]
    for setup in setups:
        displays = deepcopy(ours)
        for display in displays:
            if len(setups) > 1 and display["Topic"]["Value"] == f"/{topics.IMAGE.name}":
                # The overlays show the images, too, and twice as many would be too small.
                display["Enabled"] = display["Value"] = False
            for key in {"Topic", "Update Topic"} & set(display):
                name = display[key]["Value"].lstrip("/")
                if name == topics.IMAGE.name and setup.values["image_transport"] == "compressed":
                    name = topics.IMAGE_COMPRESSED.name
                display[key]["Value"] = setup.resolve(name)
            display["Name"] = f"{setup.camera} {display['Name']}".strip()
        if len(setups) > 1:
            group = {"Class": "rviz_common/Group", "Name": setup.camera, "Enabled": True}
            displays = [{**group, "Displays": displays}]
        shared += displays
    manager["Displays"] = shared
    manager["Global Options"]["Fixed Frame"] = setups[0].values["base_frame"]
    return made
