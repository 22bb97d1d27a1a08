// A video: which frame is shown, and its masks as objects are followed from frame to frame.

import { element } from "./panel.js";
import { followFrame, get, remove } from "./transport.js";

const PROGRESS_MS = 250;

export class VideoWalk {
  /**
   * `on` has `prompts()`: the parameters of now, `isPrompted(frame)`, `shown()`: the frame or its
   * masks are others, `tell(words)` and `fail(error)`.
   */
  constructor(viewport, on) {
    this.viewport = viewport;
    this.on = on;
    this.turn = 0;
    this.close();
  }

  /** Ends whatever goes on; no video is shown then. */
  close() {
    this.stop();
    this.video = null;
    this.frame = 0; // the one that is shown
    this.wanted = 0; // and the one that is on its way
    this.answer = null;
    this.next = null;
  }

  /** Opens a video: `{path, width, height, frames}`, and shows one of its frames. */
  async open(video, frame) {
    this.close();
    this.video = video;
    element("frame").max = element("frame-number").max = video.frames - 1;
    element("frame-count").textContent = `of ${video.frames - 1}`;
    this.frame = Math.min(Math.max(frame, 0), video.frames - 1);
    this.viewport.swap(this.#pictureOf(this.frame), null);
    this.viewport.fit();
    await this.show(this.frame);
  }

  /** Shows a frame with the masks that are at hand; while one loads, only the newest counts. */
  async show(frame) {
    this.stop();
    this.next = this.wanted = Math.min(Math.max(frame, 0), this.video.frames - 1);
    this.on.shown();
    if (this.isShowing) {
      return;
    }
    this.isShowing = true;
    while (this.next !== null && this.video) {
      const wanted = this.next;
      this.next = null;
      await this.#load(wanted, this.on.isPrompted(wanted) ? "near" : "kept");
    }
    this.isShowing = false;
  }

  /** Follows objects into the shown frame, through all frames before it. */
  followHere() {
    return this.#following(async () => {
      await this.#load(this.wanted, "all");
    });
  }

  /** Follows objects into the next frame. */
  step() {
    return this.#following(async () => {
      if (this.wanted < this.video.frames - 1) {
        await this.#load(this.wanted + 1, "all");
      }
    });
  }

  /** Follows objects from frame to frame, to the last or until it is stopped. */
  play() {
    return this.#following(async () => {
      while (this.isFollowing && this.video && this.wanted < this.video.frames - 1) {
        if (!await this.#load(this.wanted + 1, "all")) {
          return;
        }
      }
    });
  }

  stop() {
    this.isFollowing = false;
    if (this.job) {
      remove(`jobs/${this.job}`).catch(() => {});
      this.job = null;
    }
  }

  /** What is known of an object in the shown frame, as the panel shows it. */
  answerOf({ id }) {
    const track = this.answer?.tracks.find((one) => one.id === id);
    if (!track) {
      return undefined;
    }
    return { ranks: [this.masks().filter((mask) => mask.track === id)], word: "absent" };
  }

  masks() {
    return this.answer?.ranks.flat() ?? [];
  }

  async #following(work) {
    if (this.isFollowing) {
      return;
    }
    this.stop();
    this.isFollowing = true;
    this.on.shown();
    try {
      await work();
    } finally {
      this.isFollowing = false;
      this.on.shown();
    }
  }

  #pictureOf(frame) {
    return { ...this.video, path: `${this.video.path}/frames/${frame}` };
  }

  /** Loads a frame and its masks together; gives whether both are shown now. */
  async #load(frame, reach) {
    this.turn += 1;
    this.wanted = frame;
    const { turn, video } = this;
    const job = crypto.randomUUID();
    const isCurrent = () => turn === this.turn && video === this.video;
    const picture = this.#pictureOf(frame);
    const ticking = reach === "all" ? this.#watch(job) : 0;
    const masks = followFrame(picture, this.on.prompts(), job, reach).then((answer) => ({ answer }), (error) => ({ error }));
    try {
      const [{ answer, error }, overview] = await Promise.all([masks, this.viewport.overviewOf(picture)]);
      if (!isCurrent()) {
        return false;
      }
      if (error && reach === "all") {
        throw error; // the frame before stays, with its masks
      }
      this.frame = frame;
      this.answer = answer ?? null;
      this.viewport.swap(picture, overview);
      this.on.shown();
      if (error) {
        throw error;
      }
      this.#tell(answer, frame);
      return true;
    } catch (error) {
      if (isCurrent()) {
        this.wanted = this.frame;
        this.on.shown();
        if (!error.stopped) {
          this.on.fail(error);
        }
      }
      return false;
    } finally {
      clearInterval(ticking);
      element("progress").hidden = true;
      this.job = this.job === job ? null : this.job;
    }
  }

  #tell(answer, frame) {
    if (!answer) {
      this.on.tell(`Frame ${frame} is not followed yet.`);
      return;
    }
    const alone = answer.alone
      ? ` Only this frame's own prompts count so far: "Follow to here" looks at the frames before, too.`
      : "";
    this.on.tell((answer.notes.join(" ") || `${answer.summary}.`) + alone);
    element("latency").textContent = `frame in ${Math.round(answer.tookMs)} ms`;
  }

  /** Shows how far a run through several frames is. */
  #watch(job) {
    this.job = job;
    return setInterval(async () => {
      const { done, total } = await get(`jobs/${job}`).catch(() => ({}));
      if (total > 1 && this.job === job) {
        element("progress").hidden = false;
        element("progress").value = done / total;
        this.on.tell(`Following: ${done} of ${total} frames`);
      }
    }, PROGRESS_MS);
  }
}
