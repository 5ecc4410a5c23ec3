/**
 * The channel to the kernel: numbered packets in, numbered requests out. Python describes them in `panel/protocol.py`.
 * A packet has a kind `k` and a number `n`; `to`: the one view it is for; `view` and `for`: the request it answers.
 */

const BUSY_AFTER = 600; // ms without a packet, after a request, until the kernel counts as busy
const ANSWER_WITHIN = 1500; // ms
const RETRY_AFTER = 3000; // ms until the whole is asked for again

export class Channel {
  /** @param {(packets: object[]) => void} take @param {() => void} late called when `waits` changes */
  constructor(model, take, late) {
    this.model = model;
    this.take = take;
    this.late = late;
    this.view = globalThis.crypto?.randomUUID?.() ?? `v${Math.random().toString(36).slice(2)}`;
    this.number = 0; // of the last packet taken
    this.request = 0; // the number of the last request
    this.synced = false; // whether this view holds the whole, as of packet `number`
    this.waits = false; // whether the kernel has not answered in time
    this.closed = false;
    this.queue = [];
    this.asked = new Map(); // request number → what to do with the answer
    this.hear = (content) => this.receive(content);
    model.on("msg:custom", this.hear);
  }

  /** Send a request. @returns {number} its number */
  send(k, fields = {}, buffers = []) {
    const req = ++this.request;
    if (this.closed) return req;
    this.model.send({ k, view: this.view, req, ...fields }, undefined, buffers);
    if (k !== "draft") {
      clearTimeout(this.watch);
      this.watch = setTimeout(() => this.wait(true), BUSY_AFTER);
    }
    return req;
  }

  wait(waits) {
    if (this.waits === waits) return;
    this.waits = waits;
    this.late();
  }

  /** Send a request and wait for its answer. @returns {Promise<?object>} null: refused, or none came in time */
  async ask(k, fields) {
    if (this.closed || this.waits) return null;
    const req = this.send(k, fields);
    const answer = await new Promise((resolve) => {
      this.asked.set(req, resolve);
      setTimeout(resolve, ANSWER_WITHIN, null);
    });
    this.asked.delete(req);
    return answer;
  }

  /** Ask for the whole, until it comes; `ready` is a view's first request. */
  resync(k = "resync", fields = {}) {
    if (this.closed) return;
    this.synced = false;
    this.queue.length = 0;
    this.send(k, fields);
    clearInterval(this.retry);
    this.retry = setInterval(() => this.send(k, fields), RETRY_AFTER);
  }

  receive(packet) {
    if (this.closed || typeof packet?.k !== "string") return;
    clearTimeout(this.watch);
    this.wait(false);
    const mine = [packet.to, packet.view].every((view) => !view || view === this.view);
    if (mine) this.asked.get(packet.for)?.(packet.k === "note" ? null : packet);
    if (mine && packet.k === "snap" && (!this.synced || packet.n > this.number)) {
      this.synced = true;
      clearInterval(this.retry);
    } else if (!this.synced || packet.n <= this.number) {
      return; // the whole is on its way, or holds this already
    } else if (packet.n !== this.number + 1) {
      this.resync();
      return;
    }
    this.number = packet.n;
    if (!mine && packet.k !== "note") return; // another view's, but counted; everybody reads notes
    this.queue.push({ ...packet, mine });
    this.flush ||= setTimeout(() => { this.flush = 0; this.take(this.queue.splice(0)); }); // all that come together
  }

  /** Send and take nothing more: the kernel or this view is gone. */
  close() {
    if (this.closed) return;
    this.closed = true;
    for (const timer of [this.watch, this.retry, this.flush]) clearTimeout(timer);
    for (const answer of this.asked.values()) answer(null);
    this.model.off("msg:custom", this.hear);
  }
}
