"""Pixels become metres: the camera, its rays, the driveable grid, the vehicle's motion."""
