// Which cells a filter lets through.

const SEARCHED = ["id", "outcome", "why", "declared", "granted", "nearest", "manifest", "not_requested"];
let searchable = null;

/** The text of each cell that is searched, in lower case; made once, when the browser has time. */
function searchableTexts() {
  if (searchable) return searchable;
  const places = SEARCHED.map((field) => packed.fields.indexOf(field)).filter((place) => place >= 0);
  const ofKind = packed.kinds.map((kind) => places.map((place) => packed.texts[kind[place]]).join("\n").toLowerCase());
  searchable = new Array(cellCount);
  for (let row = 0; row < rowCount; row++) {
    const first = rowStart[row];
    const values = said(first).map((value) => value.toLowerCase());
    const rowText = [values[0], values[1], scopeName(row) || CLUSTER_SCOPE, what(row)].join("\n").toLowerCase();
    for (let cell = first; cell < rowEnd(row); cell++) {
      values[values.length - 1] = verbName(cell).toLowerCase();
      searchable[cell] = `${rowText}\n${values.at(-1)}\n${expand(ofKind[cellKind[cell]], values)}`;
    }
  }
  return searchable;
}

/**
 * The cells that a filter lets through.
 *
 * `filter` has the numbers `subject`, `scope`, `verb` and `question`, null for any; `wrong`, whether only wrong ones
 * are wanted; and `words`, all of which a cell's texts have to contain.
 */
function matching(filter) {
  const hits = new Uint8Array(cellCount);
  const texts = filter.words.length ? searchableTexts() : null;
  for (let row = 0; row < rowCount; row++) {
    if (filter.subject !== null && rowSubject[row] !== filter.subject) continue;
    if (filter.scope !== null && rowScope[row] !== filter.scope) continue;
    if (filter.question !== null && rowQuestion[row] !== filter.question) continue;
    for (let cell = rowStart[row]; cell < rowEnd(row); cell++) {
      if (filter.verb !== null && cellVerb[cell] !== filter.verb) continue;
      if (filter.wrong && cellState[cell] !== WRONG) continue;
      if (texts && !filter.words.every((word) => texts[cell].includes(word))) continue;
      hits[cell] = 1;
    }
  }
  return hits;
}
