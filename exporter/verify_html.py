"""A check's report as one HTML page: no file beside it, nothing fetched, every name from the model only ever text."""

from __future__ import annotations

import html
import json
from typing import Any

__all__ = ["page"]

_STYLE = """
:root { color-scheme: light dark; --back: #fff; --fore: #1d2330; --soft: #667085; --line: #dde1e8; --row: #f5f7fa;
  --panel: #f8f9fb; --mark: #b42318; --good: #067647; --pick: #dbe7ff; }
@media (prefers-color-scheme: dark) { :root { --back: #14171d; --fore: #e6e9ef; --soft: #98a2b3; --line: #303642;
  --row: #1b1f27; --panel: #191d24; --mark: #ff8a7a; --good: #5fd39a; --pick: #243a63; } }
* { box-sizing: border-box; }
body { margin: 0; height: 100vh; display: flex; flex-direction: column; background: var(--back); color: var(--fore);
  font: 14px/1.45 system-ui, sans-serif; }
header { padding: 16px 20px 10px; border-bottom: 1px solid var(--line); }
h1 { font-size: 18px; margin: 0 0 4px; } h2 { font-size: 15px; margin: 0 0 8px; overflow-wrap: anywhere; }
h3 { font-size: 13px; margin: 14px 0 4px; overflow-wrap: anywhere; }
.bad { color: var(--mark); } .good { color: var(--good); } .soft { color: var(--soft); }
#tools { border-bottom: 1px solid var(--line);
  padding: 8px 20px; display: flex; flex-wrap: wrap; gap: 8px 18px; align-items: center; }
#search { font: inherit; padding: 4px 8px; width: 270px; color: inherit; background: var(--panel);
  border: 1px solid var(--line); border-radius: 6px; }
#legend { display: flex; align-items: center; gap: 6px; font-size: 12px; color: var(--soft); }
#ramp { width: 240px; height: 10px; border-radius: 3px; } #ticks { width: 240px; display: flex;
  justify-content: space-between; } .swatch { width: 14px; height: 10px; border-radius: 3px; display: inline-block; }
main { flex: 1; min-height: 0; display: grid; grid-template-columns: minmax(0, 1fr) 400px; }
#list { position: relative; overflow: auto; border-right: 1px solid var(--line); }
#arcs { position: absolute; left: 0; top: 0; pointer-events: none; }
.row { height: 28px; display: grid; align-items: center; padding: 0 12px 0 124px; gap: 10px; cursor: pointer;
  grid-template-columns: 14px 52px minmax(80px, 1.2fr) minmax(90px, 1fr) minmax(150px, 1fr) 110px 76px;
  white-space: nowrap; border: 0; width: 100%; font: inherit; color: inherit; text-align: left; background: none; }
.row:nth-child(even) { background: var(--row); } .row:hover { background: var(--pick); }
.row.picked { background: var(--pick); outline: 2px solid #4472d6; outline-offset: -2px; }
.row.differs { font-weight: 600; } .row > span { overflow: hidden; text-overflow: ellipsis; }
.dot { width: 13px; height: 13px; border-radius: 50%; }
.bar { display: block; height: 10px; border-radius: 3px; min-width: 2px; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
#side { overflow: auto; padding: 16px 18px; background: var(--panel); }
table { border-collapse: collapse; width: 100%; margin-bottom: 10px; font-size: 13px;
  font-variant-numeric: tabular-nums; }
td, th { text-align: right; padding: 2px 4px; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
th { font-weight: 500; color: var(--soft); } td:first-child, th:first-child { text-align: left; color: var(--soft); }
.chip { font: inherit; font-size: 12px; margin: 2px 4px 2px 0; padding: 1px 8px; border: 1px solid var(--line);
  border-radius: 10px; background: var(--back); color: inherit; cursor: pointer; max-width: 100%; overflow: hidden;
  text-overflow: ellipsis; } .chip[disabled] { cursor: default; color: var(--soft); }
@media (max-width: 1000px) { main { grid-template: minmax(0, 1fr) 42vh / minmax(0, 1fr); }
  #list { border-right: 0; } #side { border-top: 2px solid var(--line); } }
"""

