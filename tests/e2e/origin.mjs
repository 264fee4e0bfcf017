// An application that takes its time: node origin.mjs MILLISECONDS [LINK...]
// Prints its port, and answers every request with a page. Its own 103, which names the links, comes
// halfway.
import http from "node:http";

const [wait, ...links] = process.argv.slice(2);
const page = `<!doctype html><title>made</title>
<link rel="stylesheet" href="/assets/light.css">
<script src="/assets/light.js" defer></script>
<p>made for you</p>`;

const server = http.createServer((request, response) => {
  if (links.length > 0) {
    setTimeout(() => response.writeEarlyHints({ link: links }), wait / 2);
  }
  setTimeout(() => {
    response.writeHead(200, { "content-type": "text/html" });
    response.end(page);
  }, wait);
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume().on("end", () => process.exit(0)); // with whoever started it
