// What a report's page does by itself: tips on its charts, its choices, its downloads, its language.
// It runs in the page that Voila sends or that is kept as a file; as a widget's module it also asks the kernel.

const COOKIE = "vindima-language";

function wantedLanguage() {
  const chosen = document.cookie.match(/(?:^|; )vindima-language=(pt|en)/);
  return chosen ? chosen[1] : navigator.language.startsWith("pt") ? "pt" : "en";
}

// ---- charts: the tip of the stop that is nearest to the pointer, the finger or the arrow keys

const visible = (chart) => [...chart.querySelectorAll("svg")].find((svg) => svg.getClientRects().length);

function stops(svg) {
  const [, , width] = svg.getAttribute("viewBox").split(" ").map(Number);
  const box = svg.getBoundingClientRect();
  const scale = box.width / width;
  return svg.dataset.stops.split(" ").map((stop) => stop.split(",").map((at) => at * scale));
}

function hideTip(chart) {
  chart.parentElement.querySelectorAll(".tip, .mark").forEach((part) => part.remove());
}

function showTip(chart, place) {
  hideTip(chart);
  const svg = visible(chart);
  const text = JSON.parse(chart.dataset.tips)[place];
  const [x, y] = stops(svg)[place];
  chart.setAttribute("aria-valuenow", place + 1);
  chart.setAttribute("aria-valuetext", text.replaceAll("\n", ", "));
  const mark = document.createElement("div");
  mark.className = "mark";
  mark.style.left = `${x}px`;
  mark.style.top = `${y}px`;
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.setAttribute("aria-hidden", "true");
  const [heading, ...lines] = text.split("\n");
  tip.append(Object.assign(document.createElement("b"), { textContent: heading }), ...lines.map((line) =>
    Object.assign(document.createElement("span"), { textContent: line })));
  chart.parentElement.append(mark, tip);
  const room = chart.parentElement.clientWidth;
  const left = x + 14 + tip.offsetWidth <= room ? x + 14 : Math.max(0, x - 14 - tip.offsetWidth);
  tip.style.left = `${Math.min(left, Math.max(0, room - tip.offsetWidth))}px`;
  tip.style.top = `${Math.max(0, Math.min(y + 14, svg.getBoundingClientRect().height - tip.offsetHeight))}px`;
}

function nearest(chart, event) {
  const svg = visible(chart);
  const box = svg.getBoundingClientRect();
  const distances = stops(svg).map(([x, y]) => Math.hypot(event.clientX - box.left - x,
    "across" in chart.dataset ? event.clientY - box.top - y : (event.clientY - box.top - y) / 50));
  return distances.indexOf(Math.min(...distances));
}

function onKey(event) {
  const chart = event.target.closest("[data-tips]");
  if (!chart) return;
  const last = Number(chart.getAttribute("aria-valuemax")) - 1;
  const now = Number(chart.getAttribute("aria-valuenow")) - 1;
  const shown = chart.parentElement.querySelector(".tip");
  const row = Number(chart.dataset.across || -1);  // rows are read downwards; along a line, up is the next stop
  const to = { ArrowLeft: shown ? now - 1 : now, ArrowDown: shown ? now + row : now, ArrowRight: now + 1,
    ArrowUp: now - row, Home: 0, End: last }[event.key];
  if (event.key === "Escape") hideTip(chart);
  if (to === undefined) return;
  event.preventDefault();
  showTip(chart, Math.max(0, Math.min(last, to)));
}

// ---- downloads: the drawing that stands alone, as SVG or as PNG of twice its size

