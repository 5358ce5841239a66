"use strict";
// The flame chart of the kernel's own log: a click on a box shows its time alone, and on it again
// shows all. Boxes are placed in percent; what is outside is hidden, names come where there is room.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const chart = document.querySelector("svg.flame");
  if (!chart) return;
  const all = document.getElementById("flame-all");
  const told = document.getElementById("flame-told");
  const axis = chart.querySelector(".axis");
  const whole = Number(chart.dataset.whole);
  const boxes = [...chart.querySelectorAll(".box")].map((element) => ({
    element, from: Number(element.dataset.from), to: Number(element.dataset.to),
  }));
  let from = 0, to = whole;

  const percent = (ns) => (100 * (ns - from)) / (to - from);

  function time(ns) {
    if (!ns) return "0";
    const [scale, unit] = ns >= 1e9 ? [1e9, "s"] : ns >= 1e6 ? [1e6, "ms"] : ns >= 1e3 ? [1e3, "us"] : [1, "ns"];
    return Number((ns / scale).toPrecision(6)) + " " + unit;
  }

  function ticks() {
    const rough = (to - from) / Math.max(2, chart.clientWidth / 120);
    const power = 10 ** Math.floor(Math.log10(Math.max(rough, 1)));
    const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough) || power;
    const parts = [];
    for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
      const line = document.createElementNS(SVG, "line");
      const x = percent(at) + "%";
      for (const [name, value] of [["x1", x], ["x2", x], ["y1", 4], ["y2", "100%"]]) line.setAttribute(name, value);
      parts.push(line);
      if (percent(at) > 95) continue;
      const text = document.createElementNS(SVG, "text");
      for (const [name, value] of [["x", x], ["dx", 3], ["y", 14], ["class", "soft"]]) text.setAttribute(name, value);
      text.textContent = time(at);
      parts.push(text);
    }
    axis.replaceChildren(...parts);
  }

  function draw() {
    for (const box of boxes) {
      const seen = box.to > from && box.from < to || box.from === from;
      box.element.style.display = seen ? "" : "none";
      if (!seen) continue;
      const left = Math.max(percent(box.from), 0), right = Math.min(percent(box.to), 100);
      box.element.setAttribute("x", left + "%");
      box.element.setAttribute("width", Math.max(right - left, 0.03) + "%");
      box.element.classList.toggle("thin", ((right - left) / 100) * chart.clientWidth < 22);
    }
    ticks();
    all.disabled = from === 0 && to === whole;
    chart.dataset.from = from;
    chart.dataset.to = to;
  }

  function show(start, end) {
    [from, to] = start === from && end === to || end - start < 1 ? [0, whole] : [start, end];
    draw();
  }

  for (const box of boxes) {
    box.element.addEventListener("click", () => show(box.from, box.to));
    box.element.addEventListener("pointerenter", () => {
      told.textContent = box.element.querySelector("title").textContent;
    });
  }
  all.addEventListener("click", () => show(0, whole));
  chart.closest(".log").querySelector(".tools").hidden = false;
  new ResizeObserver(draw).observe(chart);
  draw();
})();
