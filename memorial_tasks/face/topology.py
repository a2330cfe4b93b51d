"""Which of the 478 mesh points lies where. Indices follow the face model's published point order.

"Right" and "left" are the person's own: the right eye is on the left of the picture.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

POINTS = 478
SURFACE = 468  # without the ten iris points

# Lips, each ring from the person's right corner to the left one, corners included.
LIP_UPPER_OUTER: tuple[int, ...] = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LIP_UPPER_MIDDLE: tuple[int, ...] = (76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306)
LIP_UPPER_NEAR: tuple[int, ...] = (62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292)
LIP_UPPER_INNER: tuple[int, ...] = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LIP_LOWER_OUTER: tuple[int, ...] = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
LIP_LOWER_MIDDLE: tuple[int, ...] = (76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306)
LIP_LOWER_NEAR: tuple[int, ...] = (62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292)
LIP_LOWER_INNER: tuple[int, ...] = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
UPPER_LIP: tuple[tuple[int, ...], ...] = (LIP_UPPER_OUTER, LIP_UPPER_MIDDLE, LIP_UPPER_NEAR, LIP_UPPER_INNER)
LOWER_LIP: tuple[tuple[int, ...], ...] = (LIP_LOWER_OUTER, LIP_LOWER_MIDDLE, LIP_LOWER_NEAR, LIP_LOWER_INNER)
LIP_CORNERS_RIGHT: tuple[int, ...] = (61, 76, 62, 78)
LIP_CORNERS_LEFT: tuple[int, ...] = (291, 306, 292, 308)

# Lids from the outer corner to the inner one (right eye), rings going away from the eye.
RIGHT_UPPER: tuple[tuple[int, ...], ...] = (
    (246, 161, 160, 159, 158, 157, 173),
    (247, 30, 29, 27, 28, 56, 190),
    (113, 225, 224, 223, 222, 221, 189),
)
RIGHT_LOWER: tuple[tuple[int, ...], ...] = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133),
    (130, 25, 110, 24, 23, 22, 26, 112, 243),
    (226, 31, 228, 229, 230, 231, 232, 233, 244),
    (143, 111, 117, 118, 119, 120, 121, 128, 245),
)
LEFT_UPPER: tuple[tuple[int, ...], ...] = (
    (466, 388, 387, 386, 385, 384, 398),
    (467, 260, 259, 257, 258, 286, 414),
    (342, 445, 444, 443, 442, 441, 413),
)
LEFT_LOWER: tuple[tuple[int, ...], ...] = (
    (263, 249, 390, 373, 374, 380, 381, 382, 362),
    (359, 255, 339, 254, 253, 252, 256, 341, 463),
    (446, 261, 448, 449, 450, 451, 452, 453, 464),
    (372, 340, 346, 347, 348, 349, 350, 357, 465),
)
RIGHT_IRIS: tuple[int, ...] = (468, 469, 470, 471, 472)  # centre first
LEFT_IRIS: tuple[int, ...] = (473, 474, 475, 476, 477)

RIGHT_BROW: tuple[int, ...] = (46, 53, 52, 65, 55, 70, 63, 105, 66, 107)  # outer to inner, lower row then upper row
LEFT_BROW: tuple[int, ...] = (276, 283, 282, 295, 285, 300, 293, 334, 296, 336)

OVAL: tuple[int, ...] = (
    10,
    338,
    297,
    332,
    284,
    251,
    389,
    356,
    454,
    323,
    361,
    288,
    397,
    365,
    379,
    378,
    400,
    377,
    152,
    148,
    176,
    149,
    150,
    136,
    172,
    58,
    132,
    93,
    234,
    127,
    162,
    21,
    54,
    103,
    67,
    109,
)

FOREHEAD, CHIN, NOSE_TIP, NOSE_BRIDGE = 10, 152, 1, 168
RIGID: tuple[int, ...] = (
    33,
    133,
    362,
    263,
    168,
    6,
    197,
    195,
    5,
    4,
    1,
    2,
    98,
    327,
    10,
    151,
    9,
    8,
    234,
    454,
    127,
    356,
)  # bone, not muscle

INNER_MOUTH: tuple[int, ...] = LIP_UPPER_INNER + LIP_LOWER_INNER[-2:0:-1]  # closed polygon, 20 points
OUTER_MOUTH: tuple[int, ...] = LIP_UPPER_OUTER + LIP_LOWER_OUTER[-2:0:-1]
RIGHT_EYE: tuple[int, ...] = (33, *RIGHT_UPPER[0], 133, *RIGHT_LOWER[0][-2:0:-1])  # closed polygon, 16 points
LEFT_EYE: tuple[int, ...] = (263, *LEFT_UPPER[0], 362, *LEFT_LOWER[0][-2:0:-1])


def polygon(points: NDArray[np.float32], indices: Sequence[int]) -> NDArray[np.float32]:
    """The (x, y) corners of a named contour, float32 [len(indices), 2]."""
    return np.ascontiguousarray(points[list(indices), :2], dtype=np.float32)