async function download(button) {
  const kept = button.closest("section").querySelector("template[data-file]");
  const svg = kept.innerHTML;
  let file = new Blob([svg], { type: "image/svg+xml" });
  if (button.dataset.download === "png") {
    const picture = new Image();
    picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
    await picture.decode();
    const canvas = Object.assign(document.createElement("canvas"), { width: 2 * picture.width, height: 2 * picture.height });
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    file = await new Promise((done) => canvas.toBlob(done, "image/png"));
  }
  const link = Object.assign(document.createElement("a"), {
    href: URL.createObjectURL(file), download: `${kept.dataset.file}.${button.dataset.download}` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// ---- a new page in the place of the old one, part by part, so that focus, folds and a slider in the hand stay

const OWN = ["data-opened", "data-wanted", "data-connected"];
const kept = (node, name) => OWN.includes(name) || (name === "open" && node.nodeName === "DETAILS") ||
  ((name === "value" || name === "hidden") && node.matches("[data-kept]"));

function morph(from, to) {
  if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName) return from.replaceWith(to);
  if (from.nodeType !== Node.ELEMENT_NODE) {
    if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
    return;
  }
  if (from.isEqualNode(to) && !["SELECT", "INPUT"].includes(from.nodeName)) return;
  for (const { name } of [...from.attributes])
    if (!to.hasAttribute(name) && !kept(from, name)) from.removeAttribute(name);
  for (const { name, value } of [...to.attributes])
    if (from.getAttribute(name) !== value && !kept(from, name)) from.setAttribute(name, value);
  if (from.nodeName === "TEMPLATE") return void (from.innerHTML = to.innerHTML);
  const [now, next] = [[...from.childNodes], [...to.childNodes]];
  next.forEach((child, place) => (now[place] ? morph(now[place], child) : from.append(child)));
  now.slice(next.length).forEach((child) => child.remove());
  if (from.nodeName === "SELECT") from.value = [...to.options].find((option) => option.selected)?.value ?? "";
  if (from.nodeName === "INPUT" && from !== document.activeElement) from.value = to.getAttribute("value") ?? "";
  if (from.nodeName === "INPUT") from.checked = to.hasAttribute("checked");
}

function show(page, html) {
  const parsed = new DOMParser().parseFromString(html, "text/html").querySelector(".vindima");
  page.querySelectorAll(".tip, .mark").forEach((part) => part.remove());
  morph(page, parsed);
  said(page);
}

function said(page) {
  document.documentElement.lang = page.lang;
  document.title = page.dataset.title;
}

// ---- choices: what the forms say is the address of the view, and what the kernel is asked

function asked(page) {
  const all = new URLSearchParams();
  for (const form of page.querySelectorAll("form[data-choices]"))
    for (const [name, value] of new FormData(form)) {
      const start = form.elements[name]?.dataset?.start;
      if (value !== "" && (start === undefined || Number(start) !== Number(value))) all.append(name, value);
    }
  return all;
}

function ask(page, choices) {
  choices.set("lang", page.dataset.wanted || page.lang.slice(0, 2));
  page.waiting = choices.toString();
  if (page.model) {
    page.model.set("asked", page.waiting);
    page.model.save_changes();
  }
}

const inAddress = (choices) => {
  const shown = new URLSearchParams(choices);
  shown.delete("lang");
  return `#${shown}`;
};

function choose(page) {
  const choices = asked(page);
  history.replaceState(null, "", inAddress(choices));
  ask(page, choices);
}

// in a file each choice is the address of the file that it leads to; who comes back finds the choice as it was
function follow(select) {
  const address = select.value;
  select.form.reset();
  location.assign(address);
}

function fromAddress(page) {
  const choices = new URLSearchParams(location.hash.slice(1));
  ask(page, choices);
}

function chooseLanguage(page, language) {
  document.cookie = `${COOKIE}=${language}; path=/; max-age=31536000; samesite=lax`;
  page.dataset.wanted = language;
  if (page.model) ask(page, asked(page));
  else takeOther(page, language);
}

// the page comes in both languages; which one the reader sees is decided before it is drawn
function takeOther(page, language) {
  if (page.lang.startsWith(language)) return;
  show(page, page.others[language]);
}

function filter(input) {
  const words = input.value.toLocaleLowerCase();
  for (const row of input.closest("details").querySelectorAll("tbody tr"))
    row.hidden = !row.textContent.toLocaleLowerCase().includes(words);
}

function start(page) {
  if (page.started) return;
  page.started = true;
  page.others = {};
  document.querySelectorAll("template[data-language]").forEach((other) => {
    page.others[other.dataset.language] = other.innerHTML;
    page.others[page.lang.slice(0, 2)] ??= page.outerHTML;
    other.remove();
  });
  const live = Object.keys(page.others).length > 0;
  if (live) {
    page.dataset.wanted = wantedLanguage();
    takeOther(page, page.dataset.wanted);
    if (location.hash.length > 1) fromAddress(page);
    window.addEventListener("hashchange", () => fromAddress(page));
  }
  said(page);
  page.addEventListener("keydown", onKey);
  page.addEventListener("pointermove", (event) => {
    const chart = event.target.closest("[data-tips]");
    if (chart && event.pointerType === "mouse") showTip(chart, nearest(chart, event));
  });
  page.addEventListener("pointerdown", (event) => {
    const chart = event.target.closest("[data-tips]");
    if (chart) showTip(chart, nearest(chart, event));
  });
  page.addEventListener("pointerout", (event) => {
    const chart = event.target.closest("[data-tips]");
    if (chart && event.pointerType === "mouse" && !chart.contains(event.relatedTarget)) hideTip(chart);
  });
  page.addEventListener("focusin", (event) => {
    if (event.target.matches("[data-tips]:focus-visible"))
      showTip(event.target, Number(event.target.getAttribute("aria-valuenow")) - 1);
  });
  page.addEventListener("focusout", (event) => event.target.matches("[data-tips]") && hideTip(event.target));
  page.addEventListener("input", (event) => {
    if (event.target.matches("[data-filter]")) return filter(event.target);
    if (event.target.type === "range") choose(page);
  });
  page.addEventListener("change", (event) => {
    if (event.target.closest("form[data-files]")) return follow(event.target);
    if (event.target.closest("form[data-choices]") && event.target.type !== "range") choose(page);
  });
  page.addEventListener("submit", (event) => event.preventDefault());
  page.addEventListener("click", (event) => {
    const button = event.target.closest("[data-download], [data-language], [data-drop], [data-copy], [data-open]");
    if (!button) return;
    if (button.dataset.download) download(button);
    if (button.dataset.open) page.querySelector(button.dataset.open).toggleAttribute("data-opened");
    if (button.dataset.copy !== undefined) navigator.clipboard?.writeText(location.href);
    if (button.dataset.language && live) {
      event.preventDefault();
      chooseLanguage(page, button.dataset.language);
    }
    if (button.dataset.drop) {
      page.querySelectorAll(button.dataset.drop).forEach((input) => input.remove());
      choose(page);
    }
  });
}

const here = document.querySelector("main.vindima, div.vindima");
if (here) start(here);

export default {
  render({ model, el }) {
    let page = document.querySelector(".vindima");
    if (!page) {
      el.innerHTML = model.get("html");
      page = el.querySelector(".vindima");
    }
    start(page);
    page.model = model;
    model.on("change:answered", () => show(page, model.get("html")));
    page.dataset.connected = "";
    if (page.waiting) ask(page, new URLSearchParams(page.waiting));
  },
};
