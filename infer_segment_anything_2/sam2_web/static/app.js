// The page: what the user does becomes parameters, the server's answers become pictures.

import { toCoco } from "./masks.js";
import { Painter } from "./painter.js";
import { entriesOf, framesOf, putBack, viewAt, withoutFrame } from "./clip.js";
import {
  blame, choose, element, make, setting, showCandidates, showFrames, showFunnel, showObjects,
} from "./panel.js";
import { colourOf, entry, History, NOTHING, withBox, withFacts, without, withPoint } from "./prompts.js";
import { get, post, put, Refused, remove, segment } from "./transport.js";
import { VideoWalk } from "./video.js";
import { Viewport } from "./viewport.js";

// These take as long as a search; the others of their groups only choose among what was found.
const SEARCHED = ["points_per_side", "crop_n_layers", "tile_size", "use_m2m", "sharpen"];
const LIVE = ["iou_thresh", "stability_score_thresh", "stability_score_offset", "box_nms_thresh",
  "duplicates", "min_mask_area", "max_mask_area", "min_mask_region_area", "keep_components", "overlap"];
const FOR_OBJECTS = ["multimask_output"];
const CLICK_PX = 4;
const REMEMBER_MS = 600;
const PROGRESS_MS = 250;
const ZOOM_STEP = 1.25;

const canvas = element("canvas");
const viewport = new Viewport(canvas, repaint);
const painter = new Painter(canvas, viewport);
const walk = new VideoWalk(viewport, {
  prompts: videoParameters,
  isPrompted: (frame) => framesOf(history.present).includes(frame),
  shown: () => {
    if (walk.video && walk.frame !== keptFrame) {
      keptFrame = walk.frame;
      rememberSoon();
    }
    refresh();
  },
  tell,
  fail,
});

let session;
let items = []; // pictures, then videos
let picture; // or video: `isVideo`
let mode = "point";
let tool = "object";
let textKind = "python";
let history = new History(NOTHING);
const AT_FIRST = { multimask_output: true }; // candidates to choose from
let parameters = AT_FIRST; // what differs from the start
let found = null; // of everything mode: the answer that is shown
let foundByDefault = null; // and that of the defaults, to compare
let searched = ""; // the settings of the search that `found` is of
let drag = null;
let cross = null;
let keptFrame = 0; // of the video: the one that is remembered
let spaceHeld = false;
const answers = new Map(); // by the object's entry and the settings that act on it

/** What is prompted in the picture, or in the shown frame of the video. */
const prompts = () => (mode === "video" ? viewAt(history.present, walk.frame) : history.present);

/** The prompts of now become others, those of a frame for the whole video. */
function become(next) {
  history.push(mode === "video" ? putBack(history.present, walk.frame, next) : next);
}
const jobName = () => crypto.randomUUID();
const number = (value) => value.toLocaleString("en");

// ---- what is asked ---------------------------------------------------------------------------

function objectParameters(objects) {
  const chosen = Object.fromEntries(FOR_OBJECTS.filter((key) => key in parameters).map((key) => [key, parameters[key]]));
  return { ...chosen, input_objects: objects.map(entry) };
}

const answerKey = (object) => JSON.stringify(objectParameters([object]));
const answerOf = (object) => (mode === "video" ? walk.answerOf(object) : answers.get(answerKey(object)));

function videoParameters() {
  const chosen = Object.fromEntries(session.videoSettings.filter((key) => key in parameters).map((key) => [key, parameters[key]]));
  return { ...chosen, input_objects: entriesOf(history.present) };
}

/** Asks about what is prompted now. */
function ask() {
  if (mode === "video") {
    walk.show(walk.frame);
  } else {
    askObjects();
  }
}

const latest = { running: false, wanted: false };

/** Asks about every object that has no answer; while one is asked, only the newest state counts. */
async function askObjects() {
  latest.wanted = true;
  if (latest.running) {
    return;
  }
  latest.running = true;
  while (latest.wanted) {
    latest.wanted = false;
    await askMissing();
  }
  latest.running = false;
}

