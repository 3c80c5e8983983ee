// The page of `showtell view`. Everything of a run is put in as text, never as HTML.
"use strict";

const PAGE_ROWS = 60;
const FACETS = [["state", "State"], ["kinds", "Kind"], ["split", "Split"], ["reason", "Rejected because"], ["stage", "Rejected by"]];
const HUES = ["#d1495b", "#2b7a78", "#b8740a", "#4a6fd4", "#7d4fb0", "#2e8b4f", "#c2588f", "#5f6b78"];
const $ = (id) => document.getElementById(id);

/** Make an element. Properties that are no property of the element become attributes; strings become text. */
function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name in element) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const number = (value) => Number(value).toLocaleString("en-US", { maximumSignificantDigits: 6 });
const short = (value) => (Number.isInteger(value) ? number(value) : Number(value.toPrecision(3)).toString());
const words = (name) => name.replaceAll("_", " ");
const hue = (index) => HUES[index % HUES.length];

// --- where the rows come from: a server, or the file itself --------------------------------------------------------

const fromServer = {
  run: () => fetched("api/run"),
  rows: (query, offset, limit) => fetched(`api/rows?${new URLSearchParams([...query, ["offset", offset], ["limit", limit]])}`),
  sample: (place) => fetched(`api/sample/${place}`),
  exchanges: (place) => fetched(`api/exchanges/${place}`),
  media: (kind, place) => `${kind}/${place}`,
};

async function fetched(url) {
  const answer = await fetch(url);
  const value = await answer.json();
  if (!answer.ok) throw new Error(value.error);
  return value;
}

function fromFile(data) {
  const matches = (row, query) => {
    const chosen = (name) => query.filter(([key]) => key === name).map(([, value]) => value);
    const hasOne = (name) => !chosen(name).length || chosen(name).some((value) => [row[name]].flat().includes(value));
    const inRange = (text) => {
      const [least, greatest] = text.split(":").slice(-2);
      const value = row[text.split(":").slice(0, -2).join(":")];
      return value !== null && (least === "" || value >= +least) && (greatest === "" || value <= +greatest);
    };
    const typed = chosen("q").join(" ").toLowerCase().split(/\s+/).filter(Boolean);
    return FACETS.every(([name]) => hasOne(name)) && chosen("range").every(inRange) && typed.every((word) => row.text.includes(word));
  };
  const sorted = (rows, sort) => {
    if (!sort) return rows;
    const [name, sign] = sort.startsWith("-") ? [sort.slice(1), -1] : [sort, 1];
    return [...rows].sort((a, b) => (a[name] === null) - (b[name] === null) || sign * (a[name] - b[name]) || a.number - b.number);
  };
  return {
    run: async () => data.run,
    rows: async (query, offset, limit) => {
      const rows = sorted(data.rows.filter((row) => matches(row, query)), query.find(([key]) => key === "sort")?.[1]);
      return { total: rows.length, rows: rows.slice(offset, offset + limit) };
    },
    sample: async (place) => data.samples[place],
    exchanges: null,
    media: (kind, place) => data.media[`${kind === "thumb" ? "image" : kind}/${place}`],
  };
}

const source = $("data") ? fromFile(JSON.parse($("data").textContent)) : fromServer;

// --- what is shown stands in the address: #q=...&state=...&page=2, and sample=PART/ROW&at=PLACE for one sample -------

let run = null;
let shown = 0; // counts what is drawn, so that an answer that comes too late is not

const address = () => new URLSearchParams(location.hash.slice(1));
const queryOf = (state) => [...state].filter(([key]) => !["page", "sample", "at"].includes(key));

function go(change, replace = false) {
  const state = address();
  change(state);
  const hash = `#${state}`;
  if (replace) { history.replaceState(null, "", hash); draw(); } else location.hash = hash;
}

function filter(change) {
  go((state) => { for (const key of ["page", "sample", "at"]) state.delete(key); change(state); });
}

