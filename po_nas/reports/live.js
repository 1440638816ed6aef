// The page of runs: asks for their state every two seconds and draws what has changed.
"use strict";

const EVERY_MS = 2000;
const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5B4B8A", "#5F6B77"];
const SVG = "http://www.w3.org/2000/svg";
const view = {regret: new Map(), open: new Set(), last: "", runs: null};

// Text goes in as text: names and reasons come from whoever wrote the run.
function make(tag, attributes = {}, ...children) {
  const node = tag.startsWith("svg:") ? document.createElementNS(SVG, tag.slice(4)) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") node.addEventListener("click", value);
    else node.setAttribute(name, value);
  }
  node.append(...children.filter(child => child !== null));
  return node;
}

const colour = run => COLOURS[run.id % COLOURS.length];
const number = (value, digits = 5) => value === null || value === undefined ? "–" : String(Number(value.toPrecision(digits)));
const withUnit = (value, unit) => number(value) + (unit ? " " + unit : "");

function seconds(value) {
  if (value === null || value === undefined) return "–";
  const whole = Math.round(value), parts = [[Math.floor(whole / 86400), "d"], [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"], [whole % 60, "s"]];
  const first = parts.findIndex(([count]) => count > 0);
  return first < 0 ? "0 s" : parts.slice(first, first + 2).map(([count, unit]) => `${count} ${unit}`).join(" ");
}

// -- the curves -------------------------------------------------------------------------------------------------------

// Round numbers between two ends, about `count` of them.
function ticks(low, high, count) {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find(factor => factor * power >= raw);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) found.push(k * step);
  return found;
}

function points(run, asRegret) {
  const regret = value => run.maximize ? run.optimum - value : value - run.optimum;
  return run.curve.filter(([, , best]) => best !== null)
    .map(([evaluation, , best]) => [evaluation, asRegret ? Math.max(regret(best), 0) : best]);
}

function chart(runs, asRegret) {
  // As wide as the page, so that letters keep their size.
  const width = Math.max(300, Math.min(1240, document.getElementById("groups").clientWidth));
  const height = Math.min(340, 120 + width / 3), left = 62, right = 14, top = 10, bottom = 44;
  const lines = runs.map(run => [run, points(run, asRegret)]).filter(([, found]) => found.length);
  if (!lines.length) return make("p", {class: "dim"}, "No evaluation has succeeded yet.");
  const values = lines.flatMap(([, found]) => found.map(([, value]) => value));
  const positive = values.filter(value => value > 0);
  // A regret of zero has no place on a logarithmic axis: it is drawn on its lower end.
  const floor = positive.length ? Math.min(...positive) / 2 : 1e-3;
  const scaled = value => asRegret ? Math.log10(Math.max(value, floor)) : value;
  let low = Math.min(...values.map(scaled)), high = Math.max(...values.map(scaled));
  const pad = high > low ? (high - low) * 0.05 : (Math.abs(low) || 1) * 0.05;
  [low, high] = [low - pad, high + pad];
  const most = Math.max(2, ...runs.map(run => run.evaluations));
  const x = evaluation => left + (evaluation - 1) / (most - 1) * (width - left - right);
  const y = value => top + (high - scaled(value)) / (high - low) * (height - top - bottom);
  const what = asRegret ? "simple regret" : `best ${runs[0].metric}`;
  const svg = make("svg:svg", {viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `${what} over evaluations of ${lines.map(([run]) => run.name).join(", ")}`});
  const steps = asRegret ? logTicks(low, high) : ticks(low, high, 5);
  for (const value of steps) {
    const at = top + (high - (asRegret ? Math.log10(value) : value)) / (high - low) * (height - top - bottom);
    svg.append(make("svg:line", {x1: left, x2: width - right, y1: at, y2: at, stroke: "#d9dde3"}),
      make("svg:text", {x: left - 8, y: at + 4, "text-anchor": "end"}, number(value, 4)));
  }
  for (const value of ticks(1, most, Math.min(8, width / 90)).filter(Number.isInteger)) {
    svg.append(make("svg:text", {x: x(value), y: height - bottom + 18, "text-anchor": "middle"}, String(value)));
  }
  svg.append(make("svg:text", {x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle"}, "evaluations"));
  for (const [run, found] of lines) {
    let path = "";
    for (const [evaluation, value] of found) {
      path += path ? `H${x(evaluation).toFixed(1)}V${y(value).toFixed(1)}` : `M${x(evaluation).toFixed(1)} ${y(value).toFixed(1)}`;
    }
    path += `H${x(run.evaluations).toFixed(1)}`;
    svg.append(make("svg:path", {d: path, fill: "none", stroke: colour(run), "stroke-width": 2.2, "data-run": run.name},
      make("svg:title", {}, run.name)));
    const [, last] = found[found.length - 1];
    svg.append(make("svg:circle", {cx: x(run.evaluations), cy: y(last), r: 3.5, fill: colour(run)}));
  }
  return svg;
}

function logTicks(low, high) {
  const found = [];
  for (let power = Math.floor(low); power <= high; power++) {
    for (const factor of high - low > 3 ? [1] : [1, 2, 5]) {
      const value = factor * 10 ** power;
      if (Math.log10(value) >= low && Math.log10(value) <= high) found.push(value);
    }
  }
  return found;
}

// -- the runs ---------------------------------------------------------------------------------------------------------

function card(run) {
  const head = make("h3", {}, `${run.name} `, make("span", {class: `state ${run.state}`}, run.state));
  const box = make("article", {class: "run", style: `border-left-color:${colour(run)}`, "data-run": run.name}, head);
  if (run.state === "damaged") {
    box.append(make("p", {}, run.said));
    return box;
  }
  box.append(make("p", {class: "dim"}, `${run.method}, seed ${run.seed}`));
  const full = run.full_evaluations === null ? run.evaluations : run.full_evaluations;
  if (run.limit) box.append(make("progress", {value: full, max: run.limit, "aria-label": "evaluations"}));
  const counted = run.full_evaluations === null ? run.evaluations : `${run.evaluations}, as full ones ${number(full, 4)}`;
  const rows = [["evaluations", counted + (run.limit ? ` of ${run.limit}` : "")
    + (run.pending ? `, ${run.pending} pending` : "")]];
  if (run.best) {
    rows.push(["best", `${withUnit(run.best.validation, run.unit)} in evaluation ${run.best.evaluation}`]);
    if (run.best.test !== null) rows.push(["its test value", withUnit(run.best.test, run.unit)]);
  }
  if (run.regret !== null) rows.push(["regret", number(run.regret, 3)]);
  if (run.front !== null) rows.push(["on the front", String(run.front)]);
  rows.push(["time", time(run)]);
  if (run.failed) rows.push(["failed", String(run.failed)]);
  for (const [reason, count] of run.failures) rows.push([`${count} ×`, reason]);
  if (run.state === "stopped") rows.push(["stopped", run.said]);
  const list = make("dl");
  for (const [name, value] of rows) {
    list.append(make("dt", {}, name), make("dd", name === "time" ? {"data-time": run.id} : {}, value));
  }
  box.append(list);
  if (run.best) box.append(make("code", {}, run.best.architecture));
  box.append(last(run), make("p", {}, make("a", {href: `run/${run.id}`}, "its whole page")));
  return box;
}

const time = run => seconds(run.elapsed_s) + (run.eta_s === null ? "" : `, ${seconds(run.eta_s)} left`);

function last(run) {
  const details = make("details", {}, make("summary", {}, "the last evaluations"));
  details.open = view.open.has(run.name);
  details.addEventListener("toggle", () => details.open ? view.open.add(run.name) : view.open.delete(run.name));
  const body = make("tbody");
  for (const row of run.last) {
    const value = row.validation === null ? row.reason : number(row.validation);
    body.append(make("tr", {}, make("td", {}, String(row.evaluation)), make("td", {}, value),
      make("td", {}, make("code", {}, row.architecture))));
  }
  const titles = ["#", run.metric, "architecture"].map(title => make("th", {scope: "col"}, title));
  details.append(make("div", {class: "wide", tabindex: 0}, make("table", {}, make("thead", {}, make("tr", {}, ...titles)), body)));
  return details;
}

function group(benchmark, runs, again) {
  const drawn = runs.filter(run => run.curve);
  const known = drawn.length > 0 && drawn.every(run => run.optimum !== null);
  const asRegret = known && (view.regret.get(benchmark) ?? true);
  const section = make("section", {}, make("h2", {}, benchmark || "not readable"));
  if (known) {
    const button = (text, wanted) => make("button", {type: "button", "aria-pressed": String(asRegret === wanted),
      onclick: () => { view.regret.set(benchmark, wanted); again(); }}, text);
    section.append(make("div", {class: "bar"}, button("simple regret", true), button(`best ${drawn[0].metric}`, false)));
  }
  if (drawn.length) section.append(make("div", {class: "chart wide", tabindex: 0}, chart(drawn, asRegret)));
  section.append(make("div", {class: "runs"}, ...runs.map(card)));
  return section;
}

function draw(runs) {
  view.runs = runs;
  const groups = new Map();
  for (const run of runs) groups.set(run.benchmark, [...(groups.get(run.benchmark) ?? []), run]);
  const sections = [...groups].map(([benchmark, members]) => group(benchmark, members, () => draw(runs)));
  document.getElementById("groups").replaceChildren(...sections);
  const count = state => runs.filter(run => run.state === state).length;
  const said = ["running", "ended", "stopped", "damaged"].filter(count).map(state => `${count(state)} ${state}`);
  document.getElementById("said").textContent = said.join(", ") || "no run has begun";
  document.title = `po-nas runs: ${said.join(", ") || "none"}`;
}

async function look() {
  try {
    const runs = await (await fetch("runs.json")).json();
    // Where nothing but time has passed the page stays, so that nobody loses a selection or a place.
    const news = JSON.stringify(runs.map(({elapsed_s, eta_s, ...rest}) => rest));
    if (news !== view.last) draw(runs);
    view.last = news;
    for (const run of runs) {
      const place = document.querySelector(`[data-time="${run.id}"]`);
      if (place) place.textContent = time(run);
    }
  } catch (error) {
    document.getElementById("said").textContent = "po-nas serve does not answer; what is below is what it said last";
  }
  setTimeout(look, EVERY_MS);
}

let waiting = 0;
window.addEventListener("resize", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => view.runs && draw(view.runs), 200);
});
look();
