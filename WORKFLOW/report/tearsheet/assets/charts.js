"use strict";
// What the pages' charts share: colours of the theme, number formats, and one function for each kind of chart.
const charts = (() => {
  const built = [];
  const mono = "11px system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif";
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const minus = (text) => text.replace("-", "−");
  const pct = (digits) => (v) => (v == null ? "–" : minus((100 * v).toFixed(digits)) + " %");
  const num = (digits) => (v) => (v == null ? "–" : minus(v.toFixed(digits)));
  const money = (v) => (v == null ? "–" : minus(Math.round(v).toLocaleString("en-US")));
  const whole = (v) => (v == null ? "–" : String(Math.round(v)));
  // As many decimals as it takes to write the step between two labels.
  const digitsOf = (splits, scale) => {
    const step = splits.length > 1 ? Math.abs(splits[1] - splits[0]) * scale : 1;
    const enough = [0, 1, 2, 3].find((d) => Math.abs(step * 10 ** d - Math.round(step * 10 ** d)) < 1e-6 * step * 10 ** d);
    return enough ?? 4;
  };
  const ticks = {
    pct: (u, splits) => splits.map(pct(digitsOf(splits, 100))),
    num: (u, splits) => splits.map(num(digitsOf(splits, 1))),
    money: (u, splits) => splits.map(money),
    growth: (u, splits) => splits.map((v) => pct(digitsOf([0, v], 100))(v - 1)),
  };
  // Growth is what one became: 1.2 is a return of 20 %. Unlike the return it has a logarithm.
  const values = { pct: pct(2), num: num(2), money, growth: (v) => (v == null ? "–" : pct(2)(v - 1)) };

  const axis = (format, side) => ({
    stroke: css("--muted"), font: mono, grid: { stroke: css("--line"), width: 1 }, ticks: { show: false },
    size: side === 2 ? 38 : 62, gap: 4, space: side === 2 ? 50 : 26, ...(format ? { values: ticks[format] } : {}),
  });

  // A line at zero, the shaded part that the search never saw, and its name.
  const backdrop = (split, isZero) => ({
    hooks: {
      drawClear: (u) => {
        if (split == null) return;
        const { ctx, bbox } = u;
        const x = Math.max(u.valToPos(split, "x", true), bbox.left);
        if (x > bbox.left + bbox.width) return;
        ctx.save();
        ctx.fillStyle = css("--unseen");
        ctx.fillRect(x, bbox.top, bbox.left + bbox.width - x, bbox.height);
        ctx.restore();
      },
      draw: (u) => {
        const { ctx, bbox } = u;
        ctx.save();
        ctx.beginPath();
        ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
        ctx.clip();
        if (isZero) {
          const y = Math.round(u.valToPos(0, "y", true)) + 0.5;
          ctx.strokeStyle = css("--second");
          ctx.beginPath();
          ctx.moveTo(bbox.left, y);
          ctx.lineTo(bbox.left + bbox.width, y);
          ctx.stroke();
        }
        if (split != null) {
          const ratio = devicePixelRatio || 1;
          ctx.fillStyle = css("--muted");
          ctx.textBaseline = "alphabetic";
          ctx.font = 11 * ratio + "px system-ui, sans-serif";
          const x = Math.max(u.valToPos(split, "x", true), bbox.left), gap = 6 * ratio;
          const isRoom = x + 2 * gap + ctx.measureText("out-of-sample").width < bbox.left + bbox.width;
          ctx.textAlign = isRoom ? "left" : "right";
          // Drawdowns hang from the top: there the name stands at the bottom.
          const y = u.scales.y.max <= 0 ? bbox.top + bbox.height - gap : bbox.top + 14 * ratio;
          ctx.fillText(isRoom ? "out-of-sample" : "out-of-sample →", isRoom ? x + gap : x - gap, y);
        }
        ctx.restore();
      },
    },
  });

  const add = (id, height, make) => {
    const element = document.getElementById(id);
    if (!element) return;
    const one = { element, height, make, plot: null };
    built.push(one);
    build(one);
  };
  const build = (one) => {
    if (one.plot) one.plot.destroy();
    const { options, data } = one.make();
    one.plot = new uPlot({ width: one.element.clientWidth, height: one.height, ...options }, data, one.element);
  };
  const rebuild = () => built.forEach(build);
  const fit = () => built.forEach((one) => {
    const width = one.element.clientWidth;
    if (one.plot && width !== one.plot.width) one.plot.setSize({ width, height: one.height });
  });

  // Legends show the last values until somebody points at others.
  const last = (u) => u.setLegend({ idx: u.data[0].length - 1 });
  // A finger that slides sideways points, as a mouse does; up and down it still scrolls the page.
  const finger = (u) => ["touchstart", "touchmove"].forEach((type) => u.over.addEventListener(type, (event) => {
    const box = u.over.getBoundingClientRect(), at = event.touches[0];
    u.setCursor({ left: at.clientX - box.left, top: at.clientY - box.top }, true, true);
  }, { passive: true }));
  const common = (more) => ({
    padding: [8, 18, 0, 0],
    legend: { markers: { width: 0, fill: (u, i) => u.series[i].stroke(u, i) } },
    hooks: { ready: [last, finger], setCursor: [(u) => { if (u.cursor.idx == null && u.legend.idx == null) last(u); }] },
    ...more,
  });
  const utc = (at) => uPlot.tzDate(new Date(at * 1e3), "Etc/UTC");

  // Lines over time; all charts of one `key` share pointer and zoom.
  const time = (id, height, spec) => add(id, height, () => {
    const { data, series, format, split, zero, isLog, key } = spec();
    const y = isLog
      ? { distr: 3, range: (u, low, high) => [low * 0.98, high * 1.02] }
      : { range: (u, low, high) => padded(low, high, zero) };
    const yAxis = axis(format, 3);
    if (isLog) { yAxis.splits = (u, i, low, high) => geometric(low, high); yAxis.filter = (u, all) => all; }
    return {
      data,
      options: common({
        tzDate: utc,
        cursor: { drag: { x: true, y: false }, sync: { key: key || id }, points: { size: 6 } },
        scales: { x: { time: true }, y },
        axes: [axis(null, 2), yAxis],
        plugins: [backdrop(split, zero)],
        series: [
          { label: "UTC", value: "{YYYY}-{MM}-{DD} {HH}:{mm}" },
          ...series.map((one) => ({ value: (u, v) => values[format](v), spanGaps: true, points: { show: false }, ...one })),
        ],
      }),
    };
  });
  const around = (low, high, margin) => [low - margin, high + margin];
  const padded = (low, high, zero) => {
    if (low == null) return [0, 1];
    const from = zero ? Math.min(low, 0) : low, to = zero ? Math.max(high, 0) : high;
    const pad = (to - from || Math.abs(to) || 1) * 0.05;
    return [zero && low >= 0 ? 0 : from - pad, zero && high <= 0 ? 0 : to + pad];
  };
  const geometric = (low, high) => {
    const found = [], factors = high / low > 300 ? [1] : high / low > 6 ? [1, 2, 5] : [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
      for (const factor of factors) {
        const value = factor * 10 ** power;
        if (value >= low && value <= high) found.push(value);
      }
    return found;
  };

  // The button beside a chart of `amounts`: whether its scale is logarithmic, which it begins as where they differ much.
  const scaled = (amounts) => {
    const [low, high] = [Math.min(...amounts), Math.max(...amounts)];
    let isLog = low > 0 && high > 5 * low;
    const button = document.getElementById("log");
    const name = () => { button.textContent = isLog ? "linear scale" : "log scale"; };
    name();
    button.addEventListener("click", () => { isLog = !isLog; name(); rebuild(); });
    return () => isLog;
  };

  const plain = (id, height, spec) => add(id, height, () => {
    const { data, series, xFormat, yFormat, xLabel, zero, bands, margin } = spec();
    const xAxis = { ...axis(xFormat, 2), size: 24, label: xLabel, labelSize: 18, labelFont: mono };
    return {
      data,
      options: common({
        cursor: { drag: { x: true, y: false }, points: { size: 6 } },
        scales: { x: { time: false, range: (u, low, high) => around(low, high, margin || 0) }, y: { range: (u, low, high) => padded(low, high, zero) } },
        axes: [xAxis, axis(yFormat, 3)],
        plugins: [backdrop(null, zero)],
        bands,
        series: [
          { label: xLabel, value: (u, v) => (values[xFormat] || whole)(v) },
          ...series.map((one) => ({ value: (u, v) => (values[yFormat] || whole)(v), points: { show: false }, ...one })),
        ],
      }),
    };
  });

  // What lies between the known values of each row, so that pointing anywhere finds all of them.
  // The first two rows may be steps.
  const filled = (data, isStepped) => [data[0], ...data.slice(1).map((row, r) => {
    const full = row.slice();
    let from = -1;
    for (let i = 0; i < row.length; i++) {
      if (row[i] == null) continue;
      for (let k = from + 1; from >= 0 && k < i; k++)
        full[k] = isStepped && r < 2 ? row[from]
          : row[from] + ((row[i] - row[from]) * (data[0][k] - data[0][from])) / (data[0][i] - data[0][from]);
      from = i;
    }
    for (let k = from + 1; from >= 0 && k < row.length; k++) full[k] = row[from];
    return full;
  })];
  // The same span of time for charts that are read below each other.
  const spanning = (times, [x, y]) => {
    const [first, end] = [times[0], times[times.length - 1]];
    const before = x[0] > first ? [first] : [], after = x[x.length - 1] < end ? [end] : [];
    return [[...before, ...x, ...after], [...before.map(() => null), ...y, ...after.map(() => null)]];
  };

  const theme = (name) => {
    document.documentElement.dataset.theme = name;
    rebuild();
  };
  const start = (draw) => {
    const wanted = matchMedia("(prefers-color-scheme: dark)");
    document.documentElement.dataset.theme = wanted.matches ? "dark" : "light";
    wanted.addEventListener("change", (event) => theme(event.matches ? "dark" : "light"));
    document.getElementById("theme").addEventListener("click", () =>
      theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
    addEventListener("resize", fit);
    draw(JSON.parse(document.getElementById("document").textContent));
  };
  return { start, time, plain, scaled, css, filled, spanning, seconds: (date) => Date.parse(date) / 1000 };
})();
