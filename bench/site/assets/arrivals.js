// Fills the table of this visit's assets from the client's own measurements.
(() => {
  "use strict";

  const kinds = {
    css: "style", js: "script", mjs: "module", woff2: "font", svg: "image",
    png: "image", jpg: "image", webp: "image",
  };

  const kindOf = (name) => kinds[name.split(".").pop()] || "other";

  // Where the bytes came from: a response that was never asked for over the wire has no transfer.
  const sourceOf = (entry) => {
    if (entry.deliveryType === "cache" || (entry.transferSize === 0 && entry.decodedBodySize > 0)) {
      return "held";
    }
    return entry.initiatorType === "early-hints" ? "hinted" : entry.nextHopProtocol || "network";
  };

  const cell = (row, text, className) => {
    const td = row.insertCell();
    td.textContent = text;
    if (className) td.className = className;
    return td;
  };

  // A bar on a line of `total` milliseconds, from `start` to `end`.
  const bar = (row, start, end, total) => {
    const td = cell(row, "", "line");
    const span = document.createElement("span");
    span.style.marginLeft = `${(100 * start) / total}%`;
    span.style.width = `${Math.max(0.5, (100 * (end - start)) / total)}%`;
    td.append(span);
  };

  const addRow = (body, entry, total) => {
    const name = new URL(entry.name).pathname;
    const row = body.insertRow();
    cell(row, name.replace("/assets/", ""));
    cell(row, kindOf(name), "kind");
    cell(row, sourceOf(entry), "kind");
    cell(row, (entry.decodedBodySize || 0).toLocaleString("en"), "n");
    cell(row, entry.startTime.toFixed(1), "n");
    cell(row, entry.responseEnd.toFixed(1), "n");
    bar(row, entry.startTime, entry.responseEnd, total);
  };

  const show = () => {
    const body = document.getElementById("arrivals-rows");
    const entries = performance.getEntriesByType("resource")
      .filter((entry) => new URL(entry.name).origin === location.origin)
      .sort((a, b) => a.responseEnd - b.responseEnd);
    const total = Math.max(1, ...entries.map((entry) => entry.responseEnd));
    body.replaceChildren();
    for (const entry of entries) addRow(body, entry, total);
  };

  addEventListener("load", () => setTimeout(show, 50));
})();
