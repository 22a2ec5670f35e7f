// Wiring: the filters, the keys, and when what is drawn.

const form = document.getElementById("filters");
const tables = document.getElementById("tables");
const status_ = document.getElementById("found");
const CHOSEN = ["subject", "scope", "verb", "question"];

function readFilter() {
  const chosen = (name) => (form.elements[name].value === "" ? null : Number(form.elements[name].value));
  return {
    subject: chosen("subject"),
    scope: chosen("scope"),
    verb: chosen("verb"),
    question: chosen("question"),
    wrong: form.elements.wrong.checked,
    words: form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean),
  };
}

/** Keep the filter in the address, by names, so that what is looked at can be sent on. */
function writeAddress() {
  const said = new URLSearchParams();
  const { view, text, wrong } = form.elements;
  if (view.value !== "scenarios") said.set("view", view.value);
  for (const name of CHOSEN) {
    const field = form.elements[name];
    if (field.value !== "") said.set(name, field.selectedOptions[0].text);
  }
  if (text.value.trim()) said.set("text", text.value.trim());
  if (wrong.checked) said.set("wrong", "1");
  history.replaceState(null, "", `#${said}`);
}

/** Take the filter from the address; what it names and this page does not have is left out. */
function readAddress() {
  const said = new URLSearchParams(location.hash.slice(1));
  const { view, text, wrong } = form.elements;
  view.value = said.get("view") === "subjects" ? "subjects" : "scenarios";
  for (const name of CHOSEN) {
    const options = [...form.elements[name].options];
    form.elements[name].selectedIndex = Math.max(0, options.findIndex((option) => option.text === said.get(name)));
  }
  text.value = said.get("text") ?? "";
  wrong.checked = said.has("wrong");
}

/** Draw what the filter lets through; `every` opens all scenarios, for print. */
function draw(every = false) {
  const filter = readFilter();
  const { words, wrong, ...chosen } = filter;
  const filtered = words.length > 0 || wrong || Object.values(chosen).some((value) => value !== null);
  const hits = filtered ? matching(filter) : null;
  if (form.elements.view.value === "subjects") {
    const rows = subjectsTable(hits, filter);
    const body = element("div", { class: "body" }, ...parts("All subjects", rows, hits, filter));
    tables.replaceChildren(...(rows.length ? [element("div", { class: "scenario" }, body)] : []));
  } else {
    let left = every ? Infinity : OPEN_ROWS;
    const sections = [];
    for (const [number, subjects] of scenarioTables(hits)) {
      const rows = [...subjects.values()].flatMap((own) => (hits ? own : folded(own).main));
      const open = left > 0 && (every || sections.length === 0 || rows.length <= left || rows.some((one) => one.wrong));
      if (open) left -= rows.length;
      sections.push(scenarioSection(number, subjects, hits, filter, open));
    }
    tables.replaceChildren(...sections);
  }
  const number = hits ? hits.reduce((sum, hit) => sum + hit, 0) : cellCount;
  status_.textContent = filtered ? `${number.toLocaleString("en")} of ${count(cellCount, "cell")}` : count(cellCount, "cell");
}

function fillSelect(name, any, options) {
  form.elements[name].replaceChildren(new Option(any, ""), ...options);
}

function questionOptions() {
  const byGroup = new Map();
  const order = [...packed.questions.keys()].sort((a, b) => questionRank[a] - questionRank[b]);
  for (const number of order) {
    const [label, path, , group] = packed.questions[number];
    entry(byGroup, path ? "paths" : group || "core", () => []).push(new Option(label, number));
  }
  return [...byGroup].map(([label, options]) => element("optgroup", { label }, ...options));
}

fillSelect("subject", "all subjects", packed.subjects.map(([name], number) => new Option(name, number)));
const scopes = [...packed.scopes.keys()].sort((a, b) => scopeRank[a] - scopeRank[b]);
fillSelect("scope", "all namespaces", scopes.map((number) => new Option(packed.scopes[number][0] || CLUSTER_SCOPE, number)));
fillSelect("verb", "all verbs", packed.verbs.map((verb, number) => new Option(verb, number)));
fillSelect("question", "all resources", questionOptions());
form.hidden = cellCount === 0;
if (location.hash.includes("=")) readAddress();
draw();

function changed() {
  draw();
  writeAddress();
}
form.addEventListener("input", changed);
form.addEventListener("reset", () => setTimeout(changed)); // the fields change after the event
addEventListener("hashchange", () => {
  if (!location.hash.includes("=")) return; // to a part of the page
  readAddress();
  draw();
});
form.addEventListener("submit", (event) => event.preventDefault());

document.addEventListener("click", (event) => {
  const cell = event.target.closest("button[data-cells]");
  const verb = event.target.closest("button[data-cell]");
  if (cell) openList(cell.dataset.cells.split(" ").map(Number));
  else if (verb) openVerdict(Number(verb.dataset.cell));
});
tables.addEventListener("focusin", (event) => {
  const cell = event.target.closest("button[data-cells]");
  if (cell && cell.tabIndex !== 0) focusCell(cell);
});
tables.addEventListener("keydown", (event) => {
  const cell = event.target.closest("button[data-cells]");
  const next = cell && !event.altKey && neighbour(cell, event.key, event.ctrlKey || event.metaKey);
  if (!next) return;
  event.preventDefault();
  focusCell(next);
});
narrow.addEventListener("change", () => draw());
addEventListener("beforeprint", () => draw(true));
addEventListener("afterprint", () => draw());
(window.requestIdleCallback ?? setTimeout)(searchableTexts);
