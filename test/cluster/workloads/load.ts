/**
 * Calls TARGETS (URLs, between spaces) at an even pace, whatever becomes of the calls before: half of them over connections that are
 * kept, half over new ones, every other one a POST, which nobody may repeat. Says in REPORTS/<host name>.json what became of them.
 * SIGTERM ends it when the last call is answered.
 */
import { renameSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { hostname } from "node:os";

export interface LoadReport {
  readonly sent: number;
  readonly answered: number;
  /** What was not answered with 200, in words; the first of them. */
  readonly failures: readonly string[];
  readonly failed: number;
  readonly slowestMs: number;
  readonly ended: boolean;
}

const targets = (process.env["TARGETS"] ?? "").split(" ");
const perSecond = Number(process.env["PER_SECOND"] ?? "120");
const timeoutMs = 15_000;
const mostFailures = 50;
const kept = new Agent({ keepAlive: true });
const file = `${process.env["REPORTS"] ?? "/reports"}/${hostname()}.json`;

const failures: string[] = [];
let sent = 0;
let answered = 0;
let failed = 0;
let slowestMs = 0;

function report(ended: boolean): void {
  const said: LoadReport = { sent, answered, failed, failures, slowestMs, ended };
  writeFileSync(`${file}.new`, JSON.stringify(said));
  renameSync(`${file}.new`, file);
}

function call(number: number): void {
  const target = targets[number % targets.length] ?? "";
  const turn = Math.floor(number / targets.length);
  const method = turn % 2 === 0 ? "GET" : "POST";
  const keeps = Math.floor(turn / 2) % 2 === 0;
  const began = performance.now();
  let settled = false;
  const settle = (problem: string | undefined): void => {
    if (settled) return;
    settled = true;
    const took = Math.round(performance.now() - began);
    slowestMs = Math.max(slowestMs, took);
    if (problem === undefined) {
      answered++;
      return;
    }
    failed++;
    const when = new Date(Date.now() - took).toISOString();
    if (failures.length < mostFailures) failures.push(`${when} ${method} ${target} ${keeps ? "kept" : "new"} ${took} ms: ${problem}`);
  };
  sent++;
  const outgoing = request(target, { method, agent: keeps ? kept : false, timeout: timeoutMs }, (incoming) => {
    const { statusCode = 0, headers } = incoming;
    incoming.resume();
    incoming.on("end", () => settle(statusCode === 200 ? undefined : `${statusCode} ${String(headers["x-countersign-reason"])}`));
    incoming.on("error", (error) => settle(String(error)));
  });
  outgoing.on("timeout", () => outgoing.destroy(new Error(`no answer within ${timeoutMs} ms`)));
  outgoing.on("error", (error) => settle(`${String(error)}${outgoing.reusedSocket ? " (reused)" : ""}`));
  outgoing.end(method === "POST" ? "something to be done once" : undefined);
}

const start = performance.now();
let begun = 0;
const pace = setInterval(() => {
  // As many as are due: a timer that is late makes up for it.
  const due = Math.floor(((performance.now() - start) * perSecond) / 1000);
  while (begun < due) call(begun++);
}, 5);
const reporting = setInterval(() => report(false), 200);

process.on("SIGTERM", () => {
  clearInterval(pace);
  const ending = setInterval(() => {
    if (answered + failed < sent) return;
    clearInterval(ending);
    clearInterval(reporting);
    report(true);
    kept.destroy();
  }, 20);
});
