"use strict";

const form = document.getElementById("new");
const list = document.getElementById("clips");
const problem = document.getElementById("problem");
const progress = document.getElementById("progress");
const state = document.getElementById("state");

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let unit = 0;
  for (; bytes >= 1000 && unit < 4; unit += 1) {
    bytes /= 1000;
  }
  return `${unit ? bytes.toFixed(1) : bytes} ${units[unit]}`;
}

// Shows a clip as what it is: something to watch, to hear or to look at, else by its ending.
function stage(clip, url) {
  const [kind] = clip.type.split("/");
  if (kind === "video" || kind === "audio") {
    return element(kind, {src: url, controls: true, preload: "metadata"});
  }
  if (kind === "image") {
    return element("img", {src: url, alt: "", loading: "lazy"});
  }
  return element("span", {textContent: clip.name.split(".").pop()});
}

function card(clip) {
  const url = `clips/${encodeURIComponent(clip.name)}`;
  const time = new Date(clip.time).toLocaleString([], {dateStyle: "medium", timeStyle: "short"});
  return element(
    "li",
    {className: "card"},
    element("div", {className: "stage"}, stage(clip, url)),
    element("h2", {textContent: clip.name}),
    element("p", {textContent: clip.note}),
    element(
      "footer",
      {},
      element("time", {textContent: time}),
      element("span", {textContent: size(clip.size)}),
      element("a", {href: `${url}?download`, textContent: "Download"}),
      element("button", {
        type: "button",
        className: "quiet",
        textContent: "Remove",
        onclick: () => attempt(() => remove(clip.name)),
      }),
    ),
  );
}

// The server sends the whole list at each change. Only what differs is touched, so that a clip
// which plays goes on.
const shown = new Map(); // a clip in JSON: its card

function show(clips) {
  const wanted = new Map(clips.reverse().map((clip) => [JSON.stringify(clip), clip]));
  for (const [key, old] of shown) {
    if (!wanted.has(key)) {
      old.remove();
      shown.delete(key);
    }
  }
  for (const [key, clip] of wanted) {
    if (!shown.has(key)) {
      shown.set(key, card(clip));
      list.prepend(shown.get(key));
    }
  }
  document.getElementById("empty").hidden = clips.length > 0;
  document.getElementById("all").hidden = clips.length === 0;
}

function watch() {
  const source = new EventSource("events");
  source.onmessage = (event) => show(JSON.parse(event.data));
  source.onopen = () => {
    state.textContent = "live";
    state.className = "live";
  };
  source.onerror = () => {
    state.textContent = "connecting";
    state.className = "";
  };
}

// Sends a form; fetch could do it too, but does not tell how far it has come.
function post(url, fields) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", url);
    request.setRequestHeader("Accept", "application/json");
    request.responseType = "json";
    request.upload.onprogress = (event) => {
      progress.value = event.loaded / event.total;
    };
    request.onerror = () => reject(new Error("The server cannot be reached."));
    request.onload = () => {
      if (request.status < 400) {
        resolve(request.response);
      } else {
        reject(new Error(request.response?.error ?? request.statusText));
      }
    };
    request.send(fields);
  });
}

async function add(files) {
  const fields = new FormData(form);
  if (files) {
    fields.delete("clip");
    files.forEach((file) => fields.append("clip", file));
  }
  const button = form.querySelector("button");
  progress.hidden = false;
  progress.value = 0;
  button.disabled = true;
  try {
    await post("clips", fields);
    form.reset();
  } finally {
    progress.hidden = true;
    button.disabled = false;
  }
}

function remove(name) {
  const fields = new URLSearchParams({cmd_function: "dailies.remove", name});
  return post("api", fields);
}

async function attempt(action) {
  problem.textContent = "";
  try {
    await action();
  } catch (error) {
    problem.textContent = error.message;
  }
}

form.onsubmit = (event) => {
  event.preventDefault();
  attempt(() => add());
};

document.ondragover = (event) => {
  event.preventDefault();
  document.body.classList.add("over");
};

document.ondragleave = (event) => {
  if (!event.relatedTarget) {
    document.body.classList.remove("over");
  }
};

document.ondrop = (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  const files = [...event.dataTransfer.files];
  if (files.length > 0) {
    attempt(() => add(files));
  }
};

watch();