async function draw() {
  const state = address();
  const ticket = ++shown;
  drawHead(state);
  try {
    const node = state.has("sample") ? await sampleView(state) : await gridView(state);
    if (ticket !== shown) return;
    const main = $("main");
    const focused = document.activeElement?.dataset?.place;
    main.replaceChildren(node);
    document.body.classList.toggle("one", state.has("sample"));
    node.whenShown?.(focused);
  } catch (error) {
    if (ticket === shown) $("main").replaceChildren(h("p", { className: "empty" }, `This cannot be shown: ${error.message}`));
  }
}

// --- head and filters ------------------------------------------------------------------------------------------------

function drawHead(state) {
  if (document.activeElement !== $("q")) $("q").value = state.get("q") ?? "";
  const sort = state.get("sort") ?? "";
  const options = [["", "source order"], ...Object.keys(run.scores).flatMap((name) => [[`-${name}`, `${words(name)} ↓`], [name, `${words(name)} ↑`]])];
  $("sort").replaceChildren(...options.map(([value, label]) => h("option", { value, selected: value === sort }, label)));
  const inside = $("filters").contains(document.activeElement) ? document.activeElement.id : null;
  $("filters").replaceChildren(...filters(state));
  if (inside) $(inside)?.focus();
}

function filters(state) {
  const groups = FACETS.filter(([name]) => Object.keys(run.facets[name] ?? {}).length).map(([name, title]) => facet(state, name, title));
  const narrowed = queryOf(state).some(([key]) => key !== "sort");
  const clear = h("button", { id: "clear", type: "button", hidden: !narrowed, onclick: () => filter((next) => { for (const [key] of queryOf(next)) if (key !== "sort") next.delete(key); }) }, "Clear filters");
  return [...groups, ranges(state), clear];
}

function facet(state, name, title) {
  const chosen = state.getAll(name);
  const toggle = (value) => filter((next) => {
    const rest = chosen.includes(value) ? chosen.filter((other) => other !== value) : [...chosen, value];
    next.delete(name);
    for (const each of rest) next.append(name, each);
  });
  return h("fieldset", {}, h("legend", {}, title), Object.entries(run.facets[name]).map(([value, count]) =>
    h("label", { className: "choice", title: value },
      h("input", { type: "checkbox", id: `${name}=${value}`, name, value, checked: chosen.includes(value), onchange: () => toggle(value) }),
      h("span", {}, words(value)), h("span", { className: "count" }, number(count)))));
}

function ranges(state) {
  const all = state.getAll("range");
  const set = (texts) => filter((next) => { next.delete("range"); for (const text of texts) next.append("range", text); });
  const rows = all.map((text, index) => {
    const name = text.split(":").slice(0, -2).join(":");
    const ends = text.split(":").slice(-2);
    const bounds = run.scores[name] ?? [0, 0];
    const end = (which) => h("input", {
      type: "number", step: "any", value: ends[which], placeholder: short(bounds[which]), id: `range-${name}-${which}`,
      "aria-label": `${words(name)} ${which ? "at most" : "at least"}`,
      onchange: (event) => { ends[which] = event.target.value; set(all.with(index, `${name}:${ends.join(":")}`)); },
    });
    const remove = h("button", { type: "button", title: "Remove", "aria-label": `Remove ${words(name)}`, onclick: () => set(all.toSpliced(index, 1)) }, "×");
    return h("div", { className: "range" }, h("b", {}, words(name)), remove, end(0), end(1));
  });
  const add = h("select", { id: "add-range", "aria-label": "Filter by a score", onchange: (event) => set([...all, `${event.target.value}::`]) },
    h("option", { value: "" }, "add a score …"), Object.keys(run.scores).map((name) => h("option", { value: name }, words(name))));
  return h("fieldset", {}, h("legend", {}, "Score range"), rows, add);
}

// --- the grid --------------------------------------------------------------------------------------------------------

