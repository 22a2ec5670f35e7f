// The cells as `packed.py` wrote them, and what is looked up in them.

const packed = JSON.parse(document.getElementById("packed").textContent);
const [rowScenario, rowSubject, rowScope, rowQuestion, rowStock, rowStart] = packed.rows;
const [cellVerb, cellState, cellKind] = packed.cells;
const rowCount = rowStart.length;
const cellCount = cellVerb.length;
const [ALLOWED, DENIED, WRONG, NOT_ASKED] = packed.states.keys();
const SYMBOLS = ["✓", "–", "✗", "?"];
const FIRST_PLACEHOLDER = 0xe000;
const PLACEHOLDER = /[\ue000-\ue0ff]/g;
const CLUSTER_SCOPE = "cluster scope";

const rowOf = new Int32Array(cellCount);
for (let row = 0; row < rowCount; row++) rowOf.fill(row, rowStart[row], rowEnd(row));

const scenarioName = (row) => packed.scenarios[rowScenario[row]][0];
const subjectName = (row) => packed.subjects[rowSubject[row]][0];
const userName = (row) => packed.subjects[rowSubject[row]][1];
const scopeName = (row) => packed.scopes[rowScope[row]][0];
const what = (row) => packed.questions[rowQuestion[row]][0];
const isPath = (row) => packed.questions[rowQuestion[row]][1] !== "";
const verbName = (cell) => packed.verbs[cellVerb[cell]];
const stateName = (cell) => packed.states[cellState[cell]];
const className = (state) => packed.states[state].replace(" ", "-");

function rowEnd(row) {
  return row + 1 < rowCount ? rowStart[row + 1] : cellCount;
}

/** Where a row is, as the end of a sentence; nothing for a path. */
function where(row) {
  if (isPath(row)) return "";
  return scopeName(row) ? ` in ${scopeName(row)}` : ` at ${CLUSTER_SCOPE}`;
}

/** What the placeholders in the texts of a cell stand for. */
function said(cell) {
  const row = rowOf[cell];
  return [
    ...packed.scenarios[rowScenario[row]],
    ...packed.subjects[rowSubject[row]],
    ...packed.scopes[rowScope[row]],
    ...packed.questions[rowQuestion[row]],
    verbName(cell),
  ];
}

function expand(text, values) {
  return text.replace(PLACEHOLDER, (placeholder) => values[placeholder.charCodeAt(0) - FIRST_PLACEHOLDER]);
}

/** The record of a cell: its texts by their keys. */
function record(cell) {
  const values = said(cell);
  const kind = packed.kinds[cellKind[cell]];
  return Object.fromEntries(packed.fields.map((field, place) => [field, expand(packed.texts[kind[place]], values)]));
}

const count = (number, one) => `${number.toLocaleString("en")} ${one}${number === 1 ? "" : "s"}`;

/** An element; every text becomes a text node, so no name can be markup. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}
