"""An engine for what is about everything but the network."""

import cv2
import numpy as np

from seg_ros.engines import EngineInfo, Inference


class QuickEngine:
    """Classes by brightness, without a network."""

    info = EngineInfo("quick", "test", "fp32")
    input_size = (45, 80)
    class_count = 11

    def infer(self, image):
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
        centres = np.linspace(0, 255, self.class_count, dtype=np.float32)
        logits = -np.abs(grey[None] - centres[:, None, None])
        return Inference(lambda: logits, True)
