"""Speed beside a drive, in the files that its makers write; each is written here, by its layout."""

import json
import math

import cv2
import numpy as np
import pytest
from recordings import write_mcap

from seg_ros.drive import open_drive
from seg_ros.drive.messages import bag_messages, typestore
from seg_ros.drive.speed import find_speed
from seg_ros.drive.speed.track import speed_track
from seg_ros.errors import SegRosError

START = 1_503_828_163_000
"""Milliseconds since 1970, as in BDD100K's files."""


def pictures(folder, numbers):
    folder.mkdir(parents=True)
    for number in numbers:
        cv2.imwrite(str(folder / f"{number:010d}.png"), np.full((8, 8, 3), number, np.uint8))
    return folder


def video(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (64, 48))
    for number in range(30):
        writer.write(np.full((48, 64, 3), number * 8, np.uint8))
    writer.release()
    return path


def bdd_info(locations, **other):
    return {
        "rideID": "a", "startTime": START, "endTime": START + 3000, "timelapse": False,
        "accelerometer": [], "gyro": [], "gps": [], "locations": locations, **other,
    }  # fmt: skip


def location(milliseconds, speed, course):
    return {
        "timestamp": START + milliseconds, "speed": speed, "course": course,
        "latitude": 40.0, "longitude": -74.0, "accuracy": 5.0,
    }  # fmt: skip


def test_a_track_is_asked_at_stamps_and_knows_its_gaps():
    track = speed_track("test", [3_000_000_000, 1_000_000_000, 1_000_000_000], [6.0, 2.0, 9.0])
    assert track.stamps_ns.tolist() == [1_000_000_000, 3_000_000_000]
    asked = [-600_000_000, 500_000_000, 1_000_000_000, 2_000_000_000, 4_000_000_000, 9_000_000_000]
    assert np.allclose(
        track.at(asked, gap_seconds=1.5), [np.nan, 2, 2, np.nan, 6, np.nan], equal_nan=True
    )
    assert np.allclose(track.at(asked, 2.0), [2, 2, 2, 4, 6, np.nan], equal_nan=True)


def test_what_no_vehicle_drives_is_left_out_and_one_value_is_no_track():
    values = [1.0, math.inf, math.nan, 300.0, 3.0]
    assert speed_track("test", range(5), values).speed.tolist() == [1.0, 3.0]
    with pytest.raises(SegRosError, match="test has 1 usable values of speed; two are needed"):
        speed_track("test", range(4), values[:4])


@pytest.mark.parametrize("where", ["videos/100k/train/{}.json", "info/100k/train/{}.json"])
def test_bdd100k(tmp_path, where):
    path = video(tmp_path / "videos/100k/train/0000f77c-6257be58.mov")
    info = tmp_path / where.format("0000f77c-6257be58")
    info.parent.mkdir(parents=True, exist_ok=True)
    places = [location(0, 10.0, 90.0), location(1000, -1, -1), location(2000, 14.0, 0.0)]
    info.write_text(json.dumps(bdd_info(places)))
    track, notes = find_speed(open_drive(str(path)))
    assert notes == ("speed: BDD100K's info, 0000f77c-6257be58.json",)
    assert track.stamps_ns.tolist() == [1_000_000_000, 3_000_000_000]  # first frame: 1 s
    assert track.speed.tolist() == [10.0, 14.0]
    assert np.allclose(track.heading, [0.0, math.pi / 2])  # east, north
    assert track.yaw_rate is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"locations": [}', "is no info of BDD100K"),
        (json.dumps(bdd_info([])), "has 0 usable values of speed"),
        (json.dumps(bdd_info([location(0, 1, 1)] * 3, timelapse=True)), "is of a time lapse"),
        (json.dumps(bdd_info([{"speed": 1}])), "is no info of BDD100K (KeyError('timestamp'))"),
    ],
)
def test_an_info_that_cannot_be_used_is_said_and_costs_nothing_else(tmp_path, text, said):
    path = video(tmp_path / "a.mov")
    (tmp_path / "a.json").write_text(text)
    track, notes = find_speed(open_drive(str(path)))
    assert track is None
    assert len(notes) == 1
    assert said in notes[0]


def test_another_programs_json_beside_a_video_is_none(tmp_path):
    path = video(tmp_path / "a.mov")
    (tmp_path / "a.json").write_text('{"shapes": []}')
    assert find_speed(open_drive(str(path))) == (None, ())


