"""The coins picture of scikit-image with masks of its 24 coins: a real, grey test picture."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import data, filters, measure, segmentation

N_COINS = 24
_LEAST_COIN_AREA_PX = 500


def coins_picture() -> NDArray[np.uint8]:
    """Returns the picture as 303x384x3 uint8."""
    return np.repeat(data.coins()[..., None], 3, axis=2)


def coin_masks() -> list[NDArray[np.bool_]]:
    """Segments the 24 coins: watershed of the Sobel picture, from its darkest and lightest pixels.

    The recipe is the one of scikit-image's own tutorial on this picture; holes are filled and thin
    bridges of the background removed. The outlines were checked by eye: all follow the coins' rims.

    Returns:
        24 masks of 303x384.

    Raises:
        RuntimeError: When another version of the libraries finds another number of coins.
    """
    grey = data.coins()
    seeds = np.zeros(grey.shape, np.int32)
    seeds[grey < 30] = 1
    seeds[grey > 150] = 2
    coins = segmentation.watershed(filters.sobel(grey), seeds) == 2
    coins = ndimage.binary_opening(ndimage.binary_fill_holes(coins), iterations=3)
    labels = measure.label(coins)
    areas = np.bincount(labels.ravel())
    kept = [k for k in range(1, len(areas)) if areas[k] > _LEAST_COIN_AREA_PX]
    if len(kept) != N_COINS:
        raise RuntimeError(f"Expected {N_COINS} coins in scikit-image's picture, got {len(kept)}.")
    return [np.asarray(labels == k) for k in kept]
