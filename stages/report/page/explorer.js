"use strict";
// The sliders: they relabel the embedded sample by DAMP and say what that changes.
(() => {
  const root = document.querySelector(".explorer");
  if (!root) return;
  const { make, name: named, shaded } = Pictures;
  const data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  data.cosines = new Float32Array(bytes(data.cosines).buffer);
  data.observed = new Int8Array(bytes(data.observed).buffer);
  data.truth = data.truth === null ? null : new Int8Array(bytes(data.truth).buffer);
  const images = data.ids.length, classes = data.classes.length, views = data.boxes.length, own = data.method;
  const labeller = Damp.labeller({ ...data, images, views, classes });
  const gallery = Gallery(root, data, labeller);
  const before = labeller.labels(own);
  const settings = { ...own };
  const find = (selector) => root.querySelector(selector);
  const split = find(".explorer-split"), line = find(".manifest-line"), copied = find(".copied");
  const MOST_CHANGED = 12;

  /** A number with three significant digits. */
  const rounded = (x) => Number(x.toPrecision(3));

  /** Up to which value a slider of a share goes: fine steps where the cache's own value is small. */
  const most = (value) => (value > 0 ? Math.min(1, rounded(4 * value)) : 1);
  const coldest = Math.max(2e-5, Math.min(0.005, own.temperature / 4)); // half precision takes no less than 2e-5
  const hottest = Math.max(0.5, own.temperature * 4);
  const share = (name) => ({ min: 0, max: most(own[name]), step: most(own[name]) / 200, value: rounded, position: (x) => x });
  const SLIDERS = {
    temperature: {
      min: 0, max: 200, step: 1,
      value: (position) => rounded(coldest * (hottest / coldest) ** (position / 200)),
      position: (x) => (200 * Math.log(x / coldest)) / Math.log(hottest / coldest),
    },
    threshold: share("threshold"),
    top_k: { min: 1, max: Math.min(classes, Math.max(20, 2 * own.top_k)), step: 1, value: Math.round, position: (x) => x },
    eta: share("eta"),
    negative_ratio: { min: 0, max: 1, step: 0.01, value: rounded, position: (x) => x },
  };

  /** Which of the images that were drawn are in the chosen split. */
  function counted() {
    return Array.from({ length: data.drawn }, (_, n) => n).filter((n) => !split.value || data.split[n] === split.value);
  }

  /** Precision, recall and F1 on entries that nobody observed positive, as `pseudo_label_quality` counts them. */
  function quality(codes, rows) {
    let positives = 0, all = 0, hits = 0, hidden = 0, observed = 0, found = 0;
    for (const row of rows) {
      for (let at = row * classes; at < (row + 1) * classes; at++) {
        const positive = codes[at] === Damp.POSITIVE, shows = data.truth !== null && data.truth[at] === 1;
        all += positive;
        if (data.observed[at] === Damp.POSITIVE) {
          observed += 1;
          found += positive;
          continue;
        }
        positives += positive;
        hidden += shows;
        hits += positive && shows;
      }
    }
    const ratio = (part, whole) => (whole ? part / whole : 0);
    const precision = ratio(hits, positives), recall = ratio(hits, hidden);
    return {
      precision, recall, f1: precision + recall ? (2 * precision * recall) / (precision + recall) : 0,
      found: ratio(found, observed), each: ratio(all, rows.length), positives, hidden, observed,
    };
  }

  const percent = (x) => `${(100 * x).toFixed(1)}\u00a0%`;
  const plain = (x) => x.toFixed(2);
  const OF = { precision: "positives", recall: "hidden", f1: "positives", found: "observed" }; // without any there is no figure
  const shownAs = (key, form, of) => (OF[key] && !of[OF[key]] ? "-" : form(of[key]));
  const FIGURES = [
    ...(data.truth === null ? [] : [
      ["precision", "precision", percent, "of the labels added"],
      ["recall", "recall", percent, "of the hidden labels"],
      ["f1", "F1", percent, "of precision and recall"],
    ]),
    ["each", "positives", plain, "an image"],
    ["found", "found", percent, "of the observed positives"],
  ];

  function showFigures(now, rows) {
    const here = quality(now.codes, rows), then = quality(before.codes, rows);
    find(".figures").replaceChildren(...FIGURES.map(([key, title, form, note]) => {
      return make("div", { class: "figure", "data-figure": key },
        make("dt", {}, title), make("dd", { class: "value" }, shownAs(key, form, here)),
        make("dd", { class: "quiet note" }, note),
        make("dd", { class: "quiet" }, here[key] === then[key] ? "as cached" : `cached: ${shownAs(key, form, then)}`));
    }));
  }

  /** The entries of an image whose label is positive by one constants alone, as columns. */
  function difference(codes, row) {
    const added = [], removed = [];
    for (let c = 0; c < classes; c++) {
      const is = codes[row * classes + c] === Damp.POSITIVE, was = before.codes[row * classes + c] === Damp.POSITIVE;
      if (is && !was) added.push(c);
      if (was && !is) removed.push(c);
    }
    return { row, added, removed };
  }

  function showChanges(now, rows) {
    let entries = 0, added = 0, removed = 0, touched = 0;
    for (const row of rows) {
      const of = difference(now.codes, row);
      for (let at = row * classes; at < (row + 1) * classes; at++) entries += now.codes[at] !== before.codes[at];
      added += of.added.length;
      removed += of.removed.length;
      touched += of.added.length + of.removed.length > 0;
    }
    const whole = (count) => count.toLocaleString("en");
    const words = (count, one, several) => `${whole(count)} ${count === 1 ? one : several}`;
    find(".changed").textContent = entries
      ? `${words(entries, "code differs", "codes differ")} from the cache's own: ` +
        `${words(added, "positive", "positives")} added and ${whole(removed)} removed, in ${words(touched, "image", "images")}.`
      : "Nothing differs from the cache's own constants.";
    const pictured = rows.filter((row) => data.pictures[row]).map((row) => difference(now.codes, row));
    const size = (of) => of.added.length + of.removed.length;
    const shown = pictured.filter(size).sort((a, b) => size(b) - size(a) || a.row - b.row).slice(0, MOST_CHANGED);
    find(".most-changed").hidden = !shown.length;
    find(".most-changed .shown").replaceChildren(...shown.map(({ row, added: more, removed: less }) => {
      const button = make("button", { type: "button", class: "picture" },
        shaded("changed", row, data, { alt: data.ids[row] }),
        make("span", { class: "caption" }, changed("added: ", more, row), changed("removed: ", less, row)));
      button.addEventListener("click", () => gallery.open(row, [...more, ...less][0]));
      return button;
    }));
  }

  function changed(title, columns, row) {
    const mark = (c) => (data.truth === null ? "" : data.truth[row * classes + c] === 1 ? " ✓" : " ✗");
    return columns.length > 0 && make("span", {}, make("span", { class: "quiet" }, title), ...columns.flatMap((c, n) => [
      n ? ", " : "", named(data.classes[c]), mark(c),
    ]));
  }

  function showLine() {
    const said = ["temperature", "eta", "threshold", "top_k", "negative_ratio"].map((name) => `${name}: ${settings[name]}`);
    if (data.halfSaid) said.push(`half: ${own.half}`);
    line.textContent = `damp: {grid: ${data.grid}, ${said.join(", ")}}`;
    copied.textContent = "";
  }

  function showValue(name) {
    const input = find(`input[name="${name}"]`);
    find(`output[for="${input.id}"]`).textContent = String(settings[name]);
    input.setAttribute("aria-valuetext", String(settings[name]));
  }

  let waiting = false;
  function update() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      const now = labeller.labels(settings), rows = counted();
      Object.keys(SLIDERS).forEach(showValue);
      showFigures(now, rows);
      showChanges(now, rows);
      showLine();
      gallery.refresh(settings, now);
      root.dataset.ready = "yes";
    });
  }

  function reset() {
    Object.assign(settings, own);
    for (const [name, of] of Object.entries(SLIDERS)) find(`input[name="${name}"]`).value = of.position(own[name]);
    update();
  }

  for (const [name, of] of Object.entries(SLIDERS)) {
    const input = find(`input[name="${name}"]`);
    Object.assign(input, { min: of.min, max: of.max, step: of.step });
    input.addEventListener("input", () => {
      settings[name] = of.value(Number(input.value));
      update();
    });
  }
  const inSplit = (name) => data.split.slice(0, data.drawn).filter((of) => !name || of === name).length.toLocaleString("en");
  for (const name of ["", ...data.splits]) {
    split.append(make("option", { value: name }, `${name || "all images"} (${inSplit(name)})`));
  }
  if (data.splits.includes("train")) split.value = "train"; // constants are not to be chosen by the test split
  split.addEventListener("change", update);
  find(".reset").addEventListener("click", reset);
  find(".copy").addEventListener("click", () => {
    getSelection().selectAllChildren(line);
    copied.textContent = document.execCommand("copy") ? "Copied." : "Selected: copy it with Ctrl+C."; // needs no permission
  });
  reset();
})();
