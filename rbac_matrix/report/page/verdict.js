// The verdict of a cell, opened in a dialog: the browser keeps the focus within, closes it on Escape and gives the focus
// back to what opened it.

const dialog = document.getElementById("verdict");
const wrongCells = packed.wrong; // in the order of "What is wrong"
const JUDGES = { policy: "Policy", review: "Review", request: "Request" };
const TOLD = new Set([
  ...Object.keys(JUDGES),
  ...["id", "sentence", "outcome", "expected", "why", "declared", "granted", "nearest", "manifest", "not_requested"],
  ...["request_line", "ask_again", "answer", "status", "message"],
]);

/** Show a cell's verdict; `cells` are those of a list that led to it, to go back to. */
function openVerdict(cell, cells = []) {
  const found = record(cell);
  const parts = [
    badge(cellState[cell], cellState[cell] === WRONG ? found.outcome : stateName(cell)),
    title(found.sentence),
    rule(found),
    part("Expected", line(`${found.expected}: ${found.why}`), place(found.declared)),
    part("Judges", judges(found)),
  ];
  if (found.answer || found.message) {
    parts.push(part("Answer", found.answer && line(`${found.status} ${found.answer}`), found.message && quoted(found.message)));
  }
  parts.push(part("Ask again", ...commands(cell, found)));
  for (const [field, text] of Object.entries(found)) {
    if (!TOLD.has(field) && text) parts.push(part(field.replaceAll("_", " "), line(text)));
  }
  parts.push(element("p", { class: "id" }, "Cell ", element("code", {}, found.id)));
  show(parts, cell, cells);
}

/** Show the cells that a matrix over all subjects has in one place. */
function openList(cells) {
  if (cells.length === 1) return openVerdict(cells[0]);
  const row = rowOf[cells[0]];
  const list = element("ul", { class: "subjects" });
  for (const cell of cells) {
    const open = element("button", { type: "button" }, symbol(cellState[cell]), " ", bdi(subjectName(rowOf[cell])), " ");
    open.append(element("small", {}, stateName(cell), ", ", bdi(scenarioName(rowOf[cell]))));
    open.addEventListener("click", () => openVerdict(cell, cells));
    list.append(element("li", {}, open));
  }
  show([title(`Who may ${verbName(cells[0])} ${what(row)}${where(row)}?`), list]);
}

function show(parts, cell, cells = []) {
  dialog.replaceChildren(bar(cell, cells), ...parts);
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  // A screen reader starts at the sentence, not at the buttons above it.
  document.getElementById("verdict-title").focus({ preventScroll: true });
}

function bar(cell, cells) {
  const made = element("div", { class: "bar" });
  if (cells.length) made.append(button("← Back", () => openList(cells)));
  const place = wrongCells.indexOf(cell);
  if (!cells.length && place >= 0 && wrongCells.length > 1) {
    const step = (by) => () => openVerdict(wrongCells.at((place + by) % wrongCells.length));
    made.append(button("Previous", step(-1)), button("Next", step(1)));
    made.append(element("span", {}, `${place + 1} of ${count(wrongCells.length, "wrong cell")}`));
  }
  made.append(button("Close", () => dialog.close(), "close"));
  return made;
}

/** The rule that granted it, or came nearest, with the line of the manifest. */
function rule(found) {
  const text = found.granted || found.nearest;
  if (!text) return "";
  return part(found.granted ? "Granted by" : "Nearest rule", found.manifest && place(found.manifest), line(text));
}

function judges(found) {
  const rows = Object.entries(JUDGES).map(([field, name]) => {
    const [, said, reason] = /^(allowed|denied|no answer)?(?:: )?(.*)$/.exec(found[field]);
    const why = reason || (field === "policy" && (found.granted || found.nearest));
    const missing = found[field] ? "" : found.not_requested || (field === "request" ? "not requested" : "not asked");
    const state = { allowed: ALLOWED, denied: DENIED }[said] ?? NOT_ASKED;
    const shown = element("td", { class: `said ${className(state)}` }, symbol(state), " ", said ?? "–");
    return element("tr", {}, element("th", { scope: "row" }, name), shown, element("td", {}, bdi(why || missing)));
  });
  const head = ["Judge", "Says", "Why"].map((name) => element("th", { scope: "col" }, name));
  const caption = element("caption", { class: "unseen" }, "What each judge says");
  return element("table", { class: "judges" }, caption, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
}

function commands(cell, found) {
  const user = userName(rowOf[cell]);
  const made = [];
  if (found.request_line) made.push(labelled("The request", command(found.request_line)), labelled("as", command(user)));
  if (/^GET (?!.*watch=true)[^ ]+$/.test(found.request_line)) { // no watch, which never ends, and no upgrade
    const path = found.request_line.slice("GET ".length);
    made.push(labelled("The same with kubectl", command(`kubectl get --raw ${quote(path)} ${quote(`--as=${user}`)}`)));
  }
  made.push(labelled("The question", command(found.ask_again)));
  return made;
}

const quote = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`);

/** A text to copy. */
function command(text) {
  const code = element("code", {}, text);
  const copy = button("Copy", async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      getSelection().selectAllChildren(code); // not permitted here: a selection is the next best
      return;
    }
    copy.textContent = "Copied";
  });
  copy.setAttribute("aria-live", "polite");
  return element("span", { class: "command" }, code, copy);
}

const bdi = (text) => element("bdi", {}, text);
const line = (text) => element("p", {}, bdi(text));
const quoted = (text) => element("blockquote", {}, bdi(text));
const place = (text) => element("code", { class: "place" }, text);
const labelled = (label, content) => element("div", { class: "labelled" }, element("span", {}, label), content);
const title = (text) => element("h2", { id: "verdict-title", tabindex: "-1" }, bdi(text));
const symbol = (state) => element("span", { class: "symbol", "aria-hidden": "true" }, SYMBOLS[state]);

function badge(state, text) {
  return element("p", { class: `badge ${className(state)}` }, symbol(state), " ", text);
}

function part(name, ...content) {
  return element("section", {}, element("h3", {}, name), ...content.filter(Boolean));
}

function button(text, action, style) {
  const made = element("button", { type: "button", class: style }, text);
  made.addEventListener("click", action);
  return made;
}

dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close(); // beside it
});
