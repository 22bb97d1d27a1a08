// The picture on the canvas: where it lies, and its pixels, an overview first and tiles when near.

import { bitmap } from "./transport.js";

const TILE_PX = 1024;
const MOST_TILES = 48;
const NEAREST = 16;

/** Which part of the picture the canvas shows: canvas = (picture - (x, y)) * scale. */
export class Viewport {
  constructor(canvas, onChange) {
    this.canvas = canvas;
    this.onChange = onChange;
    this.x = 0;
    this.y = 0;
    this.scale = 1;
    this.tiles = new Map();
    new ResizeObserver(() => this.#resize()).observe(canvas);
  }

  /** Shows another picture: `{path, width, height}`. */
  async show(picture) {
    this.swap(picture, null);
    this.fit();
    const overview = await this.overviewOf(picture);
    if (this.picture === picture) {
      this.overview = overview;
      this.onChange();
    }
  }

  /** Shows another picture of the same size in the same place, such as a video's next frame. */
  swap(picture, overview) {
    this.picture = picture;
    this.tiles = new Map();
    this.overview = overview;
    this.onChange();
  }

  /** All of a picture, small enough to be sent. */
  overviewOf({ path, width, height }) {
    return bitmap(`${path}/part?box=0,0,${width},${height}`);
  }

  fit() {
    const { width, height } = this.canvas;
    this.scale = Math.min(width / this.picture.width, height / this.picture.height) * 0.98;
    this.x = (this.picture.width - width / this.scale) / 2;
    this.y = (this.picture.height - height / this.scale) / 2;
    this.onChange();
  }

  zoom(factor, canvasX = this.canvas.width / 2, canvasY = this.canvas.height / 2) {
    const [x, y] = this.toPicture(canvasX, canvasY);
    const whole = Math.min(this.canvas.width / this.picture.width, this.canvas.height / this.picture.height);
    this.scale = Math.min(Math.max(this.scale * factor, whole / 2), NEAREST);
    this.x = x - canvasX / this.scale;
    this.y = y - canvasY / this.scale;
    this.onChange();
  }

  pan(canvasX, canvasY) {
    this.x -= canvasX / this.scale;
    this.y -= canvasY / this.scale;
    this.onChange();
  }

  toPicture(canvasX, canvasY) {
    return [this.x + canvasX / this.scale, this.y + canvasY / this.scale];
  }

  toCanvas(x, y) {
    return [(x - this.x) * this.scale, (y - this.y) * this.scale];
  }

  paintPicture(context) {
    if (!this.overview) {
      return;
    }
    const { width, height } = this.picture;
    context.imageSmoothingEnabled = this.scale < 3;
    context.drawImage(this.overview, ...this.toCanvas(0, 0), width * this.scale, height * this.scale);
    if (this.scale * 0.9 > this.overview.width / width) {
      this.#paintTiles(context);
    }
  }

  #paintTiles(context) {
    const { width, height } = this.picture;
    const [right, bottom] = this.toPicture(this.canvas.width, this.canvas.height);
    for (let top = tileAt(this.y); top < Math.min(bottom, height); top += TILE_PX) {
      for (let left = tileAt(this.x); left < Math.min(right, width); left += TILE_PX) {
        const box = [left, top, Math.min(left + TILE_PX, width), Math.min(top + TILE_PX, height)];
        const tile = this.#tile(box);
        if (tile) {
          const size = [(box[2] - left) * this.scale, (box[3] - top) * this.scale];
          context.drawImage(tile, ...this.toCanvas(left, top), ...size);
        }
      }
    }
  }

  #tile(box) {
    const key = box.join();
    if (!this.tiles.has(key)) {
      const { picture, tiles } = this;
      tiles.set(key, null);
      bitmap(`${picture.path}/part?box=${key}`).then((tile) => {
        tiles.set(key, tile);
        this.onChange();
      }, () => tiles.delete(key));
      if (tiles.size > MOST_TILES) {
        tiles.delete(tiles.keys().next().value);
      }
    }
    return this.tiles.get(key);
  }

  #resize() {
    const box = this.canvas.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.max(Math.round(box.width * ratio), 1);
    this.canvas.height = Math.max(Math.round(box.height * ratio), 1);
    if (this.picture) {
      this.fit();
    }
  }
}

const tileAt = (value) => Math.max(Math.floor(value / TILE_PX), 0) * TILE_PX;
