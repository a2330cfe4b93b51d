"""A drawn body for a head without one: neck, collar and shoulders under a photo that was cut at the chin or the neck.

Nothing is made up about the person: the cloth is plain and dark, the neck has the colours of the photo's own lowest
rows. A photo that shows shoulders keeps them.
"""

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Plane = NDArray[np.float32]
BROAD: Final = 1.3  # widths of the head: a lower edge broader than this shows shoulders
SHOULDERS: Final = 1.3  # widths of the head from the middle to the end of a drawn shoulder
DEEP: Final = 1.0  # widths of the head that the drawing reaches below the photo
NECK: Final = 0.62  # width of a neck that the photo does not show, in widths of the head
CLOTH: Final = (50, 52, 60)  # RGB
FADE: Final = 0.06  # of the head's width: how softly the photo ends in the drawing


class Bust:
    """The drawing for one photo. `matte` is that of photo and drawing together, uint8 [H', W']; `dress` lays a picture
    of the photo's size over it. Build with `under`."""

    def __init__(self, matte: Picture, sample: Picture, head: float, middle: float, last: int) -> None:
        height, width = matte.shape
        broad, deep = round(SHOULDERS * head) + 4, round(DEEP * head)
        left, right = max(0, broad - round(middle)), max(0, round(middle) + broad - width)
        below = max(0, last + deep - height)
        self._place = slice(0, height), slice(left, left + width)
        shape = (height + below, width + left + right)
        x = np.asarray((np.arange(shape[1]) - (middle + left))[None] / head, np.float32)
        y = np.asarray((np.arange(shape[0]) - last)[:, None] / head, np.float32)
        lowest = matte[max(0, last - 2)] > 127
        neck = min(NECK, float(lowest.sum()) / head) / 2
        cloth, skin = _shoulders(x, y, neck), _neck(x, y, neck)
        photo = np.zeros(shape, np.float32)
        photo[self._place] = matte.astype(np.float32) / 255
        photo *= np.clip((-y - 0.005) / FADE, 0, 1)
        drawn = np.maximum(cloth, skin)
        self.matte: Picture = np.asarray(np.maximum(photo, drawn) * 255 + 0.5, np.uint8)
        tone = sample[max(0, last - max(3, round(0.05 * head))) : last][:, lowest].reshape(-1, 3).mean(axis=0)
        self._under = _painted(tone, cloth, x, y)
        # where there is no drawing the photo stays as it is: its own outline decides there
        self._weight = np.where(drawn > 0.01, photo, (y < 0) & (photo >= 0)).astype(np.float32)
        self._rest = np.ascontiguousarray(1 - self._weight)

    @classmethod
    def under(cls, matte: Picture, sample: Picture) -> "Bust | None":
        """The drawing that a photo needs, or None for one that shows shoulders (or nobody at all). `matte` uint8
        [H, W], `sample` uint8 [H, W, 3]."""
        solid = matte > 127
        rows = np.flatnonzero(solid.mean(axis=1) > 0.01)
        if len(rows) < 32:
            return None
        first, last = int(rows[0]), int(rows[-1]) + 1
        widths = solid[first:last].sum(axis=1)
        head = float(widths[: max(1, int(0.7 * len(widths)))].max())
        foot = solid[last - max(2, len(rows) // 20) : last]
        cut = bool(foot[:, 0].any() and foot[:, -1].any())  # the body goes on beyond both edges of the photo
        if cut or float(foot.sum(axis=1).max()) >= BROAD * head or head < 16:
            return None
        above = solid[first : first + max(1, int(0.7 * len(widths)))].sum(axis=0)
        middle = float(np.average(np.arange(matte.shape[1]), weights=np.maximum(above, 1e-6)))
        return cls(matte, sample, head, middle, last)

    def dress(self, portrait: Picture) -> Picture:
        """The picture with the drawing under it, uint8 [H', W', 3]."""
        whole = self._under.copy()
        place = whole[self._place]
        weight, rest = self._weight[self._place], self._rest[self._place]
        weight, rest = np.ascontiguousarray(weight), np.ascontiguousarray(rest)
        whole[self._place] = cv2.blendLinear(portrait, np.ascontiguousarray(place), weight, rest)
        return whole


def _shoulders(x: Plane, y: Plane, neck: float) -> Plane:
    """Coverage of the cloth, 0..1 [H, W]; x and y in widths of the head from the middle of the photo's lower end."""
    side = np.clip((np.abs(x) - neck) / (SHOULDERS - neck), 0, 1)
    slope = 0.06 + 0.30 * side**1.4 + 0.75 * np.clip((side - 0.72) / 0.28, 0, 1) ** 2.4  # trapezius, then the arm
    collar = 0.34 * np.clip(1 - np.abs(x) / max(neck * 1.08, 1e-3), 0, 1)  # open in front
    edge = np.where(np.abs(x) < neck, 0.06 + collar, slope)
    soft = np.clip((y - edge) / 0.02 + 0.5, 0, 1)
    return np.asarray(soft * np.clip((SHOULDERS - np.abs(x)) / 0.02, 0, 1), np.float32)


def _neck(x: Plane, y: Plane, neck: float) -> Plane:
    """Coverage of the neck under the photo's end."""
    wide = neck * (1 + 0.12 * np.clip(y / 0.3, 0, 1))
    return np.asarray(np.clip((wide - np.abs(x)) / 0.02, 0, 1) * np.clip((y + FADE) / 0.02, 0, 1), np.float32)


def _painted(tone: NDArray[Any], cloth: Plane, x: Plane, y: Plane) -> Picture:
    """Neck and cloth in colour: round, lit from the front, darker under the chin."""
    round_neck = 1 - 0.35 * np.clip(np.abs(x) / 0.4, 0, 1) ** 2
    chin = 0.72 + 0.28 * np.clip(y / 0.35, 0, 1)
    skin = tone[None, None] * (round_neck * chin)[..., None]
    form = 1.12 - 0.40 * np.clip(np.abs(x) / SHOULDERS, 0, 1) ** 1.5 - 0.18 * np.clip(y, 0, 1)
    random = np.random.default_rng(0)
    folds = cv2.resize(
        random.standard_normal((5, 14)).astype(np.float32), cloth.shape[::-1], interpolation=cv2.INTER_CUBIC
    )
    weave = cv2.GaussianBlur(random.standard_normal(cloth.shape).astype(np.float32), (0, 0), 0.8)
    garment = np.array(CLOTH, np.float32) * (form * (1 + 0.05 * folds) + 0.02 * weave)[..., None]
    mixed = skin * (1 - cloth[..., None]) + garment * cloth[..., None]
    return np.asarray(np.clip(mixed + 0.5, 0, 255), np.uint8)
