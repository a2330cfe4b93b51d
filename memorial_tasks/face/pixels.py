"""OpenCV without its type stubs: they widen every picture to "some array of some number", which hides real mistakes."""

from typing import Any

import cv2 as _cv2

cv2: Any = _cv2
