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

  const LEFT_OUT = { jpeg: "", size: [4, 3], reason: "left out, for the size of the page" };
  const STAGE = 4 / 3; // width over height, as the style sheet has it
  const kept = new Map();

  /** The picture of an image in one place of the page; drawn again, it is the same element, which need not be decoded anew. */
  function decoded(slot, image, attributes) {
    const key = `${slot} ${image}`;
    if (!kept.has(key)) kept.set(key, make("img", attributes));
    kept.get(key).alt = attributes.alt;
    return kept.get(key);
  }

  /** A probability that fits into a tile. */
  const written = (share) => make("span", {}, share > 0 && share < 0.005 ? "<0.01" : share.toFixed(2));

  /**
   * The picture of an image. slot: names the place on the page. entry: what `entry` of the labeller says of a class; the tiles
   * are shaded by it, and the one that counts is outlined. scale: the probability that is shaded most.
   */
  function shaded(slot, image, data, { alt, entry = null, scale = 1, numbers = false }) {
    const { jpeg, size, reason } = data.pictures[image] ?? LEFT_OUT;
    const wide = size[0] / size[1] / STAGE, width = 100 * Math.min(1, wide), height = 100 * Math.min(1, 1 / wide);
    const middle = `width:${width}%;height:${height}%;left:${(100 - width) / 2}%;top:${(100 - height) / 2}%`;
    const frame = make("span", { class: "frame", style: middle });
    frame.append(
      jpeg
        ? decoded(slot, image, { src: `data:image/jpeg;base64,${jpeg}`, alt, width: size[0], height: size[1] })
        : make("span", { class: "missing", role: "img", "aria-label": `${alt}: ${reason}` }, `No picture: ${reason}`),
    );
    if (entry) {
      const { shares, spoke, open } = entry;
      const area = ([left, upper, right, lower]) => (right - left) * (lower - upper);
      const tiles = data.boxes.map((_, view) => view).slice(data.boxes.length > 1 ? 1 : 0);
      const deep = Math.max(1, tiles.reduce((sum, view) => sum + area(data.boxes[view]), 0)); // how many lie over each other
      for (const view of tiles.sort((a, b) => shares[a] - shares[b])) { // the surest lies on top where views overlap
        const [left, upper, right, lower] = data.boxes[view].map((share) => 100 * share);
        const heat = Math.min(1, shares[view] / scale);
        const box = `left:${left}%;top:${upper}%;width:${right - left}%;height:${lower - upper}%`;
        frame.append(make("span", {
          class: view !== spoke ? "cell" : open ? "cell spoke" : "cell spoke closed",
          style: `${box};--heat:${((0.6 * heat) / deep).toFixed(3)}`, "aria-hidden": "true", "data-view": view,
        }, numbers && written(shares[view])));
      }
    }
    return make("span", { class: "stage" }, frame);
  }

  return { make, name, shaded };
})();
