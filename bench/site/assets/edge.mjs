// Counts what this visit cost, once everything is here.
const beat = document.getElementById("beat");

const summary = () => {
  const entries = performance.getEntriesByType("resource")
    .filter((entry) => new URL(entry.name).origin === location.origin);
  const bytes = entries.reduce((sum, entry) => sum + (entry.decodedBodySize || 0), 0);
  const last = Math.max(0, ...entries.map((entry) => entry.responseEnd));
  return { count: entries.length, bytes, last };
};

const write = () => {
  const { count, bytes, last } = summary();
  beat.textContent = `${count} assets, ${Math.round(bytes / 1024)} KiB, all here after ${Math.round(last)} ms`;
};

if (document.readyState === "complete") setTimeout(write, 60);
else addEventListener("load", () => setTimeout(write, 60));
