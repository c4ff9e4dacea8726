"""The rooms of `train.py`: samples, light, batches, network, scores, run."""
