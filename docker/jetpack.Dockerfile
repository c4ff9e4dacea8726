# ROS 2 Humble on a Jetson with JetPack 6 (Ubuntu 22.04), whose TensorRT it uses. Not tested.
#   docker build -f docker/jetpack.Dockerfile -t seg_ros .      (on the Jetson)
#   docker run --rm --runtime nvidia --net host --ipc host -v seg_ros_cache:/root/.cache seg_ros
# Take the tag of your JetPack; TensorRT and its Python module come with the image.
FROM nvcr.io/nvidia/l4t-tensorrt:r10.3.0-devel
SHELL ["/bin/bash", "-c"]
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update -q && apt-get install -qy --no-install-recommends curl python3-pip \
    && curl -sSL https://raw.githubusercontent.com/ros/rosdistro/master/ros.key \
       -o /usr/share/keyrings/ros-archive-keyring.gpg \
    && echo "deb [signed-by=/usr/share/keyrings/ros-archive-keyring.gpg] http://packages.ros.org/ros2/ubuntu jammy main" \
       > /etc/apt/sources.list.d/ros2.list \
    && apt-get update -q && apt-get install -qy --no-install-recommends ros-humble-ros-base ros-dev-tools \
    && rosdep init && rosdep update --rosdistro humble && rm -rf /var/lib/apt/lists/*
WORKDIR /ws
COPY . src/seg_ros
RUN apt-get update -q && rosdep install --rosdistro humble --from-paths src --ignore-src -y --skip-keys rviz2 \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m pip install --no-cache-dir 'numpy<2' av backports.zstd cuda-python mcap mcap-protobuf-support numba onnx rosbags rosbags-image simplejpeg
RUN source /opt/ros/humble/setup.bash && colcon build --packages-select seg_ros
# ros2 launch ends its nodes at this one; at SIGTERM it leaves them running.
STOPSIGNAL SIGINT
ENTRYPOINT ["/bin/bash", "-c", "source install/setup.bash && exec \"$@\"", "--"]
CMD ["/bin/bash", "-c", "exec ros2 launch seg_ros segmentation.launch.py params_file:=$(ros2 pkg prefix --share seg_ros)/config/jetson.yaml"]
