"use strict";
// Elements of the page, made without markup from the data: a name that looks like markup stays a name.
const Pictures = (() => {
  /** An element with attributes; a text among the children stays text, null and false are left out. */
  function make(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value === true) element.setAttribute(key, "");
      else if (value !== false && value !== null) element.setAttribute(key, value);
    }
    element.append(...children.filter((child) => child !== null && child !== false));
    return element;
  }

  /** A name of a user's, set apart so that its direction does not touch what stands beside it. */
  const name = (text) => make("bdi", {}, text);

  /** Names with commas between them. */
  const names = (texts) => texts.flatMap((text, n) => (n ? [", ", name(text)] : [name(text)]));

  const kept = new Map();

  /** The picture of an image in one place of the page; drawn again, it is the same element, which need not be decoded anew. */
  function decoded(slot, image, attributes) {
    const key = `${slot} ${image}`;
    if (!kept.has(key)) kept.set(key, make("img", attributes));
    kept.get(key).alt = attributes.alt;
    return kept.get(key);
  }

  /** slot: names the place on the page. shares: of each view, the probability of a class; scale: the one that is shaded most; spoke: the view to outline. */
  function shaded(slot, image, data, { alt, shares = null, scale = 1, spoke = null, numbers = false }) {
    const { jpeg, size, reason } = data.pictures[image] || { jpeg: "", size: [4, 3], reason: "left out, for the size of the page" };
    const ratio = size[0] / size[1];
    const frame = make("span", { class: ratio >= 4 / 3 ? "frame wide" : "frame", style: `aspect-ratio: ${size[0]} / ${size[1]}` });
    frame.append(
      jpeg
        ? decoded(slot, image, { src: `data:image/jpeg;base64,${jpeg}`, alt, width: size[0], height: size[1] })
        : make("span", { class: "missing", role: "img", "aria-label": `${alt}: ${reason}` }, make("span", {}, `No picture: ${reason}`)),
    );
    if (shares) {
      const tiles = data.boxes.map((_, view) => view).slice(data.boxes.length > 1 ? 1 : 0);
      for (const view of tiles.sort((a, b) => shares[a] - shares[b])) { // the surest lies on top where views overlap
        const [left, upper, right, lower] = data.boxes[view].map((share) => 100 * share);
        const heat = Math.min(1, shares[view] / scale);
        frame.append(make("span", {
          class: view === spoke ? "cell spoke" : "cell", "aria-hidden": "true", "data-view": view,
          style: `left:${left}%;top:${upper}%;width:${right - left}%;height:${lower - upper}%;--heat:${(0.6 * heat).toFixed(3)}`,
        }, numbers && data.boxes.length < 12 ? make("span", {}, shares[view] > 0 && shares[view] < 0.005 ? "<0.01" : shares[view].toFixed(2)) : ""));
      }
    }
    return make("span", { class: "stage" }, frame);
  }

  return { make, name, names, shaded };
})();