async function askMissing() {
  const began = performance.now();
  const asked = picture;
  for (const object of prompts().objects) {
    const key = answerKey(object);
    if (answers.has(key) || !(object.points.length || object.box || object.mask)) {
      continue;
    }
    try {
      const answer = await segment(asked, objectParameters([object]), jobName());
      if (asked !== picture) {
        return;
      }
      answers.set(key, answer);
      tell(answer.notes.join(" ") || answer.headline);
      refresh();
      requestAnimationFrame(() => {
        element("latency").textContent =
          `click to mask ${Math.round(performance.now() - began)} ms, of it the run ${Math.round(answer.tookMs)} ms`;
      });
    } catch (error) {
      if (asked === picture) {
        fail(error);
      }
    }
  }
}

const settingsOf = (keys) => JSON.stringify(keys.map((key) => parameters[key] ?? null));

/** Searches everything anew. */
async function search() {
  const job = jobName();
  const asked = picture;
  const ticking = watch(job);
  element("search").disabled = true;
  try {
    const answer = await segment(asked, everythingParameters(), job);
    if (asked === picture) {
      found = answer;
      searched = settingsOf(SEARCHED);
      tell(answer.notes.join(" ") || answer.summary);
      element("latency").textContent = `${number(answer.ranks[0]?.length ?? 0)} masks in ${Math.round(answer.tookMs)} ms`;
      askHint();
      await compareWithDefaults();
    }
  } catch (error) {
    fail(error);
  } finally {
    clearInterval(ticking);
    element("progress").hidden = element("stop").hidden = true;
    element("search").disabled = false;
    refresh();
  }
}

let hintWanted = 0;

/** Tells what to change where all that was found was dropped. */
async function askHint() {
  hintWanted += 1;
  const mine = hintWanted;
  const [words, button] = element("hint").children;
  element("hint").hidden = true;
  if (!found?.proposed || found.ranks[0]?.length) {
    return;
  }
  const hint = await post(`${picture.path}/hint`, { parameters: everythingParameters() }).catch(() => ({}));
  if (mine === hintWanted && hint.words) {
    words.textContent = hint.words;
    button.onclick = () => {
      parameters = { ...parameters, ...hint.values };
      showSettings();
      rememberSoon();
      filter();
    };
    element("hint").hidden = false;
  }
}

const everythingParameters = () => Object.fromEntries(
  [...SEARCHED, ...LIVE].filter((key) => key in parameters).map((key) => [key, parameters[key]]));

async function compareWithDefaults() {
  foundByDefault = null;
  if (element("compare").checked && found) {
    const grid = Object.fromEntries(SEARCHED.filter((key) => key in parameters).map((key) => [key, parameters[key]]));
    foundByDefault = await segment(picture, grid, jobName());
  }
}

const filtering = { running: false, wanted: false };

/** Shows what was found under the settings of now, as fast as the server answers. */
async function filter() {
  if (!found || searched !== settingsOf(SEARCHED)) {
    refresh();
    return;
  }
  filtering.wanted = true;
  if (filtering.running) {
    return;
  }
  filtering.running = true;
  while (filtering.wanted) {
    filtering.wanted = false;
    const asked = picture;
    try {
      const answer = await segment(asked, everythingParameters(), jobName());
      if (asked === picture) {
        found = answer;
        blame("");
        tell(answer.summary);
        askHint();
        element("latency").textContent = `${number(answer.ranks[0]?.length ?? 0)} masks in ${Math.round(answer.tookMs)} ms`;
      }
    } catch (error) {
      fail(error);
    }
    refresh();
  }
  filtering.running = false;
}

/** Shows how far a run is, and lets it be stopped. */
function watch(job) {
  element("stop").hidden = false;
  element("stop").onclick = () => remove(`jobs/${job}`).catch(fail);
  tell("Searching");
  return setInterval(async () => {
    const { stage, done, total } = await get(`jobs/${job}`).catch(() => ({}));
    if (total) {
      element("progress").hidden = false;
      element("progress").value = done / total;
      tell(`Searching: ${done} of ${total} ${stage}`);
    }
  }, PROGRESS_MS);
}

