// Keeps a page live: events of a search move its curve, and the server's own HTML replaces the sections that changed.

const TERMINAL = ["succeeded", "failed", "cancelled"];
const BETWEEN = 1000; // ms from one refresh of the sections to the next
const LIST = 3000; // ms between looks at a page that has no stream of events
const AGAIN = 5000; // ms until a stream that the browser gave up is opened anew

const main = document.querySelector("main");
const link = document.getElementById("link");

// --- sections

let busy = false;
let stale = false;

async function refresh() {
  stale = true;
  if (busy || document.hidden) return;
  busy = true;
  while (stale && !document.hidden) {
    stale = false;
    try {
      const answer = await fetch(location.href);
      if (answer.ok) swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
      say(answer.ok ? "" : `The service answered ${answer.status}; trying again`);
    } catch {
      say("The service does not answer; trying again");
    }
    await new Promise((resolve) => setTimeout(resolve, BETWEEN));
  }
  busy = false;
}

function swap(page) {
  for (const fresh of page.querySelectorAll("[data-live]")) {
    const old = document.getElementById(fresh.id);
    unlock(fresh);
    for (const details of old.querySelectorAll("details[open]")) {
      fresh.querySelector(`#${details.id}`)?.setAttribute("open", "");
    }
    if (old.innerHTML === fresh.innerHTML) continue;
    const place = [...old.querySelectorAll("a, button, summary, [tabindex]")].indexOf(document.activeElement);
    old.replaceChildren(...fresh.childNodes);
    if (place >= 0) old.querySelectorAll("a, button, summary, [tabindex]")[place]?.focus();
  }
}

function say(text) {
  if (link.textContent !== text) link.textContent = text;
}

// --- copying, where the browser allows it

function unlock(part) {
  if (navigator.clipboard) for (const button of part.querySelectorAll("[data-copy]")) button.hidden = false;
}

document.addEventListener("click", async ({ target }) => {
  if (!target.dataset.copy) return;
  try {
    await navigator.clipboard.writeText(await (await fetch(target.dataset.copy)).text());
    say("Copied");
  } catch {
    say("The browser did not allow copying: use the download");
  }
  setTimeout(() => say(""), 2000);
});

// --- the curve

const ORIGINS = {
  baseline: ["by hand", "diamond-open"],
  seed: ["on measured grids", "diamond"],
  nested: ["from fewer calls", "triangle-right"],
  fit: ["fitted", "hexagon"],
  polish: ["polished", "hexagram"],
  uniform: ["uniform", "x-thin-open"],
  tpe: ["tpe", "triangle-up"],
  crossover: ["crossover", "square"],
  mutation: ["mutation", "circle"],
  guided: ["guided", "star"],
  other: ["", "cross"], // named after its trials
};
const FAINT = 0.25;
const trials = new Map();
let waiting = false;

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function wordOf({ origin }) {
  return origin.split(" ")[0];
}

function groupOf(trial) {
  const word = wordOf(trial);
  return word in ORIGINS ? word : "other";
}

function traces(points) {
  const made = Object.entries(ORIGINS).flatMap(([group, [name, symbol]]) => {
    const own = points.filter((trial) => groupOf(trial) === group);
    if (!own.length) return [];
    return {
      name: name || [...new Set(own.map(wordOf))].join(", "),
      mode: "markers",
      x: own.map(({ number }) => number),
      y: own.map(({ value }) => value),
      text: own.map(hover),
      hoverinfo: "text",
      marker: { color: color(group), symbol, size: 7, opacity: own.map(opacity), line: { color: color(group), width: 1.5 } },
    };
  });
  if (points.some(lost)) {
    const marker = { color: color("soft"), size: 7, opacity: FAINT };
    made.push({ name: "given up early", mode: "markers", x: [null], y: [null], marker, hoverinfo: "skip" });
  }
  const running = [];
  for (const { value } of points) running.push(Math.min(value, running.at(-1) ?? Infinity));
  const byHand = points.filter((trial) => groupOf(trial) === "baseline").map(({ value }) => value);
  const numbers = points.map(({ number }) => number);
  if (byHand.length) {
    const level = Math.min(...byHand);
    const ends = [numbers[0], numbers.at(-1)];
    const line = { color: color("baseline"), dash: "dash", width: 1.5 };
    made.push({ name: "best by hand", mode: "lines", x: ends, y: [level, level], line, hoverinfo: "skip" });
  }
  const line = { color: color("best"), shape: "hv", width: 2.5 };
  made.push({ name: "best so far", mode: "lines", x: numbers, y: running, line, hoverinfo: "skip" });
  return made;
}

function lost({ noises }) {
  return noises < Number(main.dataset.noises); // it was given up before all noises; older events do not say
}

function opacity(trial) {
  return lost(trial) ? FAINT : 0.75;
}

function hover(trial) {
  const { number, origin, value, standard_error, predicted, noises } = trial;
  const given = lost(trial) ? `<br>given up after ${noises} noises` : "";
  const forecast = predicted === null ? "" : `<br>forecast ${Math.exp(predicted).toPrecision(3)}`;
  return `trial ${number}, ${origin}<br>${value.toPrecision(3)} ± ${standard_error.toPrecision(2)}${forecast}${given}`;
}

function layout() {
  const axis = { gridcolor: color("line"), linecolor: color("line"), zeroline: false, automargin: true };
  return {
    font: { family: "system-ui, sans-serif", size: 12, color: color("soft") },
    paper_bgcolor: "transparent",
    plot_bgcolor: "transparent",
    margin: { l: 52, r: 10, t: 8, b: 40 },
    xaxis: { ...axis, title: { text: "trial" }, showgrid: false, rangemode: "tozero" },
    yaxis: { ...axis, title: { text: "error", standoff: 10 }, type: "log", tickformat: "~g", dtick: "D2" },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, itemsizing: "trace" },
    hoverlabel: { bgcolor: color("card"), bordercolor: color("line"), font: { color: color("ink") } },
    hovermode: "closest",
  };
}

function draw() {
  if (waiting || !trials.size || !window.Plotly) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    document.getElementById("nothing")?.remove();
    const points = [...trials.values()].sort((a, b) => a.number - b.number);
    window.Plotly.react("curve", traces(points), layout(), { displayModeBar: false, responsive: true });
  });
}

// --- the search's events

function follow(search) {
  let last = Number(main.dataset.last);
  const stream = new EventSource(`/v1/searches/${search}/events`);
  const take = ({ type, data, lastEventId }) => {
    const told = JSON.parse(data);
    if (type === "trial" && told.value > 0) {
      trials.set(told.number, told);
      draw();
    }
    if (Number(lastEventId) > last) {
      main.dataset.last = last = Number(lastEventId);
      refresh();
    }
    if (type === "state" && TERMINAL.includes(told.state)) stream.close();
  };
  for (const kind of ["state", "phase", "trial", "published"]) stream.addEventListener(kind, take);
  stream.onopen = () => say("");
  stream.onerror = () => {
    say("The connection was lost; trying again");
    if (stream.readyState === EventSource.CLOSED) setTimeout(() => follow(search), AGAIN);
  };
}

// ---

unlock(document);
document.addEventListener("visibilitychange", () => stale && refresh());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
if (main.dataset.page === "search") follow(main.dataset.search);
if (["searches", "models", "model"].includes(main.dataset.page)) setInterval(refresh, LIST);
