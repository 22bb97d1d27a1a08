// The panel beside the picture: objects, candidates, settings, counts. It shows; it holds nothing.

import { colourOf } from "./prompts.js";

export const element = (id) => document.getElementById(id);

/** Makes an element with properties and children; text is text, never markup. */
export function make(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role" || name === "for") {
      made.setAttribute(name, value);
    } else {
      made[name] = value;
    }
  }
  made.append(...children);
  return made;
}

/** Marks one of some buttons as the chosen one. */
export function choose(buttons, attribute, isChosen) {
  for (const button of buttons) {
    button.setAttribute(attribute, String(isChosen(button)));
  }
}

/**
 * Lists the objects. `on` has `select(k)`, `rename(k, name)` and `remove(k)`;
 * `answers[k]` is the answer about object k, or undefined.
 */
export function showObjects(prompts, answers, palette, on) {
  const rows = prompts.objects.map((object, k) => {
    const shown = answers[k]?.ranks[object.candidate - 1]?.[0];
    const number = object.id ?? k + 1;
    const swatch = make("button", {
      className: "swatch", textContent: number, title: "Make this the object that clicks belong to",
      "aria-label": `Object ${number}`, onclick: () => on.select(k),
    });
    swatch.style.background = `rgb(${colourOf(number, palette)})`;
    const name = make("input", {
      type: "text", value: object.name, placeholder: `object ${number}`,
      "aria-label": `Name of object ${number}`, onchange: (event) => on.rename(k, event.target.value),
    });
    const points = object.points.length;
    const facts = [points ? `${points} pt` : "", object.box ? "box" : "", object.mask ? "mask" : "",
      shown ? shown.iou.toFixed(2) : answers[k]?.word ?? ""].filter(Boolean).join(" ");
    const remove = make("button", {
      textContent: "x", title: "Remove this object (Delete)", "aria-label": `Remove object ${number}`,
      onclick: () => on.remove(k),
    });
    const isCurrent = k === prompts.current;
    const row = make("li", { className: isCurrent ? "current" : "" }, swatch, name,
      make("span", { className: "facts", textContent: facts }), remove);
    if (isCurrent) {
      row.setAttribute("aria-current", "true");
    }
    return row;
  });
  element("objects").replaceChildren(...rows);
  element("no-objects").hidden = rows.length > 0;
}

/** Offers the candidates of the current object; `onChoose` gets the rank. */
export function showCandidates(object, answer, onChoose, onRefine) {
  const ranks = object && answer ? answer.ranks : [];
  const place = element("candidates");
  place.hidden = ranks.length === 0;
  const buttons = ranks.map(([mask], k) => make("button", {
    role: "radio", textContent: mask ? `${k + 1}: ${mask.iou.toFixed(2)}` : `${k + 1}: none`,
    disabled: !mask, title: `The network's mask number ${k + 1} and its own estimate of its IoU (${k + 1})`,
    "aria-checked": String(object.candidate === k + 1), onclick: () => onChoose(k + 1),
  }));
  const refine = make("button", {
    textContent: object?.mask ? "Start afresh" : "Refine this mask",
    title: object?.mask
      ? "Forget the mask that the object starts from"
      : "Give the shown mask to the network as a prompt, to go on from it",
    onclick: onRefine,
  });
  place.replaceChildren(...buttons, ...(ranks.length ? [refine] : []));
}

/** Makes the field of a parameter; `onChange` gets the key and the value. */
export function setting(row, value, onChange) {
  const id = `setting-${row.key}`;
  const label = make("label", { for: id, textContent: row.label, title: row.help });
  const tell = (event) => onChange(row.key, read(row, event.target));
  if (row.kind === "choice") {
    const options = row.choices.map((choice) => make("option", {
      textContent: choice, value: choice, selected: choice === value,
    }));
    return make("div", { className: "setting", title: row.help }, label,
      make("select", { id, onchange: tell }, ...options));
  }
  if (row.kind === "bool") {
    return make("div", { className: "setting", title: row.help }, label,
      make("input", { id, type: "checkbox", checked: value, onchange: tell }));
  }
  const limits = { min: row.minimum, max: row.maximum, step: row.kind === "int" ? 1 : 0.01 };
  const number = make("input", { id, type: "number", ...limits, value, onchange: tell });
  const parts = [label, number];
  if (row.kind === "float" && row.maximum - row.minimum <= 1) {
    const slider = make("input", {
      type: "range", ...limits, value, "aria-label": row.label,
      oninput: (event) => {
        number.value = event.target.value;
        tell(event);
      },
    });
    number.oninput = () => { slider.value = number.value; };
    parts.push(slider);
  }
  return make("div", { className: "setting", title: row.help }, ...parts);
}

function read(row, field) {
  if (row.kind === "bool") {
    return field.checked;
  }
  return row.kind === "choice" ? field.value : Number(field.value);
}

/** Marks the field that an error is about. */
export function blame(key) {
  for (const wrong of document.querySelectorAll(".setting.wrong")) {
    wrong.classList.remove("wrong");
  }
  if (key) {
    element(`setting-${key}`)?.closest(".setting").classList.add("wrong");
  }
}

/** The frames with prompts as buttons; `onGo` gets the frame. */
export function showFrames(frames, current, onGo) {
  element("prompted").replaceChildren(...frames.map((frame) => make("button", {
    textContent: frame, title: `Show frame ${frame}`, "aria-label": `Prompted frame ${frame}`,
    "aria-pressed": String(frame === current), onclick: () => onGo(frame),
  })));
  element("prompted-row").hidden = frames.length === 0;
}

/** How many masks each parameter took; `labels` are the parameters' names for people. */
export function showFunnel(answer, labels) {
  const line = (words, count, isMost) => make("tr", { className: isMost ? "most" : "" },
    make("td", { textContent: words }), make("td", { textContent: count }));
  const rows = [];
  if (answer?.lostTo) {
    rows.push(line("proposed", answer.proposed, false));
    for (const [key, lost] of Object.entries(answer.lostTo)) {
      if (lost) {
        rows.push(line(`dropped by ${labels[key] ?? key}`, `-${lost}`, key === answer.largestLoss));
      }
    }
    rows.push(line("shown", answer.ranks[0]?.length ?? 0, false));
  }
  element("funnel").firstElementChild.replaceChildren(...rows);
}
