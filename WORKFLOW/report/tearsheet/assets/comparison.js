"use strict";
charts.start((doc) => {
  const { css, seconds } = charts;
  const day = 86400;
  const series = () => doc.strategies.map((one, i) => ({ label: one.name, stroke: css("--line-" + (i % 8)), width: 1.5 }));
  const joined = (pick) => charts.filled(uPlot.join(doc.strategies.map((one) => {
    const values = pick(one);
    return [values.map((_, i) => seconds(one.daily.first_day) + (i + 1) * day), values];
  })), false);
  charts.time("equity", 320, () => ({
    data: joined((one) => one.daily.equity.map((v) => v / one.capital - 1)), series: series(), format: "pct", zero: true, key: "time",
  }));
  charts.time("drawdown", 200, () => ({
    data: joined((one) => {
      let peak = one.capital;
      return one.daily.equity.map((v) => { peak = Math.max(peak, v); return v / peak - 1; });
    }),
    series: series().map((one) => ({ ...one, width: 1 })), format: "pct", zero: true, key: "time",
  }));
});