// ---- what is shown ---------------------------------------------------------------------------

function tell(words) {
  element("status").className = "";
  element("status").textContent = words;
}

function fail(error) {
  if (!(error instanceof Refused)) {
    console.error(error);
  }
  element("status").className = error.stopped ? "" : "error";
  element("status").textContent = error.message;
  blame(error.key);
}

function shownMasks() {
  if (mode === "everything") {
    const masks = found?.ranks[0] ?? [];
    return { masks, colours: masks.map((mask) => mask.colour) };
  }
  if (mode === "video") {
    const masks = walk.masks();
    return { masks, colours: masks.map((mask) => colourOf(mask.track, session.palette)) };
  }
  const masks = [];
  const colours = [];
  prompts().objects.forEach((object, k) => {
    const mask = answerOf(object)?.ranks[object.candidate - 1]?.[0];
    if (mask) {
      masks.push(mask);
      colours.push(colourOf(k + 1, session.palette));
    }
  });
  return { masks, colours };
}

let painting = false;

function repaint() {
  if (painting || !picture) {
    return;
  }
  painting = true;
  requestAnimationFrame(() => {
    painting = false;
    const compared = mode === "everything" && foundByDefault ? foundByDefault.ranks[0] ?? [] : null;
    painter.paint({
      ...shownMasks(),
      leftMasks: compared,
      leftColours: compared?.map((mask) => mask.colour),
      prompts: mode === "everything" ? NOTHING : prompts(),
      palette: session.palette,
      drag: drag?.box ?? null,
      cross: document.activeElement === canvas ? cross : null,
    });
    element("zoom").textContent = `${Math.round(100 * viewport.scale)} %`;
  });
}

/** Brings everything beside the canvas up to date, then the canvas. */
function refresh() {
  if (!picture) {
    return;
  }
  const { objects, current } = prompts();
  const object = objects[current];
  showObjects(prompts(), objects.map(answerOf), session.palette, {
    select,
    rename: (k, name) => push(withFacts(prompts(), k, { name })),
    remove: (k) => push(without(prompts(), k)),
  });
  const isVideo = mode === "video";
  showCandidates(object, object && !isVideo && answerOf(object), chooseCandidate, refineCurrent);
  if (isVideo) {
    showWalk(object);
  }
  showFunnel(found, labels());
  const isStale = Boolean(found) && searched !== settingsOf(SEARCHED);
  element("needs-search").hidden = !isStale;
  element("halves").hidden = !(mode === "everything" && foundByDefault);
  element("undo").disabled = !history.past.length;
  element("redo").disabled = !history.future.length;
  element("new-object").disabled = current < 0;
  choose(document.querySelectorAll("[data-tool]"), "aria-checked", (button) => button.dataset.tool === tool);
  choose(document.querySelectorAll("[data-text]"), "aria-checked", (button) => button.dataset.text === textKind);
  choose(document.querySelectorAll("[role=tab]"), "aria-selected", (tab) => tab.id === `tab-${mode}`);
  canvas.classList.toggle("moving", tool === "move" || spaceHeld);
  repaint();
  showText();
}

/** Which frame of the video is shown, and what can be done there. */
function showWalk(object) {
  element("frame").value = element("frame-number").value = walk.wanted;
  element("frame").setAttribute("aria-valuetext", `frame ${walk.wanted}`);
  element("play").textContent = walk.isFollowing ? "Stop" : "Follow";
  element("frame-back").disabled = walk.wanted === 0;
  element("frame-step").disabled = walk.wanted === picture.frames - 1;
  element("follow-here").disabled = walk.isFollowing;
  element("clear-frame").hidden = !(object && (object.points.length || object.box));
  showFrames(framesOf(history.present), walk.frame, (frame) => walk.show(frame));
}

const labels = () => Object.fromEntries(session.rows.map((row) => [row.key, row.label]));

function runParameters() {
  if (mode === "video") {
    return videoParameters();
  }
  return mode === "point" ? objectParameters(prompts().objects) : everythingParameters();
}

