// The client of Node's `ws`.
"use strict";

const fs = require("node:fs");
const readline = require("node:readline");
const WebSocket = require("ws");
const { Arrivals, converse } = require("./conversation.js");

const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
const camelled = (options) => Object.fromEntries(Object.entries(options).map(([name, value]) => [camel(name), value]));

class Refused extends Error {}

function connect(job) {
  const deflate = job.deflate;
  const socket = new WebSocket(job.url, job.subprotocols, {
    headers: job.headers,
    maxPayload: 0,
    followRedirects: true,
    perMessageDeflate: deflate === null ? false : deflate === "default" ? true : { threshold: 0, ...camelled(deflate) },
  });
  const messages = new Arrivals();
  const ended = new Arrivals();
  const facts = {};
  socket.on("upgrade", (response) => {
    facts.extensions = response.headers["sec-websocket-extensions"] ?? null;
    facts.cookie = response.headers["set-cookie"]?.[0] ?? null;
  });
  socket.on("message", (data, isBinary) => messages.put(isBinary ? data : data.toString()));
  socket.on("close", (code, reason) => ended.put([code, reason.toString()]));
  const client = {
    facts,
    say: async (parts) =>
      parts.forEach((part, n) => socket.send(part, { fin: n === parts.length - 1, binary: typeof part !== "string" })),
    hear: () => messages.next(),
    ping: async (payload) => socket.ping(payload),
    close: (code, reason) => (code === null ? socket.close() : socket.close(code, reason)),
    closed: () => ended.next(),
  };
  return new Promise((resolve, reject) => {
    socket.on("open", () => {
      facts.subprotocol = socket.protocol || null;
      resolve(client);
    });
    socket.on("unexpected-response", (request, response) => {
      request.destroy();
      reject(Object.assign(new Refused(), { status: response.statusCode }));
    });
    socket.on("error", reject);
  });
}

const scripts = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));

async function answerJobs() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const job = JSON.parse(line);
    let report;
    try {
      report = await converse(await connect(job), job, scripts[job.script]);
    } catch (error) {
      report = error instanceof Refused ? { refused: error.status } : { error: String(error) };
    }
    console.log(JSON.stringify(report));
  }
}

answerJobs();
