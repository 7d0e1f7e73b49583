// Four naps at once, and the quick view again and again beside them: how long does each quick answer take?

const trial = document.getElementById("trial");
const button = trial.querySelector("button");
const bars = trial.querySelector(".bars");
const show = (name, text) => { trial.querySelector(`[data-show="${name}"]`).textContent = text; };
const milliseconds = (value) => `${value.toFixed(1)} ms`;

// A browser opens six connections to one server; four naps leave some for the quick view.
const NAPS = 4;
const HEIGHT_MS = 100;

async function fetched(path) {
  const started = performance.now();
  const response = await fetch(path, { cache: "no-store" });
  await response.text();
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return performance.now() - started;
}

async function run() {
  button.disabled = true;
  bars.replaceChildren();
  for (const name of ["count", "median", "slowest"]) show(name, "–");
  show("naps", "asleep …");
  let asleep = true;
  // Each nap has a query of its own, lest the browser take them one after the other.
  const naps = Promise.all(Array.from({ length: NAPS }, (_, number) => fetched(`${trial.dataset.nap}?${number}`)))
    .finally(() => { asleep = false; });
  const times = [];
  try {
    while (asleep) {
      times.push(await fetched(trial.dataset.quick));
      const bar = document.createElement("i");
      bar.style.height = `${Math.min(100, 100 * times[times.length - 1] / HEIGHT_MS)}%`;
      bars.append(bar);
      const sorted = [...times].sort((left, right) => left - right);
      show("count", String(times.length));
      show("median", milliseconds(sorted[Math.floor(sorted.length / 2)]));
      show("slowest", milliseconds(sorted[sorted.length - 1]));
      await new Promise((resolve) => setTimeout(resolve, 15));
    }
    show("naps", (await naps).map((took) => `${(took / 1000).toFixed(2)} s`).join(", "));
  } catch (error) {
    show("naps", String(error));
  }
  button.disabled = false;
}

button.addEventListener("click", run);
