// What is prompted in a video: objects with numbers, each with prompts on some frames. Plain values
// that are never changed. On one frame they look as those of a picture do, see `viewAt`.

import { entry } from "./prompts.js";

const NOTHING_HERE = Object.freeze({ points: [], labels: [], box: null, mask: null });

const isPrompted = (here) => here.points.length > 0 || here.box !== null;

/** The prompts of one frame, as those of a picture; `id` is the object's number in the video. */
export const viewAt = ({ objects, current }, frame) => ({
  objects: objects.map(({ id, name, at }) => ({ id, name, candidate: 1, ...(at[frame] ?? NOTHING_HERE) })),
  current,
});

/** The prompts of the video after those of one frame became `view`. */
export function putBack(prompts, frame, view) {
  const before = new Map(prompts.objects.map((object) => [object.id, object]));
  let next = Math.max(0, ...before.keys()) + 1;
  const objects = view.objects.map(({ id, name, points, labels, box }) => {
    const known = before.get(id) ?? { id: next, at: {} };
    next += before.has(id) ? 0 : 1;
    const here = { points, labels, box, mask: null };
    const { [frame]: _, ...others } = known.at;
    return { id: known.id, name, at: isPrompted(here) ? { ...others, [frame]: here } : others };
  });
  return { objects, current: view.current };
}

/** Forgets what is prompted for an object on a frame. */
export const withoutFrame = (prompts, index, frame) => {
  const view = viewAt(prompts, frame);
  const objects = view.objects.map((object, k) => (k === index ? { ...object, ...NOTHING_HERE } : object));
  return putBack(prompts, frame, { ...view, objects });
};

/** The prompted frames of all objects, or of one, in their order. */
export function framesOf(prompts, index = -1) {
  const some = index < 0 ? prompts.objects : prompts.objects.slice(index, index + 1);
  return [...new Set(some.flatMap(({ at }) => Object.keys(at).map(Number)))].sort((a, b) => a - b);
}

/** All prompts as the parameter `input_objects` has them, in the order of frames. */
export const entriesOf = (prompts) => framesOf(prompts).flatMap((frame) => prompts.objects
  .filter(({ at }) => frame in at)
  .map(({ id, name, at }) => ({ ...entry({ name, ...at[frame] }), frame, id })));
