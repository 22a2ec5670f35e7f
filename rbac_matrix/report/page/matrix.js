// The tables. Only what is open is in the document, a page of rows at a time.

const PAGE_ROWS = 100; // that a table shows before it is asked for more
const OPEN_ROWS = 150; // that are shown of all scenarios together before one is opened by hand
const WORST_FIRST = [WRONG, ALLOWED, NOT_ASKED, DENIED];
const STANDARD_VERBS = 8;
const narrow = matchMedia("(max-width: 40rem)");

const questionRank = rank(packed.questions, (question) => [question[1], question[3], question[2], question[4], question[5]]);
const scopeRank = packed.scopes.map(([scope], place) => (scope ? place : Infinity));

function rank(values, key) {
  const keys = values.map((value) => key(value).join("\0"));
  const order = [...keys.keys()].sort((a, b) => (keys[a] < keys[b] ? -1 : 1));
  const ranks = new Int32Array(keys.length);
  order.forEach((value, place) => (ranks[value] = place));
  return ranks;
}

/** A row of a table: its first row in the data, and the cells of each verb. */
function tableRow(row) {
  return { row, cells: new Map(), wrong: false, granted: false, stock: true, hit: false };
}

function addCells(into, row, hits) {
  let granted = false;
  for (let cell = rowStart[row]; cell < rowEnd(row); cell++) {
    const verb = cellVerb[cell];
    if (!into.cells.has(verb)) into.cells.set(verb, []);
    into.cells.get(verb).push(cell);
    if (cellState[cell] !== DENIED) granted = true;
    if (cellState[cell] === WRONG) into.wrong = true;
    if (hits?.[cell]) into.hit = true;
  }
  into.granted ||= granted;
  if (granted && !rowStock[row]) into.stock = false;
}

/** The subjects of each scenario with their rows; with a filter, those with a hit only. */
function scenarioTables(hits) {
  const scenarios = new Map();
  for (let row = 0; row < rowCount; row++) {
    const made = tableRow(row);
    addCells(made, row, hits);
    if (hits && !made.hit) continue;
    const subjects = entry(scenarios, rowScenario[row], () => new Map());
    entry(subjects, rowSubject[row], () => []).push(made);
  }
  return scenarios;
}

/** The rows of all subjects, put together. */
function subjectsTable(hits, filter) {
  const rows = new Map();
  for (let row = 0; row < rowCount; row++) {
    if (filter.subject !== null && rowSubject[row] !== filter.subject) continue;
    const key = rowQuestion[row] * packed.scopes.length + rowScope[row];
    addCells(entry(rows, key, () => tableRow(row)), row, hits);
  }
  return [...rows.values()]
    .filter((one) => !hits || one.hit)
    .sort((a, b) => questionRank[rowQuestion[a.row]] - questionRank[rowQuestion[b.row]] || scopeRank[rowScope[a.row]] - scopeRank[rowScope[b.row]]);
}

function entry(map, key, make) {
  if (!map.has(key)) map.set(key, make());
  return map.get(key);
}

/**
 * Rows in three parts: what is granted or wrong, with the same resource in the other scopes; what is granted to everybody
 * on a stock cluster; and what is denied in every verb and scope.
 */
function folded(rows) {
  const speaking = new Set();
  for (const one of rows) if (interesting(one)) speaking.add(rowQuestion[one.row]);
  const parts = { main: [], stock: [], denied: [] };
  for (const one of rows) {
    if (speaking.has(rowQuestion[one.row])) parts.main.push(one);
    else parts[one.granted ? "stock" : "denied"].push(one);
  }
  return parts;
}

const interesting = (one) => one.granted && !one.stock;

/** A scenario, which makes its tables when it is opened and forgets them when it is closed. */
function scenarioSection(number, subjects, hits, filter, open) {
  const name = packed.scenarios[number][0];
  const rows = [...subjects.values()].flat();
  const body = element("div", { class: "body" });
  const fill = () => body.replaceChildren(...[...subjects].map(([subject, own]) => subjectBlock(subject, own, hits, filter)));
  const summary = element("summary", {}, element("h3", {}, bdi(name)), tally(rows, hits));
  return folding("scenario", summary, body, fill, open);
}

