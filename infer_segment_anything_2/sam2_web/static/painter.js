// Paints the canvas: the picture, the masks over it, then points, boxes and the keyboard's cross.

import { colourLabels, paintLabels } from "./masks.js";
import { colourOf } from "./prompts.js";

const POINT_RADIUS = 7;

export class Painter {
  constructor(canvas, viewport) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.viewport = viewport;
    this.layer = document.createElement("canvas");
    this.labels = new Uint16Array(0);
  }

  /**
   * Paints all of a scene:
   * `masks` and `colours` ([r, g, b] each), `leftMasks` for the left half or null,
   * `prompts` with `palette`, `drag` (a box in pixels of the picture), `cross` ([x, y] there).
   */
  paint(scene) {
    const { canvas, context } = this;
    context.fillStyle = "#0d0e10";
    context.fillRect(0, 0, canvas.width, canvas.height);
    this.viewport.paintPicture(context);
    this.#paintMasks(scene);
    scene.prompts.objects.forEach((object, k) => this.#paintPrompts(object, k, scene));
    if (scene.drag) {
      this.#paintBox(scene.drag, "#fff", true);
    }
    if (scene.cross) {
      this.#paintCross(scene.cross);
    }
  }

  /** The index of the mask at a place on the canvas, -1 where there is none. */
  maskAt(canvasX, canvasY) {
    const at = Math.floor(canvasY) * this.canvas.width + Math.floor(canvasX);
    return (this.labels[at] ?? 0) - 1;
  }

  #paintMasks({ masks, colours, leftMasks, leftColours }) {
    const { width, height } = this.canvas;
    if (this.labels.length !== width * height) {
      this.labels = new Uint16Array(width * height);
      this.layer.width = width;
      this.layer.height = height;
      this.pixels = new ImageData(width, height);
    }
    const middle = leftMasks ? Math.floor(width / 2) : 0;
    const layer = this.layer.getContext("2d");
    this.labels.fill(0);
    if (leftMasks) {
      paintLabels(this.labels, width, height, leftMasks, this.viewport, 0, middle);
      colourLabels(this.labels, width, height, leftColours, this.pixels.data);
      layer.putImageData(this.pixels, 0, 0, 0, 0, middle, height);
      this.labels.fill(0);
    }
    paintLabels(this.labels, width, height, masks, this.viewport, middle, width);
    colourLabels(this.labels, width, height, colours, this.pixels.data);
    layer.putImageData(this.pixels, 0, 0, middle, 0, width - middle, height);
    this.context.imageSmoothingEnabled = false;
    this.context.drawImage(this.layer, 0, 0);
    if (leftMasks) {
      this.context.fillStyle = "#fff";
      this.context.fillRect(middle - 1, 0, 2, height);
    }
  }

  #paintPrompts(object, index, { prompts, palette }) {
    const isCurrent = index === prompts.current;
    const number = object.id ?? index + 1;
    const colour = `rgb(${colourOf(number, palette)})`;
    if (object.box) {
      this.#paintBox(object.box, colour, isCurrent);
      const [x, y] = this.viewport.toCanvas(object.box[0], object.box[1]);
      this.#paintNumber(number, x, y, colour);
    }
    object.points.forEach(([x, y], k) => this.#paintPoint(x, y, object.labels[k], isCurrent));
    if (!object.box && object.points.length) {
      const [x, y] = this.viewport.toCanvas(...object.points[0]);
      this.#paintNumber(number, x + 10, y - 10, colour);
    }
  }

  /** A point on the object is a green disc with a plus, one that is not an orange square. */
  #paintPoint(x, y, label, isCurrent) {
    const { context } = this;
    const [cx, cy] = this.viewport.toCanvas(x + 0.5, y + 0.5);
    const r = POINT_RADIUS;
    context.globalAlpha = isCurrent ? 1 : 0.7;
    context.fillStyle = label ? "#15803d" : "#b45309";
    context.strokeStyle = "#fff";
    context.lineWidth = 2;
    context.beginPath();
    if (label) {
      context.arc(cx, cy, r, 0, 2 * Math.PI);
    } else {
      context.rect(cx - r, cy - r, 2 * r, 2 * r);
    }
    context.fill();
    context.stroke();
    context.beginPath();
    context.moveTo(cx - 4, cy);
    context.lineTo(cx + 4, cy);
    if (label) {
      context.moveTo(cx, cy - 4);
      context.lineTo(cx, cy + 4);
    }
    context.stroke();
    context.globalAlpha = 1;
  }

  #paintBox([x1, y1, x2, y2], colour, isStrong) {
    const { context } = this;
    const [left, top] = this.viewport.toCanvas(x1, y1);
    const [right, bottom] = this.viewport.toCanvas(x2 + 1, y2 + 1);
    for (const [style, width] of [["#000", isStrong ? 5 : 3], [colour, isStrong ? 3 : 1.5]]) {
      context.strokeStyle = style;
      context.lineWidth = width;
      context.strokeRect(left, top, right - left, bottom - top);
    }
  }

  #paintNumber(number, x, y, colour) {
    const { context } = this;
    const text = `${number}`;
    context.font = "bold 13px system-ui, sans-serif";
    const width = context.measureText(text).width + 8;
    context.fillStyle = colour;
    context.fillRect(x, y - 18, width, 18);
    context.fillStyle = "#000";
    context.fillText(text, x + 4, y - 4);
  }

  #paintCross([x, y]) {
    const { context } = this;
    const [cx, cy] = this.viewport.toCanvas(x + 0.5, y + 0.5);
    for (const [style, width] of [["#000", 4], ["#fff", 2]]) {
      context.strokeStyle = style;
      context.lineWidth = width;
      context.beginPath();
      context.moveTo(cx - 14, cy);
      context.lineTo(cx + 14, cy);
      context.moveTo(cx, cy - 14);
      context.lineTo(cx, cy + 14);
      context.stroke();
    }
  }
}
