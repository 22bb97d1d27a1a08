"""Pictures in an S3 bucket to tables in the same bucket, and a question to them.

Run it from the repository: python examples/pictures_in_a_bucket.py
It starts an S3 server of this machine. With a store of your own leave that out: address and keys
come from the environment, as with all programs of Amazon's. docs/cluster.md tells the rest.
"""

from __future__ import annotations

import logging
import os

import polars as pl
import s3fs
from moto.server import ThreadedMotoServer
from PIL import Image
from skimage.data import coffee, rocket

from infer_segment_anything_2.sam2_batch.command_line import main

PICTURES = {"coffee.png": coffee(), "below/rocket.png": rocket()}
SETTINGS = ("--model-name", "sam2_demo_nano", "--points-per-side", "12")

logging.getLogger("werkzeug").setLevel(logging.ERROR)  # each request, otherwise
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
os.environ.update(
    AWS_ENDPOINT_URL=f"http://{host}:{port}",
    AWS_ACCESS_KEY_ID="anybody",
    AWS_SECRET_ACCESS_KEY="anything",
    AWS_DEFAULT_REGION="us-east-1",
)

store = s3fs.S3FileSystem()
store.mkdir("bucket")
for name, picture in PICTURES.items():
    with store.open(f"bucket/pictures/{name}", "wb") as file:
        Image.fromarray(picture).save(file, "png")

# The same words behind "infer-segment-anything-2" in a shell; with --on ray on a cluster.
call = ["segment", "s3://bucket/pictures", "-r", "--out", "s3://bucket/run1", "--format", "parquet"]
if main([*call, *SETTINGS]) != 0 or main(["results", "s3://bucket/run1"]) != 0:
    raise SystemExit("a picture failed")

store_options = {"aws_endpoint_url": os.environ["AWS_ENDPOINT_URL"], "aws_allow_http": "true"}
masks = pl.scan_parquet("s3://bucket/run1/masks/*.parquet", storage_options=store_options)
best = masks.group_by("path").agg(pl.len(), pl.col("area").max())
for path, n_masks, area in best.sort("path").collect().iter_rows():
    print(f"{path}: {n_masks} masks, the largest of {area} pixels")
server.stop()
