"use strict";
charts.start((doc) => {
  const { css, seconds } = charts;
  const day = 86400;
  const split = doc.period.out_of_sample_from ? seconds(doc.period.out_of_sample_from) : null;
  const curve = doc.equity;
  const isStepped = doc.strategy.source === "trades";
  const line = (label, colour, more) => ({ label, stroke: css(colour), width: 1.5, ...more });
  const stepped = isStepped ? { paths: uPlot.paths.stepped({ align: 1 }) } : {};

  const isLog = charts.scaled(curve.equity);
  // A day's mark stands at the end of its day, and the last one at the last bar.
  const end = curve.time[curve.time.length - 1];
  const days = (first, count) => Array.from({ length: count }, (_, i) => Math.min(seconds(first) + (i + 1) * day, end));
  // All of it at the same moments, so that one pointer finds the same one in each chart.
  let data = [curve.time, curve.equity, curve.drawdown.map((v) => -v)];
  if (doc.held)
    data = charts.filled(uPlot.join([data, [days(doc.daily.first_day, doc.held.length), doc.held]]), isStepped);
  const [times, equity, below, held] = data;
  charts.time("equity", 300, () => {
    const series = [line("equity", "--main", stepped)];
    if (held) series.push(line("buy and hold", "--second", { width: 1 }));
    return { data: held ? [times, equity, held] : [times, equity], series, format: "money", split, isLog: isLog(), key: "time" };
  });
  charts.time("drawdown", 150, () => ({
    data: [times, below],
    series: [line("drawdown", "--loss", { ...stepped, width: 1, fill: css("--loss") + "33", fillTo: 0 })],
    format: "pct", split, zero: true, key: "time",
  }));
  const rolling = doc.rolling_sharpe;
  if (rolling)
    charts.time("rolling", 160, () => ({
      data: charts.spanning(curve.time, [days(rolling.from_day, rolling.sharpe_ratio.length), rolling.sharpe_ratio]),
      series: [line("Sharpe ratio, " + rolling.days + " days", "--main")],
      format: "num", split, zero: true, key: "time",
    }));

  const bins = doc.trades && doc.trades.histogram;
  if (bins)
    charts.plain("histogram", 230, () => {
      const centres = bins.trades.map((_, i) => (bins.edges[i] + bins.edges[i + 1]) / 2);
      const bar = (label, colour) => ({
        label, fill: css(colour) + "cc", stroke: css(colour), width: 0, paths: uPlot.paths.bars({ size: [0.86, 60] }),
      });
      return {
        data: [centres, bins.trades.map((n, i) => (centres[i] < 0 ? n : null)),
          bins.trades.map((n, i) => (centres[i] >= 0 ? n : null))],
        series: [bar("losses", "--loss"), bar("gains", "--gain")],
        xFormat: "pct", xLabel: "net result of a trade", zero: true,
        margin: bins.bin_width / 2,
      };
    });

  const went = doc.trades && doc.trades.excursions;
  const scatter = (id, key, label) => {
    if (!went || !went[key]) return;
    charts.plain(id, 230, () => {
      const order = went[key].map((_, i) => i).sort((a, b) => went[key][a] - went[key][b]);
      const side = (wins) => order.map((i) => (went.net_pct[i] > 0 === wins ? went.net_pct[i] : null));
      const dots = (name, colour) => ({
        label: name, stroke: css(colour), paths: () => null,
        points: { show: true, size: 4, width: 0, fill: css(colour) + "99", stroke: css(colour) + "99" },
      });
      return {
        data: [order.map((i) => went[key][i]), side(false), side(true)],
        series: [dots("loss", "--loss"), dots("gain", "--gain")],
        xFormat: "pct", yFormat: "pct", xLabel: label, zero: true,
        margin: 0.02 * Math.max(...went[key].map(Math.abs)),
      };
    });
  };
  scatter("mae", "mae_pct", "furthest against the entry (MAE)");
  scatter("mfe", "mfe_pct", "furthest in favour (MFE)");

  for (const [window, found] of Object.entries(doc.monte_carlo)) {
    if (!found.block_bootstrap) continue;
    const fan = found.block_bootstrap.equity_fan;
    charts.plain("fan-" + window, 240, () => {
      const edge = (label) => ({ label, stroke: css("--main") + "66", width: 0.5 });
      const relative = (rows) => rows.map((v) => v - 1);
      return {
        data: [fan.day.map((d) => d + 1), ...["p5", "p25", "p50", "p75", "p95"].map((p) => relative(fan[p])),
          relative(found.observed)],
        series: [edge("5 %"), edge("25 %"), line("median", "--main", { width: 1, dash: [4, 4] }), edge("75 %"),
          edge("95 %"), line("what happened", "--ink")],
        bands: [{ series: [5, 1], fill: css("--band") }, { series: [4, 2], fill: css("--band") }],
        xLabel: "days", yFormat: "pct", zero: true,
      };
    });
  }
});
