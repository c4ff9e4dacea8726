"""How long a parameter call takes while the engine is busy on the CPU.

Runs the node with a slow model in a process of its own, keeps it busy with frames, and calls
get_parameters and set_parameters meanwhile.

    python bench/segformer_b3.py b3.onnx
    python bench/responsiveness.py b3.onnx cityscapes
"""

import subprocess
import sys
import time

import numpy as np
import rclpy
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile

from seg_ros.results import topics
from seg_ros.ros.messages import message_class, ros_messages
from seg_ros.ros.transport import use_shared_memory
from seg_ros.support.tables import text_table

CALLS = 100


def main() -> None:
    model, labels = sys.argv[1:3]
    use_shared_memory()
    rclpy.init()
    node = rclpy.create_node("bench")
    values: dict[str, str] = {}

    def on_diagnostics(message) -> None:
        values.update({pair.key: pair.value for pair in message.status[0].values})

    image_class = message_class(topics.MASK.message_type)
    node.create_subscription(image_class, topics.MASK.name, lambda _: None, 1, raw=True)
    diagnostics = message_class(topics.DIAGNOSTICS.message_type)
    node.create_subscription(diagnostics, "/diagnostics", on_diagnostics, QoSProfile(depth=10))
    images = node.create_publisher(image_class, "image", 1)
    library = ros_messages()
    frame = np.random.default_rng(0).integers(0, 256, (512, 1024, 3), dtype=np.uint8)
    stamp = 0
    arguments = ["--ros-args", "-p", f"model:={model}", "-p", f"labels:={labels}"]
    process = subprocess.Popen([sys.executable, "-m", "seg_ros.ros.start", *arguments])

    def feed() -> None:
        nonlocal stamp
        stamp += 1
        images.publish(library.image(library.header(stamp, "camera"), frame))

    def call(client, request) -> float:
        start = time.perf_counter()
        future = client.call_async(request)
        while not future.done():
            rclpy.spin_once(node, timeout_sec=0.001)
        return (time.perf_counter() - start) * 1e3

    try:
        while int(values.get("published", 0)) < 2:  # the engine is warm and at work
            feed()
            rclpy.spin_once(node, timeout_sec=0.2)
        get = node.create_client(GetParameters, "/segmentation_node/get_parameters")
        put = node.create_client(SetParameters, "/segmentation_node/set_parameters")
        get.wait_for_service()
        put.wait_for_service()
        got, set_ = [], []
        before = int(values["published"])
        for number in range(CALLS):
            feed()
            got.append(call(get, GetParameters.Request(names=["overlay_opacity"])))
            opacity = Parameter("overlay_opacity", value=number / CALLS).to_parameter_msg()
            set_.append(call(put, SetParameters.Request(parameters=[opacity])))
            end = time.monotonic() + 0.2
            while time.monotonic() < end:
                rclpy.spin_once(node, timeout_sec=0.05)
        rows = [("call", "p50 ms", "p99 ms", "max ms")]
        for name, times in (("get_parameters", got), ("set_parameters", set_)):
            numbers = (*np.percentile(times, [50, 99]), max(times))
            rows.append((name, *(f"{n:.1f}" for n in numbers)))
        print(text_table(rows))
        during = int(values["published"]) - before
        print(f"engine p50 {values['engine p50 ms']} ms; {during} frames segmented meanwhile")
    finally:
        process.terminate()
        process.wait()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
