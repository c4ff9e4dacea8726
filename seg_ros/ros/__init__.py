"""The rooms that need ROS: the node, the player and the recorder."""