def kitti(root, count=8, numbers=None, seconds=0.1):
    """A drive of KITTI raw; its OXTS packets are 20 ms after the pictures."""
    folder = pictures(root / "image_02" / "data", numbers or range(count))
    (root / "oxts" / "data").mkdir(parents=True)
    for name, late in (("image_02", 0.0), ("oxts", 0.02)):
        lines = [f"2011-09-26 13:02:{25 + i * seconds + late:012.9f}\n" for i in range(count)]
        (root / name / "timestamps.txt").write_text("".join(lines))
    for i in range(count):
        row = [49.0, 8.4, 112.8, 0.03, 0.01, 0.5 + 0.1 * i, 1.0, 2.0, 10.0 + i, *[0.0] * 13]
        row += [0.01 * i, *[0.0] * 7]
        assert len(row) == 30
        text = " ".join(f"{v:.12g}" for v in row) + "\n"
        (root / "oxts" / "data" / f"{i:010d}.txt").write_text(text)
    return folder


def test_kitti_raw(tmp_path):
    folder = kitti(tmp_path / "2011_09_26_drive_0001_sync")
    track, notes = find_speed(open_drive(str(folder)))
    assert notes[0].startswith("speed: KITTI's OXTS, 8 packets in ")
    # The last packet is after the last picture. Pictures have no clock: 10 a second from 1 s on.
    assert np.abs(track.stamps_ns - [1_020_000_000 + i * 100_000_000 for i in range(7)]).max() < 200
    assert track.speed.tolist() == [10.0 + i for i in range(7)]
    assert np.allclose(track.yaw_rate, 0.01 * np.arange(7))
    assert np.allclose(track.heading, 0.5 + 0.1 * np.arange(7))


def test_pictures_left_out_of_kitti_and_another_rate_move_the_packets_with_them(tmp_path):
    folder = kitti(tmp_path / "drive", count=6, numbers=[1, 2, 5])
    track, _ = find_speed(open_drive(str(folder), fps=2.0))
    # Pictures 1, 2 and 5 are at 1, 1.5 and 2 s; a packet is 0.02 s, a fifth of their step, later.
    wanted = {11.0: 1.1, 12.0: 1.5 + 0.5 / 15, 13.0: 1.5 + 0.5 * 0.4, 14.0: 1.5 + 0.5 * 2.2 / 3}
    assert np.allclose(track.speed, list(wanted))
    assert np.allclose(track.stamps_ns / 1e9, list(wanted.values()))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda root: (root / "oxts/timestamps.txt").unlink(), "cannot read"),
        (lambda root: (root / "oxts/data/0000000002.txt").write_text("1 2\n"), "25 numbers"),
        (lambda root: (root / "oxts/timestamps.txt").write_text("soon\n"), "no time for each"),
        (lambda root: (root / "oxts/data/0000000002.txt").write_text("1 " * 4000), "at most 4096"),
    ],
)
def test_damaged_oxts_is_said(tmp_path, damage, said):
    folder = kitti(tmp_path / "drive")
    damage(tmp_path / "drive")
    track, notes = find_speed(open_drive(str(folder)))
    assert track is None
    assert said in notes[0]


def messages(kind, topic, values, make):
    """Recorded messages of (stamp in s, ...) values."""
    library = bag_messages()
    written = []
    for seconds, *rest in values:
        stamp = 1_700_000_000_000_000_000 + round(seconds * 1e9)
        message = make(library.message_type, library.header(stamp, "base_link"), *rest)
        data = bytes(typestore().serialize_cdr(message, kind))
        written.append((topic, kind, stamp + 5, data))
    return written


def vector(of, x=0.0, y=0.0, z=0.0):
    return of("geometry_msgs/msg/Vector3")(x=x, y=y, z=z)


def odometry(of, header, x, y, yaw, forward=0.0, turning=0.0):
    turn = of("geometry_msgs/msg/Quaternion")(
        x=0.0, y=0.0, z=math.sin(yaw / 2), w=math.cos(yaw / 2)
    )
    place = of("geometry_msgs/msg/Point")(x=x, y=y, z=0.0)
    zeros = np.zeros(36)
    twist = of("geometry_msgs/msg/Twist")(linear=vector(of, forward), angular=vector(of, z=turning))
    pose = of("geometry_msgs/msg/Pose")(position=place, orientation=turn)
    return of("nav_msgs/msg/Odometry")(
        header=header, child_frame_id="base_link",
        pose=of("geometry_msgs/msg/PoseWithCovariance")(pose=pose, covariance=zeros),
        twist=of("geometry_msgs/msg/TwistWithCovariance")(twist=twist, covariance=zeros),
    )  # fmt: skip


def twist_stamped(of, header, forward, turning):
    twist = of("geometry_msgs/msg/Twist")(linear=vector(of, forward), angular=vector(of, z=turning))
    return of("geometry_msgs/msg/TwistStamped")(header=header, twist=twist)


