"use strict";
charts.start((doc) => {
  const { css, seconds } = charts;
  const day = 86400;
  const series = () => doc.strategies.map((one, i) => ({ label: one.name, stroke: css("--line-" + (i % 8)), width: 1.5 }));
  const joined = (pick) => charts.filled(uPlot.join(doc.strategies.map((one) => {
    const values = pick(one);
    return [values.map((_, i) => seconds(one.daily.first_day) + (i + 1) * day), values];
  })), false);
  // Shaded where it is the same days for all of them.
  const borders = [...new Set(doc.strategies.map((one) => one.period.out_of_sample_from))];
  const split = borders.length === 1 && borders[0] ? seconds(borders[0]) : null;
  const grown = (one) => one.daily.equity.map((v) => v / one.capital);
  const isLog = charts.scaled(doc.strategies.flatMap(grown));
  charts.time("equity", 320, () => ({
    data: joined(grown), series: series(), format: "growth", split, isLog: isLog(), key: "time",
  }));
  charts.time("drawdown", 200, () => ({
    data: joined((one) => {
      let peak = one.capital;
      return one.daily.equity.map((v) => { peak = Math.max(peak, v); return v / peak - 1; });
    }),
    series: series().map((one) => ({ ...one, width: 1 })), format: "pct", split, zero: true, key: "time",
  }));
});
