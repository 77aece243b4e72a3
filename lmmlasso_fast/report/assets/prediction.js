// Observed against held-out predictions; what the predictions of the analysed samples consist of.

function startPrediction() {
  const found = data.prediction;
  if (!found) return;
  show("prediction");
  const held = found.held_out;
  if (held) {
    byId("prediction-lead").textContent = `Every sample as predicted by the fold that held it out ` +
      `(P.cv_pred.tsv): correlation ${format(held.correlation, 4)}, root mean squared error ` +
      `${format(held.rmse, 4)}, ${format(held.n)} predictions` +
      (held.n > held.observed.length ? `, ${format(held.observed.length)} of them drawn.` : ".");
    drawHeldOut(held);
  } else {
    byId("prediction-plot-box").hidden = true;
    byId("prediction-lead").textContent = "Observed values are in no file of this prefix: lmmlasso cv " +
      "writes them beside held-out predictions.";
  }
  if (found.parts) {
    const table = element("table");
    fillTable(table, [{ name: "Part" }, { name: "Standard deviation", numeric: true }],
      found.parts.map(({ name, sd }) => [name, sd]),
      `Predictions of ${format(found.n_samples)} samples (P.pred.tsv), the analysed ones unless lmmlasso predict wrote them`);
    byId("parts").replaceChildren(table);
  }
}

function drawHeldOut({ observed, predicted, fold }) {
  const points = observed.map((y, k) => ({ x: predicted[k], y, fold: fold[k] }));
  const low = Math.max(Math.min(...observed), Math.min(...predicted));
  const high = Math.min(Math.max(...observed), Math.max(...predicted));
  draw("prediction-plot", "Observed against held-out predictions", () => ({
    type: "scatter",
    data: { datasets: [
      line("observed = predicted", [{ x: low, y: low }, { x: high, y: high }], palette.vermillion, { borderDash: [5, 4] }),
      { label: "samples", data: points, radius: 2.5, backgroundColor: `${palette.blue}90`, borderWidth: 0 },
    ] },
    options: options({ x: axis("predicted"), y: axis("observed"), legend: true,
      tooltip: ({ raw }) => `predicted ${format(raw.x, 4)}, observed ${format(raw.y, 4)}, fold ${raw.fold}`,
      filter: ({ raw }) => raw.fold !== undefined }),
  }));
}
