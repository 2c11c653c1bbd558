// The picture of a request's way, by DOM calls: what is shown is put into text nodes and classes that are known here.

const SVG = "http://www.w3.org/2000/svg";
const WIDE = { width: 1000, box: 218, high: 82, gap: 16, top: 34 };
const NARROW = { width: 340, box: 164, high: 82, gap: 12, top: 30 };

function element(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.append(document.createTextNode(text));
  return made;
}

// A text in a box has one line: what is longer is cut, and stands in the tables in full.
function cut(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

function box(item, x, y, width, high) {
  const most = Math.floor(width / 8.2);
  const group = element("g", {});
  group.append(
    element("rect", { x, y, width, height: high, rx: 6, class: item.level }),
    element("text", { x: x + 10, y: y + 21, class: "name" }, cut(item.name, most)),
    element("text", { x: x + 10, y: y + 39, class: `figure ${item.level}` }, cut(item.state, most)),
  );
  item.figures.forEach((figure, line) => {
    group.append(element("text", { x: x + 10, y: y + 56 + line * 17, class: "figure" }, cut(figure, most)));
  });
  return group;
}

function heads(svg, tier, x, y) {
  svg.append(element("text", { x, y, class: "title" }, tier.title));
}

// Columns from left to right, and a line for each two that speak to each other, as wide as its share.
function wide(svg, tiers, edges) {
  const { width, box: boxWidth, high, gap, top } = WIDE;
  const most = Math.max(...tiers.map((tier) => tier.items.length));
  const height = top + most * (high + gap);
  const places = new Map();
  const boxes = [];
  tiers.forEach((tier, column) => {
    const x = 4 + (column * (width - boxWidth - 8)) / (tiers.length - 1);
    heads(svg, tier, x, 20);
    const free = (most - tier.items.length) * (high + gap);
    tier.items.forEach((item, row) => {
      const y = top + free / 2 + row * (high + gap);
      places.set(item.id, { x, y });
      boxes.push(box(item, x, y, boxWidth, high));
    });
  });
  for (const { from, to, share } of edges) {
    const [start, end] = [places.get(from), places.get(to)];
    if (!start || !end) continue;
    const [x1, y1, x2, y2] = [start.x + boxWidth, start.y + high / 2, end.x, end.y + high / 2];
    const path = `M${x1} ${y1} C${(x1 + x2) / 2} ${y1} ${(x1 + x2) / 2} ${y2} ${x2} ${y2}`;
    svg.append(element("path", { d: path, class: "edge", "stroke-width": 1 + 7 * share }));
  }
  svg.append(...boxes);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
}

// The same from top to bottom for a narrow screen: two boxes beside each other, an arrow between the parts.
function narrow(svg, tiers) {
  const { width, box: boxWidth, high, gap, top } = NARROW;
  let y = 0;
  tiers.forEach((tier, number) => {
    if (number) {
      svg.append(element("path", { d: `M${width / 2} ${y - 4} v16`, class: "edge", "stroke-width": 2 }));
      svg.append(element("path", { d: `M${width / 2 - 6} ${y + 10} h12 l-6 9 z`, class: "head" }));
      y += 16;
    }
    heads(svg, tier, 2, y + 20);
    y += top;
    tier.items.forEach((item, place) => {
      const alone = tier.items.length === 1;
      const x = 2 + (place % 2) * (boxWidth + 8);
      svg.append(box(item, x, y, alone ? width - 4 : boxWidth, high));
      if (place % 2 || place === tier.items.length - 1) y += high + gap;
    });
  });
  svg.setAttribute("viewBox", `0 0 ${width} ${y}`);
}

let drawn = "";

export function draw(svg, { tiers, edges }, isNarrow) {
  const wanted = JSON.stringify([tiers, edges, isNarrow]);
  if (wanted === drawn) return;
  drawn = wanted;
  svg.replaceChildren();
  if (isNarrow) narrow(svg, tiers);
  else wide(svg, tiers, edges);
}
