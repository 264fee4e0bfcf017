// Node's own HTTP/2 client: asks for a page and keeps what is pushed with it.
//
//   node push_client.js CA URL [PATH...]
//
// Prints one JSON object: {"page": ANSWER, "pushed": [ANSWER...], "asked": [ANSWER...]}, where an
// ANSWER has path, status, request (the promised fields), fields, length and sha256. `asked` are
// the PATHs, asked for afterwards on the same connection. The status is 1 on any error.
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const http2 = require('http2');

const DEADLINE_MS = 30000;

function collect(stream, path, request, fields) {
  return new Promise((resolve, reject) => {
    const hash = crypto.createHash('sha256');
    let length = 0;
    stream.on('data', (chunk) => {
      hash.update(chunk);
      length += chunk.length;
    });
    stream.on('error', reject);
    stream.on('close', () => {
      if (stream.rstCode !== 0) {
        reject(new Error(`${path} was reset with ${stream.rstCode}`));
        return;
      }
      const kept = fields();
      resolve({ path, status: kept[':status'], request, fields: { ...kept }, length,
                sha256: hash.digest('hex') });
    });
  });
}

function ask(session, path) {
  const stream = session.request({ ':path': path });
  let received = {};
  stream.on('response', (fields) => { received = fields; });
  return collect(stream, path, {}, () => received);
}

async function main([ca, url, ...paths]) {
  const session = http2.connect(url, { ca: fs.readFileSync(ca) });
  const failed = new Promise((_, reject) => session.on('error', reject));
  const pushes = [];
  session.on('stream', (stream, request) => {
    let received = {};
    stream.on('push', (fields) => { received = fields; });
    pushes.push(collect(stream, request[':path'], { ...request }, () => received));
  });
  const work = async () => {
    const page = await ask(session, new URL(url).pathname);
    const pushed = await Promise.all(pushes);
    const asked = [];
    for (const path of paths) {
      asked.push(await ask(session, path));
    }
    return { page, pushed, asked };
  };
  const result = await Promise.race([work(), failed]);
  session.close();
  process.stdout.write(JSON.stringify(result) + '\n');
}

setTimeout(() => {
  process.stderr.write(`nothing after ${DEADLINE_MS} ms\n`);
  process.exit(1);
}, DEADLINE_MS).unref();

main(process.argv.slice(2)).catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
