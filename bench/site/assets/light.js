// Says how much came, and when the last of it did.
addEventListener("load", () => setTimeout(() => {
  const entries = [...performance.getEntriesByType("navigation"),
                   ...performance.getEntriesByType("resource")];
  const bytes = entries.reduce((sum, entry) => sum + (entry.encodedBodySize || 0), 0);
  const last = Math.max(...entries.map((entry) => entry.responseEnd));
  document.getElementById("sum").textContent =
    `${entries.length} responses, ${bytes.toLocaleString("en")} bytes, all here after ${Math.round(last)} ms`;
}, 50));