def fix(of, header, latitude, longitude, status=0):
    return of("sensor_msgs/msg/NavSatFix")(
        header=header, status=of("sensor_msgs/msg/NavSatStatus")(status=status, service=1),
        latitude=latitude, longitude=longitude, altitude=100.0,
        position_covariance=np.zeros(9), position_covariance_type=0,
    )  # fmt: skip


ODOMETRY = "nav_msgs/msg/Odometry"
TWIST = "geometry_msgs/msg/TwistStamped"
FIX = "sensor_msgs/msg/NavSatFix"


def bag(path, *topics):
    library = bag_messages()
    images = messages(
        "sensor_msgs/msg/Image", "/cam/image_raw", [(i / 10,) for i in range(20)],
        lambda _, header: library.image(header, np.zeros((8, 8, 3), np.uint8)),
    )  # fmt: skip
    written = sorted([*images, *(m for topic in topics for m in topic)], key=lambda m: m[2])
    return open_drive(str(write_mcap(path, written)))


def relative(track):
    return ((track.stamps_ns - 1_700_000_000_000_000_000) / 1e9).tolist()


def test_odometry_of_a_bag_by_its_twist_and_where_it_has_none_by_its_poses(tmp_path):
    with_twist = messages(
        ODOMETRY, "/odom", [(i / 10, 0.0, 0.0, 0.2, 8.0 + i, 0.1) for i in range(5)], odometry
    )
    track, notes = find_speed(bag(tmp_path / "a.mcap", with_twist))
    assert notes == ("speed: /odom (nav_msgs/msg/Odometry)",)
    assert relative(track) == [i / 10 for i in range(5)]
    assert track.speed.tolist() == [8.0, 9.0, 10.0, 11.0, 12.0]
    assert np.allclose(track.yaw_rate, 0.1)
    assert np.allclose(track.heading, 0.2)
    # 2 m a tenth of a second towards y, looking there, then back again.
    places = [0.0, 2.0, 4.0, 2.0]
    poses = [(i / 10, 5.0, y, math.pi / 2) for i, y in enumerate(places)]
    track, notes = find_speed(
        bag(tmp_path / "b.mcap", messages(ODOMETRY, "/odom", poses, odometry))
    )
    assert notes == ("speed: /odom (nav_msgs/msg/Odometry), from pose to pose",)
    assert np.allclose(relative(track), [0.05, 0.15, 0.25])
    assert np.allclose(track.speed, [20.0, 20.0, -20.0])


def test_satellites_of_a_bag(tmp_path):
    # 1e-4 degrees of latitude at the equator are 11.0574 m, of longitude 11.1320 m.
    north = [(i, 1e-4 * i, 0.0, 0) for i in range(3)]
    track, notes = find_speed(bag(tmp_path / "n.mcap", messages(FIX, "/fix", north, fix)))
    assert notes == ("speed: /fix (sensor_msgs/msg/NavSatFix), from place to place",)
    assert np.allclose(track.speed, 11.0574, atol=1e-3)
    assert np.allclose(track.heading, math.pi / 2)
    east = [(0, 0.0, 0.0, 0), (0.5, 5.0, 5.0, -1), (1, 0.0, 1e-4, 0), (6, 0.0, 1e-3, 0),
            (7, 0.0, 11e-4, 0)]  # fmt: skip
    track, _ = find_speed(bag(tmp_path / "e.mcap", messages(FIX, "/fix", east, fix)))
    assert np.allclose(track.speed, 11.1320, atol=1e-3)  # no fix counts for nothing, nor 5 s
    assert np.allclose(relative(track), [0.5, 6.5])


def test_of_several_topics_the_vehicles_own_counts_unless_one_is_chosen(tmp_path):
    twists = messages(
        TWIST, "/vehicle/twist", [(i / 10, 7.0, 0.02) for i in range(4)], twist_stamped
    )
    fixes = messages(FIX, "/fix", [(i, 1e-4 * i, 0.0, 0) for i in range(3)], fix)
    drive = bag(tmp_path / "a.mcap", twists, fixes)
    track, notes = find_speed(drive)
    assert notes == ("speed: /vehicle/twist (geometry_msgs/msg/TwistStamped)",)
    assert track.speed.tolist() == [7.0] * 4
    track, _ = find_speed(drive, "/fix")
    assert len(track.speed) == 2
    with pytest.raises(SegRosError, match="has no topic /nothing that tells a speed; it has /fix"):
        find_speed(drive, "/nothing")


def test_a_drive_without_any_says_nothing(tmp_path):
    assert find_speed(open_drive(str(pictures(tmp_path / "p", range(3))))) == (None, ())
    assert find_speed(open_drive("synthetic")) == (None, ())
    assert find_speed(bag(tmp_path / "a.mcap")) == (None, ())
