"""Where a picture's results lie on a map: by the call, or by the picture's own tags."""

from __future__ import annotations

from typing import NamedTuple

from infer_segment_anything_2.errors import ExportError
from infer_segment_anything_2.exports import Affine
from infer_segment_anything_2.sam2_reading.tiff_files import Georeference

__all__ = ["MapPlace", "map_place"]


class MapPlace(NamedTuple):
    """A transform and the reference system that it leads to; see :func:`.exports.write_geojson`."""

    affine: Affine | None = None
    crs: str = ""


def map_place(affine: Affine | None, crs: str, own: Georeference | None) -> MapPlace:
    """Chooses the place of a picture; transform and reference system are of one origin.

    Args:
        affine: As the call gives it, for this picture.
        crs: As the call gives it; names the system of a picture that does not name its own.
        own: What the picture says itself.

    Raises:
        ExportError: There is a reference system but no transform to it, or the picture is of
            another one.
    """
    if affine is not None:
        return MapPlace(affine, crs)
    if own is None:
        if not crs:
            return MapPlace()
        raise ExportError(
            f"The reference system {crs} needs the transform from pixels to its coordinates, which "
            "this picture does not bring; give --affine A,B,C,D,E,F too, or leave --crs out."
        )
    if crs and own.crs and crs.strip().upper() != own.crs.upper():
        raise ExportError(
            f"The picture lies in {own.crs} by its own word, got --crs {crs}; leave --crs out, or "
            "transform the picture first (gdalwarp -t_srs)."
        )
    return MapPlace(own.affine, own.crs or crs)
