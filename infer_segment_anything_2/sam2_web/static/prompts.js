// What is prompted: plain values that are never changed, so that undo is a list of them.

const TENTHS = 10;
const rounded = (value) => Math.round(value * TENTHS) / TENTHS;

/** Nothing prompted; `current` is the object that clicks belong to. */
export const NOTHING = Object.freeze({ objects: Object.freeze([]), current: -1 });

const EMPTY_OBJECT = Object.freeze({ name: "", points: [], labels: [], box: null, mask: null, candidate: 1 });

const replaced = (list, index, item) => list.map((one, k) => (k === index ? item : one));

function changed(prompts, change) {
  const { objects, current } = prompts;
  if (current < 0) {
    return { objects: [...objects, { ...EMPTY_OBJECT, ...change(EMPTY_OBJECT) }], current: objects.length };
  }
  const object = objects[current];
  return { objects: replaced(objects, current, { ...object, ...change(object) }), current };
}

/** Adds a point to the current object, or begins one. Coordinates are rounded before anyone asks. */
export const withPoint = (prompts, x, y, label) => changed(prompts, (object) => ({
  points: [...object.points, [rounded(x), rounded(y)]],
  labels: [...object.labels, label],
}));

/** Gives the current object a box; a box beside one begins another object. */
export function withBox(prompts, x1, y1, x2, y2) {
  const box = [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)].map(rounded);
  const hasBox = prompts.current >= 0 && prompts.objects[prompts.current].box !== null;
  return changed(hasBox ? { ...prompts, current: -1 } : prompts, () => ({ box }));
}

/** Sets facts of one object: its name, its candidate, or the mask that it starts from. */
export const withFacts = (prompts, index, facts) => ({
  ...prompts,
  objects: replaced(prompts.objects, index, { ...prompts.objects[index], ...facts }),
});

export const without = (prompts, index) => {
  const objects = prompts.objects.filter((_, k) => k !== index);
  return { objects, current: Math.min(prompts.current, objects.length - 1) };
};

/** The colour of the object with a number, from 1. */
export const colourOf = (number, palette) => palette[(number - 1) % palette.length];

/** An object as the parameter `input_objects` has it. */
export function entry(object) {
  const written = {};
  if (object.points.length) {
    written.points = object.points;
    written.labels = object.labels;
  }
  if (object.box) {
    written.box = object.box;
  }
  if (object.mask) {
    written.mask = object.mask;
  }
  if (object.name.trim()) {
    written.category = object.name.trim();
  }
  return written;
}

/** States with what came before and after. */
export class History {
  constructor(present) {
    this.past = [];
    this.present = present;
    this.future = [];
  }

  push(present) {
    this.past.push(this.present);
    this.present = present;
    this.future = [];
  }

  undo() {
    if (this.past.length) {
      this.future.push(this.present);
      this.present = this.past.pop();
    }
  }

  redo() {
    if (this.future.length) {
      this.past.push(this.present);
      this.present = this.future.pop();
    }
  }
}