function subjectBlock(subject, rows, hits, filter) {
  const [name] = packed.subjects[subject];
  return element("div", { class: "subject" }, ...parts(name, rows, hits, filter));
}

/** The tables of some rows, under one caption. */
function parts(name, rows, hits, filter) {
  if (hits) return [table(name, rows, hits, filter)];
  const { main, stock, denied } = folded(rows);
  const made = main.length
    ? [table(name, main, null, filter)]
    : [element("p", { class: "caption" }, bdi(name)), element("p", { class: "nothing" }, "Nothing is granted to it but what everybody has.")];
  if (stock.length) made.push(foldedTable(name, `${count(stock.length, "row")} allowed on every stock cluster`, stock, filter));
  if (denied.length) made.push(foldedTable(name, `${count(denied.length, "row")} denied in every verb`, denied, filter));
  return made;
}

function foldedTable(name, text, rows, filter) {
  const body = element("div");
  const fill = () => body.replaceChildren(table(`${name}: ${text}`, rows, null, filter, true));
  return folding("fold", element("summary", {}, text), body, fill, false);
}

function folding(style, summary, body, fill, open) {
  const made = element("details", { class: style }, summary, body);
  if (open) {
    fill();
    made.open = true;
  }
  made.addEventListener("toggle", () => {
    if (!made.open) body.replaceChildren();
    else if (!body.hasChildNodes()) fill();
  });
  return made;
}

/** How many cells of some rows are in each state. */
function tally(rows, hits) {
  const numbers = [0, 0, 0, 0];
  for (const one of rows) {
    for (const cells of one.cells.values()) for (const cell of cells) if (!hits || hits[cell]) numbers[cellState[cell]]++;
  }
  const made = element("span", { class: "tally" });
  for (const state of [WRONG, ALLOWED, DENIED, NOT_ASKED]) {
    if (!numbers[state]) continue;
    made.append(element("span", { class: className(state) }, symbol(state), ` ${numbers[state].toLocaleString("en")} ${packed.states[state]}`), " ");
  }
  return made;
}

/** A grid of the ARIA pattern: one stop for Tab, arrows within. */
function table(name, rows, hits, filter, quiet = false) {
  const verbs = columns(rows, filter);
  const names = narrow.matches ? [heading("Scope", "where")] : [heading("Resource", "what"), heading("Scope", "where")];
  const head = element("tr", {}, ...names, ...verbs.map((verb) => heading(packed.verbs[verb], "verb-heading")));
  const made = element("table", { class: "matrix", role: "grid" });
  const caption = element("caption", { class: quiet ? "unseen" : undefined }, bdi(name));
  made.append(caption, element("thead", {}, head));
  const box = element("div", { class: "box" }, made);
  let shown = 0;
  const more = button("", () => {
    const from = made.rows.length;
    addPage();
    focusCell(made.rows[from].querySelector("button"));
  });
  function addPage() {
    const upTo = Math.min(rows.length, shown + PAGE_ROWS);
    made.append(...groups(rows.slice(shown, upTo), verbs, hits));
    shown = upTo;
    more.hidden = shown === rows.length;
    more.textContent = `Show ${Math.min(PAGE_ROWS, rows.length - shown)} more of ${(rows.length - shown).toLocaleString("en")} rows`;
  }
  addPage();
  made.querySelector("tbody button")?.setAttribute("tabindex", "0");
  box.append(more);
  return box;
}

function heading(name, style) {
  const [, start, end] = /^(delete)?(.*)$/.exec(name); // deletecollection may be broken there
  return element("th", { scope: "col", class: style }, element("span", {}, start ?? "", element("wbr"), end));
}

/** The verbs of a table: the usual ones, others where a row has them; or the one that is asked for. */
function columns(rows, filter) {
  if (filter.verb !== null) return [filter.verb];
  const found = new Set(rows.flatMap((one) => [...one.cells.keys()]));
  if (rows.every((one) => isPath(one.row))) return [...found].sort((a, b) => a - b);
  return [...packed.verbs.keys()].filter((verb) => verb < STANDARD_VERBS || found.has(verb));
}

