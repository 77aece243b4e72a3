// Charts in the page's colours. Every chart is made by a function that is called again when the
// colour scheme changes.

const charts = new Map();
const palette = {};

function readPalette() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["surface", "text", "muted", "line", "grid", "blue", "sky", "vermillion", "green",
    "orange", "purple", "yellow", "neutral"]) {
    palette[name] = style.getPropertyValue(`--${name}`).trim();
  }
}

const seriesColours = () => [palette.blue, palette.orange, palette.green, palette.purple, palette.sky,
  palette.vermillion, palette.yellow, palette.neutral];

// Shapes beside colours, so that no difference rests on colour alone.
const shapes = ["circle", "triangle", "rect", "rectRot", "star", "cross"];

function draw(id, label, configure) {
  const canvas = byId(id);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  const old = charts.get(id);
  if (old) old.chart.destroy();
  const chart = new Chart(canvas, configure());
  charts.set(id, { chart, label, configure });
  return chart;
}

function redrawAll() {
  readPalette();
  for (const [id, { label, configure }] of [...charts]) draw(id, label, configure);
}

function axis(title, more = {}) {
  const { ticks, ...rest } = more;
  return {
    type: "linear",
    title: { display: Boolean(title), text: title, color: palette.muted },
    grid: { color: palette.grid },
    border: { color: palette.line },
    ticks: { color: palette.muted, maxRotation: 0, includeBounds: false, ...ticks },
    ...rest,
  };
}

// Options that all charts have in common; `tooltip` returns the lines for one point.
function options({ x, y, more = {}, legend = false, tooltip, filter = isNamed, intersect = false }) {
  return {
    animation: false,
    responsive: true,
    maintainAspectRatio: false,
    parsing: false,
    interaction: { mode: "nearest", intersect, axis: "xy" },
    scales: { x, y, ...more },
    plugins: {
      legend: {
        display: legend,
        labels: { color: palette.text, usePointStyle: true, boxHeight: 7,
          filter: (item) => !item.text.startsWith("_") },
        onClick: () => {},
      },
      tooltip: {
        displayColors: false,
        filter,
        callbacks: { title: () => "", label: tooltip },
      },
    },
  };
}

const isNamed = (item) => !item.dataset.label.startsWith("_");

// A vertical line; a dataset whose name starts with _ is in no legend and no tooltip.
function verticalLine(at, low, high, name = "_now") {
  return { label: name, type: "line", data: [{ x: at, y: low }, { x: at, y: high }], pointRadius: 0,
    pointStyle: "line", borderColor: palette.text, borderWidth: 1.5, borderDash: [5, 4] };
}

function horizontalLine(at, low, high, name = "_level") {
  return { label: name, type: "line", data: [{ x: low, y: at }, { x: high, y: at }], pointRadius: 0,
    pointStyle: "line", borderColor: palette.text, borderWidth: 1.5, borderDash: [5, 4] };
}

function line(label, points, colour, more = {}) {
  return { label, type: "line", data: points, borderColor: colour, backgroundColor: colour,
    borderWidth: 1.8, pointRadius: 0, pointHitRadius: 6, pointStyle: "line", ...more };
}

function startCharts() {
  readPalette();
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawAll);
  // Paper is white whatever the screen is.
  const printing = (on) => () => {
    document.documentElement.classList.toggle("printing", on);
    redrawAll();
  };
  addEventListener("beforeprint", printing(true));
  addEventListener("afterprint", printing(false));
}
