// Draws the curves that the element #curve-data holds; see chart.py.
(() => {
const data = JSON.parse(document.getElementById("curve-data").textContent);
const svg = document.getElementById("chart"), values = document.getElementById("values");
const task = document.getElementById("task"), legend = document.getElementById("methods");
const NS = "http://www.w3.org/2000/svg";
const choice = name => document.querySelector(`input[name=${name}]:checked`).value;
const shown = () => new Set([...legend.querySelectorAll("input:checked")].map(box => box.value));
let cursor = null, view = null;
const make = (name, attributes, parent, text) => {
  const node = document.createElementNS(NS, name);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
};
const ticks = (low, high, count) => {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5].find(m => m * power >= raw) || 10);
  const found = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-9; v += step) found.push(+v.toPrecision(12));
  return found;
};
const short = v => v === null ? "–" : Math.abs(v) >= 1000 ? Math.round(v).toLocaleString("en") :
  String(+v.toPrecision(4));
function draw() {
  const name = task.value, found = data.tasks[name];
  const seconds = document.querySelector("input[name=axis][value=seconds]");
  seconds.disabled = !found.seconds;
  if (seconds.disabled && seconds.checked) document.querySelector("input[name=axis][value=evaluations]").checked = true;
  const axis = choice("axis"), log = choice("scale") === "log" && found.measure === "regret", on = shown();
  const wide = svg.parentElement.clientWidth, W = Math.max(320, Math.min(960, wide)), H = W < 560 ? 330 : 430;
  const L = 58, R = 12, T = 14, B = 46;
  svg.setAttribute("viewBox", `0 0 ${W} ${H}`);
  svg.replaceChildren();
  const lines = data.methods.map((m, k) => ({...m, k, band: found[axis] && found[axis][k]}))
    .filter(m => m.band && on.has(String(m.k)));
  const all = lines.flatMap(m => m.band.m.concat(m.band.l, m.band.h)).filter(v => v !== null);
  const ends = lines.flatMap(m => m.band.x.slice(-1));
  if (!all.length) {
    make("text", {x: W / 2, y: H / 2, "text-anchor": "middle", fill: "#5b6875", "font-size": 14}, svg, "no method chosen");
    view = null; tell(); return;
  }
  const right = Math.max(...ends), left = axis === "evaluations" ? 1 : 0;
  const positive = all.filter(v => v > 0), floor = Math.min(...positive, 1e9) / 2;
  let low, high;
  if (log && positive.length) { low = floor; high = Math.max(...positive) * 1.1; }
  else if (found.measure === "regret") {
    const early = lines.map(m => at(m.band, left + .1 * (right - left)).high);
    low = 0; high = 1.25 * Math.max(...early.filter(v => v !== null), ...lines.map(m => m.band.m.at(-1) || 0)) || 1;
  } else {
    low = Math.min(...all); high = Math.max(...all); const pad = (high - low || 1) * .05; low -= pad; high += pad;
  }
  const use = log && positive.length > 0;
  const X = v => L + (W - L - R) * (v - left) / (right - left || 1);
  const Y = v => use ? T + (H - T - B) * (Math.log(high) - Math.log(Math.max(v, low))) / (Math.log(high) - Math.log(low))
    : T + (H - T - B) * (high - v) / (high - low);
  const clip = make("clipPath", {id: "inside"}, make("defs", {}, svg));
  make("rect", {x: L, y: T - 2, width: W - L - R + 2, height: H - T - B + 3}, clip);
  const rungs = use ? logTicks(low, high) : ticks(low, high, 6);
  for (const v of rungs) {
    make("line", {x1: L, x2: W - R, y1: Y(v), y2: Y(v), stroke: "#e3e7ec"}, svg);
    make("text", {x: L - 7, y: Y(v) + 4, "text-anchor": "end", "font-size": 12, fill: "#44505c"}, svg, short(v));
  }
  const hours = axis === "seconds" && right > 7200, unit = hours ? 3600 : 1;
  for (const t of ticks(left / unit, right / unit, W < 560 ? 4 : 8)) {
    make("line", {x1: X(t * unit), x2: X(t * unit), y1: H - B, y2: H - B + 5, stroke: "#5b6875"}, svg);
    make("text", {x: X(t * unit), y: H - B + 19, "text-anchor": "middle", "font-size": 12, fill: "#44505c"}, svg, short(t));
  }
  make("line", {x1: L, x2: W - R, y1: H - B, y2: H - B, stroke: "#5b6875"}, svg);
  const xLabel = axis === "evaluations" ? data.counted : (hours ? "hours" : "seconds") + data.clock;
  make("text", {x: (L + W - R) / 2, y: H - 8, "text-anchor": "middle", "font-size": 13, fill: "#1b2733"}, svg, xLabel);
  const yLabel = found.title + (found.unit ? ` (${found.unit})` : "");
  make("text", {x: 0, y: 0, transform: `translate(13 ${(T + H - B) / 2}) rotate(-90)`, "text-anchor": "middle",
    "font-size": 13, fill: "#1b2733"}, svg, yLabel);
  const plot = make("g", {"clip-path": "url(#inside)"}, svg);
  for (const m of lines) {
    const {x, l, h} = m.band, top = [], bottom = [];
    for (let i = 0; i < x.length; i++) if (l[i] !== null) {
      const next = i + 1 < x.length ? x[i + 1] : x[i];
      top.push(`${X(x[i])} ${Y(h[i])}`, `${X(next)} ${Y(h[i])}`);
      bottom.push(`${X(x[i])} ${Y(l[i])}`, `${X(next)} ${Y(l[i])}`);
    }
    if (top.length) make("path", {d: "M" + top.concat(bottom.reverse()).join("L") + "Z", fill: m.colour, opacity: .13}, plot);
  }
  for (const m of lines) {
    const {x, m: median} = m.band, path = [];
    for (let i = 0; i < x.length; i++) if (median[i] !== null)
      path.push(`${X(x[i])} ${Y(median[i])}`, `${X(i + 1 < x.length ? x[i + 1] : x[i])} ${Y(median[i])}`);
    make("path", {d: "M" + path.join("L"), fill: "none", stroke: m.colour, "stroke-width": m.reference ? 2.6 : 1.7,
      "stroke-dasharray": m.dashes}, plot);
  }
  view = {lines, X, left, right, unit, hours, axis, W, L, R, T, B, H, measure: found.measure};
  const places = view.axis === "evaluations" ? right : 160;
  if (cursor === null || cursor > right) cursor = right;
  view.step = (right - left) / Math.max(1, places - (view.axis === "evaluations" ? 1 : 0));
  view.mark = make("line", {y1: T, y2: H - B, stroke: "#1b2733", "stroke-dasharray": "3 3"}, svg);
  tell();
}
function at(band, where) {
  let i = -1;
  while (i + 1 < band.x.length && band.x[i + 1] <= where + 1e-9) i++;
  return i < 0 ? {value: null, low: null, high: null} : {value: band.m[i], low: band.l[i], high: band.h[i]};
}
function logTicks(low, high) {
  const found = [];
  for (let e = Math.floor(Math.log10(low)); e <= Math.log10(high); e++)
    for (const m of [1, 2, 5]) { const v = m * 10 ** e; if (v >= low && v <= high) found.push(v); }
  return found.length > 9 ? found.filter(v => /^[^1-9]*1/.test(v.toExponential())) : found;
}
function tell() {
  values.replaceChildren();
  if (!view) return;
  const {lines, X, axis, unit, hours, mark} = view;
  mark.setAttribute("x1", X(cursor)); mark.setAttribute("x2", X(cursor));
  const where = axis === "evaluations" ? `after ${Math.round(cursor)} ${data.counted}` :
    `after ${short(cursor / unit)} ${hours ? "h" : "s"}`;
  const rows = lines.map(m => ({name: m.name, ...at(m.band, cursor)})).sort((a, b) => (a.value ?? Infinity) - (b.value ?? Infinity));
  if (view.measure !== "regret" && data.tasks[task.value].maximize) rows.reverse();
  const table = document.createElement("table"), head = table.createTHead().insertRow(), body = table.createTBody();
  for (const text of [where, "median", "quartiles"]) {
    const cell = document.createElement("th"); cell.scope = "col"; cell.textContent = text; head.append(cell);
  }
  for (const row of rows) {
    const line = body.insertRow();
    for (const text of [row.name, short(row.value), `${short(row.low)} – ${short(row.high)}`])
      line.insertCell().textContent = text;
  }
  values.append(table);
  svg.setAttribute("aria-valuetext", where + ": " + rows.map(r => `${r.name} ${short(r.value)}`).join(", "));
  svg.setAttribute("aria-valuenow", +cursor.toPrecision(6));
  svg.setAttribute("aria-valuemin", view.left); svg.setAttribute("aria-valuemax", view.right);
}
function move(to) {
  if (!view) return;
  cursor = Math.min(view.right, Math.max(view.left, view.axis === "evaluations" ? Math.round(to) : to));
  tell();
}
svg.addEventListener("pointermove", event => {
  if (!view) return;
  const box = svg.getBoundingClientRect(), x = (event.clientX - box.left) * view.W / box.width;
  move(view.left + (x - view.L) / (view.W - view.L - view.R) * (view.right - view.left));
});
svg.addEventListener("keydown", event => {
  if (!view) return;
  const jump = {ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10}[event.key];
  if (jump) move(cursor + jump * view.step);
  else if (event.key === "Home") move(view.left);
  else if (event.key === "End") move(view.right);
  else return;
  event.preventDefault();
});
document.getElementById("controls").addEventListener("change", event => {
  if (event.target.name === "axis" || event.target === task) cursor = null;
  draw();
});
let width = 0;
new ResizeObserver(() => {
  if (svg.parentElement.clientWidth !== width) { width = svg.parentElement.clientWidth; draw(); }
}).observe(svg.parentElement);
draw();
})();
