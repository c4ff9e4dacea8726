"""What tools write for bench/written_by.py, which runs this in an environment with one of them.

python bench/writers.py NAME FOLDER MADE: into FOLDER, from pictures and packets made in MADE.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

COUNT = 6
WIDTH, HEIGHT = 64, 48
K = [50.0, 0.0, 31.5, 0.0, 50.0, 23.5, 0.0, 0.0, 1.0]
R = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
P = [50.0, 0.0, 31.5, 0.0, 0.0, 50.0, 23.5, 0.0, 0.0, 0.0, 1.0, 0.0]
D = [0.1, -0.05, 0.0, 0.0, 0.01]
LATE = 7_000_000
"""How much later than its stamp a message is logged, nanoseconds."""


def shade(number: int) -> int:
    return 30 + 35 * number


def stamp(number: int) -> int:
    return 1_780_000_000_000_000_000 + number * 100_000_000


def pixels(number: int) -> bytes:
    return bytes([shade(number)]) * (WIDTH * HEIGHT * 3)


def rosbags_rosbag2(folder: Path, _: Path, storage: str, packed: bool) -> None:
    import numpy as np
    from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    writer = Writer(folder / "bag", version=9, storage_plugin=StoragePlugin[storage])
    if packed:
        writer.set_compression(CompressionMode.MESSAGE, CompressionFormat.ZSTD)
    with writer:
        _rosbags_messages(writer, store, store.serialize_cdr, np)


def rosbags_ros1(folder: Path, _: Path) -> None:
    import numpy as np
    from rosbags.rosbag1 import Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS1_NOETIC)
    with Writer(folder / "drive.bag") as writer:
        _rosbags_messages(writer, store, store.serialize_ros1, np, seq=0)


def _rosbags_messages(writer: Any, store: Any, serialize: Any, np: Any, **header: int) -> None:
    names = "sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo"
    image, info = (
        writer.add_connection(topic, name, typestore=store)
        for topic, name in zip(("/front/image_raw", "/front/camera_info"), names, strict=True)
    )
    kind = store.types
    for number in range(COUNT):
        sec, nanosec = divmod(stamp(number), 10**9)
        time = kind["builtin_interfaces/msg/Time"](sec=sec, nanosec=nanosec)
        head = kind["std_msgs/msg/Header"](stamp=time, frame_id="front", **header)
        message = kind[names[0]](
            header=head, height=HEIGHT, width=WIDTH, encoding="bgr8", is_bigendian=0,
            step=WIDTH * 3, data=np.frombuffer(pixels(number), np.uint8),
        )  # fmt: skip
        writer.write(image, stamp(number) + LATE, serialize(message, names[0]))
        case = str.upper if header else str.lower  # ROS 1 has K, ROS 2 has k
        matrices = {case(name): np.array(v) for name, v in (("d", D), ("k", K), ("r", R), ("p", P))}
        region = kind["sensor_msgs/msg/RegionOfInterest"](
            x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
        )
        message = kind[names[1]](
            header=head, height=HEIGHT, width=WIDTH, distortion_model="plumb_bob", binning_x=0,
            binning_y=0, roi=region, **matrices,
        )  # fmt: skip
        writer.write(info, stamp(number) + LATE, serialize(message, names[1]))


_COMPRESSED_IMAGE = """std_msgs/Header header
string format
uint8[] data
================================================================================
MSG: std_msgs/Header
builtin_interfaces/Time stamp
string frame_id
================================================================================
MSG: builtin_interfaces/Time
int32 sec
uint32 nanosec
"""


def mcap_ros2(folder: Path, made: Path) -> None:
    from mcap_ros2.writer import Writer

    with (folder / "drive.mcap").open("wb") as file:
        writer = Writer(file)
        schema = writer.register_msgdef("sensor_msgs/msg/CompressedImage", _COMPRESSED_IMAGE)
        for number in range(COUNT):
            sec, nanosec = divmod(stamp(number), 10**9)
            header = {"stamp": {"sec": sec, "nanosec": nanosec}, "frame_id": "front"}
            data = (made / f"{number}.jpg").read_bytes()
            message = {"header": header, "format": "jpeg", "data": data}
            late = stamp(number) + LATE
            writer.write_message("/front/image_raw/compressed", schema, message, late, late)
        writer.finish()


def mcap_json(folder: Path, made: Path) -> None:
    from mcap.writer import Writer

    with (folder / "drive.mcap").open("wb") as file:
        writer = Writer(file)
        writer.start()
        channels = {}
        for kind, topic in (
            ("CompressedImage", "/front/image"),
            ("CameraCalibration", "/front/calibration"),
        ):
            text = json.dumps({"title": f"foxglove.{kind}", "type": "object"}).encode()
            schema = writer.register_schema(f"foxglove.{kind}", "jsonschema", text)
            channels[kind] = writer.register_channel(topic, "json", schema)
        for number in range(COUNT):
            sec, nsec = divmod(stamp(number), 10**9)
            common = {"timestamp": {"sec": sec, "nsec": nsec}, "frame_id": "front"}
            data = base64.b64encode((made / f"{number}.jpg").read_bytes()).decode()
            image = {**common, "format": "jpeg", "data": data}
            info = {**common, "width": WIDTH, "height": HEIGHT, "distortion_model": "plumb_bob"}
            info |= {"D": D, "K": K, "R": R, "P": P}
            for kind, message in (("CompressedImage", image), ("CameraCalibration", info)):
                late = stamp(number) + LATE
                writer.add_message(channels[kind], late, json.dumps(message).encode(), late)
        writer.finish()


def mcap_protobuf(folder: Path, made: Path) -> None:
    from foxglove_schemas_protobuf.CameraCalibration_pb2 import CameraCalibration
    from foxglove_schemas_protobuf.CompressedImage_pb2 import CompressedImage
    from foxglove_schemas_protobuf.RawImage_pb2 import RawImage
    from mcap_protobuf.writer import Writer

    for name, kind in (("compressed", CompressedImage), ("raw", RawImage)):
        with (folder / f"{name}.mcap").open("wb") as file, Writer(file) as writer:
            for number in range(COUNT):
                raw = {"width": WIDTH, "height": HEIGHT, "encoding": "bgr8", "step": WIDTH * 3}
                fields = {"data": pixels(number), **raw}
                if kind is CompressedImage:
                    fields = {"data": (made / f"{number}.jpg").read_bytes(), "format": "jpeg"}
                image = kind(frame_id="CAM_FRONT", **fields)
                info = CameraCalibration(
                    width=WIDTH, height=HEIGHT, distortion_model="plumb_bob", D=D, K=K, R=R, P=P
                )
                for topic, message in (("image_rect_compressed", image), ("camera_info", info)):
                    message.timestamp.FromNanoseconds(stamp(number))
                    late = stamp(number) + LATE
                    writer.write_message(f"/CAM_FRONT/{topic}", message, late, late)


def foxglove_sdk(folder: Path, made: Path) -> None:
    import foxglove
    from foxglove import channels, messages

    for name in ("compressed", "raw", "video"):
        writer = foxglove.open_mcap(folder / f"{name}.mcap")
        calibration = channels.CameraCalibrationChannel(f"/{name}/calibration")
        kinds = {
            "compressed": channels.CompressedImageChannel,
            "raw": channels.RawImageChannel,
            "video": channels.CompressedVideoChannel,
        }
        images = kinds[name](f"/{name}/image")
        for number in range(COUNT):
            sec, nsec = divmod(stamp(number), 10**9)
            time = messages.Timestamp(sec=sec, nsec=nsec)
            common = {"timestamp": time, "frame_id": "front"}
            late = stamp(number) + LATE
            info = messages.CameraCalibration(
                **common,
                width=WIDTH,
                height=HEIGHT,
                distortion_model="plumb_bob",
                D=D,
                K=K,
                R=R,
                P=P,
            )
            calibration.log(info, log_time=late)
            if name == "compressed":
                data = (made / f"{number}.jpg").read_bytes()
                message = messages.CompressedImage(**common, data=data, format="jpeg")
            elif name == "video":
                data = (made / f"{number}.h264").read_bytes()
                message = messages.CompressedVideo(**common, data=data, format="h264")
            else:
                message = messages.RawImage(
                    **common, width=WIDTH, height=HEIGHT, encoding="bgr8", step=WIDTH * 3,
                    data=pixels(number),
                )  # fmt: skip
            images.log(message, log_time=late)
        writer.close()


def pybag(folder: Path, made: Path) -> None:
    from pybag.mcap_writer import McapFileWriter
    from pybag.ros2.jazzy import builtin_interfaces, sensor_msgs, std_msgs

    with McapFileWriter.open(folder / "drive.mcap") as writer:
        for number in range(COUNT):
            sec, nanosec = divmod(stamp(number), 10**9)
            time = builtin_interfaces.Time(sec=sec, nanosec=nanosec)
            header = std_msgs.Header(stamp=time, frame_id="front")
            data = list((made / f"{number}.jpg").read_bytes())
            message = sensor_msgs.CompressedImage(header=header, format="jpeg", data=data)
            writer.write_message("/front/image_raw/compressed", stamp(number) + LATE, message)


def pyav(folder: Path, _: Path) -> None:
    import av
    import numpy as np

    fragments = {"movflags": "frag_keyframe+empty_moov"}
    for name, codec, options in (
        ("h264.mp4", "libx264", {}),
        ("fragments.mp4", "libx264", fragments),
        ("hevc.mkv", "libx265", {}),
        ("h264.ts", "libx264", {}),
        ("mjpeg.avi", "mjpeg", {}),
        ("av1.webm", "libsvtav1", {}),
    ):
        with av.open(str(folder / name), "w", options=options) as target:
            stream = target.add_stream(codec, rate=10)
            stream.width, stream.height = WIDTH, HEIGHT
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            for number in range(COUNT):
                image = np.full((HEIGHT, WIDTH, 3), shade(number), np.uint8)
                target.mux(stream.encode(av.VideoFrame.from_ndarray(image, "bgr24")))
            target.mux(stream.encode(None))


def ffmpeg(folder: Path, made: Path) -> None:
    import imageio_ffmpeg

    def run(*arguments: str) -> None:
        program = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", *arguments]
        subprocess.run(program, check=True, cwd=folder)

    source = ["-framerate", "10", "-i", str(made / "%d.png"), "-pix_fmt", "yuv420p", "-g", "3"]
    run(*source, "-c:v", "libx264", "-bf", "0", "raw.h264")
    run(*source, "-c:v", "libx265", "-x265-params", "log-level=none", "raw.hevc")
    clips = folder / "clips"
    clips.mkdir()
    names = "20260101_1200%02d_NF.mp4"
    cut = ["-f", "segment", "-segment_time", "0.3", "-reset_timestamps", "1"]
    run(*source, "-c:v", "libx264", *cut, str(clips / names))


def opencv(folder: Path, _: Path) -> None:
    import cv2
    import numpy as np

    for name, code in (("mjpg.avi", "MJPG"), ("mp4v.mp4", "mp4v")):
        writer = cv2.VideoWriter(
            str(folder / name), cv2.VideoWriter_fourcc(*code), 10, (WIDTH, HEIGHT)
        )
        assert writer.isOpened()
        for number in range(COUNT):
            writer.write(np.full((HEIGHT, WIDTH, 3), shade(number), np.uint8))
        writer.release()


def pillow(folder: Path, _: Path) -> None:
    from PIL import Image

    for kind in ("png", "jpg", "webp", "tif", "bmp"):
        (folder / kind).mkdir()
        for number in range(COUNT):
            image = Image.new("RGB", (HEIGHT, WIDTH), (shade(number),) * 3)
            turned = Image.Exif()
            turned[0x0112] = 6  # as a phone held upright has it: turn it back, and it is 64x48
            if kind == "bmp":
                image = image.transpose(Image.Transpose.ROTATE_90)
            options = {} if kind == "bmp" else {"exif": turned}
            image.save(folder / kind / f"{number}.{kind}", **options)


WRITERS = {
    "rosbags-mcap": partial(rosbags_rosbag2, storage="MCAP", packed=False),
    "rosbags-sqlite3": partial(rosbags_rosbag2, storage="SQLITE3", packed=True),
    "rosbags-ros1": rosbags_ros1,
    "mcap-ros2": mcap_ros2,
    "pybag": pybag,
    "mcap-json": mcap_json,
    "mcap-protobuf": mcap_protobuf,
    "foxglove-sdk": foxglove_sdk,
    "pyav": pyav,
    "ffmpeg": ffmpeg,
    "opencv5": opencv,
    "opencv4": opencv,
    "pillow": pillow,
}

if __name__ == "__main__":
    WRITERS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