let textWanted = 0;
let texts = { of: "" }; // and what they were made of: from frame to frame it is the same

async function showText() {
  textWanted += 1;
  const mine = textWanted;
  const outputs = mode === "point" ? prompts().objects.map((object) => object.candidate) : [];
  if (mode !== "everything" && !prompts().objects.length) {
    element("text").textContent = "";
    return;
  }
  try {
    const asked = { parameters: runParameters(), outputs };
    const of = JSON.stringify([picture.path, asked]);
    const made = texts.of === of ? texts : { ...await post(`${picture.path}/texts`, asked), of };
    if (mine === textWanted) {
      texts = made;
      element("text").textContent = texts[textKind];
    }
  } catch (error) {
    fail(error);
  }
}

function showSettings() {
  const rows = Object.fromEntries(session.rows.map((row) => [row.key, row]));
  const fill = (id, keys, onChange) => element(id).replaceChildren(
    ...keys.map((key) => setting(rows[key], parameters[key] ?? rows[key].value, onChange)));
  fill("search-settings", SEARCHED, (key, value) => change(key, value, refresh));
  fill("live-settings", LIVE, (key, value) => change(key, value, filter));
  fill("object-settings", FOR_OBJECTS, (key, value) => change(key, value, ask));
  fill("video-settings", session.videoSettings, (key, value) => change(key, value, ask));
}

function change(key, value, after) {
  parameters = { ...parameters, [key]: value };
  rememberSoon();
  after();
  refresh();
}

// ---- what the user does ----------------------------------------------------------------------

function push(next) {
  walk.stop(); // what is prompted is meant for the frame that is shown now
  become(next);
  rememberSoon();
  refresh();
  ask();
}

function chooseCandidate(rank) {
  const { current, objects } = prompts();
  const known = mode === "point" && objects[current] && answerOf(objects[current]);
  if (known?.ranks[rank - 1]?.length) {
    push(withFacts(prompts(), current, { candidate: rank }));
  }
}

/** Lets the current object start from the mask that is shown, or takes that back. */
function refineCurrent() {
  const { current, objects } = prompts();
  const object = objects[current];
  const shown = answerOf(object).ranks[object.candidate - 1][0];
  const mask = object.mask ? null : toCoco(shown, picture.width);
  push(withFacts(prompts(), current, { mask, candidate: 1 }));
}

function click(x, y, label) {
  if (x < 0 || y < 0 || x >= picture.width || y >= picture.height) {
    tell("That click was beside the picture.");
    return;
  }
  push(withPoint(prompts(), Math.min(x, picture.width - 1), Math.min(y, picture.height - 1), label));
}

// A pixel's middle is its coordinate: half a pixel less than where the canvas has it.
const placeOf = (event) => {
  const box = canvas.getBoundingClientRect();
  const ratio = canvas.width / box.width;
  const at = [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
  const [x, y] = viewport.toPicture(...at);
  return { canvas: at, picture: [x - 0.5, y - 0.5] };
};

const clamped = ([x, y]) => [Math.min(Math.max(x, 0), picture.width - 1), Math.min(Math.max(y, 0), picture.height - 1)];

canvas.addEventListener("pointerdown", (event) => {
  if (!picture) {
    return;
  }
  canvas.setPointerCapture(event.pointerId);
  const isMove = tool === "move" || spaceHeld || event.button === 1 || mode === "everything";
  drag = { from: placeOf(event), last: placeOf(event).canvas, button: event.button, isMove, box: null };
  cross = null;
});

canvas.addEventListener("pointermove", (event) => {
  const place = placeOf(event);
  showUnderCursor(place);
  if (!drag) {
    return;
  }
  if (drag.isMove) {
    viewport.pan(place.canvas[0] - drag.last[0], place.canvas[1] - drag.last[1]);
    drag.last = place.canvas;
  } else if (drag.button === 0 && isFar(drag.from, place)) {
    const [[x1, y1], [x2, y2]] = [clamped(drag.from.picture), clamped(place.picture)];
    drag.box = [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)];
    repaint();
  }
});

