// Warnings, the run's facts, the null model, certificates, provenance.

function drawCard() {
  byId("title").textContent = data.title;
  const run = data.provenance.run;
  byId("subtitle").textContent = run
    ? `LMM-Lasso report, lmmlasso ${run.version}; last command: ${run.subcommand}`
    : "LMM-Lasso report";
  if (data.warnings.length) {
    show("warnings");
    byId("warning-list").replaceChildren(...data.warnings.map((text) => element("li", {}, text)));
  }
  if (data.card.length || data.certificates.length || data.read.length) show("card");
  byId("facts").replaceChildren(...data.card.flatMap(({ label, value, note }) => [
    element("dt", {}, label),
    element("dd", {}, format(value, 5), ...(note ? [element("small", {}, note)] : [])),
  ]));
  if (data.read.length) {
    show("read-box");
    byId("read").replaceChildren(...data.read.map((text) => element("li", {}, text)));
  }
  drawNull();
  drawCertificates();
  drawProvenance();
}

function drawNull() {
  const model = data.null;
  if (model && model.profile) {
    show("null-plot-box");
    const best = Math.min(...model.profile.nll);
    const points = model.profile.log_delta
      .map((at, k) => ({ x: 1 / (1 + Math.exp(at)), y: best - model.profile.nll[k] }))
      .reverse();
    const low = Math.max(Math.min(...points.map((point) => point.y)), -12);
    draw("null-plot", `Likelihood profile of h², largest at ${format(model.h2, 4)}`, () => ({
      type: "line",
      data: { datasets: [
        line("log-likelihood below its maximum", points, palette.blue),
        verticalLine(model.h2, low, 0, "_h2"),
        ...(model.h2_se ? [line("h² ± standard error", [-1, 1].map((sign) =>
          ({ x: Math.min(Math.max(model.h2 + sign * model.h2_se, 0), 1), y: low })),
        palette.vermillion, { borderWidth: 5 })] : []),
      ] },
      options: options({
        x: axis("h²", { min: 0, max: 1 }), y: axis("log-likelihood", { min: low, max: 0 }),
        legend: true,
        tooltip: ({ raw }) => `h² ${format(raw.x, 4)}: ${format(raw.y, 4)}`,
      }),
    }));
  }
  if (model && model.chromosomes) {
    const table = element("table");
    fillTable(table, ["CHROM", "H2", "H2_SE", "LOG_DELTA"].map((name, k) => ({ name, numeric: k > 0 })),
      model.chromosomes.map((part) => [part.chromosome, part.h2, part.h2_se, part.log_delta]),
      "Null models, each without one chromosome");
    const box = element("div", { className: "scroll low", tabIndex: 0 }, table);
    byId("loco").replaceChildren(box);
  }
}

function drawCertificates() {
  if (!data.certificates.length) return;
  const table = element("table", { id: "certificate-table" });
  fillTable(table, [{ name: "Certificates" }, { name: "Fits", numeric: true },
    { name: "Converged", numeric: true }, { name: "Largest duality gap", numeric: true },
    { name: "Tolerance", numeric: true }],
  data.certificates.map(({ what, n, converged, gap, tol }) => [what, n, converged, gap, tol]));
  byId("certificates").replaceChildren(element("div", { className: "scroll" }, table));
}

function drawProvenance() {
  const { run, log } = data.provenance;
  if (!run && !log) return;
  show("provenance");
  if (log) {
    show("log-box");
    byId("log").textContent = log;
  }
  if (!run) return;
  byId("provenance-lead").textContent = "P.run.json and P.log are of the last command that wrote " +
    "under this prefix; other files may be of earlier ones.";
  const rows = [
    ["Command", (run.command || []).join(" ")],
    ["Version", `${run.version} (${run.kernels} kernels), Python ${run.python}`],
    ["Packages", flat(run.packages)],
    ["Threads", `${run.threads}, of BLAS ${run.blas_threads}`],
    ["End", run.exit ? `${run.exit.state} (exit code ${run.exit.code})` : "NA"],
    ["Seconds", flat(run.timings, (value) => Number(value).toFixed(2))],
    ...(run.inputs || []).map((input) => ["Input",
      `${input.path}, ${format(input.size)} bytes, sha256 ${input.sha256 || input.error}`]),
    ["Options", flat(run.options)],
  ];
  const table = element("table");
  fillTable(table, [{ name: "What" }, { name: "Value" }], rows);
  byId("run").replaceChildren(table);
}

function flat(content, write = (value) => JSON.stringify(value)) {
  return Object.entries(content || {})
    .filter(([, value]) => value !== null && !(Array.isArray(value) && !value.length))
    .map(([name, value]) => `${name} ${write(value)}`).join(", ");
}
