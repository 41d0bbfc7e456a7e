"use strict";

const form = document.getElementById("new");
const list = document.getElementById("notes");
const problem = document.getElementById("problem");

// Calls a function of the server; `fields` is the form that names it and its arguments.
async function call(fields) {
  const answer = await fetch("/api", {
    method: "POST",
    headers: {Accept: "application/json"},
    body: new URLSearchParams(fields), // sent url-encoded
  });
  const result = await answer.json();
  if (!answer.ok) {
    throw new Error(result.error);
  }
  return result;
}

// One form of a call: the name and the arguments in JSON, which keeps their types.
function add(text) {
  return call({json: JSON.stringify(["notes.add", [text], {}])});
}

// The other form: the name in cmd_function, and a field for each argument.
function remove(number) {
  return call({cmd_function: "notes.remove", number});
}

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function card(note) {
  const button = element("button", {
    type: "button",
    className: "quiet",
    textContent: "Remove",
    onclick: () => attempt(() => remove(note.number)),
  });
  return element(
    "li",
    {className: "card"},
    element("p", {className: "text", textContent: note.text}),
    element(
      "footer",
      {},
      element("a", {href: `/note/${note.number}`, textContent: `Note ${note.number}`}),
      element("time", {textContent: note.time}),
      button,
    ),
  );
}

async function show() {
  const notes = await call({cmd_function: "notes.newest_first"});
  list.replaceChildren(...notes.map(card));
  document.getElementById("empty").hidden = notes.length > 0;
}

// Does something, and then shows the notes as they are now, or says what went wrong.
async function attempt(action) {
  problem.textContent = "";
  try {
    await action();
    await show();
  } catch (error) {
    problem.textContent = error.message;
  }
}

form.onsubmit = (event) => {
  event.preventDefault();
  attempt(async () => {
    await add(form.elements.text.value);
    form.reset();
  });
};

// Ctrl+Enter adds, since Enter alone begins a new line.
form.onkeydown = (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    form.requestSubmit();
  }
};

attempt(() => {});