canvas.addEventListener("pointerup", (event) => {
  const ended = drag;
  drag = null;
  if (!ended || ended.isMove) {
    return;
  }
  if (ended.box) {
    push(withBox(prompts(), ...ended.box));
  } else if (tool === "box" && ended.button === 0) {
    tell("Drag from one corner of the box to the other.");
  } else {
    const isBackground = ended.button === 2 || event.shiftKey || tool === "background";
    const [x, y] = ended.from.picture;
    click(x < 0 && x >= -0.5 ? 0 : x, y < 0 && y >= -0.5 ? 0 : y, isBackground ? 0 : 1);
  }
  repaint();
});

canvas.addEventListener("pointercancel", () => {
  drag = null;
  repaint();
});
canvas.addEventListener("contextmenu", (event) => event.preventDefault());
canvas.addEventListener("focus", repaint);
canvas.addEventListener("blur", repaint);
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  viewport.zoom(event.deltaY < 0 ? ZOOM_STEP : 1 / ZOOM_STEP, ...placeOf(event).canvas);
}, { passive: false });

const isFar = (from, to) => Math.hypot(to.canvas[0] - from.canvas[0], to.canvas[1] - from.canvas[1]) > CLICK_PX;

function showUnderCursor({ canvas: at, picture: [x, y] }) {
  const { masks } = shownMasks();
  const index = painter.maskAt(...at);
  const mask = masks[index];
  const place = `x ${Math.round(x)}, y ${Math.round(y)}`;
  element("under-cursor").textContent = mask ? `${place}. ${factsOf(mask, index)}` : place;
}

/** A mask in words, and which setting would drop it. */
function factsOf(mask, index) {
  const facts = [`mask ${index + 1}: ${number(mask.area)} px`, `predicted IoU ${mask.iou.toFixed(2)}`];
  if (mask.stability !== null) {
    facts.push(`stability ${mask.stability.toFixed(2)}`);
  }
  if (mode === "everything") {
    const name = labels();
    facts.push(`dropped by ${name.iou_thresh} from ${mask.iou.toFixed(2)}, ${name.stability_score_thresh} above `
      + `${mask.stability.toFixed(2)}, ${name.min_mask_area} above ${mask.area}`);
  }
  return facts.join(", ");
}

const CROSS_STEP_PX = 20;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

canvas.addEventListener("keydown", (event) => {
  if (event.key in ARROWS) {
    event.preventDefault();
    const step = event.shiftKey ? 1 : Math.max(CROSS_STEP_PX / viewport.scale, 1);
    const [dx, dy] = ARROWS[event.key];
    const [x, y] = cross ?? [picture.width / 2, picture.height / 2];
    cross = clamped([Math.round(x + dx * step), Math.round(y + dy * step)]);
    tell(`Cross at x ${cross[0]}, y ${cross[1]}`);
    repaint();
  } else if (event.key === "Enter" && cross && mode !== "everything") {
    event.preventDefault();
    click(...cross, tool === "background" ? 0 : 1);
  }
});

const KEYS = {
  p: () => setTool("object"),
  m: () => setTool("background"),
  b: () => setTool("box"),
  n: newObject,
  ",": () => step(-1),
  ".": () => step(1),
  1: () => chooseCandidate(1),
  2: () => chooseCandidate(2),
  3: () => chooseCandidate(3),
  Delete: () => prompts().current >= 0 && push(without(prompts(), prompts().current)),
  0: () => viewport.fit(),
  "+": () => viewport.zoom(ZOOM_STEP),
  "-": () => viewport.zoom(1 / ZOOM_STEP),
  e: () => {
    if (mode !== "video") {
      setMode("everything");
      search();
    }
  },
  d: () => mode === "video" && walk.show(walk.wanted - 1),
  f: () => mode === "video" && walk.step(),
  g: () => mode === "video" && walk.followHere(),
  k: () => mode === "video" && playOrStop(),
  c: copy,
  "?": () => element("help").showModal(),
  PageUp: () => openItem(picture.index - 1),
  PageDown: () => openItem(picture.index + 1),
};