/** A table body for each resource, as its name is the heading of several rows. */
function groups(rows, verbs, hits) {
  const bodies = [];
  for (let from = 0, to = 0; from < rows.length; from = to) {
    const question = rowQuestion[rows[from].row];
    while (to < rows.length && rowQuestion[rows[to].row] === question) to++;
    const body = element("tbody");
    if (narrow.matches) body.append(element("tr", {}, resourceHeading(rows[from].row, 1, verbs.length + 1)));
    rows.slice(from, to).forEach((one, place) => {
      const line = element("tr");
      if (place === 0 && !narrow.matches) line.append(resourceHeading(one.row, to - from));
      line.append(element("th", { scope: "row", class: "where" }, isPath(one.row) ? "path" : scopeName(one.row) || CLUSTER_SCOPE));
      verbs.forEach((verb, column) => line.append(gridCell(one, verb, column, hits)));
      body.append(line);
    });
    bodies.push(body);
  }
  return bodies;
}

/** The name of a resource: beside the rows of its scopes or, on a narrow page, above them. */
function resourceHeading(row, rowspan, colspan) {
  const [label, path, plural, group, subresource, name] = packed.questions[rowQuestion[row]];
  const made = element("th", { scope: rowspan > 1 || colspan ? "rowgroup" : "row", rowspan, colspan, class: "what", title: label });
  const main = path || plural + (subresource && `/${subresource}`) + (name && ` "${name}"`);
  made.append(element("bdi", {}, main));
  if (group) made.append(element("small", {}, bdi(group)));
  return made;
}

function gridCell(one, verb, column, hits) {
  const cells = one.cells.get(verb);
  if (!cells) return element("td");
  const hit = !hits || cells.some((cell) => hits[cell]);
  const states = cells.map((cell) => cellState[cell]);
  const state = WORST_FIRST.find((each) => states.includes(each));
  const same = states.filter((each) => each === state).length;
  const [cell] = cells;
  const where_ = `${verbName(cell)} ${what(one.row)}${where(one.row)}`;
  const label = cells.length > 1 ? `${where_}: ${packed.states[state]} for ${same} of ${cells.length}` : `${where_}: ${packed.states[state]}`;
  const number = cells.length > 1 && state !== DENIED ? element("small", {}, String(same)) : "";
  const style = `cell ${className(state)}${hit ? "" : " beside"}`;
  const made = element("button", { type: "button", tabindex: "-1", class: style, "aria-label": label }, SYMBOLS[state], number);
  made.dataset.cells = cells.join(" ");
  made.dataset.column = column;
  return element("td", {}, made);
}

function focusCell(cell) {
  if (!cell) return;
  const grid = cell.closest("table");
  for (const before of grid.querySelectorAll("[tabindex='0']")) before.tabIndex = -1;
  cell.tabIndex = 0;
  cell.focus();
}

/** Where a key leads from a cell of a grid; null where the key means nothing. */
function neighbour(cell, key, control) {
  const grid = cell.closest("table");
  const lines = [...grid.tBodies].flatMap((body) => [...body.rows]);
  const line = cell.closest("tr");
  const here = lines.indexOf(line);
  const own = [...line.querySelectorAll("button")];
  const vertical = (by) => {
    // Some rows have no such verb: on to the next that has it.
    let found = null;
    const step = Math.sign(by);
    for (let at = here + step, left = Math.abs(by); at >= 0 && at < lines.length && left > 0; at += step) {
      const there = lines[at].querySelector(`button[data-column="${cell.dataset.column}"]`);
      if (there) [found, left] = [there, left - 1];
    }
    return found;
  };
  const all = () => [...grid.querySelectorAll("tbody button")];
  switch (key) {
    case "ArrowLeft": return own[own.indexOf(cell) - 1] ?? cell;
    case "ArrowRight": return own[own.indexOf(cell) + 1] ?? cell;
    case "ArrowUp": return vertical(-1) ?? cell;
    case "ArrowDown": return vertical(1) ?? cell;
    case "PageUp": return vertical(-10) ?? cell;
    case "PageDown": return vertical(10) ?? cell;
    case "Home": return control ? all()[0] : own[0];
    case "End": return control ? all().at(-1) : own.at(-1);
    default: return null;
  }
}