async function gridView(state) {
  const page = Math.max(1, parseInt(state.get("page"), 10) || 1);
  const offset = (page - 1) * PAGE_ROWS;
  const { total, rows } = await source.rows(queryOf(state), offset, PAGE_ROWS);
  const last = Math.max(1, Math.ceil(total / PAGE_ROWS));
  const turn = (to) => go((next) => next.set("page", to));
  const score = (state.get("sort") ?? "").replace(/^-/, "") || "clip_score";
  const list = h("ol", { id: "grid" }, rows.map((row, index) => h("li", {}, card(row, offset + index, score, state))));
  const node = h("div", {},
    h("div", { className: "bar" },
      h("span", {}, h("strong", { id: "total" }, number(total)), ` of ${number(run.rows)} samples`),
      h("span", { className: "grow" }),
      last > 1 && h("button", { id: "previous", type: "button", disabled: page <= 1, onclick: () => turn(page - 1) }, "‹ Previous"),
      last > 1 && h("label", {}, "page ", h("input", { type: "number", id: "page", min: 1, max: last, value: page, size: 5, onchange: (event) => turn(Math.min(last, Math.max(1, +event.target.value || 1))) }), ` of ${number(last)}`),
      last > 1 && h("button", { id: "next", type: "button", disabled: page >= last, onclick: () => turn(page + 1) }, "Next ›")),
    rows.length ? list : h("p", { className: "empty" }, run.is_done ? "No sample matches these filters." : "No sample yet; the run is still being read."));
  node.whenShown = (focused) => (document.querySelector(`.card[data-place="${focused ?? returning}"]`) ?? null)?.focus();
  return node;
}

let returning = ""; // the sample one comes back from

function card(row, at, score, state) {
  const place = `${row.part}/${row.row}`;
  const next = new URLSearchParams(state);
  next.set("sample", place);
  next.set("at", at);
  const thumb = row.has_image && source.media("thumb", place);
  const picture = thumb
    ? h("img", { src: thumb, alt: "", loading: "lazy", decoding: "async", onerror: (event) => event.target.replaceWith("image cannot be shown") })
    : row.has_image ? "image cannot be shown" : row.has_audio ? "recording" : row.state === "rejected" ? words(row.reason) : "no image";
  return h("a", { className: `card ${row.state}`, href: `#${next}`, "data-place": place },
    h("div", { className: "picture" }, picture, row.has_image && row.has_audio && h("span", { className: "sound", title: "has a recording" }, "♪")),
    h("div", { className: "text" }, row.caption.split("\n")[0]),
    h("div", { className: "foot" },
      h("span", { className: "id mono", title: row.id }, row.id),
      row.state === "rejected" ? h("span", { className: "chip rejected", title: `rejected by ${row.stage}: ${row.reason}` }, words(row.reason))
        : typeof row[score] === "number" && h("span", { className: "chip", title: words(score) }, short(row[score]))));
}

// --- one sample ------------------------------------------------------------------------------------------------------

