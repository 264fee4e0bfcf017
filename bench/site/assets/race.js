// Draws the two visits for the round trip that the slider says.
(() => {
  "use strict";

  const slider = document.getElementById("rtt");
  const text = document.getElementById("rtt-text");
  const canvas = document.getElementById("race-canvas");
  const pen = canvas.getContext("2d");
  const thinking = 12; // milliseconds that the server takes for the page
  const reading = 18;  // that the client takes to find the assets in it
  const sending = 26;  // that the assets take on the wire

  const colours = { ask: "#9aa7bb", page: "#2f6690", read: "#d8c7a6", assets: "#c8553d" };

  // A visit as pieces of time: [kind, milliseconds].
  const asked = (rtt) => [
    ["ask", rtt / 2], ["page", thinking + rtt / 2], ["read", reading],
    ["ask", rtt / 2], ["assets", rtt / 2 + sending],
  ];
  const promised = (rtt) => [
    ["ask", rtt / 2], ["page", thinking + rtt / 2], ["assets", sending],
  ];

  const length = (visit) => visit.reduce((sum, [, ms]) => sum + ms, 0);

  // A thin line at each round trip, so that the visits can be counted off against it.
  const drawTrips = (rtt, scale) => {
    pen.fillStyle = "#e2d9c8";
    for (let x = rtt * scale; x < canvas.width; x += rtt * scale) pen.fillRect(x, 0, 1, 150);
  };

  const drawVisit = (visit, y, scale, label) => {
    let x = 0;
    for (const [kind, ms] of visit) {
      pen.fillStyle = colours[kind];
      pen.fillRect(x, y, Math.max(1, ms * scale - 1.5), 34);
      x += ms * scale;
    }
    pen.fillStyle = "#1d2b45";
    pen.fillText(`${label}: ${Math.round(length(visit))} ms`, 0, y + 54);
  };

  const draw = () => {
    const rtt = Number(slider.value);
    const scale = canvas.width / Math.max(length(asked(rtt)), 120);
    text.textContent = `${rtt} ms`;
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.font = '17px "Herald Round", system-ui, sans-serif';
    drawTrips(rtt, scale);
    drawVisit(asked(rtt), 8, scale, "Asked for");
    drawVisit(promised(rtt), 100, scale, "Promised");
  };

  slider.addEventListener("input", draw);
  addEventListener("load", draw);
  if (document.fonts) document.fonts.ready.then(draw);
  draw();
})();
