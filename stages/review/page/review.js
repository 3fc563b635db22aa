// Asks about one picture, or several, and shows the next when the answer before is on the disk.
import { Refused, ask, drop, keep, leftBehind } from "./asking.js";
import { outline, picture } from "./pictures.js";

const AHEAD = 4, RENEW_MS = 25000, WAIT_MS = 1000;
const at = (name) => document.getElementById(name);
const [YES, SKIPPED, NO] = [1, 0, -1];

let about = null;        // the cache: name, fingerprint, classes
let queue = [];          // pairs of this tab, the one that is shown first
let group = null;        // pairs of one class: {column, likely, pairs, answers}
let history = [];        // numbers of the answers that this tab gave, a list for each time
let busy = false;        // a request is under way
let unsent = null;       // an answer that was not taken yet
let zoomed = false, shownAt = 0, shownKey = "";
let last = Promise.resolve();  // the request before

const many = () => !at("many").hidden;
const place = (pair) => [pair.row, pair.column];
const key = (pair) => pair ? place(pair).join(" ") : "";

// Runs one request after the other; what goes wrong is said, and can be tried again.
function alone(work) {
  last = last.then(() => run(work));
  return last;
}

async function run(work) {
  busy = true;
  buttons();
  try {
    await work();
    if (!unsent) say("");
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (unsent && error.status === 409) forget();  // of another cache: it can never be taken
    const keeping = unsent ? " This answer is kept here until it is taken." : "";
    say(`${error.message}${keeping}`);
  } finally {
    busy = false;
    buttons();
  }
}

function say(text) {
  at("alert").hidden = !text;
  at("alert-text").textContent = text;
  at("send-again").textContent = unsent ? "Send again" : "Try again";
}

// Answers: written to the browser's own store first, removed from it when the server has them on its disk.

function give(answers) {
  if (busy || unsent || !answers.length) return;
  const seconds = (performance.now() - shownAt) / 1000 / answers.length;
  unsent = keep(about.fingerprint, answers.map(([pair, answer]) => (
    { row: pair.row, column: pair.column, image: pair.image, label: pair.label, answer, seconds })));
  send(false);
}

function send(again) {
  return alone(async () => {
    const given = new Set(unsent.answers.map((answer) => key(answer)));
    queue = queue.filter((pair) => !given.has(key(pair)));
    const reply = await ask("/api/answer", { answers: unsent.answers, again, held: queue.map(place), count: ahead() });
    forget();
    history.push(reply.numbers);
    take(reply);
    if (many()) await newGroup();
  });
}

function forget() {
  drop(unsent);
  unsent = null;
}

function undo() {
  alone(async () => {
    if (unsent || !history.length) return;
    const reply = await ask("/api/undo", { numbers: history.at(-1), held: queue.map(place), count: ahead() });
    history.pop();
    take(reply);
    if (many()) await newGroup();
  });
}

// One at a time.

const ahead = () => many() ? 0 : AHEAD;

function more() {
  return alone(async () => take(await ask("/api/next", { held: queue.map(place), count: AHEAD })));
}

function take(reply) {
  if (!many()) queue = reply.pairs;
  progress(reply.progress);
  if (many()) return;
  show(reply.renewing);
  if (!queue.length && reply.renewing) setTimeout(more, WAIT_MS);
}

function show(renewing) {
  const pair = queue[0];
  queue.slice(0, AHEAD).forEach((ahead) => picture("large", ahead));
  if (key(pair) === shownKey && pair) return;
  shownKey = key(pair);
  zoomed = false;
  shownAt = performance.now();
  if (!pair) {
    at("question").textContent = renewing ? "Looking for further questions…" : "Nothing is left to ask here.";
    at("stage").replaceChildren();
    for (const name of ["reason", "image", "shown"]) at(name).textContent = "";
    at("labels").replaceChildren();
    at("labels-title").hidden = true;
    return buttons();
  }
  at("question").replaceChildren("Does it show ", named(pair.label), "?");
  at("image").textContent = pair.image;
  at("reason").textContent = `Likely there: ${percent(pair.chance)}. ${pair.reason}`;
  at("labels-title").hidden = !pair.labels.length;
  at("labels").replaceChildren(...pair.labels.map((label) => {
    const item = document.createElement("li"), source = document.createElement("small");
    source.textContent = label.code === NO ? `${label.source}: no` : label.source;
    item.append(named(label.label), source);
    return item;
  }));
  draw();
}

// A class's name stands apart from the words around it, in its own direction.
function named(label) {
  const name = document.createElement("bdi");
  name.textContent = label;
  return name;
}

function draw() {
  const pair = queue[0];
  const shown = picture("large", pair, zoomed ? pair.view : 0);
  at("stage").replaceChildren(shown);
  if (shown.tagName === "IMG" && pair.view && !zoomed) {
    const frame = () => { if (at("stage").contains(shown)) at("stage").append(outline(shown, pair.box)); };
    if (shown.complete && shown.naturalWidth) frame(); else shown.addEventListener("load", frame, { once: true });
  }
  at("shown").textContent = !pair.view ? "" : zoomed ? "The tile that scores highest, enlarged" : "Outlined: the tile that scores highest";
  at("zoom").setAttribute("aria-pressed", zoomed);
  buttons();
}

