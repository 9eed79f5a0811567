// Keeps a page live: events of a search move its curve, and the server's own HTML replaces the sections that changed.

const TERMINAL = ["succeeded", "failed", "cancelled"];
const BETWEEN = 1000; // ms from one refresh of the sections to the next
const LIST = 3000; // ms between looks at a page that has no stream of events
const AGAIN = 5000; // ms until a stream that the browser closed is opened anew

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

const STAGES = JSON.parse(main.dataset.stages ?? "[]"); // name, label and colour of those that the service knows
const SYMBOLS = ["diamond-open", "diamond", "circle", "triangle-right", "hexagon", "square", "hexagram", "triangle-up", "cross"];
const FAINT = 0.25;
const trials = new Map();
let waiting = false;

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function stagesOf(points) {
  const known = new Set(STAGES.map(({ name }) => name));
  const others = new Set(points.map(({ stage }) => stage).filter((name) => !known.has(name)));
  return [...STAGES, ...[...others].map((name) => ({ name, label: name, colour: main.dataset.neutral }))];
}

function traces(points) {
  const lines = stagesOf(points).flatMap(({ name, label, colour }, place) => {
    const proposed = points.filter(({ stage }) => stage === name);
    if (!proposed.length) return [];
    const symbol = SYMBOLS[place % SYMBOLS.length];
    return {
      name: label,
      mode: "markers",
      x: proposed.map(({ number }) => number),
      y: proposed.map(({ value }) => value),
      text: proposed.map(hover),
      hoverinfo: "text",
      marker: { color: colour, symbol, size: 7, opacity: proposed.map(opacity), line: { color: colour, width: 1.5 } },
    };
  });
  if (points.some(stopped)) {
    const marker = { color: color("soft"), size: 7, opacity: FAINT };
    lines.push({ name: "stopped early", mode: "markers", x: [null], y: [null], marker, hoverinfo: "skip" });
  }
  const incumbents = [];
  for (const { value } of points) incumbents.push(Math.min(value, incumbents.at(-1) ?? Infinity));
  const baselines = points.filter(({ stage }) => stage === "baselines").map(({ value }) => value);
  const numbers = points.map(({ number }) => number);
  if (baselines.length) {
    const level = Math.min(...baselines);
    const ends = [numbers[0], numbers.at(-1)];
    const line = { color: color("baseline"), dash: "dash", width: 1.5 };
    lines.push({ name: "best baseline", mode: "lines", x: ends, y: [level, level], line, hoverinfo: "skip" });
  }
  const line = { color: color("best"), shape: "hv", width: 2.5 };
  lines.push({ name: "incumbent", mode: "lines", x: numbers, y: incumbents, line, hoverinfo: "skip" });
  return lines;
}

function stopped({ noises }) {
  return noises < Number(main.dataset.noises); // on fewer noises than the search has; older events do not say
}

function opacity(trial) {
  return stopped(trial) ? FAINT : 0.9;
}

function hover(trial) {
  const { number, origin, value, standard_error, predicted, noises } = trial;
  const early = stopped(trial) ? `<br>stopped after ${noises} noises` : "";
  const forecast = predicted === null ? "" : `<br>forecast ${Math.exp(predicted).toPrecision(3)}`;
  return `trial ${number}, ${origin}<br>${value.toPrecision(3)} ± ${standard_error.toPrecision(2)}${forecast}${early}`;
}

function layout() {
  const axis = { gridcolor: color("line"), linecolor: color("line"), zeroline: false, automargin: true };
  return {
    font: { family: "system-ui, sans-serif", size: 12, color: color("soft") },
    paper_bgcolor: "transparent",
    plot_bgcolor: "transparent",
    margin: { l: 52, r: 10, t: 8, b: 40 },
    xaxis: { ...axis, title: { text: "trial" }, showgrid: false, rangemode: "tozero" },
    yaxis: { ...axis, title: { text: main.dataset.metric, standoff: 10 }, type: "log", tickformat: "~g", dtick: "D2" },
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
    const event = JSON.parse(data);
    if (type === "trial" && event.value > 0) {
      trials.set(event.number, event);
      draw();
    }
    if (Number(lastEventId) > last) {
      main.dataset.last = last = Number(lastEventId);
      refresh();
    }
    if (type === "state" && TERMINAL.includes(event.state)) stream.close();
  };
  for (const kind of ["state", "phase", "slots", "trial", "published"]) stream.addEventListener(kind, take);
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
