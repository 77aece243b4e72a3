// Everything in order; the slider's effects must exist before the genome draws them.

startCharts();
drawCard();
startPath();
startGenome();
startStability();
startPrediction();
startTable();

byId("nav").replaceChildren(...[...document.querySelectorAll("main > section:not([hidden])")].map((section) =>
  element("a", { href: `#${section.id}` }, section.querySelector("h2").textContent)));
document.documentElement.dataset.ready = "true";
