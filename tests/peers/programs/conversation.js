// What conversation.py is for Python: the conversation, for Node.js and for a page in a browser.
"use strict";

const bytesOf = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

// A message as a line of a transcript: [type, bytes, sha256].
async function entry(data) {
  const raw = typeof data === "string" ? new TextEncoder().encode(data) : new Uint8Array(data);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", raw));
  const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [typeof data === "string" ? "text" : "binary", raw.length, hex];
}

// What comes and is waited for, in whichever order.
class Arrivals {
  constructor() {
    this.waiting = [];
    this.here = [];
  }
  put(value) {
    this.waiting.length ? this.waiting.shift()(value) : this.here.push(value);
  }
  next() {
    return this.here.length ? Promise.resolve(this.here.shift()) : new Promise((resolve) => this.waiting.push(resolve));
  }
}

// `client` has say(parts), hear(), ping(payload), close(code, reason), closed() and facts.
async function converse(client, job, script) {
  const got = [];
  for (const item of script) {
    if (item.type === "ping") {
      await client.ping(bytesOf(item.data));
      continue;
    }
    await client.say(item.type === "text" ? item.parts : item.parts.map(bytesOf));
    got.push(await entry(await client.hear()));
  }
  await client.say(["@ping"]);
  await client.say(["@report"]);
  const server = JSON.parse(await client.hear());
  const [code, reason] = job.close;
  if (job.closes === "client") client.close(code, reason);
  else await client.say([`@close ${code} ${reason}`]);
  return { got, server, close: await client.closed(), ...client.facts };
}

if (typeof module !== "undefined") module.exports = { Arrivals, bytesOf, converse, entry };
