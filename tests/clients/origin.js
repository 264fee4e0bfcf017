// An application behind a proxy. POST /echo sends back what it gets, as it comes; GET /bytes?n=N&s=S
// sends N octets that S decides, in one piece with a length, or in several without (&chunked=1),
// slowly (&slow=MS between pieces); anything else says as JSON what was asked. With a certificate:
// over TLS, by HTTP/2 too.
'use strict';
const fs = require('fs');
const [cert, key] = process.argv.slice(2);

const BLOCK = 1 << 17;
const blocks = new Map();

// The same 128 KiB again and again.
function bytes(n, seed) {
  if (!blocks.has(seed)) {
    const made = Buffer.alloc(BLOCK);
    let x = (seed * 2654435761 + 1) >>> 0;
    for (let i = 0; i < BLOCK; i++) {
      x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
      made[i] = x >>> 24;
    }
    blocks.set(seed, made);
  }
  return Buffer.alloc(n, blocks.get(seed));
}

async function send(response, content, chunked, slow) {
  if (!chunked)
    response.setHeader('content-length', content.length);
  const piece = chunked || slow ? Math.max(1, Math.ceil(content.length / 7)) : content.length || 1;
  for (let at = 0; at < content.length; at += piece) {
    const more = response.write(content.subarray(at, at + piece));
    if (!more)
      await new Promise(done => response.once('drain', done).once('close', done));
    if (slow)
      await new Promise(done => setTimeout(done, slow));
  }
  response.end();
}

function answer(request, response) {
  const url = new URL(request.url, 'http://origin');
  const number = name => Number(url.searchParams.get(name) || 0);
  if (url.pathname === '/echo') {
    response.setHeader('x-length', request.headers['content-length'] || 'none');
    request.pipe(response);
  } else if (url.pathname === '/bytes') {
    send(response, bytes(number('n'), number('s')), number('chunked'), number('slow'));
  } else {
    request.resume().on('end', () => {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({method: request.method, url: request.url,
                                   version: request.httpVersion, headers: request.headers}));
    });
  }
}

const made = cert
  ? require('http2').createSecureServer(
      {cert: fs.readFileSync(cert), key: fs.readFileSync(key), allowHTTP1: true}, answer)
  : require('http').createServer(answer);
made.listen(0, '127.0.0.1', () => console.log('ready ' + made.address().port));