// Many at once.

async function newGroup() {
  const [column, likely] = ["class", "likely"].map((name) => at(name).value === "" ? null : Number(at(name).value));
  const reply = await ask("/api/many", { column, likely });
  progress(reply.progress);
  group = reply.pairs.length ? { ...reply, answers: reply.pairs.map(() => reply.likely) } : null;
  shownAt = performance.now();
  if (!group) {
    at("many-question").textContent = "Nothing is left to ask of this kind.";
    at("grid").replaceChildren();
    return;
  }
  const [is, others] = group.likely === YES ? ["with", "do not show it"] : ["without", "show it"];
  at("many-question").replaceChildren(
    `Likely ${is} `, named(about.classes[group.column]), `. Click those that ${others}, then take all.`);
  at("grid").replaceChildren(...group.pairs.map(card));
}

function card(pair, number) {
  const item = document.createElement("li"), button = document.createElement("button");
  const frame = document.createElement("span"), said = document.createElement("span");
  const answer = document.createElement("b"), chance = document.createElement("span");
  button.type = "button";
  frame.className = "picture";
  said.className = "said";
  chance.textContent = `${percent(pair.chance)} likely there`;
  frame.append(picture("small", pair));
  said.append(answer, chance);
  button.append(frame, said);
  item.append(button);
  const mark = () => {
    button.dataset.answer = group.answers[number];
    answer.textContent = group.answers[number] === YES ? "yes" : "no";
  };
  button.addEventListener("click", () => { group.answers[number] *= -1; mark(); });
  mark();
  return item;
}

function mode(severally) {
  at("one").hidden = severally;
  at("many").hidden = !severally;
  at("mode-one").setAttribute("aria-pressed", !severally);
  at("mode-many").setAttribute("aria-pressed", severally);
  shownKey = "";
  if (severally) alone(newGroup); else more();
}

// What both have in common.

const percent = (share) => `${Math.round(100 * share)} %`;

function progress(now) {
  const answers = now.yes + now.no;
  const rate = now.rate === null ? "" : ` · ${Math.round(now.rate)} a minute`;
  at("count").textContent = `${answers} ${answers === 1 ? "answer" : "answers"} (${now.yes} yes, ${now.no} no) · ${now.skipped} skipped${rate}`;
  at("minute").textContent = now.minute;
  at("classes").replaceChildren(...now.classes.map((cells) => {
    const row = document.createElement("tr");
    row.append(...cells.map((text, number) => {
      const cell = document.createElement("td");
      cell.append(number ? String(text) : named(text));
      return cell;
    }));
    return row;
  }));
}

function buttons() {
  const stopped = unsent !== null && !busy;  // while one is under way they keep the focus
  for (const name of ["yes", "no", "skip"]) at(name).disabled = stopped || !queue.length;
  at("zoom").disabled = !queue.length || !queue[0].view;
  at("take").disabled = stopped || !group;
  at("others").disabled = stopped;
  for (const name of ["undo-one", "undo-many"]) at(name).disabled = stopped || !history.length;
}

const answerOne = (answer) => { if (queue.length) give([[queue[0], answer]]); };
const takeAll = () => { if (group) give(group.pairs.map((pair, number) => [pair, group.answers[number]])); };
const zoom = () => { if (queue.length && queue[0].view) { zoomed = !zoomed; draw(); } };

function pressed(event) {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, summary")) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key; // also with Caps Lock
  const work = key === "u" ? undo : many()
    ? { Enter: event.target.closest("button:not(#grid button)") ? null : takeAll }[key]
    : { y: () => answerOne(YES), n: () => answerOne(NO), s: () => answerOne(SKIPPED), z: zoom }[key];
  if (work) { event.preventDefault(); work(); }
}

async function start() {
  document.addEventListener("keydown", pressed);
  for (const [name, work] of Object.entries({
    "yes": () => answerOne(YES), "no": () => answerOne(NO), "skip": () => answerOne(SKIPPED), "zoom": zoom,
    "undo-one": undo, "undo-many": undo, "take": takeAll, "others": () => alone(newGroup),
    "mode-one": () => mode(false), "mode-many": () => mode(true),
    "send-again": () => unsent ? send(true) : about ? (many() ? alone(newGroup) : more()) : begin(),
  })) at(name).addEventListener("click", work);
  for (const name of ["class", "likely"]) at(name).addEventListener("change", () => alone(newGroup));
  setInterval(() => { if (!document.hidden && about && !unsent && !many() && queue.length) more(); }, RENEW_MS);
  await begin();
}

async function begin() {
  await alone(async () => {
    about = await ask("/api/review");
    at("cache").textContent = about.cache;
    const any = new Option("any", "");
    at("class").replaceChildren(any, ...about.classes.map((name, column) => new Option(name, column)));
  });
  unsent = about && leftBehind(about.fingerprint);  // by a page whose answer did not arrive
  if (unsent) await send(true); else if (about) await more();
}

start();