_SCRIPT = """
"use strict";
const report = JSON.parse(document.getElementById("data").textContent);
const LOW = -9, HIGH = 0, ROW = 28, GUTTER = 118;
const by = id => document.getElementById(id);
const made = (tag, text, kind) => { const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text; if (kind) e.className = kind; return e; };
const value = x => typeof x === "string" ? ({Infinity: Infinity, "-Infinity": -Infinity}[x] ?? NaN) : x;
const shown = x => { if (x === null || x === undefined) return "–"; const v = value(x);
  if (!Number.isFinite(v)) return Number.isNaN(v) ? "NaN" : v > 0 ? "∞" : "−∞";
  const odd = v !== 0 && (Math.abs(v) < 1e-3 || Math.abs(v) >= 1e6);
  return odd ? v.toExponential(2) : String(Number(v.toPrecision(5))); };
const ramp = t => `hsl(${Math.round(215 - 215 * t)} 80% ${Math.round(56 - 10 * t)}%)`;
const NEUTRAL = "#9aa4b2", BROKEN = "#b0128f";
const worst = node => node.outputs.reduce((a, o) => !a || rank(o) > rank(a) ? o : a, null);
const rank = o => (o.read ? 1e300 : 0) + Math.min(value(o.local.excess) || 0, 1e299);
const scale = node => { const o = worst(node); if (node.status === "failed" || o && o.local.fault) return 1;
  if (!o || node.status !== "agrees" && node.status !== "differs") return null; const d = value(o.local.of_range);
  return d > 0 ? Math.min(1, Math.max(0.02, (Math.log10(d) - LOW) / (HIGH - LOW))) : 0; };
const color = node => { const o = worst(node); if (node.status === "failed" || o && o.local.fault) return BROKEN;
  const t = scale(node); return t ? ramp(t) : NEUTRAL; };
const differs = node => node.status === "differs" || node.status === "failed";
const title = node => `#${node.index} ${node.name || node.op_type}`;

const nodes = report.nodes, maker = new Map(), readers = new Map();
for (const n of nodes) for (const o of n.outputs) maker.set(o.name, n);
for (const n of nodes) for (const i of n.inputs) (readers.get(i) ?? readers.set(i, []).get(i)).push(n);
let visible = [], picked = null;

function row(node) {
  const o = worst(node), line = made("button", undefined, "row" + (differs(node) ? " differs" : ""));
  const dot = made("span", undefined, "dot"); dot.style.background = color(node);
  const bar = made("span", undefined, "bar"); bar.style.background = color(node);
  bar.style.width = `${100 * (scale(node) ?? 0)}%`; const cell = made("span"); cell.append(bar);
  const text = !o ? "–" : node.status === "failed" ? "fails" : o.local.fault ? "unlike"
    : node.status === "random" || node.status === "skipped" ? node.status : shown(o.local.max_abs);
  line.append(dot, made("span", `#${node.index}`, "soft"), made("span", node.name || "–"), made("span", node.op_type),
    made("span", o ? `${o.type} ${o.shape.join("×")}` : "", "soft"), cell, made("span", text, "number"));
  line.title = title(node); line.onclick = () => pick(node); line.node = node; return line; }

function draw() {
  const words = by("search").value.toLowerCase().split(/\\s+/).filter(Boolean);
  const only = by("only").checked, quiet = by("quiet").checked;
  visible = nodes.filter(n => { const o = worst(n);
    if (only && !differs(n)) return false;
    if (quiet && !differs(n) && (!o || !(value(o.local.max_abs) > 0))) return false;
    const all = [n.name, n.op_type, n.domain, `#${n.index}`, ...n.inputs, ...n.outputs.map(x => x.name)].join(" ");
    return words.every(w => all.toLowerCase().includes(w)); });
  by("rows").replaceChildren(...visible.map(row));
  by("count").textContent = `${visible.length} of ${nodes.length} nodes`; arcs(); }

function arcs() {
  const place = new Map(visible.map((n, i) => [n.index, i * ROW + ROW / 2])), svg = by("arcs");
  svg.setAttribute("width", GUTTER); svg.setAttribute("height", Math.max(visible.length * ROW, 1));
  const drawn = [], strong = [];
  for (const n of visible) for (const name of new Set(n.inputs)) { const from = maker.get(name);
    if (!from || !place.has(from.index)) continue;
    const a = place.get(from.index), b = place.get(n.index), far = (b - a) / ROW;
    const mine = picked && (n === picked || from === picked);
    const reach = Math.min(GUTTER - 8, 10 + 16 * Math.log2(1 + far));
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", `M ${GUTTER} ${a} C ${GUTTER - reach} ${a}, ${GUTTER - reach} ${b}, ${GUTTER} ${b}`);
    path.setAttribute("fill", "none");
    path.setAttribute("stroke", !mine ? "currentColor" : n === picked ? "#2f6fed" : "#e07b00");
    path.setAttribute("stroke-width", mine ? 2.5 : 1); path.setAttribute("opacity", mine ? 1 : far > 12 ? 0.12 : 0.35);
    (mine ? strong : drawn).push(path); }
  svg.replaceChildren(...drawn, ...strong);
  for (const line of by("rows").children) line.classList.toggle("picked", line.node === picked); }

function chips(heading, names, find) {
  const box = made("div"); box.append(made("h3", heading));
  for (const name of names) for (const n of find(name)) {
    const chip = made("button", n ? `${name} · ${title(n)}` : name, "chip"); chip.disabled = !n;
    if (n) chip.onclick = () => pick(n, true); box.append(chip); }
  if (box.children.length === 1) box.append(made("span", "none", "soft")); return box; }

function table(headings, lines) {
  const t = made("table"), head = made("tr"); for (const h of headings) head.append(made("th", h)); t.append(head);
  for (const cells of lines) {
    const tr = made("tr"); for (const c of cells) tr.append(made("td", c)); t.append(tr); }
  return t; }

function pick(node, scroll) {
  picked = node; const side = by("side"); side.replaceChildren();
  side.append(made("h2", title(node)));
  side.append(made("div", `${node.domain ? node.domain + "." : ""}${node.op_type}`, "soft"));
  side.append(made("div", {agrees: "agrees", differs: "differs", failed: "our kernel fails",
    random: "random: not compared", skipped: "not compared"}[node.status],
    differs(node) ? "bad" : node.status === "agrees" ? "good" : "soft"));
  if (node.remark) side.append(made("div", node.remark, "soft"));
  if (node.index === report.first && report.whose_error) side.append(made("div", report.whose_error));
  for (const o of node.outputs) {
    side.append(made("h3", `output ${o.name}: ${o.type} [${o.shape.join(", ")}]${o.read ? "" : " (nobody reads it)"}`));
    const l = o.local, a = o.accumulated ?? {};
    side.append(table(["difference", "local", "accumulated"], [["absolute", shown(l.max_abs), shown(a.max_abs)],
      ["relative", shown(l.max_rel), shown(a.max_rel)], ["ULP", shown(l.max_ulp), shown(a.max_ulp)],
      ["of the range", shown(l.of_range), shown(a.of_range)],
      ["of what is allowed", shown(l.excess), shown(a.excess)]]));
    if (l.worst) side.append(table(["worst at", "ours", report.against],
      [[`[${l.worst.join(", ")}]`, l.ours_there, l.theirs_there]]));
    if (l.fault) side.append(made("div", l.fault, "bad"));
    side.append(table(["values", "ours", report.against], ["min", "mean", "max", "not_finite"].map(k =>
      [k === "not_finite" ? "not finite" : k, shown(o.ours[k]), shown(o.theirs[k])]))); }
  side.append(chips("reads", node.inputs, name => [maker.get(name)]));
  side.append(chips("is read by", node.outputs.map(o => o.name), name => readers.get(name) ?? []));
  if (scroll) {
    if (!visible.includes(node)) { by("search").value = ""; by("only").checked = by("quiet").checked = false; draw(); }
    const list = by("list"); list.scrollTop = visible.indexOf(node) * ROW - list.clientHeight / 3; }
  arcs(); }

const stops = Array.from({length: 10}, (_, i) => ramp(i / 9));
by("ramp").style.background = `linear-gradient(90deg, ${stops})`;
for (const e of [LOW, -6, -3, HIGH]) by("ticks").append(made("span", e ? `1e${e}` : "1"));
by("none").style.background = NEUTRAL; by("broken").style.background = BROKEN;
for (const id of ["search", "only", "quiet"]) by(id).oninput = draw;
by("first").hidden = report.first === null;
by("first").onclick = () => pick(nodes.find(n => n.index === report.first), true);
draw(); const start = nodes.find(n => n.index === report.first)
  ?? nodes.reduce((a, n) => !a || (scale(n) ?? 0) > (scale(a) ?? 0) ? n : a, null);
if (start) pick(start, true);
"""

