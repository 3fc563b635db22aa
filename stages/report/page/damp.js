"use strict";
// DAMP step by step as pipeline/labels/damp.py has it: each step in double precision, rounded to single by Math.fround, which is
// what single precision gives for +, -, * and /.
const Damp = (() => {
  const POSITIVE = 1, UNKNOWN = 0, NEGATIVE = -1;
  const single = Math.fround;
  const bits = new Uint32Array(1), view = new Float32Array(bits.buffer);
  const SMALLEST = 113; // the biased exponent of 2^-14: below it, half precision has equal steps
  const MAGIC = Array.from({ length: 40 }, (_, n) => 1.5 * 2 ** (SMALLEST + n - 127 - 10 + 52));

  /** The nearest number of half precision, ties to even: a number so large is added that the sum keeps 10 bits of x. */
  function half(x) {
    const size = Math.abs(x);
    if (!(size < 65520)) return size === size ? Math.sign(x) * Infinity : NaN;
    view[0] = size;
    const magic = MAGIC[Math.max(bits[0] >>> 23, SMALLEST) - SMALLEST];
    return x + magic - magic;
  }

  const unrounded = (x) => x;
  const rounding = (settings) => (settings.half ? half : unrounded);

  /** Write the probabilities of one view, softmax over classes; place: where its first class stands in both arrays. */
  function softmax(cosines, from, out, to, classes, settings) {
    const rounded = rounding(settings), temperature = single(settings.temperature);
    let highest = -Infinity, sum = 0;
    for (let c = 0; c < classes; c++) {
      const x = rounded(single(rounded(cosines[from + c]) / temperature));
      out[to + c] = x;
      if (x > highest || x !== x) highest = x; // NaN stays
    }
    for (let c = 0; c < classes; c++) {
      const e = single(Math.exp(single(out[to + c] - highest)));
      out[to + c] = e;
      sum = single(sum + e);
    }
    for (let c = 0; c < classes; c++) out[to + c] = rounded(single(out[to + c] / sum));
  }

  /** What depends on temperature and half alone: of each image and class, its probabilities and its rank among negatives. */
  function staged(data, settings) {
    const { images, views, classes, cosines, observed } = data, rounded = rounding(settings), tiles = views - 1;
    const size = images * classes;
    const [whole, highest, lowest, mean] = [0, 1, 2, 3].map(() => new Float32Array(size));
    const sureness = new Float32Array(images), rank = new Uint32Array(size);
    const values = new Float32Array(views * classes), order = Array.from({ length: classes }, (_, c) => c);
    for (let i = 0; i < images; i++) {
      for (let v = 0; v < views; v++) softmax(cosines, (i * views + v) * classes, values, v * classes, classes, settings);
      let sure = -Infinity;
      for (let c = 0; c < classes; c++) {
        const at = i * classes + c, p = values[c], here = single(p * observed[at]);
        if (here > sure || here !== here) sure = here;
        whole[at] = p;
        if (!tiles) {
          mean[at] = p;
          continue;
        }
        let high = values[classes + c], low = high, sum = high;
        for (let v = 2; v < views; v++) {
          const tile = values[v * classes + c];
          if (tile > high || tile !== tile) high = tile;
          if (tile < low || tile !== tile) low = tile;
          sum = single(sum + tile);
        }
        highest[at] = high;
        lowest[at] = low;
        mean[at] = rounded(single(rounded(single(p + rounded(single(sum / tiles)))) / 2));
      }
      sureness[i] = sure;
      const base = i * classes;
      order.sort((a, b) => mean[base + a] - mean[base + b] || a - b).forEach((c, n) => (rank[base + c] = n));
    }
    return { whole, highest, lowest, ranking: mean, sureness, rank };
  }

  /** data: cosines Float32Array (images, views, classes), observed Int8Array (images, classes), and the three numbers. */
  function labeller(data) {
    const { images, views, classes } = data;
    let stage = null, made = "";

    function at(settings) {
      const asked = `${settings.temperature} ${settings.half}`;
      if (asked !== made) [stage, made] = [staged(data, settings), asked];
      return stage;
    }

    const isOpen = (of, place, image, settings) =>
      of.highest[place] > Math.min(of.sureness[image], single(settings.eta));

    function score(of, place, image, settings) {
      if (views === 1) return of.whole[place];
      const rounded = rounding(settings);
      const local = isOpen(of, place, image, settings) ? of.highest[place] : of.lowest[place];
      return rounded(single(rounded(single(of.whole[place] + local)) / 2));
    }

    const least = (settings) => (settings.half ? half(settings.threshold) : single(settings.threshold));
    const negatives = (settings) => Math.trunc(settings.negative_ratio * classes);

    /** The final scores and the codes of all images, (images, classes) each. */
    function labels(settings) {
      const of = at(settings), scores = new Float32Array(images * classes), codes = new Int8Array(images * classes);
      const threshold = least(settings), count = negatives(settings);
      const negative = settings.compat === "paper" ? NEGATIVE : UNKNOWN;
      for (let i = 0; i < images; i++) {
        const base = i * classes;
        let reached = [], known = true;
        for (let c = 0; c < classes; c++) {
          const value = (scores[base + c] = score(of, base + c, i, settings));
          if (value >= threshold) reached.push(c);
          if (value !== value) known = false;
        }
        if (!known) continue;
        if (reached.length > settings.top_k) {
          reached = reached.sort((a, b) => scores[base + b] - scores[base + a] || a - b).slice(0, settings.top_k);
        }
        for (const c of reached) codes[base + c] = POSITIVE;
        for (let c = 0; c < classes; c++) if (of.rank[base + c] < count) codes[base + c] = negative;
      }
      return { scores, codes };
    }

    /** The probabilities of an image, (views, classes). */
    function probabilities(settings, image) {
      const values = new Float32Array(views * classes);
      for (let v = 0; v < views; v++) {
        softmax(data.cosines, (image * views + v) * classes, values, v * classes, classes, settings);
      }
      return values;
    }

    /** Why one entry has the code it has. spoke: the view beside the whole image that counts, null where there are no tiles. */
    function entry(settings, image, column) {
      const of = at(settings), base = image * classes, place = base + column, known = probabilities(settings, image);
      const values = Array.from({ length: classes }, (_, c) => score(of, base + c, image, settings));
      const mine = values[column], threshold = least(settings), count = negatives(settings);
      const rank = 1 + values.filter((value, c) => value > mine || (value === mine && c < column)).length;
      const shares = Array.from({ length: views }, (_, v) => known[v * classes + column]);
      const open = views > 1 && isOpen(of, place, image, settings);
      const local = open ? of.highest[place] : of.lowest[place];
      const negative = of.rank[place] < count, reached = mine >= threshold;
      const code = !values.every((value) => value === value) ? UNKNOWN
        : negative ? (settings.compat === "paper" ? NEGATIVE : UNKNOWN)
        : reached && rank <= settings.top_k ? POSITIVE : UNKNOWN;
      return {
        code, score: mine, threshold, short: threshold - mine, reached, rank, outside: rank > settings.top_k,
        negative, negativeRank: of.rank[place] + 1, negatives: count, ranking: of.ranking[place],
        open, limit: Math.min(of.sureness[image], single(settings.eta)), sureness: of.sureness[image],
        whole: of.whole[place], local, highest: of.highest[place], lowest: of.lowest[place],
        spoke: views > 1 ? 1 + shares.slice(1).indexOf(local) : null,
        shares, cosines: shares.map((_, v) => data.cosines[(image * views + v) * classes + column]),
      };
    }

    return { labels, entry, probabilities };
  }

  return { labeller, half, POSITIVE, UNKNOWN, NEGATIVE };
})();