document.addEventListener("keydown", (event) => {
  if (event.target.matches("input:not([type=checkbox]):not([type=range]), select") || element("help").open || !picture) {
    return;
  }
  const isUndo = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z";
  if (isUndo) {
    event.preventDefault();
    travel(event.shiftKey ? "redo" : "undo");
  } else if (event.key === " " && !event.target.matches("button, summary, input")) {
    event.preventDefault();
    spaceHeld = true;
    canvas.classList.add("moving");
  } else if (event.key in KEYS && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    KEYS[event.key]();
  }
});
document.addEventListener("keyup", (event) => {
  if (event.key === " ") {
    spaceHeld = false;
    refresh();
  }
});

function travel(direction) {
  walk.stop();
  history[direction]();
  rememberSoon();
  refresh();
  ask();
}

function playOrStop() {
  if (walk.isFollowing) {
    walk.stop();
    tell(`Stopped at frame ${walk.frame}.`);
    refresh();
  } else {
    walk.play();
  }
}

function setTool(name) {
  tool = name;
  refresh();
}

function setMode(name) {
  mode = name;
  element("under-cursor").textContent = "";
  element("point").hidden = name === "everything";
  element("everything").hidden = name !== "everything";
  for (const id of ["tabs", "object-settings", "formats", "write"]) {
    element(id).hidden = name === "video";
  }
  for (const id of ["video", "video-settings", "files-of-video"]) {
    element(id).hidden = name !== "video";
  }
  element("clear-frame").hidden = element("prompted-row").hidden = true;
  rememberSoon();
  refresh();
}

function newObject() {
  become({ ...prompts(), current: -1 });
  tell("The next click begins another object.");
  refresh();
}

/** Makes an object the one that clicks belong to; that changes no mask. */
function select(index) {
  become({ ...prompts(), current: index });
  rememberSoon();
  refresh();
}

function step(by) {
  const { objects, current } = prompts();
  if (objects.length) {
    select((current + by + objects.length) % objects.length);
  }
}

async function copy() {
  try {
    await navigator.clipboard.writeText(element("text").textContent);
    tell("Copied.");
  } catch {
    getSelection().selectAllChildren(element("text"));
    tell("The browser does not let the page copy; the text is selected, press Ctrl+C.");
  }
}

async function writeResults() {
  const formats = [...document.querySelectorAll("#formats input:checked")].map((box) => box.value);
  if (!formats.length) {
    tell("Choose what to write first.");
    return;
  }
  tell("Writing");
  try {
    const { written } = await post(`${picture.path}/results`,
      { parameters: runParameters(), formats, job: jobName() });
    tell(`Written: ${written.join(", ")}`);
  } catch (error) {
    fail(error);
  }
}

async function saveWorkflow() {
  tell("Ikomia writes the workflow");
  try {
    const { written } = await post(`${picture.path}/workflow`, { parameters: runParameters() });
    tell(`Written: ${written.join(", ")}`);
  } catch (error) {
    fail(error);
  }
}

// ---- pictures --------------------------------------------------------------------------------

let rememberTimer = 0;

function rememberSoon() {
  clearTimeout(rememberTimer);
  rememberTimer = setTimeout(rememberNow, REMEMBER_MS);
}

async function rememberNow() {
  clearTimeout(rememberTimer);
  rememberTimer = 0;
  const content = { objects: history.present.objects, parameters, mode, frame: walk.frame, done: element("done").checked };
  try {
    await put(`${picture.path}/remembered`, content);
  } catch (error) {
    fail(error);
  }
}

