"""Random outlines in pixels: what the scene generator fills."""

import numpy as np
from numpy.typing import NDArray

Contour = NDArray[np.float64]
Contours = list[Contour]

_KINDS = ("ellipse", "box", "blob", "polygon", "star", "stroke", "ring")
_SHARES = (0.24, 0.2, 0.24, 0.12, 0.06, 0.09, 0.05)


def random_shape(
    rng: np.random.Generator,
    centre_xy: tuple[float, float],
    radius_px: float,
    kind: str | None = None,
    tall: float | None = None,
) -> Contours:
    """Draws the outline of one shape.

    Args:
        rng: Source of all choices.
        centre_xy: Centre in pixels.
        radius_px: Half of its extent, about.
        kind: One of ellipse, box, blob, polygon, star, stroke, ring; any when None.
        tall: For an upright ellipse its height over its width; None draws any stretch and angle.

    Returns:
        One closed Nx2 contour (x, y), or two for a shape with a hole.
    """
    name = kind if kind is not None else str(rng.choice(_KINDS, p=_SHARES))
    contours = _OUTLINES[name](rng)
    if tall is not None:
        stretch, angle = np.array([1.0, tall]), 0.0
    else:
        slim = rng.uniform(0.85, 1.0) if rng.random() < 0.4 else rng.uniform(0.4, 1.0)
        stretch, angle = np.array([1.0, slim]), rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return [(c * stretch) @ turn * radius_px + np.array(centre_xy) for c in contours]


def band_contour(
    rng: np.random.Generator, centre_xy: NDArray[np.float64], reach_px: float
) -> Contours:
    """Draws a wide band or half-plane with a slightly wavy edge through a point."""
    angle = rng.normal(0, 0.25) + (np.pi / 2) * int(rng.integers(4))
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    t = np.linspace(-3, 3, 40)
    wave = rng.uniform(0, 0.04) * np.sin(t * rng.uniform(1, 6) + rng.uniform(0, 6))
    near = centre_xy + reach_px * (t[:, None] * along + wave[:, None] * across)
    depth = rng.uniform(0.15, 0.4) if rng.random() < 0.4 else 3.0
    return [np.concatenate([near, near[::-1] + across * reach_px * depth])]


def scatter_discs(
    rng: np.random.Generator,
    size_px: int,
    smallest_px: float,
    largest_px: float,
    gap: float,
    limit: int,
) -> list[tuple[float, float, float]]:
    """Throws discs onto a square without letting them come closer than their radii times `gap`.

    Returns:
        At most `limit` tuples (x, y, radius) in pixels, the largest first.
    """
    tries = 500
    radii = np.sort(rng.uniform(smallest_px, largest_px, tries))[::-1]
    spots = rng.uniform(-0.02 * size_px, 1.02 * size_px, (tries, 2))
    kept = np.zeros((0, 3))
    for (x, y), radius in zip(spots, radii, strict=True):
        apart = np.hypot(kept[:, 0] - x, kept[:, 1] - y)
        if np.all(apart >= gap * (kept[:, 2] + radius)):
            kept = np.concatenate([kept, [[x, y, radius]]])
        if len(kept) >= limit:
            break
    return [(float(x), float(y), float(r)) for x, y, r in kept]


def _circle(n: int = 48) -> Contour:
    angles = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _ellipse(_rng: np.random.Generator) -> Contours:
    return [_circle()]


def _box(rng: np.random.Generator) -> Contours:
    if rng.random() < 0.5:
        return [np.array([[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]])]
    power = rng.uniform(0.2, 0.6)  # a superellipse: a box with round corners
    circle = _circle(64)
    return [np.sign(circle) * np.abs(circle) ** power * 0.9]


def _blob(rng: np.random.Generator) -> Contours:
    circle = _circle(64)
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    radius = np.ones(64)
    wildness = rng.uniform(0.05, 0.3)
    for order in range(2, 7):
        radius += (
            wildness / order * rng.normal() * np.cos(order * angles + rng.uniform(0, 2 * np.pi))
        )
    return [circle * np.clip(radius, 0.35, 1.5)[:, None]]


def _polygon(rng: np.random.Generator) -> Contours:
    n = int(rng.integers(3, 9))
    angles = np.sort((np.arange(n) + rng.uniform(-0.35, 0.35, n)) * 2 * np.pi / n)
    radius = rng.uniform(0.75, 1.0, n)
    return [np.stack([np.cos(angles) * radius, np.sin(angles) * radius], axis=1)]


def _star(rng: np.random.Generator) -> Contours:
    n = int(rng.integers(4, 9))
    radius = np.where(np.arange(2 * n) % 2 == 0, 1.0, rng.uniform(0.4, 0.75))
    return [_circle(2 * n) * radius[:, None]]


def _stroke(rng: np.random.Generator) -> Contours:
    """A thick curved line: a backbone with its offset on either side and round ends."""
    t = np.linspace(-1, 1, 24)
    bend, wave = rng.uniform(-0.6, 0.6), rng.uniform(0, 0.25)
    spine = np.stack([t, bend * t**2 + wave * np.sin(4 * t)], axis=1)
    tangent = np.gradient(spine, axis=0)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    width = rng.uniform(0.16, 0.35) * np.sqrt(np.clip(1.04 - t**8, 0.05, 1))[:, None]
    return [np.concatenate([spine + normal * width, (spine - normal * width)[::-1]])]


def _ring(rng: np.random.Generator) -> Contours:
    circle = _circle()
    return [circle, circle * rng.uniform(0.35, 0.65)]


_OUTLINES = {
    "ellipse": _ellipse,
    "box": _box,
    "blob": _blob,
    "polygon": _polygon,
    "star": _star,
    "stroke": _stroke,
    "ring": _ring,
}