async function sampleView(state) {
  const place = state.get("sample");
  const at = parseInt(state.get("at"), 10);
  const known = await source.sample(place);
  if (!known) throw new Error("there is no such sample here");
  returning = place;
  const moved = (step) => async () => {
    const { rows } = await source.rows(queryOf(state), at + step, 1);
    if (rows.length) go((next) => {
      next.set("sample", `${rows[0].part}/${rows[0].row}`);
      next.set("at", at + step);
      next.set("page", Math.floor((at + step) / PAGE_ROWS) + 1);
    }, true);
  };
  const inList = Number.isInteger(at);
  const canvas = known.has_image ? imageView(known, place) : null;
  const node = h("article", {},
    h("div", { className: "bar" },
      h("button", { id: "back", type: "button", onclick: () => go((next) => { next.delete("sample"); next.delete("at"); }) }, "‹ All samples"),
      h("span", { className: "grow" }),
      inList && h("button", { id: "previous", type: "button", disabled: at < 1, onclick: moved(-1) }, "‹ Previous"),
      inList && h("button", { id: "next", type: "button", onclick: moved(1) }, "Next ›")),
    h("div", { className: "title" }, h("h2", { className: "mono" }, known.id),
      h("span", { className: `chip ${known.state}` }, known.state), known.split && h("span", { className: "chip" }, known.split),
      known.width > 0 && h("span", { className: "soft" }, `${known.width} × ${known.height}`)),
    h("div", { className: "sample" },
      h("div", { className: "seen" }, canvas ?? h("div", { className: "canvas picture" }, "no image"), known.has_audio && recording(known, place), !known.has_audio && known.transcript && part("Transcript", h("p", {}, known.transcript))),
      h("div", {},
        known.state === "rejected" && h("p", { className: "verdict" }, h("b", {}, `Rejected by ${known.stage}: ${known.reason}`), known.meaning && h("div", {}, known.meaning), known.detail && h("div", { className: "mono" }, known.detail)),
        known.captions?.length > 0 && part("Captions", h("ul", { className: "plain" }, known.captions.map((caption) => h("li", {}, caption)))),
        known.dense_caption && part("Dense caption", h("p", {}, known.dense_caption)),
        known.conversations.length > 0 && part("Conversations", known.conversations.map((talk, index) => conversation(talk, index, shardOf(known, talk, index)))),
        known.rejected_conversations.length > 0 && part("Conversations not kept", known.rejected_conversations.map((talk) => h("p", {}, h("span", { className: "chip rejected" }, words(talk.reason)), ` ${talk.kind}: ${talk.detail ?? ""}`))),
        Object.keys(known.scores).length > 0 && part("Scores", scores(known.scores)),
        part("Source", facts(known)),
        part("Story", story(known.story, place)))));
  node.whenShown = () => { window.scrollTo(0, 0); $("main").focus({ preventScroll: true }); };
  return node;
}

const part = (title, ...children) => h("section", { className: "part" }, h("h3", {}, title), ...children);

/** The dataset's row of a conversation: there is one row a conversation, in the same order. */
function shardOf(known, talk, index) {
  const rows = known.story.find((chapter) => chapter.stage === "dataset")?.rows ?? [];
  return rows.length === known.conversations.length && rows[index].kind === talk.kind ? rows[index] : null;
}

function imageView(known, place) {
  const ratio = (known.width && known.height) ? known.width / known.height : null;
  const image = h("img", { id: "image", src: source.media("image", place), alt: known.captions?.[0] ?? "" });
  const canvas = h("div", { className: "canvas", id: "canvas" }, image);
  const fit = (value) => canvas.style.setProperty("--ratio", value);
  if (ratio) fit(ratio);
  else image.onload = () => fit(image.naturalWidth / image.naturalHeight);
  const labels = [...new Set((known.boxes ?? []).map((box) => box.label))];
  const groups = labels.map((label, index) => ({ label, colour: hue(index), round: false, marks: known.boxes.filter((box) => box.label === label).map((box) => boxMark(box, hue(index))) }));
  for (const talk of known.conversations) {
    for (const message of talk.messages) {
      for (const found of points(message.content)) {
        const colour = hue(labels.includes(found.name) ? labels.indexOf(found.name) : groups.length);
        groups.push({ label: found.name, colour, round: true, marks: found.places.map(([x, y], index) => pointMark(x, y, index + 1, found.name, colour)) });
      }
    }
  }
  const all = groups.flatMap((group) => group.marks);
  canvas.append(...all);
  const legend = groups.map((group) => {
    const button = h("button", { type: "button", title: "show only these" }, h("i", { className: group.round ? "round" : "" }), `${group.label} ${group.marks.length}`);
    button.firstChild.style.setProperty("--hue", group.colour);
    const only = (on) => { for (const mark of all) mark.classList.toggle("dimmed", on && !group.marks.includes(mark)); };
    button.onmouseenter = button.onfocus = () => only(true);
    button.onmouseleave = button.onblur = () => only(false);
    return button;
  });
  return h("div", {}, canvas, legend.length ? h("div", { className: "legend" }, legend) : null);
}

