// The viewer: one scene, two codecs, a slider, a flip, difference maps. Pictures are lossless data URLs.
"use strict";
(() => {
  const { viewer, metrics } = JSON.parse(document.getElementById("data").textContent);
  const stage = document.getElementById("viewer-stage");
  const controls = document.getElementById("viewer-controls");
  const GAIN = 8;
  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const shownName = (codec) => codec || "original";
  const unique = (values) => [...new Set(values)];

  function choice(name) {
    const holder = make("label");
    const select = make("select");
    holder.append(name, select);
    controls.append(holder);
    select.addEventListener("change", update);
    return select;
  }
  // Fill a choice; keep its value where it is still an option.
  function fill(select, options, preferred) {
    const before = select.value;
    select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
    const values = options.map(([value]) => String(value));
    select.value = values.includes(before) && select.dataset.filled ? before : values.includes(String(preferred)) ? preferred : values[0];
    select.dataset.filled = "yes";
  }
  const image = choice("Image");
  const ratio = choice("Ratio");
  const view = choice("View");
  const left = choice("Left");
  const right = choice("Right");
  const mode = choice("Show");
  const zoom = choice("Zoom");
  fill(image, unique(viewer.scenes.map((scene) => scene.image)).map((name) => [name, name]));
  fill(mode, [["slider", "slider"], ["flip", "flip"], ["difference", "differences"]]);
  fill(zoom, [[1, "1:1"], [2, "2:1"], [4, "4:1"]], 4);

  const frame = make("div", "viewer-frame");
  const under = make("img");
  const over = make("img");
  const line = make("div", "viewer-line");
  frame.append(under, over, line);
  const slider = make("input");
  slider.type = "range";
  slider.min = 0;
  slider.max = 100;
  slider.value = 50;
  slider.id = "viewer-slider";
  slider.setAttribute("aria-label", "Share of the left codec that is shown, in percent");
  const flip = make("button", "viewer-flip", "Flip");
  flip.type = "button";
  const caption = make("p", "note");
  caption.setAttribute("aria-live", "polite");
  const maps = make("div", "viewer-maps");
  const facts = make("div", "scroll");
  const overview = make("div", "viewer-overview");
  stage.append(slider, flip, caption, frame, maps, overview, facts);

  let flipped = false;
  const scene = () => viewer.scenes.find((one) => one.image === image.value && String(one.ratio) === ratio.value);
  const part = () => scene().views.find((one) => one.name === view.value);

  function place() {
    const share = mode.value === "flip" ? (flipped ? 0 : 100) : Number(slider.value);
    over.style.clipPath = `inset(0 ${100 - share}% 0 0)`;
    line.style.left = `${share}%`;
    line.hidden = mode.value !== "slider";
    caption.textContent = mode.value === "flip"
      ? `shown: ${shownName(flipped ? right.value : left.value)}`
      : mode.value === "slider" ? `left of the line: ${shownName(left.value)}, right of it: ${shownName(right.value)}`
        : `absolute difference from the original, times ${GAIN}`;
  }
  slider.addEventListener("input", place);
  flip.addEventListener("click", () => { flipped = !flipped; place(); });
  frame.addEventListener("pointermove", (event) => {
    if (mode.value !== "slider" || !(event.buttons & 1)) return;
    const box = frame.getBoundingClientRect();
    slider.value = Math.max(0, Math.min(100, (100 * (event.clientX - box.left)) / box.width));
    place();
  });

  async function pixels(url) {
    const picture = new Image();
    picture.src = url;
    await picture.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight];
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(picture, 0, 0);
    return context.getImageData(0, 0, canvas.width, canvas.height);
  }
  async function drawMaps() {
    const { pictures, box } = part();
    const chosen = [left.value, right.value];
    const asked = `${view.value}${chosen}${image.value}${ratio.value}`;
    maps.dataset.asked = asked;
    const [original, ...both] = await Promise.all(["", ...chosen].map((codec) => pixels(pictures[codec])));
    if (maps.dataset.asked !== asked) return; // another choice was made meanwhile
    maps.replaceChildren(...both.map((found, at) => {
      const figure = make("figure");
      const canvas = make("canvas");
      [canvas.width, canvas.height] = [found.width, found.height];
      canvas.style.width = `${box[2] * Number(zoom.value)}px`;
      const result = new ImageData(found.width, found.height);
      for (let index = 0; index < found.data.length; index += 1) {
        result.data[index] = index % 4 === 3 ? 255 : Math.min(255, GAIN * Math.abs(found.data[index] - original.data[index]));
      }
      canvas.getContext("2d").putImageData(result, 0, 0);
      figure.append(canvas, make("figcaption", "note", shownName(chosen[at])));
      return figure;
    }));
  }

  function drawFacts() {
    const table = make("table");
    const head = make("tr");
    head.append(make("th", "", "file"), ...[left.value, right.value].map((codec) => make("th", "number", shownName(codec))));
    table.append(head);
    const told = [left.value, right.value].map((codec) => scene().codecs[codec] || {});
    const rows = [["bytes", "size_bytes", 0], ["ratio reached", "ratio", 2], ["bits per pixel", "bpp", 4], ["setting", "setting", null], ["status", "status", null]];
    metrics.forEach((metric) => rows.push([metric.title, metric.column, metric.digits]));
    rows.forEach(([name, column, digits]) => {
      const row = make("tr");
      const values = told.map((codec) => codec[column]);
      row.append(make("th", "", name), ...values.map((value) => make("td", "number",
        value === undefined ? "–" : digits === null ? String(value) : value.toFixed(digits))));
      table.append(row);
    });
    facts.replaceChildren(table);
  }

  function drawOverview() {
    const { overview: url, size, image: name } = scene();
    const [x, y, width, height] = part().box;
    overview.replaceChildren();
    if (!url) return;
    const picture = make("img");
    picture.src = url;
    picture.alt = `Overview of ${name}, lossy`;
    const mark = make("div", "viewer-mark");
    Object.assign(mark.style, {
      left: `${(100 * x) / size[0]}%`, top: `${(100 * y) / size[1]}%`,
      width: `${(100 * width) / size[0]}%`, height: `${(100 * height) / size[1]}%`,
    });
    overview.append(picture, mark);
  }

  function update() {
    const ratios = viewer.scenes.filter((one) => one.image === image.value).map((one) => one.ratio);
    fill(ratio, ratios.map((value) => [value, `${value}x`]));
    fill(view, scene().views.map((one) => [one.name, one.name]));
    const codecs = Object.keys(part().pictures);
    const options = codecs.map((codec) => [codec, shownName(codec)]);
    fill(left, options, codecs[1]);
    fill(right, options, codecs[codecs.length - 1]);
    const { pictures, box } = part();
    const width = `${box[2] * Number(zoom.value)}px`;
    [under.src, over.src] = [pictures[right.value], pictures[left.value]];
    [under.alt, over.alt] = [right, left].map((select) => `${image.value} by ${shownName(select.value)}, ${view.value}`);
    frame.style.width = width;
    frame.hidden = mode.value === "difference";
    maps.hidden = mode.value !== "difference";
    slider.hidden = mode.value !== "slider";
    flip.hidden = mode.value !== "flip";
    if (mode.value === "difference") drawMaps();
    drawFacts();
    drawOverview();
    place();
  }
  update();
})();
