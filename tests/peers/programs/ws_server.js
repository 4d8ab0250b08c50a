// The server of Node's `ws`. What it is set to agree to of permessage-deflate stands in the query of the target.
"use strict";

const http = require("node:http");
const { WebSocketServer } = require("ws");
const { entry } = require("./conversation.js");

const SUBPROTOCOLS = ["chat.v2", "chat.v1"];
const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
const camelled = (options) => Object.fromEntries(Object.entries(options).map(([name, value]) => [camel(name), value]));
const tell = (what) => process.stdout.write(JSON.stringify(what) + "\n");

const news = [];
const readers = new Set();

async function serve(request, response) {
  if (request.method === "POST") {
    const parts = [];
    for await (const part of request) parts.push(part);
    news.push(Buffer.concat(parts).toString());
    for (const reader of [...readers]) reader();
    response.writeHead(204).end();
  } else if (request.url.startsWith("/poll/")) {
    const number = Number(request.url.split("/").pop());
    const answer = () => {
      if (number >= news.length) return;
      readers.delete(answer);
      response.writeHead(200, { "Content-Type": "text/plain" }).end(news[number]);
    };
    readers.add(answer);
    answer();
  } else {
    response.writeHead(200, { "Content-Type": "text/event-stream", "Access-Control-Allow-Origin": "*" });
    response.flushHeaders();
    let number = 0;
    const more = () => {
      for (; number < news.length; number++) {
        response.write(`id: ${number}\ndata: ${news[number]}\n\n`);
        if (news[number] === "that is all") {
          readers.delete(more);
          response.end();
        }
      }
    };
    readers.add(more);
    more();
  }
}

const settings = new Map(); // a WebSocketServer for each setting

function serverFor(url) {
  const deflate = url.searchParams.get("deflate");
  if (!settings.has(deflate)) {
    const options = deflate === null ? true : { threshold: 0, ...camelled(JSON.parse(deflate)) };
    const server = new WebSocketServer({
      noServer: true,
      maxPayload: 0,
      perMessageDeflate: options,
      handleProtocols: (asked) => SUBPROTOCOLS.find((name) => asked.has(name)) ?? false,
    });
    server.on("headers", (headers) => headers.push("Set-Cookie: served=yes; Path=/"));
    settings.set(deflate, server);
  }
  return settings.get(deflate);
}

function talk(socket, request) {
  const facts = { subprotocol: socket.protocol || null, cookie: request.headers.cookie ?? null };
  const got = [];
  let last = Promise.resolve(); // a message is answered when the one before it is
  const answer = async (data, isBinary) => {
    const message = isBinary ? data : data.toString();
    if (isBinary || !message.startsWith("@")) got.push(await entry(message));
    if (isBinary) socket.send(message);
    else if (message === "@report") socket.send(JSON.stringify({ got, ...facts }));
    else if (message === "@ping") socket.ping("are you there?");
    else if (message.startsWith("@close ")) {
      const [, code, reason] = /^@close (\d+) ?(.*)$/s.exec(message);
      socket.close(Number(code), reason);
    } else if (message.startsWith("#")) {
      const at = Math.floor(message.length / 3);
      socket.send(message.slice(0, at), { fin: false });
      socket.send(message.slice(at, 2 * at), { fin: false });
      socket.send(message.slice(2 * at), { fin: true });
    } else socket.send(message);
  };
  socket.on("message", (data, isBinary) => {
    last = last.then(() => answer(data, isBinary));
  });
  socket.on("error", (error) => console.error(`${request.url}: ${error.message}`));
  socket.on("close", (code, reason) => tell({ target: request.url, close: [code, reason.toString()] }));
}

const server = http.createServer(serve);
server.on("upgrade", (request, socket, head) => {
  const url = new URL(request.url, "http://here");
  if (url.pathname.startsWith("/redirect/")) {
    const location = request.url.replace("/redirect/", "/stream/");
    socket.end(`HTTP/1.1 307 Temporary Redirect\r\nLocation: ${location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
  } else if (url.pathname.startsWith("/private/") && !request.headers.authorization) {
    socket.end(
      'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="peers"\r\n' +
        "Content-Length: 12\r\nConnection: close\r\n\r\nwho are you?",
    );
  } else serverFor(url).handleUpgrade(request, socket, head, (socket) => talk(socket, request));
});
server.listen(0, "127.0.0.1", () => tell({ port: server.address().port }));
process.stdin.on("end", () => process.exit(0)).resume();