function placed(mark, colour, left, top, width, height) {
  mark.style.setProperty("--hue", colour);
  for (const [name, value] of Object.entries({ left, top, width, height })) if (value !== undefined) mark.style[name] = `${100 * value}%`;
  return mark;
}

function boxMark({ label, box: [x1, y1, x2, y2] }, colour) {
  return placed(h("div", { className: "mark-box", title: label }, h("span", {}, label)), colour, x1, y1, x2 - x1, y2 - y1);
}

function pointMark(x, y, index, name, colour) {
  return placed(h("div", { className: "mark-point", title: `${name} ${index}` }, String(index)), colour, x, y);
}

/** Points in a text, as Molmo's (percent) and Molmo 2's (thousandths) models write them. */
function points(text) {
  return [...text.matchAll(/<points?\s([^<>]*)>([^<>]*)<\/points?>/g)].map(([, attributes, name]) => {
    const coordinates = attributes.match(/coords="([\d\s.]+)"/);
    if (coordinates) {
      const numbers = coordinates[1].trim().split(/\s+/).map(Number).slice(1);
      const places = [];
      for (let start = 0; start + 2 < numbers.length; start += 3) places.push([numbers[start + 1] / 1000, numbers[start + 2] / 1000]);
      return { name, places };
    }
    const ys = Object.fromEntries([...attributes.matchAll(/\by(\d*)="([\d.]+)"/g)].map(([, at, value]) => [at, +value / 100]));
    return { name, places: [...attributes.matchAll(/\bx(\d*)="([\d.]+)"/g)].filter(([, at]) => at in ys).map(([, at, value]) => [+value / 100, ys[at]]) };
  });
}

function recording(known, place) {
  const url = source.media("audio", place);
  if (!url) return part("Transcript", h("p", { className: "soft" }, "The recording is not in this file."), h("p", {}, known.transcript ?? ""));
  const audio = h("audio", { id: "audio", controls: true, preload: "metadata", src: url });
  const segments = known.transcript_segments ?? [];
  const spans = segments.map((segment) => h("button", { type: "button", title: `${segment.start.toFixed(1)} – ${segment.end.toFixed(1)} s`, onclick: () => { audio.currentTime = segment.start; audio.play(); } }, segment.text.trim()));
  audio.ontimeupdate = () => segments.forEach((segment, index) => {
    const isNow = !(audio.paused && audio.currentTime === 0) && segment.start <= audio.currentTime && audio.currentTime < segment.end;
    if (isNow && !spans[index].classList.contains("now")) spans[index].scrollIntoView({ block: "nearest" });
    spans[index].classList.toggle("now", isNow);
  });
  return h("div", {}, audio, h("div", { className: "transcript", id: "transcript" }, spans.length ? spans.flatMap((span) => [span, " "]) : known.transcript ?? ""));
}

function conversation(talk, index, shard) {
  const findings = talk.findings ?? [];
  return h("div", { className: "talk" },
    h("header", {}, h("b", {}, talk.kind), h("span", { className: "mono" }, talk.provenance ?? ""), shard && h("span", { className: "mono", title: "where it stands in the dataset" }, `${shard.file}:${shard.row}`)),
    talk.messages.map((message, turn) => h("div", { className: `turn ${message.role}` }, h("div", { className: "role" }, message.role),
      h("div", { className: "said" }, marked(message.content, findings.filter((finding) => finding.turn === turn))))),
    findings.length ? h("ul", { className: "findings", "aria-label": "Findings of the check" }, findings.map((finding) => h("li", {}, h("b", {}, finding.type), finding.message))) : null);
}

/** A text with the pieces that findings name marked; Python counts characters, JavaScript UTF-16 units. */
function marked(text, findings) {
  const letters = [...text];
  const edges = [...new Set([0, letters.length, ...findings.flatMap(({ start, end }) => [start, end])])].filter((edge) => edge >= 0 && edge <= letters.length).sort((a, b) => a - b);
  return edges.slice(1).map((end, index) => {
    const start = edges[index];
    const about = findings.filter((finding) => finding.start <= start && end <= finding.end);
    const piece = letters.slice(start, end).join("");
    return about.length ? h("mark", { title: about.map((finding) => `${finding.type}: ${finding.message}`).join("\n") }, piece) : piece;
  });
}

