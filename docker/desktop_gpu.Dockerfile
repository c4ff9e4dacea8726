# ROS 2 Jazzy and TensorRT for a desktop GPU. Not tested.
#   docker build -f docker/desktop_gpu.Dockerfile -t seg_ros .
#   docker run --rm --gpus all --net host --ipc host -v seg_ros_cache:/root/.cache seg_ros
# --ipc host: images pass through shared memory; the volume keeps engines that took minutes to build.
FROM ros:jazzy
SHELL ["/bin/bash", "-c"]
WORKDIR /ws
COPY . src/seg_ros
RUN apt-get update -q \
    && apt-get install -qy --no-install-recommends python3-pip \
    && rosdep update --rosdistro jazzy \
    && rosdep install --from-paths src --ignore-src -y --skip-keys rviz2 \
    && rm -rf /var/lib/apt/lists/*
# Engines from pip, with the CUDA libraries they need; the driver is the host's.
RUN python3 -m pip install --no-cache-dir --break-system-packages \
    'numpy<2' av backports.zstd cuda-python mcap mcap-protobuf-support numba onnx rosbags rosbags-image simplejpeg tensorrt
RUN source /opt/ros/jazzy/setup.bash && colcon build --packages-select seg_ros
# ros2 launch ends its nodes at this one; at SIGTERM it leaves them running.
STOPSIGNAL SIGINT
ENTRYPOINT ["/bin/bash", "-c", "source install/setup.bash && exec \"$@\"", "--"]
CMD ["ros2", "launch", "seg_ros", "segmentation.launch.py"]