/** Opens a picture, or a video. */
async function openItem(index) {
  if (index < 0 || index >= items.length) {
    return;
  }
  if (rememberTimer) {
    await rememberNow();
  }
  const { path, isVideo } = items[index];
  tell(isVideo ? "Opening the video" : "Opening the picture");
  try {
    const opened = await get(isVideo ? `${path}/` : path);
    walk.close();
    picture = { ...opened, path, isVideo, index };
    answers.clear();
    found = foundByDefault = null;
    askHint();
    const asked = mode === "video" ? "point" : mode;
    const { objects = [], parameters: kept = parameters, mode: keptMode = asked, frame = 0, done = false } = opened.remembered;
    history = new History({ objects, current: objects.length - 1 });
    parameters = kept;
    element("done").checked = done;
    element("picture").value = index;
    element("previous").disabled = index === 0;
    element("next").disabled = index === items.length - 1;
    showSettings();
    setMode(isVideo ? "video" : keptMode);
    clearTimeout(rememberTimer);
    rememberTimer = 0;
    if (isVideo) {
      keptFrame = frame;
      await walk.open(picture, frame);
    } else {
      await viewport.show(picture);
    }
    const size = `${opened.name}: ${opened.width} x ${opened.height} pixels`;
    tell(opened.notes.join(" ") || (isVideo ? `${size}, ${opened.frames} frames` : size));
    if (!isVideo) {
      askObjects();
    }
  } catch (error) {
    element("picture").value = picture?.index ?? index;
    fail(error);
  }
}

function listPictures() {
  element("picture").replaceChildren(...items.map((one, k) => make("option", {
    value: k, textContent: one.done ? `${one.name} (done)` : one.name,
  })));
}

function connect() {
  for (const button of document.querySelectorAll("[data-tool]")) {
    button.onclick = () => setTool(button.dataset.tool);
  }
  for (const button of document.querySelectorAll("[data-text]")) {
    button.onclick = () => {
      textKind = button.dataset.text;
      refresh();
    };
  }
  element("tab-point").onclick = () => setMode("point");
  element("tab-everything").onclick = () => setMode("everything");
  element("undo").onclick = () => travel("undo");
  element("redo").onclick = () => travel("redo");
  element("fit").onclick = () => viewport.fit();
  element("new-object").onclick = newObject;
  element("search").onclick = search;
  element("copy").onclick = copy;
  element("write").onclick = writeResults;
  element("save-workflow").onclick = saveWorkflow;
  element("save-workflow").hidden = !session.hasIkomia;
  element("help-button").onclick = () => element("help").showModal();
  element("picture").onchange = (event) => openItem(Number(event.target.value));
  element("previous").onclick = () => openItem(picture.index - 1);
  element("next").onclick = () => openItem(picture.index + 1);
  element("frame").oninput = (event) => walk.show(Number(event.target.value));
  element("frame-number").onchange = (event) => walk.show(Math.round(Number(event.target.value)) || 0);
  element("frame-back").onclick = () => walk.show(walk.wanted - 1);
  element("frame-step").onclick = () => walk.step();
  element("play").onclick = playOrStop;
  element("follow-here").onclick = () => walk.followHere();
  element("clear-frame").onclick = () => {
    history.push(withoutFrame(history.present, history.present.current, walk.frame));
    rememberSoon();
    refresh();
    ask();
  };
  element("compare").onchange = () => compareWithDefaults().then(refresh, fail);
  element("reset").onclick = () => {
    parameters = AT_FIRST;
    showSettings();
    rememberSoon();
    filter();
  };
  element("done").onchange = (event) => {
    items[picture.index].done = event.target.checked;
    listPictures();
    element("picture").value = picture.index;
    rememberNow();
  };
}

async function start() {
  try {
    session = await get("session");
  } catch (error) {
    fail(error);
    return;
  }
  element("model").textContent = `${session.model} on ${session.device}`;
  element("formats").replaceChildren(...Object.entries(session.formats).map(([name, words]) => make("label", {
    title: words,
  }, make("input", { type: "checkbox", value: name }), ` ${name}: ${words}`)));
  items = [
    ...session.pictures.map((one, k) => ({ ...one, path: `pictures/${k}`, isVideo: false })),
    ...session.videos.map((one, k) => ({ ...one, path: `videos/${k}`, isVideo: true })),
  ];
  listPictures();
  connect();
  await openItem(Math.max(items.findIndex((one) => !one.done), 0));
}

start();