function scores(values) {
  return h("table", {}, h("tbody", {}, Object.entries(values).map(([name, value]) => {
    const [least, greatest] = run.scores[name] ?? [value, value];
    const needle = h("i");
    needle.style.left = `${greatest > least ? 100 * (value - least) / (greatest - least) : 50}%`;
    return h("tr", {}, h("td", {}, words(name)), h("td", { className: "number" }, number(value)), h("td", {}, h("div", { className: "gauge", title: `${number(least)} to ${number(greatest)} in this run` }, needle)));
  })));
}

function facts(known) {
  const rows = [["image", known.image_url && link(known.image_url)], ["recording", known.audio_url && link(known.audio_url)], ["license", known.license], ["language", known.transcript_language], ["extra", known.extra], ["part, row", `${known.part}, ${known.row}`]];
  return h("table", {}, h("tbody", {}, rows.filter(([, value]) => value).map(([name, value]) => h("tr", {}, h("td", {}, name), h("td", {}, value)))));
}

/** A link only where it leads to a web page: `javascript:` and the like stay text. */
function link(text) {
  return /^https?:\/\//i.test(text) ? h("a", { href: text, target: "_blank", rel: "noopener noreferrer" }, text) : text;
}

// --- its story -------------------------------------------------------------------------------------------------------

function story(chapters, place) {
  return h("ol", { className: "story" }, chapters.map((chapter) => {
    if (chapter.state === "not reached") return h("li", { className: "missed" }, `${chapter.stage}: not reached`);
    const verdict = h("span", { className: `chip ${chapter.state}` }, chapter.reason ? words(chapter.reason) : chapter.state);
    return h("li", { className: chapter.state }, h("details", { open: chapter.state === "rejected" }, h("summary", {}, chapter.stage, verdict, chapter.detail && h("span", { className: "soft" }, ` ${chapter.detail}`)), told(chapter), chapter.settings?.chat && source.exchanges && asked(chapter.stage, place)));
  }));
}

function told(chapter) {
  const rows = [
    ...Object.entries(chapter.rule ?? {}).map(([name, value]) => [`compared ${name}`, value]),
    ...Object.entries(chapter.settings ?? {}).map(([name, value]) => [`${name} =`, value]),
    ...(chapter.fetches ?? []).map(({ media, ...fetch }) => [`fetched ${media}`, Object.entries(fetch).filter(([, value]) => value !== null).map(([name, value]) => (name === "url" ? value : `${words(name)} ${value}`)).join(", ")]),
    ...(chapter.rows ?? []).map((row) => [row.kind, `dataset/${row.file}, row ${row.row}`]),
    ...Object.entries(chapter.values ?? {}).filter(([, value]) => value !== null),
  ];
  return h("table", {}, h("tbody", {}, rows.map(([name, value]) => h("tr", {}, h("td", {}, name), h("td", {}, isTree(value) ? h("pre", {}, JSON.stringify(value, null, 1)) : typeof value === "string" ? value : JSON.stringify(value))))));
}

const isTree = (value) => typeof value === "object" && value !== null && JSON.stringify(value).length > 120;

function asked(stage, place) {
  const details = h("details", { className: "exchange" }, h("summary", {}, "prompts and replies"));
  details.ontoggle = async () => {
    if (!details.open || details.childElementCount > 1) return;
    const body = details.appendChild(h("div", {}, h("p", { className: "soft" }, "reading the log …")));
    try {
      const said = (await source.exchanges(place))[stage] ?? [];
      body.replaceChildren(...(said.length ? said.map(exchange) : [h("p", { className: "soft" }, "nothing was asked")]));
    } catch (error) {
      body.replaceChildren(h("p", {}, error.message));
    }
  };
  return details;
}

