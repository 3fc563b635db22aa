"use strict";
// One entry of `Damp.labeller(…).entry` -> sentences that say why it is or is not labelled.
const Reasons = (() => {
  const LEAST = 1e-5; // of the numbers that are written out

  /** A score with three decimals, more where those would be 0. */
  function number(x) {
    if (x > 0 && x < LEAST) return `<${LEAST.toFixed(5)}`;
    return x !== 0 && Math.abs(x) < 0.0005 ? x.toPrecision(2) : x.toFixed(3);
  }

  /** Where a tile lies, such as "lower left". */
  function place([left, upper, right, lower]) {
    const third = (share) => Math.min(2, Math.floor(share * 3));
    const across = ["left", "", "right"][third((left + right) / 2)];
    const down = ["upper", "", "lower"][third((upper + lower) / 2)];
    return [down, across].filter(Boolean).join(" ") || "middle";
  }

  const tile = (view, boxes) => `tile ${view} (${place(boxes[view])})`;

  /** Why the score has the value it has. */
  function ofScore(entry, boxes) {
    if (entry.spoke === null) return "There are no tiles: the score is the probability in the whole image.";
    const limit = number(entry.limit);
    const whose = entry.limit === entry.sureness ? `${limit}, how sure CLIP is of what is observed here` : limit;
    const mean = `The score is the mean of ${number(entry.whole)} in the whole image and ${number(entry.local)} in `;
    const spoke = tile(entry.spoke, boxes);
    const highest = number(entry.highest);
    return entry.open
      ? `The gate is open: ${spoke} scores ${highest}, above ${whose}, so the highest tile counts. ${mean}that tile.`
      : `The gate is closed: no tile scores above ${whose}, so the lowest tile counts. ${mean}${spoke}.`;
  }

  /** Why the code is what it is; settings: those that the sliders have. */
  function ofCode(entry, settings) {
    const score = number(entry.score), threshold = number(entry.threshold), most = settings.top_k;
    if (entry.score !== entry.score) return "Not labelled: the image was not scored.";
    const positive = entry.reached && !entry.outside;
    const lowest =
      `number ${entry.negativeRank} of the lowest ${entry.negatives} classes, by the mean of the whole image and its tiles`;
    if (entry.negative && settings.compat === "paper") {
      return positive ? `Negative: it reaches the threshold, but is ${lowest}; that counts more.` : `Negative: it is ${lowest}.`;
    }
    if (entry.negative && positive) return `Not labelled: it reaches the threshold, but is ${lowest}.`;
    if (!entry.reached) return `Not labelled: below the threshold: ${score}, ${number(entry.short)} short of ${threshold}.`;
    const reaches = `${score} reaches the threshold ${threshold}`;
    if (entry.outside) return `Not labelled: outside the top ${most}: ${reaches}, but is number ${entry.rank} in the image.`;
    return `Positive: ${reaches}, and is number ${entry.rank} of at most ${most} in the image.`;
  }

  /** What is known of it apart from the method; observed: its code; truth: 0 or 1, null where not known. */
  function ofLabels(observed, truth) {
    const seen = { 1: "positive", 0: "nothing", "-1": "negative" }[observed];
    const known = truth === null ? "" : ` In truth the image ${truth === 1 ? "shows" : "does not show"} the class.`;
    return `Observed: ${seen}${observed ? ", which counts more than any pseudo-label" : ""}.${known}`;
  }

  return { number, tile, ofScore, ofCode, ofLabels };
})();
