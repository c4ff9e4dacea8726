"""A drive becomes a result: every frame through the pipeline, resumed and shared among machines."""
