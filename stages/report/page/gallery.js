"use strict";
// The gallery of a class, and the dialog that says why a picture is labelled as it is.
const Gallery = (root, data, labeller) => {
  const { make, name, shaded } = Pictures;
  const { number } = Reasons;
  const classes = data.classes.length;
  const select = root.querySelector(".gallery-class"), place = root.querySelector(".gallery-groups");
  const shade = root.querySelector(".gallery-shade"), scaleText = root.querySelector(".gallery-scale");
  const dialog = root.querySelector("dialog");
  let settings = data.method, labels = null;

  const KINDS = [
    ["surest", "Surest positives", "The highest scores of those labelled with the class."],
    ["missed", "Likeliest missed labels", data.truth
      ? "The images show the class, nobody observed it, and the label is missing."
      : "Neither labelled nor observed, with the highest scores."],
    ["contradicted", "Strongest contradiction", data.observed.includes(Damp.NEGATIVE)
      ? "Observed positive with the lowest scores, observed negative with the highest."
      : "Observed positive, with the lowest scores."],
    ["different", "Two policies differ", "The whole image alone labels these differently than the whole image with its tiles."],
  ];

  for (const { class: column } of data.gallery) {
    select.append(make("option", { value: column, selected: column === data.first }, data.classes[column]));
  }

  const code = (image, column) => labels.codes[image * classes + column];
  const word = (value) => ({ 1: "positive", 0: "not labelled", "-1": "negative" })[value];
  const colour = (value) => ({ 1: "is-positive", "-1": "is-negative" })[value] ?? null;
  const truthOf = (image, column) => (data.truth ? data.truth[image * classes + column] : null);
  const shares = (image, column) => {
    const known = labeller.probabilities(settings, image);
    return data.boxes.map((_, view) => known[view * classes + column]);
  };

  /** What is true and observed of an entry, in a word or two. */
  function known(image, column) {
    const observed = data.observed[image * classes + column], truth = truthOf(image, column);
    const seen = observed ? `observed ${observed > 0 ? "positive" : "negative"}` : "not observed";
    return truth === null ? seen : `${seen}, ${truth ? "true" : "not true"}`;
  }

  function pictured(kind, image, column, scale) {
    const entry = labeller.entry(settings, image, column), now = code(image, column);
    const button = make("button", { type: "button", class: "picture" },
      shaded(kind, image, data, {
        alt: `${data.ids[image]}, its tiles shaded by ${data.classes[column]}`, entry, scale,
      }),
      make("span", { class: "caption" },
        make("span", { class: `code ${colour(now) ?? ""}` }, `${word(now)}, ${number(entry.score)}`),
        make("span", { class: "quiet" }, known(image, column))),
    );
    button.addEventListener("click", () => open(image, column));
    return button;
  }

  function draw() {
    const column = Number(select.value), of = data.gallery.find((one) => one.class === column);
    const wanted = KINDS.flatMap(([kind]) => of[kind]);
    const tiles = wanted.flatMap((image) => (data.boxes.length > 1 ? shares(image, column).slice(1) : shares(image, column)));
    const scale = Math.max(...tiles, settings.threshold, 1e-9); // what is far below the threshold stays pale
    scaleText.textContent = number(scale);
    place.replaceChildren(...KINDS.map(([kind, title, caption], n) => {
      const images = of[kind].map((image) => pictured(kind, image, column, scale));
      return make("section", { class: "group", "aria-labelledby": `group-${n}` },
        make("h4", { id: `group-${n}` }, title), make("p", { class: "quiet" }, caption),
        images.length ? make("div", { class: "shown" }, ...images) : make("p", { class: "none" }, "None of this class."));
    }));
  }

  const heads = (...texts) => make("thead", {}, make("tr", {}, ...texts.map((text) => make("th", { scope: "col" }, text))));

  function views(entry) {
    const row = (share, view) => make("tr", { class: view === entry.spoke ? "spoke" : null, "data-view": view },
      make("th", { scope: "row" }, view ? Reasons.tile(view, data.boxes) : "whole image",
        view === entry.spoke && make("b", {}, entry.open ? " spoke" : " counts")),
      make("td", {}, number(entry.cosines[view])), make("td", {}, number(share)));
    return make("table", {},
      make("caption", {}, "View by view"), heads("view", "cosine", "probability"),
      make("tbody", {}, ...entry.shares.map(row)));
  }

  /** Every class of an image, by score; a click on a name explains that class. */
  function ranked(image, column) {
    const score = (c) => labels.scores[image * classes + c];
    const order = data.classes.map((_, c) => c).sort((a, b) => score(b) - score(a) || a - b);
    const row = (c) => {
      const now = code(image, c), button = make("button", { type: "button", class: "link" }, name(data.classes[c]));
      button.addEventListener("click", () => explain(image, c, true));
      return make("tr", { class: c === column ? "chosen" : null, "aria-current": c === column ? "true" : null },
        make("th", { scope: "row" }, button), make("td", {}, number(score(c))),
        make("td", { class: colour(now) }, word(now)),
        make("td", { class: "quiet" }, known(image, c)));
    };
    const table = make("table", {},
      heads("class", "score", "pseudo-label", "known"),
      make("tbody", {}, ...order.map(row)));
    const label = "Every class of this image, by score";
    return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, table);
  }

  function explain(image, column, again) {
    const entry = labeller.entry(settings, image, column), scale = Math.max(...entry.shares, settings.threshold, 1e-9);
    const scrolled = dialog.querySelector(".scroll")?.scrollTop ?? 0;
    const close = make("button", { type: "button", class: "plain", autofocus: true }, "Close");
    close.addEventListener("click", () => dialog.close());
    const sentences = [
      Reasons.ofCode(entry, settings), Reasons.ofScore(entry, data.boxes),
      Reasons.ofLabels(data.observed[image * classes + column], truthOf(image, column)),
    ];
    dialog.replaceChildren(
      make("div", { class: "head" },
        make("div", {}, make("h3", { id: "explained" }, name(data.classes[column])),
          make("p", { class: "quiet" }, name(data.ids[image]), `, ${data.split[image]}`)), close),
      make("div", { class: "explained" },
        make("div", {},
          shaded("dialog", image, data, { alt: data.ids[image], entry, scale, numbers: data.boxes.length < 12 }),
          views(entry)),
        make("div", {},
          make("div", { role: "status" }, make("ul", { class: "why" }, ...sentences.map((text) => make("li", {}, text)))),
          ranked(image, column))),
    );
    dialog.querySelectorAll("tr[data-view]").forEach((row) => {
      const cell = dialog.querySelector(`.cell[data-view="${row.dataset.view}"]`);
      row.addEventListener("mouseenter", () => cell?.classList.add("pointed"));
      row.addEventListener("mouseleave", () => cell?.classList.remove("pointed"));
    });
    if (again) {
      dialog.querySelector(".scroll").scrollTop = scrolled;
      dialog.querySelector("tr.chosen button").focus({ preventScroll: true });
    }
  }

  function open(image, column) {
    explain(image, column, false);
    dialog.showModal();
  }

  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  select.addEventListener("change", draw);
  shade.addEventListener("change", () => root.classList.toggle("unshaded", !shade.checked));

  return {
    /** Draw the gallery by other constants; found: what `labels` of the labeller gives for them. */
    refresh(changed, found) {
      [settings, labels] = [changed, found];
      if (data.gallery.length) draw();
    },
    open,
  };
};
