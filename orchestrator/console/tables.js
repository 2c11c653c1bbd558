// Tables that are filled again and again: a cell is touched only when its text changes, so that a reader keeps its place.

export function table(section, caption, columns, none) {
  const made = document.createElement("table");
  made.setAttribute("role", "table"); // said again, because a style for phones takes it away
  const title = made.createCaption();
  title.textContent = caption;
  const row = made.createTHead().insertRow();
  row.setAttribute("role", "row");
  for (const { name, number } of columns) {
    const head = document.createElement("th");
    head.scope = "col";
    head.setAttribute("role", "columnheader");
    head.textContent = name;
    head.className = number ? "number" : "";
    row.append(head);
  }
  const nothing = document.createElement("p");
  nothing.className = "none";
  nothing.textContent = none;
  section.append(made, nothing);
  return { made, body: made.createTBody(), columns, nothing };
}

function newRow({ body, columns }) {
  const row = body.insertRow();
  row.setAttribute("role", "row");
  columns.forEach(({ name, number }, place) => {
    const cell = document.createElement(place ? "td" : "th");
    if (!place) cell.scope = "row";
    cell.setAttribute("role", place ? "cell" : "rowheader");
    cell.dataset.column = name;
    // In a grid, a cell's text is one item beside its column's name.
    cell.append(document.createElement("span"));
    if (number) cell.classList.add("number");
    row.append(cell);
  });
  return row;
}

// Each row is a list of texts, or of [text, level] where a text has a level: good, warn, bad, stale.
export function fill(of, rows) {
  while (of.body.rows.length > rows.length) of.body.deleteRow(-1);
  rows.forEach((cells, number) => {
    const row = of.body.rows[number] ?? newRow(of);
    cells.forEach((cell, place) => {
      const [text, level] = Array.isArray(cell) ? cell : [cell, ""];
      const span = row.cells[place].firstElementChild;
      if (span.textContent !== text) span.textContent = text;
      if (span.className !== level) span.className = level;
    });
  });
  of.made.hidden = rows.length === 0;
  of.nothing.hidden = rows.length !== 0;
}

export function define(list, figures) {
  const wanted = Object.keys(figures);
  const there = [...list.querySelectorAll("dt")].map((term) => term.textContent);
  if (wanted.join() !== there.join()) {
    list.replaceChildren(
      ...wanted.map((name) => {
        const pair = document.createElement("div");
        const term = document.createElement("dt");
        term.textContent = name;
        pair.append(term, document.createElement("dd"));
        return pair;
      }),
    );
  }
  wanted.forEach((name, place) => {
    const value = list.children[place].lastElementChild;
    if (value.textContent !== figures[name]) value.textContent = figures[name];
  });
}
