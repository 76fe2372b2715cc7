// Draws the charts of a report from the JSON in #data. No network, no eval.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("(max-width: 40rem)");
  const styleOf = new Map(data.codecs.map((codec) => [codec.id, codec]));
  const metricOf = new Map(data.metrics.map((metric) => [metric.column, metric]));
  const score = (column, value) => {
    const { direction } = metricOf.get(column);
    return direction === "higher" ? value : direction === "lower" ? -value : -Math.abs(value - 1);
  };
  const redraws = [];
  // Named one by one: by default plotly adds a button that sends the chart to its maker's service.
  const BUTTONS = [["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d", "toImage"]];

  // Plotly reads a few tags in labels: names from plugins are shown as they are written.
  const label = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const shown = (value, digits) => (value === null || value === undefined ? "–" : value.toFixed(digits));
  const rowsOf = (table) => {
    const names = Object.keys(table);
    const count = names.length ? table[names[0]].length : 0;
    return Array.from({ length: count }, (_, at) => Object.fromEntries(names.map((name) => [name, table[name][at]])));
  };
  const ratioRows = rowsOf(data.ratio);
  const sweepRows = rowsOf(data.sweep);
  const records = rowsOf(data.records).map((row) => ({
    ...row, codec: data.codecs[row.codec].id, image: data.images[row.image],
  }));

  // ---- controls -----------------------------------------------------------------------------------------------
  function choose(place, name, options, selected, changed) {
    const holder = document.createElement("label");
    const select = document.createElement("select");
    holder.append(name, select);
    options.forEach(([value, text]) => select.append(new Option(text, value, false, String(value) === String(selected))));
    select.addEventListener("change", changed);
    document.getElementById(place).append(holder);
    return select;
  }
  function tick(place, name, checked, changed) {
    const holder = document.createElement("label");
    const box = document.createElement("input");
    holder.className = "check";
    box.type = "checkbox";
    box.checked = checked;
    holder.append(box, name);
    box.addEventListener("change", changed);
    document.getElementById(place).append(holder);
    return box;
  }
  const metricOptions = data.metrics.map((metric) => [metric.column, metric.title]);
  const ratioOptions = data.ratios.map((ratio) => [ratio, `${ratio}x`]);
  const codecOptions = data.codecs.map((codec) => [codec.id, codec.id]);

  // A chart keeps the colours that it was drawn with, so it is drawn again for printing.
  const PAPER = { "--ink": "#000000", "--quiet": "#333333", "--line": "#999999", "--panel": "#ffffff" };
  let printing = false;
  const shade = (name) => (printing ? PAPER[name] : getComputedStyle(document.documentElement).getPropertyValue(name).trim());

  // ---- charts -------------------------------------------------------------------------------------------------
  // Instead of empty axes, the paragraph after the chart shows a sentence.
  function tell(id, text) {
    const chart = document.getElementById(id);
    chart.hidden = text !== "";
    chart.nextElementSibling.textContent = text;
    if (text) Plotly.purge(chart);
  }
  function draw(id, traces, nothing, layout) {
    const empty = traces.every((trace) => !trace.x.length);
    tell(id, empty ? nothing : "");
    if (empty) return;
    const axis = { gridcolor: shade("--line"), zerolinecolor: shade("--quiet"), linecolor: shade("--line"), automargin: true };
    const legend = narrow.matches
      ? { orientation: "h", y: -0.25, yanchor: "top", font: { size: 11 } }
      : { font: { size: 12 }, itemwidth: 40 };
    Plotly.react(id, traces, {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: shade("--ink"), size: 13 },
      margin: { l: 55, r: 15, t: 32, b: 55 }, legend, hovermode: "closest",
      modebar: { bgcolor: "rgba(0,0,0,0)", color: shade("--quiet"), activecolor: shade("--ink") },
      hoverlabel: { bgcolor: shade("--panel"), font: { color: shade("--ink") } }, uirevision: id, ...layout,
      xaxis: { ...axis, ...layout.xaxis }, yaxis: { ...axis, ...layout.yaxis },
    }, { responsive: true, displaylogo: false, modeBarButtons: BUTTONS });
  }
  const bars = (rows, column) => ({
    type: "data", symmetric: false, thickness: 1, width: 3, color: shade("--quiet"),
    array: rows.map((row) => (row[`${column}_high`] ?? row[column]) - row[column]),
    arrayminus: rows.map((row) => row[column] - (row[`${column}_low`] ?? row[column])),
  });
  const looks = (codec, size = 8) => {
    const style = styleOf.get(codec);
    return { name: label(codec), line: { color: style.colour, dash: style.dash, width: 1.6 }, marker: { color: style.colour, symbol: style.symbol, size } };
  };

  // The curve's value at its point nearest to a rate: the legend is ordered by it, best first.
  const near = (trace, bpp) => trace.y[trace.x.reduce((best, x, at) => (Math.abs(x - bpp) < Math.abs(trace.x[best] - bpp) ? at : best), 0)];

  function curvePoints(protocol, column, image) {
    if (image !== "") {
      const wanted = protocol === "sweep" ? 1 : 0;
      return records.filter((row) => row.sweep === wanted && row.image === image && row[column] !== null);
    }
    if (protocol === "sweep") return sweepRows.filter((row) => row.complete && row[column] !== null);
    return ratioRows.filter((row) => row.compared && row[column] !== null);
  }
  function curveHover(row, column, image) {
    const metric = metricOf.get(column);
    const lines = [`<b>${label(row.codec)}</b>`, image === "" ? `mean of ${row.n} images` : label(row.image)];
    if (row.target_ratio !== null && row.target_ratio !== undefined) lines.push(`target ${row.target_ratio}x, reached ${shown(row.ratio, 2)}x`);
    else lines.push(`ratio ${shown(row.ratio, 2)}x`);
    if (row.setting !== null && row.setting !== undefined) lines.push(`setting ${row.setting}`);
    if (image !== "") lines.push(`${row.size_bytes} bytes, ${label(row.status)}`);
    lines.push(`${shown(row.bpp, 4)} bpp`, `${label(metric.title)}: ${shown(row[column], metric.digits)}`);
    if (row[`${column}_low`] !== null && row[`${column}_low`] !== undefined) {
      lines.push(`95 %: ${shown(row[`${column}_low`], metric.digits)} to ${shown(row[`${column}_high`], metric.digits)}`);
    }
    return lines.join("<br>");
  }
  function curves() {
    const protocols = [];
    if (ratioRows.length) protocols.push(["ratio", "ratio: each image its own setting"]);
    if (sweepRows.length) protocols.push(["sweep", "sweep: one setting for all"]);
    if (!protocols.length) {
      tell("curve-chart", "Nothing to draw: no codec has a mean.");
      return;
    }
    const redraw = () => {
      const [column, chosen] = [metric.value, image.value];
      const points = curvePoints(protocol.value, column, chosen);
      const traces = data.codecs.map(({ id }) => {
        const rows = points.filter((row) => row.codec === id).sort((a, b) => a.bpp - b.bpp);
        const trace = {
          ...looks(id), type: "scatter", mode: "lines+markers", x: rows.map((row) => row.bpp), y: rows.map((row) => row[column]),
          text: rows.map((row) => curveHover(row, column, chosen)), hoverinfo: "text",
        };
        if (interval.checked && chosen === "" && protocol.value === "ratio") trace.error_y = bars(rows, column);
        return trace;
      }).filter((trace) => trace.x.length);
      const middle = points.map((row) => row.bpp).sort((a, b) => a - b)[points.length >> 1];
      traces.sort((a, b) => score(column, near(b, middle)) - score(column, near(a, middle)));
      const nothing = chosen === ""
        ? `Nothing to draw: no codec has a mean of ${metricOf.get(column).title} in this protocol.`
        : `Nothing to draw: no codec has a ${metricOf.get(column).title} for ${chosen} in this protocol.`;
      draw("curve-chart", traces, nothing, {
        xaxis: { title: { text: chosen === "" ? "mean bits per pixel" : "bits per pixel" }, type: log.checked ? "log" : "linear" },
        yaxis: { title: { text: label(metricOf.get(column).title) } },
      });
      document.getElementById("curve-note").textContent = protocol.value === "ratio"
        ? "Ratio protocol: the largest file within each image's target size. A codec has a mean where it meets the target on every image of the ratio. Not comparable with published curves, which use one setting for all images."
        : "Sweep protocol: one setting for all images; bits per pixel and metric are averaged, as in papers.";
    };
    const protocol = choose("curve-controls", "Protocol", protocols, protocols[0][0], redraw);
    const metric = choose("curve-controls", "Metric", metricOptions, "psnr", redraw);
    const image = choose("curve-controls", "Image", [["", "mean over images"], ...data.images.map((name) => [name, name])], "", redraw);
    const interval = tick("curve-controls", "intervals", false, redraw);
    const log = tick("curve-controls", "logarithmic bpp", false, redraw);
    redraws.push(redraw);
  }

  function differences() {
    if (!document.getElementById("difference-chart")) return;
    const columns = ["psnr", "ms_ssim_db"].filter((column) => data.ratio[`${column}_difference`]);
    if (!columns.length) {
      tell("difference-chart", "Nothing to draw: no two codecs meet the target on the same image.");
      return;
    }
    const redraw = () => {
      const column = `${metric.value}_difference`;
      const rows = ratioRows
        .filter((row) => String(row.target_ratio) === ratio.value && row[column] !== null && row[column] !== undefined)
        .sort((a, b) => a[column] - b[column]);
      const nothing = `Nothing to draw: no codec meets the target of ${ratio.value}x on an image on which the anchor, ${data.anchor}, meets it too.`;
      draw("difference-chart", [{
        type: "scatter", mode: "markers", x: rows.map((row) => row[column]), y: rows.map((row) => label(row.codec)),
        marker: {
          size: 9, color: rows.map((row) => styleOf.get(row.codec).colour),
          symbol: rows.map((row) => styleOf.get(row.codec).symbol + (row.compared ? "" : "-open")),
        },
        error_x: bars(rows, column), hoverinfo: "text",
        text: rows.map((row) => `<b>${label(row.codec)}</b><br>${shown(row[column], 3)} dB over ${row[`${column}_n`]} images<br>${label(row[`${metric.value}_verdict`] || "")}`),
      }], nothing, {
        height: Math.max(300, 110 + 24 * rows.length), showlegend: false,
        xaxis: { title: { text: `difference of ${label(metricOf.get(metric.value).title)}` }, zeroline: true, zerolinewidth: 2 },
        yaxis: { type: "category" },
      });
    };
    const ratio = choose("difference-controls", "Ratio", ratioOptions, data.opening, redraw);
    const metric = choose("difference-controls", "Metric", metricOptions.filter(([name]) => columns.includes(name)), columns[0], redraw);
    redraws.push(redraw);
  }

  function scatter() {
    const rated = records.filter((row) => row.sweep === 0);
    if (!rated.length || data.codecs.length < 2) {
      document.getElementById("images").hidden = true;
      return;
    }
    const at = (codec, ratio) => new Map(rated
      .filter((row) => row.codec === codec && String(row.target_ratio) === ratio).map((row) => [row.image, row]));
    const redraw = () => {
      const column = metric.value;
      const others = at(second.value, ratio.value);
      const pairs = [...at(first.value, ratio.value).values()]
        .map((row) => [row, others.get(row.image)])
        .filter(([row, other]) => other && row[column] !== null && other[column] !== null);
      const told = (row) => `${label(row.codec)}: ${shown(row[column], metricOf.get(column).digits)}, ${row.size_bytes} bytes, setting ${row.setting}, ${label(row.status)}`;
      const both = pairs.flatMap(([row, other]) => [row[column], other[column]]);
      const ends = both.length ? [Math.min(...both), Math.max(...both)] : [];
      const nothing = `Nothing to draw: no image has a ${metricOf.get(column).title} for both ${first.value} and ${second.value} at ${ratio.value}x.`;
      draw("scatter-chart", [
        { type: "scatter", mode: "lines", x: ends, y: ends, line: { color: shade("--quiet"), width: 1, dash: "dot" }, hoverinfo: "skip" },
        {
          type: "scatter", mode: "markers", x: pairs.map(([row]) => row[column]), y: pairs.map(([, other]) => other[column]),
          marker: {
            color: styleOf.get(second.value).colour, size: 9,
            symbol: pairs.map(([row, other]) => (row.status === "reached" && other.status === "reached" ? "circle" : "circle-open")),
          },
          text: pairs.map(([row, other]) => `<b>${label(row.image)}</b><br>${told(row)}<br>${told(other)}`), hoverinfo: "text",
        },
      ], nothing, {
        showlegend: false, xaxis: { title: { text: label(first.value) } }, yaxis: { title: { text: label(second.value) } },
      });
      const better = pairs.filter(([row, other]) => score(column, other[column]) > score(column, row[column])).length;
      const sample = data.images.length < data.images_total ? ` The page holds ${data.images.length} of ${data.images_total} images.` : "";
      document.getElementById("scatter-note").textContent = pairs.length === 0 ? "" : `${second.value} is better on ${better} of ${pairs.length} images with both. Hollow: capped or unreachable.${sample}`;
    };
    const best = ratioRows.filter((row) => row.compared && row.target_ratio === data.opening);
    const other = [...best, ...ratioRows].map((row) => row.codec).find((codec) => codec !== data.anchor);
    const first = choose("scatter-controls", "x axis", codecOptions, data.anchor ?? data.codecs[0].id, redraw);
    const second = choose("scatter-controls", "y axis", codecOptions, other, redraw);
    const ratio = choose("scatter-controls", "Ratio", ratioOptions, data.opening, redraw);
    const metric = choose("scatter-controls", "Metric", metricOptions, "psnr", redraw);
    redraws.push(redraw);
  }

  function speed() {
    if (!document.getElementById("speed-chart")) return;
    const rows = rowsOf(data.speed);
    const redraw = () => {
      const mine = rows.filter((row) => String(row.target_ratio) === ratio.value && row.direction === direction.value);
      const front = mine.filter((row) => row.best).sort((a, b) => a.mp_s - b.mp_s);
      draw("speed-chart", [
        { type: "scatter", mode: "lines", name: "best", x: front.map((row) => row.mp_s), y: front.map((row) => row.psnr), line: { color: shade("--quiet"), width: 1, dash: "dot" }, hoverinfo: "skip" },
        ...mine.map((row) => ({
          ...looks(row.codec, 11), type: "scatter", mode: "markers", x: [row.mp_s], y: [row.psnr], hoverinfo: "text",
          text: [`<b>${label(row.codec)}</b><br>${shown(row.mp_s, 3)} MP/s over ${row.n} images<br>PSNR: ${shown(row.psnr, 2)} dB`],
        })),
      ], `Nothing to draw: no codec was timed at ${ratio.value}x.`, { xaxis: { type: "log", title: { text: `megapixels per second, ${direction.value}` } }, yaxis: { title: { text: "mean PSNR (dB)" } } });
    };
    const ratio = choose("speed-controls", "Ratio", ratioOptions, data.opening, redraw);
    const direction = choose("speed-controls", "Direction", [...new Set(rows.map((row) => row.direction))].map((name) => [name, name]), "encode", redraw);
    redraws.push(redraw);
  }

  curves();
  differences();
  scatter();
  speed();
  const all = () => redraws.forEach((redraw) => redraw());
  all();
  dark.addEventListener("change", all);
  narrow.addEventListener("change", all);
  ["beforeprint", "afterprint"].forEach((name) => window.addEventListener(name, () => {
    printing = name === "beforeprint";
    all();
  }));
})();
