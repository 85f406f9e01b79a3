"""The same images, harder: dimmed, noisy, turned and shifted by a fixed recipe.

On clean digits a small network is right nearly always, and every quantized copy of it as well:
nothing is at stake. A harder test shows what a drop costs. The recipe is fixed, so that two
readers speak of the same pixels; the benchmarks of the field (ImageNet-C) apply one corruption at
a time in five strengths, this one applies four at once, in one strength.
"""

import numpy as np

SEED = 0
TURN = 30.0  # degrees, at most, either way
SHIFT = 2.5  # pixels of 28, at most, in each direction
CONTRAST = (0.4, 1.0)  # what is left of the light
NOISE = 0.02  # standard deviation, where 1 is full light
_64_BITS = 2**64 - 1  # a generator takes no negative seed


def corrupt(pixels: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Return uint8 ``pixels`` (N, H, W, C) turned, shifted, dimmed and noisy, of the same shape.

    Each image is turned by up to 30 degrees about its middle and shifted by up to 2.5/28 of its
    height each way (bilinear, 0 beyond the edge), multiplied by 0.4 to 1.0, and given normal noise
    with a standard deviation of 0.02 of full light; then clipped and rounded to 0..255. Angle,
    shifts and factor are drawn uniformly, all from a generator seeded with the image's id, int64
    (N,): an image is corrupted the same in any selection. The strengths were chosen on the float
    models alone. Defined in lesson 02. Source of the idea: Hendrycks and Dietterich, "Benchmarking
    Neural Network Robustness to Common Corruptions and Perturbations", ICLR 2019.
    """
    corrupted = np.empty_like(pixels)
    for place, (image, number) in enumerate(zip(pixels, ids, strict=True)):
        corrupted[place] = _corrupt_one(
            image, np.random.default_rng([SEED, int(number) & _64_BITS])
        )
    return corrupted


def _corrupt_one(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    angle = np.deg2rad(random.uniform(-TURN, TURN))
    shift = random.uniform(-SHIFT, SHIFT, 2) * image.shape[0] / 28
    contrast = random.uniform(*CONTRAST)
    noise = random.normal(0, NOISE, image.shape)
    light = contrast * _moved(image / 255, angle, shift) + noise
    return np.round(np.clip(255 * light, 0, 255)).astype(np.uint8)


def _moved(image: np.ndarray, angle: float, shift: np.ndarray) -> np.ndarray:
    """The image turned about its middle by ``angle`` (radians), then moved by ``shift`` pixels."""
    from scipy import ndimage  # 0.2 s, for those who ask for hard images only

    turn = np.eye(3)  # rows, columns, channels: channels stay
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    middle = (np.array([*image.shape[:2], 1]) - 1) / 2
    offset = middle - turn @ (middle + np.array([*shift, 0]))
    return ndimage.affine_transform(image, turn, offset, order=1)
