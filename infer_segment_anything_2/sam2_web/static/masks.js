// Masks as column-major run lengths, and how they are painted: only what the view shows.

/** One mask. `ends[k]` is the pixel behind run k; runs with odd k are the mask's. */
export class Mask {
  constructor(facts, counts, height) {
    Object.assign(this, facts);
    this.height = height;
    this.ends = new Uint32Array(counts.length);
    let end = 0;
    for (let k = 0; k < counts.length; k += 1) {
      end += counts[k];
      this.ends[k] = end;
    }
  }

  /** Calls `each(top, bottom)` for the mask's rows in a column of the picture, bottom excluded. */
  inColumn(x, each) {
    const first = x * this.height;
    const last = first + this.height;
    let k = firstBehind(this.ends, first);
    for (; k < this.ends.length && (k === 0 ? 0 : this.ends[k - 1]) < last; k += 1) {
      if (k % 2 === 1) {
        const start = Math.max(this.ends[k - 1], first);
        each(start - first, Math.min(this.ends[k], last) - first);
      }
    }
  }
}

/** A mask as COCO's compressed run lengths, as the parameter `input_objects` takes it. */
export function toCoco(mask, imageWidth) {
  let counts = "";
  const run = (k) => mask.ends[k] - (k ? mask.ends[k - 1] : 0);
  for (let k = 0; k < mask.ends.length; k += 1) {
    let value = k > 2 ? run(k) - run(k - 2) : run(k);
    for (let more = true; more;) {
      let bits = value & 0x1f;
      value >>= 5;
      more = bits & 0x10 ? value !== -1 : value !== 0;
      bits |= more ? 0x20 : 0;
      counts += String.fromCharCode(bits + 48);
    }
  }
  return { size: [mask.height, imageWidth], counts };
}

/** The first run that ends behind a pixel. */
function firstBehind(ends, pixel) {
  let low = 0;
  let high = ends.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ends[middle] > pixel) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

/** Reads what `wire.py` writes: the description, with `ranks`, a list of masks for each. */
export function unpack(buffer, height) {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const counts = new Uint32Array(buffer, 4 + length);
  let begin = 0;
  head.ranks = head.ranks.map((masks) => masks.map((facts) => {
    const mask = new Mask(facts, counts.subarray(begin, begin + facts.runs), height);
    begin += facts.runs;
    return mask;
  }));
  return head;
}

/**
 * Paints masks as labels, the smaller on top: 0 is none, k + 1 is masks[k].
 * `view` tells which part of the picture lies at columns `left` to `right` of the labels.
 */
export function paintLabels(labels, width, height, masks, view, left, right) {
  const order = masks.map((_, k) => k).sort((a, b) => masks[b].area - masks[a].area);
  for (const k of order) {
    const mask = masks[k];
    const from = Math.max(left, Math.floor((mask.box[0] - view.x) * view.scale));
    const to = Math.min(right, Math.ceil((mask.box[2] + 1 - view.x) * view.scale));
    for (let column = from; column < to; column += 1) {
      const x = Math.floor(view.x + (column + 0.5) / view.scale);
      if (x < mask.box[0] || x > mask.box[2]) {
        continue;
      }
      mask.inColumn(x, (top, bottom) => {
        const first = Math.max(Math.ceil((top - view.y) * view.scale - 0.5), 0);
        const end = Math.min(Math.ceil((bottom - view.y) * view.scale - 0.5), height);
        for (let row = first, at = first * width + column; row < end; row += 1, at += width) {
          labels[at] = k + 1;
        }
      });
    }
  }
}

const INSIDE = 140;
const EDGE = 235;

/** Colours labels; where two differ there is a white line. `colours[k]` is that of label k + 1. */
export function colourLabels(labels, width, height, colours, pixels) {
  const palette = new Uint32Array(colours.length + 1);
  colours.forEach(([red, green, blue], k) => {
    palette[k + 1] = (INSIDE << 24) | (blue << 16) | (green << 8) | red;
  });
  const edge = ((EDGE << 24) | 0xffffff) >>> 0;
  const out = new Uint32Array(pixels.buffer);
  for (let row = 0, at = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1, at += 1) {
      const label = labels[at];
      const differs = (column > 0 && labels[at - 1] !== label) || (row > 0 && labels[at - width] !== label);
      out[at] = differs ? edge : palette[label];
    }
  }
}
