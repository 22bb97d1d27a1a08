// Asks the server. The token comes with the address and is kept for this tab only.

import { unpack } from "./masks.js";

const KEPT = "page-token";
const given = location.hash.slice(1);
if (given) {
  sessionStorage.setItem(KEPT, given);
  history.replaceState(null, "", location.pathname);
}
const token = sessionStorage.getItem(KEPT) ?? "";

/** What the server says is wrong; `key` names the parameter that it is about. */
export class Refused extends Error {
  constructor(answer) {
    super(answer.error);
    this.key = answer.key ?? "";
    this.stopped = answer.stopped === true;
  }
}

async function request(path, method, body) {
  const options = { method, headers: { "x-page-token": token } };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(`/api/${path}`, options);
  } catch {
    throw new Refused({ error: "The page's program has ended; start it again. What is prompted stays here." });
  }
  if (!response.ok) {
    const answer = await response.json().catch(() => ({}));
    throw new Refused({ error: `The page's program failed (${response.status}); its window tells why.`, ...answer });
  }
  return response;
}

export const get = async (path) => (await request(path, "GET")).json();
export const post = async (path, body) => (await request(path, "POST", body)).json();
export const put = async (path, body) => (await request(path, "PUT", body)).json();
export const remove = async (path) => (await request(path, "DELETE")).json();
export const bitmap = async (path) => createImageBitmap(await (await request(path, "GET")).blob());

/** Runs on a picture; see `unpack` for what it gives. */
export async function segment(picture, parameters, job) {
  const response = await request(`${picture.path}/segment`, "POST", { parameters, job });
  return unpack(await response.arrayBuffer(), picture.height);
}

/**
 * Masks of a frame of a video, `reach` says how far to go for them ("kept", "near" or "all");
 * undefined where none are kept.
 */
export async function followFrame(picture, parameters, job, reach) {
  const response = await request(`${picture.path}/masks`, "POST", { parameters, job, reach });
  return response.status === 204 ? undefined : unpack(await response.arrayBuffer(), picture.height);
}
