"use strict";
// The timeline: boundaries, spans as a flame chart over time, calibrations and clock steps.
// State is the range of time that is shown; everything is drawn again from it.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const BAR = 22, LANE = 16, AXIS = 22, MARKS = 34, LEAST_NS = 1000;
  const data = JSON.parse(document.getElementById("data").textContent);
  const chart = document.getElementById("chart");
  const hint = document.getElementById("hint");
  const range = document.getElementById("range");
  const tools = document.querySelector(".tools");
  const whole = Math.max(data.end, LEAST_NS);
  let from = 0, to = whole, drag = null, lit = null;

  if (!data.spans.length && !data.boundaries.length && !data.marks.length) return;

  // Words

  function time(ns) {
    if (ns >= 1e9) return (ns / 1e9).toFixed(3) + " s";
    if (ns >= 1e6) return (ns / 1e6).toFixed(ns < 1e7 ? 2 : 1) + " ms";
    return ns >= 1e3 ? (ns / 1e3).toFixed(1) + " us" : Math.round(ns) + " ns";
  }

  function tick(ns, step) {
    const places = Math.max(0, Math.ceil(-Math.log10(step / (ns_unit(step)[0]))));
    const [scale, unit] = ns_unit(step);
    return (ns / scale).toFixed(Math.min(places, 3)) + " " + unit;
  }

  function ns_unit(step) {
    if (step >= 1e8) return [1e9, "s"];
    if (step >= 1e5) return [1e6, "ms"];
    return step >= 100 ? [1e3, "us"] : [1, "ns"];
  }

  // Drawing

  const width = () => Math.max(chart.clientWidth, 120);
  const x = (ns) => ((ns - from) / (to - from)) * width();
  const visible = (one) => one.to >= from && one.from <= to;

  function make(name, attributes, parent) {
    const element = document.createElementNS(SVG, name);
    for (const key in attributes) element.setAttribute(key, attributes[key]);
    parent.appendChild(element);
    return element;
  }

  function label(text, left, top, room, parent, kind) {
    const letters = Math.floor(room / 6.7);
    if (letters < 3) return;
    const short = text.length > letters ? text.slice(0, letters - 1) + "…" : text;
    make("text", { x: left, y: top, class: kind || "" }, parent).textContent = short;
  }

  function draw() {
    const lanes = boundaryLanes();
    const depth = 1 + data.spans.reduce((most, one) => Math.max(most, one.depth), 0);
    const top = AXIS + lanes.count * LANE + 6;
    const logDepth = data.log.length ? 1 + data.log.reduce((most, one) => Math.max(most, one.depth), 0) : 0;
    const rows = ["calibrations", "clocks", "stops"].filter((row) => data.marks.some((m) => m.row === row));
    const spans = data.spans.length ? depth * BAR : 0;
    const log = top + spans + LANE + 4;
    const bars = spans + (logDepth ? LANE + 8 + logDepth * BAR : 0);
    const height = top + bars + rows.length * MARKS + 10;
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("height", height);
    svg.setAttribute("aria-hidden", "true");
    axis(svg, height);
    data.spans.forEach((span) => bar(svg, span, top));
    if (logDepth) label("the kernel's own log, from its entry on", 3, log - 5, width(), svg, "soft");
    data.log.forEach((span) => bar(svg, span, log));
    rows.forEach((row, i) => marks(svg, row, top + bars + i * MARKS + 4));
    lanes.placed.forEach((one) => boundary(svg, one, height));
    chart.replaceChildren(svg);
    chart.dataset.from = Math.round(from);
    chart.dataset.to = Math.round(to);
    range.textContent = time(from) + " to " + time(to);
  }

  function axis(svg, height) {
    const rough = (to - from) / Math.max(2, width() / 110);
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
    for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
      make("line", { x1: x(at), x2: x(at), y1: AXIS - 4, y2: height, class: "grid" }, svg);
      const room = width() - x(at);
      if (room > 60) make("text", { x: x(at) + 3, y: 14, class: "soft" }, svg).textContent = tick(at, step);
    }
  }

  // Names of boundaries go to the first lane where they cover no other name.
  function boundaryLanes() {
    const ends = [], placed = [];
    for (const one of data.boundaries) {
      if (one.at < from || one.at > to) continue;
      const size = one.name.length * 6.9 + 10;
      const left = Math.min(x(one.at), width() - size);
      let lane = ends.findIndex((end) => end <= left);
      if (lane < 0) lane = ends.length;
      ends[lane] = left + size;
      placed.push({ one, left, lane });
    }
    return { placed, count: Math.max(1, ends.length) };
  }

  function boundary(svg, { one, left, lane }, height) {
    const at = x(one.at), y = AXIS + lane * LANE + 12;
    make("line", { x1: at, x2: at, y1: y + 3, y2: height, class: "boundary" }, svg);
    const text = make("text", { x: Math.max(2, left + 3), y, class: "boundary-name" }, svg);
    text.textContent = one.name;
    const hit = make("rect", { x: left, y: y - 11, width: one.name.length * 6.9 + 8, height: LANE, fill: "transparent" }, svg);
    tells(hit, () => say(one.name, time(one.at) + (one.how ? ", " + one.how : "")));
  }

  function bar(svg, span, top) {
    if (!visible(span)) return;
    const left = Math.max(x(span.from), -2), right = Math.min(x(span.to), width() + 2);
    const size = Math.max(right - left, 1), y = top + span.depth * BAR;
    const rect = make("rect", { x: left, y, width: size, height: BAR - 2, rx: size > 6 ? 2 : 0, class: (size < 4 ? "thin " : "") + "bar " + span.kind }, svg);
    label(span.name, Math.max(left, 0) + 4, y + 14, Math.min(right, width()) - Math.max(left, 0) - 8, svg);
    tells(rect, () => sayOf(span, data.kinds[span.kind]));
    rect.addEventListener("dblclick", () => show(span.from, span.to));
  }

  function marks(svg, row, y) {
    label(row, 3, y + 12, 90, svg, "soft");
    for (const one of data.marks) {
      if (one.row !== row || !visible(one)) continue;
      const left = x(one.from), size = x(one.to) - left;
      const kind = (one.good ? "good" : "failed") + " mark";
      const hit = size > 8
        ? make("rect", { x: left, y: y + 17, width: size, height: 10, rx: 2, class: kind }, svg)
        : make("path", { d: `M${left} ${y + 16}l6 6l-6 6l-6 -6z`, class: kind }, svg);
      tells(hit, () => sayOf(one, row === "calibrations" ? (one.good ? "calibrated" : "failed") : row === "stops" ? "the guest stood still" : "clock"));
    }
  }

  // Details

  function tells(element, tell) {
    const light = () => {
      if (lit) lit.classList.remove("lit");
      lit = element;
      element.classList.add("lit");
      tell();
    };
    element.addEventListener("pointerenter", light);
    element.addEventListener("click", light);
  }

  function sayOf(one, kind) {
    const length = one.to > one.from ? time(one.to - one.from) + ", " : "";
    say(one.name, `${kind}: ${length}from ${time(one.from)}` + (one.detail ? ". " + one.detail : ""));
  }

  function say(name, more) {
    const strong = document.createElement("b");
    strong.textContent = name;
    hint.replaceChildren(strong, " " + more);
  }

  // Moving

  function show(start, end) {
    const size = Math.min(Math.max(end - start, LEAST_NS), whole);
    from = Math.min(Math.max(start, 0), whole - size);
    to = from + size;
    draw();
  }

  function zoom(factor, middle) {
    const at = middle === undefined ? (from + to) / 2 : middle;
    show(at - (at - from) * factor, at + (to - at) * factor);
  }

  const move = (part) => show(from + (to - from) * part, to + (to - from) * part);
  const actions = {
    in: () => zoom(0.5), out: () => zoom(2), left: () => move(-0.25), right: () => move(0.25),
    reset: () => show(0, whole),
  };
  const keys = {
    "+": "in", "=": "in", "-": "out", ArrowLeft: "left", ArrowRight: "right", 0: "reset", Home: "reset",
  };

  tools.addEventListener("click", (event) => {
    const action = actions[event.target.dataset.do];
    if (action) action();
  });
  chart.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
    event.preventDefault();
    actions[keys[event.key]]();
  });
  chart.addEventListener("wheel", (event) => {
    const out = event.deltaY > 0;
    if (!event.deltaY || (out && to - from >= whole)) return; // the page may scroll on
    event.preventDefault();
    const left = chart.getBoundingClientRect().left;
    zoom(out ? 1.25 : 0.8, from + ((event.clientX - left) / width()) * (to - from));
  }, { passive: false });
  chart.addEventListener("pointerdown", (event) => {
    if (event.button === 0) drag = { x: event.clientX, from, to };
  });
  window.addEventListener("pointermove", (event) => {
    if (!drag || Math.abs(event.clientX - drag.x) < 3) return;
    const shift = ((drag.x - event.clientX) / width()) * (drag.to - drag.from);
    show(drag.from + shift, drag.to + shift);
  });
  for (const end of ["pointerup", "pointercancel"]) window.addEventListener(end, () => { drag = null; });

  chart.hidden = tools.hidden = hint.hidden = false;
  new ResizeObserver(draw).observe(chart);
  draw();
})();
