// Pictures and the outline of a tile.

const KEPT = 40;  // elements, so that the next pictures are there at once
const pictures = new Map();  // by address

// Returns the outline of a box, shares of width and height, over an image that fills its frame.
export function outline(image, [left, upper, right, lower]) {
  const space = "http://www.w3.org/2000/svg", svg = document.createElementNS(space, "svg");
  const [width, height] = [image.naturalWidth, image.naturalHeight];
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("aria-hidden", "true");
  for (const kind of ["rim", "spoke"]) {
    const rect = document.createElementNS(space, "rect");
    rect.setAttribute("class", kind);
    rect.setAttribute("x", left * width);
    rect.setAttribute("y", upper * height);
    rect.setAttribute("width", (right - left) * width);
    rect.setAttribute("height", (lower - upper) * height);
    svg.append(rect);
  }
  return svg;
}

// Returns the element of a picture, or of the reason why it cannot be shown.
export function picture(side, pair, view = 0) {
  const address = `/picture/${side}/${pair.row}${view ? `/${view}` : ""}`;
  if (!pictures.has(address)) {
    const image = new Image();
    image.alt = view ? `A part of ${pair.image}` : pair.image;
    image.addEventListener("error", async () => {
      const line = document.createElement("p");
      line.textContent = "The picture cannot be shown.";
      pictures.set(address, line);
      image.replaceWith(line);
      const reply = await fetch(address).catch(() => null);
      if (reply && !reply.ok) line.textContent = `The picture cannot be shown: ${(await reply.text()).trim()}`;
      else pictures.delete(address);  // it was the connection
    });
    image.src = address;
    pictures.set(address, image);
    for (const old of [...pictures.keys()].slice(0, Math.max(0, pictures.size - KEPT))) pictures.delete(old);
  }
  return pictures.get(address);
}