_BODY = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{title}</title><style>{style}</style></head><body>
<header><h1>{title}</h1><div class="{kind}">{verdict}</div><div class="soft">{facts}</div></header>
<div id="tools"><input id="search" type="search" placeholder="name, operator, value, #number">
<label><input id="only" type="checkbox"> only what differs</label>
<label><input id="quiet" type="checkbox"> hide identical</label>
<button id="first" class="chip">first that differs</button><span id="count" class="soft"></span>
<div id="legend"><span>largest difference / largest value</span><div><div id="ramp"></div><div id="ticks"></div></div>
<span><span id="none" class="swatch"></span> identical or not compared</span>
<span><span id="broken" class="swatch"></span> incomparable</span></div></div>
<main><div id="list"><svg id="arcs"></svg><div id="rows"></div></div><div id="side"></div></main>
<noscript>This page needs JavaScript; check --json writes the same as JSON.</noscript>
<script type="application/json" id="data">{data}</script><script>{script}</script></body></html>
"""


def page(report: dict[str, Any], verdict: str) -> str:
    """The page of a report as `CheckReport.as_json` gives it.

    Args:
        verdict: the result in a sentence.
    """
    data = json.dumps(report, ensure_ascii=True, allow_nan=False)
    for character in "<>&":
        data = data.replace(character, f"\\u{ord(character):04x}")
    facts = f"{len(report['nodes'])} of {report['nodes_in_graph']} nodes compared in {report['seconds']} s"
    return _BODY.format(
        title=html.escape(f"{report['model']}: Striate and {report['against']}"),
        style=_STYLE,
        kind="good" if report["agrees"] else "bad",
        verdict=html.escape(verdict),
        facts=html.escape(facts),
        data=data,
        script=_SCRIPT,
    )