function exchange(said) {
  const cost = "reply" in said ? `${said.input_tokens} + ${said.output_tokens} tokens, $${said.usd.toFixed(6)}, ${said.finish_reason}` : "no reply to exactly this in the log";
  return h("div", {}, h("p", {}, h("b", {}, said.kind), said.has_image && " with the image", h("span", { className: "soft" }, ` ${cost}`)),
    said.messages.map((message) => h("details", { open: message.role !== "system" }, h("summary", { className: "soft" }, message.role), h("pre", {}, message.content))),
    "reply" in said && h("details", { open: true }, h("summary", { className: "soft" }, "reply"), h("pre", {}, said.reply)));
}

// --- keyboard --------------------------------------------------------------------------------------------------------

function moveInGrid(key) {
  const cards = [...document.querySelectorAll(".card")];
  if (!cards.length) return;
  const at = cards.indexOf(document.activeElement);
  const columns = cards.filter((each) => each.offsetTop === cards[0].offsetTop).length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[key];
  const to = at < 0 ? 0 : Math.min(cards.length - 1, Math.max(0, at + step));
  cards[to].focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  const typing = event.target.matches?.("input:not([type=checkbox]), select, textarea");
  if (event.key === "Escape" && typing) { event.target.blur(); return; }
  if (typing) return;
  const isSample = address().has("sample");
  const press = (id) => $(id)?.click();
  const keys = {
    "/": () => $("q").focus(), "?": () => $("help").showModal(), "[": () => press("previous"), "]": () => press("next"),
    ...(isSample
      ? { ArrowLeft: () => press("previous"), ArrowRight: () => press("next"), k: () => press("previous"), j: () => press("next"), Escape: () => press("back"), b: () => $("canvas")?.classList.toggle("plain"), " ": $("audio") && (() => ($("audio").paused ? $("audio").play() : $("audio").pause())) }
      : Object.fromEntries(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].map((key) => [key, () => moveInGrid(key)]))),
  };
  if (event.target.matches?.("button, summary, audio") && [" ", "Enter"].includes(event.key)) return;
  if (event.target.matches?.("audio")) return;
  if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
});

// --- start -----------------------------------------------------------------------------------------------------------

function debounced(action, wait) {
  let timer;
  return () => { clearTimeout(timer); timer = setTimeout(action, wait); };
}

async function refresh() {
  run = await source.run();
  $("name").textContent = run.name || "Showtell";
  document.title = `${run.name} · Showtell`;
  const notice = $("notice");
  const reading = run.is_done || run.problems.some((problem) => problem.startsWith("the rest")) ? [] : [`Reading the run: ${number(run.indexed)} of ${number(run.rows)} samples can be found so far.`];
  const some = run.of > run.rows ? [`This file holds ${number(run.rows)} of the run's ${number(run.of)} samples.`] : [];
  notice.textContent = [...some, ...reading, ...run.problems].join("\n");
  notice.hidden = !notice.textContent;
  notice.classList.toggle("bad", run.problems.length > 0);
  if (reading.length) setTimeout(() => refresh().then(() => { if (!address().has("sample")) draw(); else drawHead(address()); }).catch(() => { notice.hidden = false; notice.textContent = "The server has stopped."; }), 1000);
}

$("q").addEventListener("input", debounced(() => filter((state) => ($("q").value.trim() ? state.set("q", $("q").value.trim()) : state.delete("q"))), 250));
$("search").addEventListener("submit", (event) => { event.preventDefault(); $("q").blur(); });
$("sort").addEventListener("change", (event) => filter((state) => (event.target.value ? state.set("sort", event.target.value) : state.delete("sort"))));
$("show-filters").addEventListener("click", () => $("show-filters").setAttribute("aria-expanded", $("filters").classList.toggle("open")));
$("show-help").addEventListener("click", () => $("help").showModal());
window.addEventListener("hashchange", draw);
refresh().then(draw).catch((error) => { $("main").replaceChildren(h("p", { className: "empty" }, `The run cannot be read: ${error.message}`)); });
