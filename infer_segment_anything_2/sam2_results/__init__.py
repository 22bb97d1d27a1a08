"""What comes out for a picture: records, label pictures, overlays, outlines."""
