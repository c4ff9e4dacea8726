// The player, the charts and the cursor they share. No libraries, nothing from the network.
"use strict";

(() => {
  const page = JSON.parse(document.getElementById("data").textContent);
  const last = page.x.length - 1;
  const byId = (id) => document.getElementById(id);
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const listeners = []; // called with every new position
  let position = 0; // of the frame shown, in page.x

  // ---- numbers and times -------------------------------------------------------------------

  const number = (value, digits) => value.toFixed(digits);

  function clock(seconds) {
    if (seconds < 60) return `${number(seconds, 2)} s`;
    const minutes = Math.floor(seconds / 60);
    return `${minutes}:${number(seconds - 60 * minutes, 2).padStart(5, "0")} min`;
  }

  /** About `wanted` round values that cover low to high. */
  function ticks(low, high, wanted) {
    const rough = (high - low) / wanted || 1;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1) found.push(i * step);
    return { values: found, step, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
  }

  /** The last position whose value in a rising list is not above `value`. */
  function locate(rising, value) {
    let low = 0;
    let high = rising.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (rising[middle] <= value) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  function nearest(rising, value) {
    const before = locate(rising, value);
    const after = Math.min(before + 1, rising.length - 1);
    return value - rising[before] <= rising[after] - value ? before : after;
  }

  // ---- the frame shown ---------------------------------------------------------------------

  function show(wanted) {
    position = clamp(wanted, 0, last);
    for (const listener of listeners) listener(position);
  }

  // ---- pictures: a video, or one JPEG every few frames -------------------------------------

  function bytesOf(id) {
    const text = atob(byId(id).textContent);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i += 1) bytes[i] = text.charCodeAt(i);
    return bytes;
  }

  function videoScreen(video) {
    const times = page.media.times;
    const shownTo = (i) => (i < last ? times[i + 1] : times[i] + 0.05);
    let following = false; // the position comes from the video, not the other way round
    let waiting = null;

    function seek(i) {
      if (following) return;
      // The middle of the frame: its edges are a matter of rounding.
      const time = (times[i] + shownTo(i)) / 2;
      if (video.seeking) waiting = time;
      else video.currentTime = time;
    }
    function follow(time) {
      following = true;
      show(locate(times, time + 1e-4));
      following = false;
    }
    function watch() {
      if (video.requestVideoFrameCallback) {
        video.requestVideoFrameCallback((_, frame) => {
          if (!video.paused) { follow(frame.mediaTime); watch(); }
        });
      } else {
        requestAnimationFrame(() => {
          if (!video.paused) { follow(video.currentTime); watch(); }
        });
      }
    }
    video.addEventListener("seeked", () => {
      if (waiting !== null) { video.currentTime = waiting; waiting = null; }
    });
    video.addEventListener("play", watch);
    // The callback of the last frames may come after the pause at the end, and is not followed then.
    video.addEventListener("ended", () => follow(times[last]));
    video.addEventListener("error", () => {
      const words = document.createElement("p");
      words.setAttribute("role", "alert");
      words.textContent = "This browser cannot play H.264 video. The charts and pictures below are complete; "
        + "for the video open overlay.mp4, or this page in another browser.";
      video.replaceWith(words);
    });
    video.src = URL.createObjectURL(new Blob([bytesOf("video")], { type: "video/mp4" }));
    listeners.push(seek);
    return {
      playing: () => !video.paused,
      play: () => video.play().catch(() => {}),
      pause: () => { video.pause(); seek(position); },
      speed: (factor) => { video.playbackRate = factor; },
      changed: (call) => ["play", "pause", "ended"].forEach((name) => video.addEventListener(name, call)),
    };
  }

  function pictureScreen(image) {
    const pictures = JSON.parse(byId("pictures").textContent);
    const starts = page.media.positions;
    const seconds = page.timed ? page.x : page.x.map((_, i) => i / 10);
    let timer = 0;
    let factor = 1;
    let call = () => {};

    function shown(i) {
      const source = `data:image/jpeg;base64,${pictures[locate(starts, i)]}`;
      if (image.getAttribute("src") !== source) image.src = source;
    }
    function pause() {
      clearTimeout(timer);
      timer = 0;
      call();
    }
    function step() {
      if (position >= last) { pause(); return; }
      const wait = (1000 * (seconds[position + 1] - seconds[position])) / factor;
      timer = setTimeout(() => { show(position + 1); step(); }, wait);
    }
    listeners.push(shown);
    return {
      playing: () => timer !== 0,
      play: () => { step(); call(); },
      pause,
      speed: (value) => { factor = value; },
      changed: (listener) => { call = listener; },
    };
  }

  function player() {
    const screen = byId("screen");
    const slider = byId("slider");
    const play = byId("play");
    const media = screen.tagName === "VIDEO" ? videoScreen(screen) : pictureScreen(screen);

    const toggle = () => {
      if (media.playing()) media.pause();
      else {
        if (position === last) show(0);
        media.play();
      }
    };
    media.changed(() => {
      play.textContent = media.playing() ? "Pause" : "Play";
      // A screen reader need not read every frame of a film.
      byId("where").setAttribute("aria-live", media.playing() ? "off" : "polite");
    });
    listeners.push((i) => {
      slider.value = i;
      const words = `frame ${page.index[i]}${page.timed ? `, ${clock(page.x[i])}` : ""}`;
      slider.setAttribute("aria-valuetext", words);
      byId("where").textContent = `${words} · stamp ${page.stamps[i]}`;
    });
    slider.addEventListener("input", () => { if (media.playing()) media.pause(); show(Number(slider.value)); });
    play.addEventListener("click", toggle);
    byId("back").addEventListener("click", () => { if (media.playing()) media.pause(); show(position - 1); });
    byId("on").addEventListener("click", () => { if (media.playing()) media.pause(); show(position + 1); });
    byId("speed").addEventListener("change", (event) => media.speed(Number(event.target.value)));

    for (const mark of page.marks) {
      const tick = document.createElement("i");
      tick.style.left = `calc(8px + (100% - 16px) * ${last ? mark / last : 0})`;
      byId("marks").append(tick);
    }
    for (const moment of document.querySelectorAll("[data-position]")) {
      moment.addEventListener("click", () => {
        if (media.playing()) media.pause();
        show(Number(moment.dataset.position));
        byId("player").scrollIntoView();
        slider.focus({ preventScroll: true });
      });
    }
    document.addEventListener("keydown", (event) => {
      const at = event.target;
      if (event.ctrlKey || event.metaKey || event.altKey || at.closest("select, .scroll, a")) return;
      const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -last, End: last };
      const ours = at === document.body || at.closest("#player, .plot");
      if (event.key === " ") {
        if (at.closest("button, summary") || !ours) return;
        toggle();
      } else if (event.key in steps) {
        if (!ours || (at === document.body && event.key.startsWith("Page"))) return;
        if (media.playing()) media.pause();
        show(position + steps[event.key] * (event.shiftKey ? 10 : 1));
      } else return;
      event.preventDefault();
    });
  }

  // ---- charts ------------------------------------------------------------------------------

  const SVG = "http://www.w3.org/2000/svg";
  const MARGIN = { left: 44, right: 10, top: 8, bottom: 34 };

  function draw(parent, name, attributes, text) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  }

  /** Positions to draw: all, or per pixel column those of the lowest and the highest value and the gaps. */
  function thinned(values, width) {
    if (values.length <= 2 * width) return values.map((_, i) => i);
    const columns = Math.floor(width);
    const kept = new Set();
    for (let column = 0; column < columns; column += 1) {
      const from = Math.floor((column * values.length) / columns);
      const to = Math.floor(((column + 1) * values.length) / columns);
      let low = -1;
      let high = -1;
      for (let i = from; i < to; i += 1) {
        if (values[i] === null) {
          if (values[i - 1] !== null) kept.add(i); // one is as wide a gap as many
        } else {
          if (low < 0 || values[i] < values[low]) low = i;
          if (high < 0 || values[i] > values[high]) high = i;
        }
      }
      if (low >= 0) kept.add(low).add(high);
    }
    return [...kept].sort((a, b) => a - b);
  }

  function path(points) {
    let pen = "M";
    let found = "";
    let alone = null; // a point with gaps on both sides needs a line of no length to be seen
    for (const point of points) {
      if (point === null) {
        if (alone) found += `L${alone}`;
        pen = "M";
        alone = null;
        continue;
      }
      const at = `${point[0].toFixed(1)},${point[1].toFixed(1)}`;
      found += pen + at;
      alone = pen === "M" ? at : null;
      pen = "L";
    }
    return alone ? `${found}L${alone}` : found;
  }

  const colorOf = (series, i) => series.color || `var(--series-${i % 4})`;

  class Chart {
    constructor(figure, spec) {
      this.spec = spec;
      this.plot = figure.querySelector(".plot");
      this.now = figure.querySelector(".now");
      this.marks = null;
      new ResizeObserver(() => this.redraw()).observe(this.plot);
      if (spec.kind === "histogram") return;
      listeners.push((i) => this.point(i));
      const pick = (event) => {
        const x = event.clientX - this.plot.getBoundingClientRect().left;
        const share = clamp((x - MARGIN.left) / this.inner, 0, 1);
        show(nearest(page.x, page.x[0] + share * this.span));
      };
      this.plot.addEventListener("pointerdown", (event) => {
        this.plot.setPointerCapture(event.pointerId);
        pick(event);
      });
      this.plot.addEventListener("pointermove", (event) => {
        if (this.plot.hasPointerCapture(event.pointerId)) pick(event);
      });
    }

    redraw() {
      const { width, height } = this.plot.getBoundingClientRect();
      if (!width) return;
      this.inner = width - MARGIN.left - MARGIN.right;
      this.rise = height - MARGIN.top - MARGIN.bottom;
      this.span = page.x[last] - page.x[0] || 1;
      this.plot.replaceChildren();
      this.svg = draw(this.plot, "svg", { width, height, role: "img", "aria-label": this.spec.summary });
      this.axes();
      if (this.spec.kind === "stack") this.stack();
      else if (this.spec.kind === "histogram") this.bars();
      else this.lines();
      if (this.spec.kind !== "histogram") {
        this.marks = draw(this.svg, "g", { "aria-hidden": "true" });
        this.point(position);
      }
    }

    x(value) {
      const [low, span] = this.spec.edges
        ? [this.spec.edges[0], this.spec.edges.at(-1) - this.spec.edges[0]] : [page.x[0], this.span];
      return MARGIN.left + ((value - low) / span) * this.inner;
    }

    y(value) {
      return MARGIN.top + (1 - (value - this.spec.low) / (this.spec.high - this.spec.low)) * this.rise;
    }

    axes() {
      const foot = MARGIN.top + this.rise;
      const rows = ticks(this.spec.low, this.spec.high, 4);
      for (const value of rows.values) {
        const y = this.y(value);
        draw(this.svg, "line", { class: "rule", x1: MARGIN.left, x2: MARGIN.left + this.inner, y1: y, y2: y });
        draw(this.svg, "text", { x: MARGIN.left - 6, y: y + 4, "text-anchor": "end" }, number(value, rows.digits));
      }
      const edges = this.spec.edges || page.x;
      const inMinutes = !this.spec.edges && page.timed && this.span > 300;
      const per = inMinutes ? 60 : 1;
      const columns = ticks(edges[0] / per, edges.at(-1) / per, Math.max(2, this.inner / 70));
      for (const value of columns.values) {
        const x = this.x(value * per);
        draw(this.svg, "line", { class: "rule", x1: x, x2: x, y1: foot, y2: foot + 4 });
        draw(this.svg, "text", { x, y: foot + 16, "text-anchor": "middle" }, number(value, columns.digits));
      }
      for (const [at, step] of this.spec.edges ? [] : page.cuts) {
        const x = (this.x(page.x[at - 1]) + this.x(page.x[at])) / 2;
        const cut = draw(this.svg, "line", { class: "cut", x1: x, x2: x, y1: MARGIN.top, y2: foot });
        draw(cut, "title", {}, `a cut: the stamps step by ${step}`);
      }
      const middle = MARGIN.left + this.inner / 2;
      draw(this.svg, "text", { x: middle, y: foot + 31, "text-anchor": "middle" },
        inMinutes ? "time in the drive, min" : this.spec.edges ? this.spec.across : page.x_label);
    }

    lines() {
      this.spec.series.forEach((series, i) => {
        const points = thinned(series.values, this.inner).map((at) => {
          const value = series.values[at];
          return value === null ? null : [this.x(page.x[at]), this.y(value)];
        });
        const attributes = { d: path(points), "stroke-linecap": "round" };
        // A class has the colour it has, whatever the page's ground is.
        if (series.color.startsWith("rgb")) draw(this.svg, "path", { class: "halo", ...attributes });
        const line = draw(this.svg, "path", attributes);
        line.style.stroke = colorOf(series, i);
        if (series.says) line.style.strokeDasharray = "0.1 6";
      });
    }

    stack() {
      const shown = page.x.map((_, i) => i);
      const step = Math.max(1, Math.floor(shown.length / (2 * this.inner)));
      const kept = shown.filter((i) => i % step === 0 || i === last);
      const floor = kept.map(() => 0);
      for (const series of this.spec.series) {
        const under = kept.map((i, k) => [this.x(page.x[i]), this.y(floor[k])]);
        kept.forEach((i, k) => { floor[k] += series.values[i]; });
        const over = kept.map((i, k) => [this.x(page.x[i]), this.y(floor[k])]);
        const area = draw(this.svg, "path", { d: `${path([...over, ...under.reverse()])}Z` });
        area.style.fill = series.color;
        draw(area, "title", {}, series.name);
      }
    }

    bars() {
      const { edges } = this.spec;
      this.spec.series.forEach((series, i) => {
        series.values.forEach((count, bin) => {
          if (!count) return;
          const left = this.x(edges[bin]);
          const width = Math.max(1, this.x(edges[bin + 1]) - left - 1);
          const top = this.y(count);
          const bar = draw(this.svg, "rect", { x: left, y: top, width, height: MARGIN.top + this.rise - top });
          bar.style.fill = colorOf(series, i);
          bar.style.fillOpacity = 0.72;
          draw(bar, "title", {}, `${series.name}: ${count} ${this.spec.unit}, ${number(edges[bin], 1)} to ${number(edges[bin + 1], 1)} ${this.spec.across}`);
        });
      });
    }

    /** Put the cursor on a frame and say what it has there. */
    point(i) {
      if (!this.marks) return;
      const x = this.x(page.x[i]);
      this.marks.replaceChildren();
      draw(this.marks, "line", { class: "cursor", x1: x, x2: x, y1: MARGIN.top, y2: MARGIN.top + this.rise });
      const words = [];
      this.spec.series.forEach((series, k) => {
        const value = series.values[i];
        if (this.spec.kind !== "stack" && value !== null) {
          const dot = draw(this.marks, "circle", { class: "dot", cx: x, cy: this.y(value), r: 4 });
          dot.style.fill = colorOf(series, k);
        }
        if (value === null) return;
        if (this.spec.kind === "stack") words.push([value, series.name]);
        else {
          const unit = this.spec.unit.split(" ")[0]; // "%" of "% of the picture"
          words.push([value, series.name, series.says || `${number(value, this.spec.digits)} ${unit}`]);
        }
      });
      this.now.replaceChildren();
      if (this.spec.kind === "stack") {
        words.sort((a, b) => b[0] - a[0]);
        this.now.textContent = words.slice(0, 3).map((w) => `${w[1]} ${number(w[0], 0)} %`).join(" · ");
        return;
      }
      if (words.length > 3) { // what there is to look for is at the bottom
        words.sort((a, b) => a[0] - b[0]);
        this.now.textContent = `lowest: ${words.slice(0, 3).map((w) => `${w[1]} ${w[2]}`).join(" · ")}`;
        return;
      }
      const now = document.createElement("b");
      now.textContent = words.map((w) => w[2]).join(" · ") || "not known";
      this.now.append(now);
    }
  }

  // ---- the table, made when it is opened ---------------------------------------------------

  const ROWS = 500;

  function table(details) {
    const step = Math.ceil(page.x.length / ROWS);
    const made = document.createElement("table");
    const caption = made.createCaption();
    caption.textContent = step > 1 ? `Every ${step}th frame.` : "Every frame.";
    const head = made.createTHead().insertRow();
    const lines = page.charts.filter((chart) => chart.kind !== "histogram");
    const columns = lines.flatMap((chart) => chart.series.map((series) => ({ chart, series })));
    const names = columns.map(({ chart, series }) => {
      const own = chart.series.length > 1 ? `: ${series.name}` : "";
      return `${chart.title}${own} (${chart.unit})`;
    });
    for (const name of ["Frame", page.x_label, ...names]) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.className = "number";
      cell.textContent = name;
      head.append(cell);
    }
    const body = made.createTBody();
    for (let i = 0; i <= last; i += step) {
      const row = body.insertRow();
      const values = columns.map(({ chart, series }) => {
        const value = series.values[i];
        return value === null ? "–" : series.says || number(value, chart.digits);
      });
      const when = page.timed ? number(page.x[i], 3) : String(page.x[i]);
      for (const text of [String(page.index[i]), when, ...values]) {
        const cell = row.insertCell();
        cell.className = "number";
        cell.textContent = text;
      }
    }
    details.querySelector(".scroll").replaceChildren(made);
  }

  page.charts.forEach((spec, i) => new Chart(byId(`chart-${i}`), spec));
  player();
  show(0);
  byId("table").addEventListener("toggle", (event) => {
    if (event.target.open) table(event.target);
  }, { once: true });
})();
