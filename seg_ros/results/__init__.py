"""What is written of a drive: topics, result bag, video, figures, the folder they lie in."""
